/*
 * input.c - a file, or standard input, whose size is known.
 *
 * Promises: constant memory for what is not asked for as text; no file is left
 * behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/input.h"
#include "common/buffer.h"
#include "common/text.h"

#define COPY_BYTES 65536

static enum error open_spool(int *fd, struct words *words)
{
	const char *folder = getenv("TMPDIR");

	if (!folder || !*folder)
		folder = "/var/tmp";
	*fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (*fd >= 0)
		return OK;
	words_set_errno(words, errno, "a temporary file in %s", folder);
	return ERROR_SYSTEM;
}

static enum error write_all(int fd, const char *bytes, size_t length, struct words *words)
{
	while (length > 0) {
		ssize_t put = write(fd, bytes, length);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0) {
			words_set_errno(words, errno, "a temporary file");
			return ERROR_SYSTEM;
		}
		bytes += put;
		length -= (size_t)put;
	}
	return OK;
}

static enum error copy(int from, const char *name, struct input *input, struct words *words)
{
	enum error error = open_spool(&input->fd, words);
	struct stat st;
	char *block;

	if (error != OK)
		return error;
	block = memory_alloc(COPY_BYTES);
	while (error == OK) {
		ssize_t got = read(from, block, COPY_BYTES);

		if (got < 0 && errno == EINTR)
			continue;
		if (got == 0)
			break;
		if (got < 0) {
			words_set_errno(words, errno, "%s", name);
			error = ERROR_SYSTEM;
			break;
		}
		input->size += got;
		if (input->size > INPUT_MAX_BYTES) {
			words_set(words, "%s: longer than %d octets", name, INPUT_MAX_BYTES);
			error = ERROR_LIMIT;
			break;
		}
		error = write_all(input->fd, block, (size_t)got, words);
	}
	free(block);
	if (error == OK && fstat(input->fd, &st) == 0)
		input->modified = st.st_mtim;
	return error;
}

/* ENOENT and the like are the name's fault, the rest the system's. */
static enum error cannot_open(const char *name, struct words *words)
{
	int errno_value = errno;

	words_set_errno(words, errno_value, "%s", name);
	if (errno_value == ENOENT || errno_value == ENOTDIR || errno_value == EISDIR)
		return ERROR_NOT_FOUND;
	return errno_value == EACCES || errno_value == EPERM ? ERROR_PERMISSION : ERROR_SYSTEM;
}

enum error input_open(const char *name, struct input *input, struct words *words)
{
	bool standard = strcmp(name, "-") == 0;
	int fd = standard ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	enum error error;
	struct stat st;

	*input = (struct input){ .fd = -1 };
	if (fd < 0 || fstat(fd, &st) != 0)
		return cannot_open(name, words);
	if (S_ISDIR(st.st_mode)) {
		errno = EISDIR;
		error = cannot_open(name, words);
		if (!standard)
			close(fd);
		return error;
	}
	/* standard input may stand in the middle of a file: it is copied */
	if (S_ISREG(st.st_mode) && !standard) {
		*input = (struct input){ .fd = fd, .size = st.st_size, .modified = st.st_mtim };
		if (st.st_size <= INPUT_MAX_BYTES)
			return OK;
		words_set(words, "%s: longer than %d octets", name, INPUT_MAX_BYTES);
		error = ERROR_LIMIT;
	} else {
		error = copy(fd, standard ? "standard input" : name, input, words);
		if (!standard)
			close(fd);
	}
	if (error != OK)
		input_close(input);
	return error;
}

void input_close(struct input *input)
{
	if (input->fd >= 0)
		close(input->fd);
	input->fd = -1;
}

enum error input_text(const struct input *input, const char *name, char **text, struct words *words)
{
	size_t length = 0, valid;
	char *bytes;

	*text = NULL;
	if (input->size > INPUT_TEXT_MAX_BYTES) {
		words_set(words, "%s: a text longer than %d octets", name, INPUT_TEXT_MAX_BYTES);
		return ERROR_LIMIT;
	}
	bytes = memory_alloc((size_t)input->size + 1);
	while (length < (size_t)input->size) {
		ssize_t got = pread(input->fd, bytes + length, (size_t)input->size - length, (off_t)length);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			words_set_errno(words, errno, "%s", name);
			free(bytes);
			return ERROR_SYSTEM;
		}
		if (got == 0)
			break;
		length += (size_t)got;
	}
	valid = strnlen(bytes, length);
	if (valid == length)
		valid = text_utf8_valid(bytes, length);
	if (valid == length) {
		*text = bytes;
		return OK;
	}
	words_set(words, "%s: octet %zu is %s", name, valid + 1, bytes[valid] ? "not UTF-8" : "a NUL");
	free(bytes);
	return ERROR_INVALID;
}
