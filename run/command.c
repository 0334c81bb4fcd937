/*
 * command.c - see command.h.
 */
#include "run/command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/wait.h"
#include "run/spawn.h"

#define OUTPUT_BYTES 65536

/* Reads to its end or the first line's; *length < OUTPUT_BYTES. */
static enum error read_output(int fd, int64_t deadline_ms, char *bytes, size_t *length)
{
	*length = 0;
	for (;;) {
		enum error error = wait_for(fd, POLLIN, deadline_ms, NULL);
		ssize_t n;

		if (error != OK)
			return error;
		n = read(fd, bytes + *length, OUTPUT_BYTES - *length);
		if (n < 0)
			return ERROR_SYSTEM;
		if (n == 0)
			return OK;
		*length += (size_t)n;
		if (*length == OUTPUT_BYTES)
			return ERROR_LIMIT;
	}
}

static enum error cannot_run(int errno_value, const struct command *command, struct words *words)
{
	words_set_errno(words, errno_value, "%s = %s cannot be run", command->column, command->name);
	return error_is_shortage(errno_value) ? ERROR_UNAVAILABLE : ERROR_SYSTEM;
}

enum error command_run(const struct command *command, int64_t deadline_ms, struct secret *password,
                       struct words *words)
{
	char *bytes = memory_alloc(OUTPUT_BYTES);
	struct buffer path;
	size_t length = 0;
	enum error error = ERROR_SYSTEM;
	int fds[2], code, status;
	pid_t pid;

	buffer_init(&path, 8192);
	buffer_printf(&path, "%s/%s", command->dir, command->name);
	if (pipe2(fds, O_CLOEXEC) != 0) {
		error = cannot_run(errno, command, words);
		goto out;
	}
	code = spawn_start(path.data, command->argument, -1, fds[1], &pid);
	close(fds[1]);
	if (code != 0) {
		error = cannot_run(code, command, words);
		close(fds[0]);
		goto out;
	}
	error = read_output(fds[0], deadline_ms, bytes, &length);
	close(fds[0]);
	status = spawn_reap(pid, error == OK ? deadline_ms : 0);
	if (error == ERROR_LIMIT)
		words_set(words, "%s = %s prints more than 64 KiB", command->column, command->name);
	else if (error != OK || status < 0)
		words_set(words, "%s = %s did not end in time", command->column, command->name);
	else if (status != 0)
		words_set(words, "%s = %s ended with exit status %d", command->column, command->name, status);
	else if ((length = strcspn(bytes, "\r\n")) == 0)
		words_set(words, "%s = %s prints no password", command->column, command->name);
	if (error == OK && (status != 0 || length == 0))
		error = status < 0 ? ERROR_TIMEOUT : ERROR_INVALID;
	if (error == OK)
		secret_set(password, bytes, length);
out:
	explicit_bzero(bytes, OUTPUT_BYTES);
	free(bytes);
	buffer_fini(&path);
	return error;
}
