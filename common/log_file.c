/*
 * log_file.c - one file that lines are appended to.
 *
 * Promises never to block in write(2) on what can make it wait, and that a line
 * which was cut by a full disk is ended before the next one begins.  Fails with
 * the number of lines that were lost.
 */
#include "common/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STANDARD_ERROR "-"

static bool open_standard_error(struct log_file *file)
{
	struct stat status;

	*file = (struct log_file){ .fd = STDERR_FILENO, .borrowed = true };
	file->in_pieces = fstat(STDERR_FILENO, &status) != 0 || !S_ISREG(status.st_mode);
	return true;
}

bool log_file_open(struct log_file *file, const char *path, bool links)
{
	int flags = O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (links ? 0 : O_NOFOLLOW);
	struct stat status;
	int fd;

	if (strcmp(path, STANDARD_ERROR) == 0)
		return open_standard_error(file);

	*file = (struct log_file){ .fd = -1 };
	fd = open(path, flags | O_WRONLY, 0640);
	/* fifo(7): ENXIO without a reader; with one, EPIPE once it goes. Open for both there is neither. */
	if ((fd >= 0 && fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode)) || (fd < 0 && errno == ENXIO)) {
		if (fd >= 0)
			close(fd);
		fd = open(path, (flags & ~O_CREAT) | O_RDWR);
	}
	if (fd < 0) {
		file->error = errno;
		return false;
	}
	file->fd = fd;
	return true;
}

void log_file_close(struct log_file *file)
{
	if (file->fd >= 0 && !file->borrowed)
		close(file->fd);
	*file = (struct log_file){ .fd = -1 };
}

static size_t count_lines(const char *lines, size_t length)
{
	size_t count = 0;

	for (size_t i = 0; i < length; i++)
		count += lines[i] == '\n';
	return count;
}

/* Writes what it can; answers how much that is. */
static size_t write_all(struct log_file *file, const char *bytes, size_t length,
                        const struct log_patience *patience)
{
	size_t done = 0;

	file->error = 0;
	while (done < length) {
		size_t piece = length - done;
		ssize_t written;

		if (file->in_pieces) {
			if (piece > PIPE_BUF)
				piece = PIPE_BUF; /* what a ready pipe takes without blocking */
			if (!patience->wait(patience->context, file->fd))
				break;
		}
		written = write(file->fd, bytes + done, piece);
		if (written >= 0) {
			done += (size_t)written;
		} else if (errno == EAGAIN) {
			if (!patience->wait(patience->context, file->fd))
				break;
		} else if (errno != EINTR) {
			file->error = errno;
			break;
		}
	}
	return done;
}

size_t log_file_write(struct log_file *file, const char *lines, size_t length,
                      const struct log_patience *patience)
{
	size_t done;

	if (length == 0)
		return 0;
	if (file->torn) {
		if (write_all(file, "\n", 1, patience) != 1)
			return count_lines(lines, length);
		file->torn = false;
	}
	done = write_all(file, lines, length, patience);
	file->torn = done > 0 && lines[done - 1] != '\n';
	return count_lines(lines + done, length - done);
}
