/*
 * heap.c - see heap.h.
 */
#include "common/heap.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

/* What is freed at the end of a heap stays there, and the small pieces are taken from it. */
void heap_expect(size_t bytes, size_t touched)
{
#if defined(MADV_POPULATE_WRITE) && !defined(WITH_SANITIZER)
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	void *block = malloc(bytes);
	uintptr_t low = ((uintptr_t)block + page - 1) / page * page;
	uintptr_t high = ((uintptr_t)block + touched) / page * page;

	/* a kernel that cannot lets them come one by one */
	if (block && high > low)
		(void)madvise((void *)low, high - low, MADV_POPULATE_WRITE);
	free(block);
#else
	(void)bytes;
	(void)touched;
#endif
}
