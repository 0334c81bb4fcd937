/*
 * sqlite_spool.c - unlinked files for bodies that are too large for memory.
 *
 * Promises: what is written has no name at any moment that matters, so that a
 * crash leaves nothing behind; only this process can read it.  Fails with
 * ERROR_UNAVAILABLE: a full spool folder makes its tenant wait, never fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "storage/sqlite_spool.h"

/* File systems without O_TMPFILE, and kernels that take it for O_DIRECTORY. */
static int open_named(const char *dir)
{
	char path[PATH_MAX];
	int fd;

	if (snprintf(path, sizeof path, "%s/outboxd-XXXXXX", dir) >= (int)sizeof path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		(void)unlink(path);
	return fd;
}

enum error spool_open(const char *dir, int *fd, struct words *words)
{
	*fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (*fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL || errno == ENOENT))
		*fd = open_named(dir);
	if (*fd >= 0)
		return OK;
	words_set_errno(words, errno, "spool_dir %s", dir);
	return ERROR_UNAVAILABLE;
}

enum error spool_write(int fd, const char *dir, const void *bytes, size_t length, int64_t offset,
                       struct words *words)
{
	const char *from = bytes;

	while (length > 0) {
		ssize_t written = pwrite(fd, from, length, offset);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0) {
			words_set_errno(words, written < 0 ? errno : ENOSPC, "spool_dir %s", dir);
			return ERROR_UNAVAILABLE;
		}
		from += written;
		length -= (size_t)written;
		offset += written;
	}
	return OK;
}
