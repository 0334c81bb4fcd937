/*
 * hold.c - a disk that does not answer, by LD_PRELOAD.
 *
 * HOLD_PATH   files whose path begins so are meant
 * HOLD_FLAG   a file: while it is there each read, write and sync of such a file waits, and
 *             each stat(2) of its name, which is what a mount that went away holds first
 *
 * Nothing is intercepted but these calls, so that it goes with a sanitizer too.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *path, *flag;

__attribute__((constructor)) static void read_plan(void)
{
	path = getenv("HOLD_PATH");
	flag = getenv("HOLD_FLAG");
}

static int holds(void)
{
	return path && flag && access(flag, F_OK) == 0;
}

static void wait_for_name(const char *name)
{
	if (strncmp(name, path, strlen(path)) != 0)
		return;
	while (holds())
		poll(NULL, 0, 20);
}

static void wait_for_disk(int fd)
{
	char link[64], name[PATH_MAX];
	ssize_t length;

	if (!holds())
		return;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, name, sizeof(name) - 1);
	if (length < 0)
		return;
	name[length] = '\0';
	wait_for_name(name);
}

int stat(const char *restrict name, struct stat *restrict st)
{
	if (holds())
		wait_for_name(name);
	return (int)syscall(SYS_newfstatat, AT_FDCWD, name, st, 0);
}

ssize_t pread(int fd, void *bytes, size_t count, off_t offset)
{
	wait_for_disk(fd);
	return syscall(SYS_pread64, fd, bytes, count, offset);
}

ssize_t pread64(int fd, void *bytes, size_t count, off_t offset)
{
	return pread(fd, bytes, count, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
	wait_for_disk(fd);
	return syscall(SYS_pwrite64, fd, bytes, count, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t offset)
{
	return pwrite(fd, bytes, count, offset);
}

int fsync(int fd)
{
	wait_for_disk(fd);
	return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	wait_for_disk(fd);
	return (int)syscall(SYS_fdatasync, fd);
}
