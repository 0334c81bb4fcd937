/*
 * heap.h - what the C library's allocator is told beforehand.
 *
 * Its heaps of threads grow by a page at a time, each by an mprotect(2) under the lock of the address space,
 * and each page comes by a fault: where hundreds of threads begin at once, that is what they wait for.
 */
#ifndef OUTBOXD_COMMON_HEAP_H
#define OUTBOXD_COMMON_HEAP_H

#include <stddef.h>

/*
 * The calling thread is about to allocate about so many octets in small pieces (at most 64 KiB: more would be
 * given back at once): its heap grows by them in one step, if they are not free in it, and the pages of the
 * first `touched` come by one system call. A hint: nothing is held, nothing fails; under sanitizers, which
 * have allocators of their own, nothing happens. Any thread.
 */
void heap_expect(size_t bytes, size_t touched);

#endif
