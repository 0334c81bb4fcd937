/*
 * thread.c - see thread.h.
 */
#include "daemon/thread.h"

#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/wait.h"
#include "daemon/crash.h"

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#define STACK_BYTES (256 * 1024)
#define SPARED      4096 /* below the frame: this function's own calls, the red zone */

struct start {
	void *(*main)(void *);
	void *argument;
	char name[16]; /* cut to what the kernel takes */
};

static void *begin(void *argument)
{
	struct start start = *(struct start *)argument;

	free(argument);
	/* by itself: another thread's name goes by a file of /proc, and the one that starts workers has no
	 * time */
	(void)prctl(PR_SET_NAME, start.name);
	crash_thread_begin();
	wait_keep_mask();
	return start.main(start.argument);
}

int thread_start(pthread_t *thread, const char *name, void *(*main)(void *), void *argument)
{
	pthread_attr_t attributes;
	struct start *start;
	sigset_t blocked, old;
	int code;

	code = pthread_attr_init(&attributes);
	if (code != 0)
		return code;
#ifndef WITH_SANITIZER
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
#endif
	start = memory_alloc(sizeof(*start));
	*start = (struct start){ .main = main, .argument = argument };
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

__attribute__((noinline)) void thread_rest(void)
{
#ifndef WITH_SANITIZER
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t here = (uintptr_t)__builtin_frame_address(0), low, high;
	pthread_attr_t attributes;
	size_t bytes = 0;
	void *start = NULL;

	if (pthread_getattr_np(pthread_self(), &attributes) != 0)
		return;
	if (pthread_attr_getstack(&attributes, &start, &bytes) == 0) {
		low = ((uintptr_t)start + page - 1) & ~(page - 1);
		high = (here - SPARED) & ~(page - 1);
		if (high > low && here - low < bytes)
			madvise((void *)low, high - low, MADV_DONTNEED);
	}
	pthread_attr_destroy(&attributes);
#endif
}
