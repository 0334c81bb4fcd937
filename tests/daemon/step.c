/*
 * step.c - a process that dies at a chosen step of writing files, by LD_PRELOAD.
 *
 * STEP_DIR     files whose path begins so, and that folder itself, are meant
 * STEP_LOG     a file that gets a line a step: open (to create), write, sync, rename
 * STEP_AT      N: SIGKILL when the Nth step is done
 * STEP_TOKEN   a file: who removes it dies, so that it happens once in all processes
 *
 * Nothing is intercepted but these calls, so that it goes with a sanitizer too.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *dir, *log_path, *token;
static long at;
static atomic_long passed;

__attribute__((constructor)) static void read_plan(void)
{
	const char *number = getenv("STEP_AT");

	dir = getenv("STEP_DIR");
	log_path = getenv("STEP_LOG");
	token = getenv("STEP_TOKEN");
	at = number ? atol(number) : 0;
}

static bool is_meant(int fd)
{
	char link[64], name[PATH_MAX];
	ssize_t length;

	if (!dir || fd < 0)
		return false;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, name, sizeof(name));
	return length >= (ssize_t)strlen(dir) && strncmp(name, dir, strlen(dir)) == 0;
}

static void step(const char *name)
{
	int fd = log_path ? (int)syscall(SYS_openat, AT_FDCWD, log_path,
	                                 O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600)
	                  : -1;

	if (fd >= 0) {
		syscall(SYS_write, fd, name, strlen(name));
		syscall(SYS_close, fd);
	}
	if (atomic_fetch_add(&passed, 1) + 1 != at || !token ||
	    syscall(SYS_unlinkat, AT_FDCWD, token, 0) != 0)
		return;
	syscall(SYS_kill, (pid_t)syscall(SYS_getpid), SIGKILL);
	for (;;)
		pause();
}

int openat(int folder, const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list arguments;
	int fd;

	if (flags & (O_CREAT | O_TMPFILE)) {
		va_start(arguments, flags);
		mode = (mode_t)va_arg(arguments, unsigned);
		va_end(arguments);
	}
	fd = (int)syscall(SYS_openat, folder, path, flags, mode);
	if (fd >= 0 && flags & O_CREAT && is_meant(fd))
		step("open\n");
	return fd;
}

ssize_t write(int fd, const void *bytes, size_t count)
{
	ssize_t written = syscall(SYS_write, fd, bytes, count);

	if (is_meant(fd))
		step("write\n");
	return written;
}

int fsync(int fd)
{
	int result = (int)syscall(SYS_fsync, fd);

	if (is_meant(fd))
		step("sync\n");
	return result;
}

int renameat(int from, const char *old, int to, const char *new)
{
	int result = (int)syscall(SYS_renameat2, from, old, to, new, 0);

	if (is_meant(to))
		step("rename\n");
	return result;
}
