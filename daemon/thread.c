/*
 * thread.c - see thread.h.
 */
#include "daemon/thread.h"

#include <signal.h>
#include <string.h>

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#define STACK_BYTES (256 * 1024)

int thread_start(pthread_t *thread, const char *name, void *(*main)(void *), void *argument)
{
	pthread_attr_t attributes;
	sigset_t all, old;
	char cut[16];
	int code;

	strncpy(cut, name, sizeof(cut) - 1);
	cut[sizeof(cut) - 1] = '\0';
	code = pthread_attr_init(&attributes);
	if (code != 0)
		return code;
#ifndef WITH_SANITIZER
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
#endif
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	code = pthread_create(thread, &attributes, main, argument);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attributes);
	if (code == 0)
		pthread_setname_np(*thread, cut);
	return code;
}
