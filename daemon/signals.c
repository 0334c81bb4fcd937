/*
 * signals.c - see signals.h.
 */
#include "daemon/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static const int heard[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1 };

static int ends[2] = { -1, -1 }; /* of the pipe */

static void note(int number)
{
	const char octet = (char)number;
	int before = errno;

	/* a full pipe has more than enough to be heard */
	(void)!write(ends[1], &octet, 1);
	errno = before;
}

int signals_open(void)
{
	struct sigaction action = { .sa_handler = note, .sa_flags = SA_RESTART };
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
		return -1;
	sigfillset(&action.sa_mask);
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(heard) / sizeof(heard[0]); i++) {
		sigaction(heard[i], &action, NULL);
		sigaddset(&set, heard[i]);
	}
	/* whoever started us may have blocked them; one that came before is heard now */
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	return ends[0];
}

int signals_next(int fd)
{
	char octet;

	return read(fd, &octet, 1) == 1 ? octet : 0;
}
