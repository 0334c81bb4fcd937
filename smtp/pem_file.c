/*
 * pem_file.c - a small file of certificates, read whole.
 *
 * Promises to end: a FIFO or a device in the file's place is refused, not
 * waited for, and a file that grows is read up to its limit. ERROR_INVALID.
 */
#include "smtp/pem_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static enum error read_all(int fd, const char *column, const char *path, struct buffer *pem,
                           struct words *words)
{
	char part[16384];

	for (;;) {
		ssize_t got = read(fd, part, sizeof(part));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			words_set_errno(words, errno, "%s %s cannot be read", column, path);
			return ERROR_INVALID;
		}
		if (got == 0)
			break;
		if (!buffer_append(pem, part, (size_t)got)) {
			words_set(words, "%s %s is larger than 1 MiB", column, path);
			return ERROR_INVALID;
		}
	}
	if (pem->length > 0)
		return OK;
	words_set(words, "%s %s is empty", column, path);
	return ERROR_INVALID;
}

enum error pem_file_read(const char *column, const char *path, struct buffer *pem, struct words *words)
{
	struct stat facts;
	enum error error = ERROR_INVALID;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	buffer_init(pem, PEM_FILE_BYTES);
	if (fd < 0) {
		error = error_is_shortage(errno) ? ERROR_UNAVAILABLE : ERROR_INVALID;
		words_set_errno(words, errno, "%s %s cannot be opened", column, path);
		return error;
	}
	if (fstat(fd, &facts) < 0)
		words_set_errno(words, errno, "%s %s cannot be read", column, path);
	else if (!S_ISREG(facts.st_mode))
		words_set(words, "%s %s is not a regular file", column, path);
	else
		error = read_all(fd, column, path, pem, words);
	close(fd);
	return error;
}
