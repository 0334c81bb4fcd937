/*
 * wrong_clock.c - a wall clock that jumps, by LD_PRELOAD.
 *
 *   WRONG_CLOCK   a file with the seconds by which it is wrong, read each time it is asked
 *
 * The monotonic clock is left alone, as a jump leaves it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t wrong_by(void)
{
	char text[32];
	ssize_t length;
	const char *path = getenv("WRONG_CLOCK");
	int fd;

	if (!path)
		return 0;
	fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	length = syscall(SYS_read, fd, text, sizeof(text) - 1);
	syscall(SYS_close, fd);
	text[length > 0 ? length : 0] = '\0';
	return (time_t)atoll(text);
}

int clock_gettime(clockid_t id, struct timespec *now)
{
	int result = (int)syscall(SYS_clock_gettime, id, now);

	if (result == 0 && id == CLOCK_REALTIME)
		now->tv_sec += wrong_by();
	return result;
}

int gettimeofday(struct timeval *now, void *zone)
{
	struct timespec exact;

	(void)zone;
	if (clock_gettime(CLOCK_REALTIME, &exact) != 0)
		return -1;
	*now = (struct timeval){ .tv_sec = exact.tv_sec, .tv_usec = exact.tv_nsec / 1000 };
	return 0;
}

time_t time(time_t *seconds)
{
	struct timespec exact = { 0 };

	clock_gettime(CLOCK_REALTIME, &exact);
	if (seconds)
		*seconds = exact.tv_sec;
	return exact.tv_sec;
}
