/*
 * thread_stack.c - see thread_stack.h.
 *
 * From its lowest address: the alternate stack, whole pages; the guard, one page; the stack, which grows
 * down from the end. Promises that no two threads have the same one, that of those that nobody uses no
 * more than KEEP are kept, and that nothing is left in them of what a thread had there.
 */
#include "daemon/thread_stack.h"

#include <assert.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/crash.h"
#include "daemon/thread.h"

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#ifndef WITH_SANITIZER
#define KEEP          16
#define TOUCHED_BYTES 12288 /* from its end: what any worker uses, the C library's own part in it */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *kept[KEEP];
static size_t count;

static size_t page_bytes(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t alternate_bytes(void)
{
	size_t page = page_bytes();

	return (crash_stack_bytes() + page - 1) / page * page;
}

static size_t all_bytes(void)
{
	return alternate_bytes() + page_bytes() + THREAD_STACK_BYTES;
}

static char *take_kept(void)
{
	char *memory = NULL;

	pthread_mutex_lock(&lock);
	if (count > 0)
		memory = kept[--count];
	pthread_mutex_unlock(&lock);
	return memory;
}

static char *map(void)
{
	char *memory = mmap(NULL, all_bytes(), PROT_READ | PROT_WRITE,
	                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	if (mprotect(memory + alternate_bytes(), page_bytes(), PROT_NONE) != 0) {
		munmap(memory, all_bytes());
		return NULL;
	}
#ifdef MADV_POPULATE_WRITE
	/* a kernel that cannot lets them come one by one */
	(void)madvise(memory + all_bytes() - TOUCHED_BYTES, TOUCHED_BYTES, MADV_POPULATE_WRITE);
#endif
	return memory;
}

struct thread_stack *thread_stack_take(void)
{
	char *memory = take_kept();

	return (struct thread_stack *)(memory ? memory : map());
}

/* A password may have been there. Its first pages stay. */
static void wipe(char *memory)
{
	char *low = memory + all_bytes() - THREAD_STACK_BYTES, *end = memory + all_bytes() - TOUCHED_BYTES;

	(void)madvise(low, (size_t)(end - low), MADV_DONTNEED);
	explicit_bzero(end, TOUCHED_BYTES);
}

void thread_stack_give(struct thread_stack *stack)
{
	char *memory = (char *)stack;

	if (!memory)
		return;
	wipe(memory);
	pthread_mutex_lock(&lock);
	if (count < KEEP) {
		kept[count++] = memory;
		memory = NULL;
	}
	pthread_mutex_unlock(&lock);
	if (memory)
		munmap(memory, all_bytes());
}

void *thread_stack_memory(struct thread_stack *stack, size_t *bytes)
{
	*bytes = THREAD_STACK_BYTES;
	return (char *)stack + all_bytes() - THREAD_STACK_BYTES;
}

void *thread_stack_alternate(struct thread_stack *stack)
{
	return stack;
}
#else
struct thread_stack *thread_stack_take(void)
{
	return NULL;
}

void thread_stack_give(struct thread_stack *stack)
{
	assert(!stack);
	(void)stack;
}

void *thread_stack_memory(struct thread_stack *stack, size_t *bytes)
{
	*bytes = 0;
	return stack;
}

void *thread_stack_alternate(struct thread_stack *stack)
{
	return stack;
}
#endif
