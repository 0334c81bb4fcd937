/*
 * token_ask.c - see token_ask.h.
 */
#include "run/token_ask.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/wait.h"
#include "run/spawn.h"

static enum error say(int fd, const struct buffer *request, int64_t deadline_ms)
{
	size_t sent = 0;

	while (sent < request->length) {
		enum error error = wait_for(fd, POLLOUT, deadline_ms, NULL);
		ssize_t n;

		if (error != OK)
			return error;
		n = write(fd, request->data + sent, request->length - sent);
		if (n < 0 && errno != EAGAIN)
			return ERROR_CLOSED;
		sent += n > 0 ? (size_t)n : 0;
	}
	return OK;
}

static enum error hear(int fd, struct buffer *result, int64_t deadline_ms)
{
	for (;;) {
		enum error error = wait_for(fd, POLLIN, deadline_ms, NULL);
		char octets[4096];
		ssize_t n = 0;
		bool good = true;

		if (error != OK)
			return error;
		n = read(fd, octets, sizeof(octets));
		if (n > 0)
			good = buffer_append(result, octets, (size_t)n);
		explicit_bzero(octets, sizeof(octets));
		if (n <= 0 || !good)
			return n == 0 ? OK : ERROR_SYSTEM;
	}
}

static enum error cannot_run(int errno_value, const char *program, struct words *words)
{
	words_set_errno(words, errno_value, "%s cannot be run", program);
	return error_is_shortage(errno_value) ? ERROR_UNAVAILABLE : ERROR_SYSTEM;
}

enum error token_ask(const char *program, const struct buffer *request, struct buffer *result,
                     struct words *words)
{
	int64_t deadline_ms = deadline_after_ms(TOKEN_KILL_MS);
	int in[2], out[2], code, status;
	enum error error;
	pid_t pid;

	if (pipe2(in, O_CLOEXEC) != 0)
		return cannot_run(errno, program, words);
	if (pipe2(out, O_CLOEXEC) != 0) {
		error = cannot_run(errno, program, words);
		close(in[0]);
		close(in[1]);
		return error;
	}
	code = spawn_start(program, NULL, in[0], out[1], &pid);
	close(in[0]);
	close(out[1]);
	if (code != 0) {
		close(in[1]);
		close(out[0]);
		return cannot_run(code, program, words);
	}
	(void)fcntl(in[1], F_SETFL, O_NONBLOCK);
	error = say(in[1], request, deadline_ms);
	close(in[1]);
	/* one that does not listen to the end may say why */
	if (error == OK || error == ERROR_CLOSED)
		error = hear(out[0], result, deadline_ms);
	close(out[0]);
	status = spawn_reap(pid, error == OK ? deadline_ms : 0);
	if (error != OK || status < 0)
		words_set(words, "%s did not end in time", program);
	return error == OK && status < 0 ? ERROR_TIMEOUT : error;
}
