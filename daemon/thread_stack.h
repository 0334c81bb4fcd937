/*
 * thread_stack.h - stacks of threads that come and go: workers.
 *
 * The C library maps a stack for each thread, protects it, and its pages come one by one, each by a fault;
 * where hundreds of workers start at once, all of them wait for the one lock of the address space, and on a
 * virtual machine a fault is dear. These are mapped once, have the pages that every worker touches from the
 * start, and are used again.
 */
#ifndef OUTBOXD_DAEMON_THREAD_STACK_H
#define OUTBOXD_DAEMON_THREAD_STACK_H

#include <stddef.h>

/*
 * One piece of memory: the alternate stack for fatal signals (crash.h), a page that may not be touched, so
 * that what overflows ends there, and the stack.
 */
struct thread_stack;

/*
 * One for a thread: thread_start_on() takes it. NULL: none is to be had, and the C library's does; so it is
 * under sanitizers, which want their own. Any thread. Up to three system calls.
 */
struct thread_stack *thread_stack_take(void);

/* Once its thread has been joined, or was never started. NULL is allowed. Any thread. */
void thread_stack_give(struct thread_stack *stack);

/* What is in it, for thread_start_on(): the stack's lowest address and its size, and the alternate one. */
void *thread_stack_memory(struct thread_stack *stack, size_t *bytes);
void *thread_stack_alternate(struct thread_stack *stack);

#endif
