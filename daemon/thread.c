/*
 * thread.c - see thread.h.
 */
#include "daemon/thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/wait.h"
#include "daemon/crash.h"
#include "daemon/thread_stack.h"

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#define PREFERRED   10          /* steps of nice: each is a quarter more */
#define SPARED      4096        /* below the frame: this function's own calls, the red zone */
#define ABOVE_BYTES (32 * 1024) /* more than the C library has of a stack for itself, guard and TLS */

#ifndef WITH_SANITIZER
static _Thread_local uintptr_t stack_low; /* from there on the stack is there; 0 = not known */
#endif

struct start {
	void *(*main)(void *);
	void *argument;
	void *alternate; /* NULL = the thread makes its own */
	char name[16];   /* cut to what the kernel takes */
};

static void *begin(void *argument)
{
	struct start start = *(struct start *)argument;

	free(argument);
#ifndef WITH_SANITIZER
	stack_low = (uintptr_t)__builtin_frame_address(0) - (THREAD_STACK_BYTES - ABOVE_BYTES);
#endif
	/* by itself: another thread's name goes by a file of /proc, and the one that starts workers has no
	 * time */
	(void)prctl(PR_SET_NAME, start.name);
	crash_thread_begin(start.alternate);
	wait_keep_mask();
	wait_rest_with(thread_rest);
	return start.main(start.argument);
}

/* Its own memory, or the size that the C library is to map. */
static int set_stack(pthread_attr_t *attributes, struct thread_stack *stack)
{
#ifndef WITH_SANITIZER
	size_t bytes;
	void *memory;

	if (!stack)
		return pthread_attr_setstacksize(attributes, THREAD_STACK_BYTES);
	memory = thread_stack_memory(stack, &bytes);
	return pthread_attr_setstack(attributes, memory, bytes);
#else
	(void)attributes;
	(void)stack;
	return 0;
#endif
}

int thread_start_on(struct thread_stack *stack, pthread_t *thread, const char *name, void *(*main)(void *),
                    void *argument)
{
	pthread_attr_t attributes;
	struct start *start;
	sigset_t blocked, old;
	int code;

	code = pthread_attr_init(&attributes);
	if (code != 0)
		return code;
	code = set_stack(&attributes, stack);
	if (code != 0) {
		pthread_attr_destroy(&attributes);
		return code;
	}
	start = memory_alloc(sizeof(*start));
	*start = (struct start){ .main = main, .argument = argument };
	start->alternate = stack ? thread_stack_alternate(stack) : NULL;
	strncpy(start->name, name, sizeof(start->name) - 1);
	sigfillset(&blocked);
	crash_unblock(&blocked);
	pthread_sigmask(SIG_SETMASK, &blocked, &old);
	code = pthread_create(thread, &attributes, begin, start);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attributes);
	if (code != 0)
		free(start);
	return code;
}

int thread_start(pthread_t *thread, const char *name, void *(*main)(void *), void *argument)
{
	return thread_start_on(NULL, thread, name, main, argument);
}

void thread_prefer(void)
{
	id_t self = (id_t)gettid(); /* on Linux nice is each thread's own */
	int before;

	errno = 0;
	before = getpriority(PRIO_PROCESS, self);
	if (errno == 0)
		(void)setpriority(PRIO_PROCESS, self, before - PREFERRED); /* -20 at least */
}

void thread_take_turns(void)
{
	const struct sched_param none = { 0 };

	(void)sched_setscheduler(0, SCHED_BATCH,
	                         &none); /* of this thread alone; nobody needs a right to it */
}

void thread_rename(const char *name)
{
	(void)prctl(PR_SET_NAME, name);
}

__attribute__((noinline)) void thread_rest(void)
{
#ifndef WITH_SANITIZER
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t low = (stack_low + page - 1) & ~(page - 1);
	uintptr_t high = ((uintptr_t)__builtin_frame_address(0) - SPARED) & ~(page - 1);

	if (stack_low != 0 && high > low)
		madvise((void *)low, high - low, MADV_DONTNEED);
#endif
}
