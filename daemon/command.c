/*
 * command.c - see command.h. posix_spawn, never a fork that goes on in our code.
 */
#include "daemon/command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/wait.h"

#define OUTPUT_BYTES 65536
#define REAP_MS      10

static int spawn(const char *path, const char *argument, int output_fd, pid_t *pid)
{
	char *const argv[] = { (char *)path, (char *)argument, NULL };
	char *const environment[] = { (char *)"PATH=/usr/local/bin:/usr/bin:/bin", NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int code;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, output_fd, STDOUT_FILENO);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	/* A group of its own: what it starts is killed with it. */
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setflags(&attributes,
	                         POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	code = posix_spawn(pid, path, &actions, &attributes, argv, environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return code;
}

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

/* Its exit status, or -1 after the deadline, when it was killed. */
static int reap(pid_t pid, int64_t deadline_ms)
{
	int status = 0;
	bool late = false;

	while (waitpid(pid, &status, late ? 0 : WNOHANG) == 0) {
		late = deadline_left_ms(deadline_ms) == 0;
		if (late)
			kill(-pid, SIGKILL);
		else
			poll(NULL, 0, REAP_MS);
	}
	return !late && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static enum error cannot_run(int errno_value, const char *name, struct words *words)
{
	words_set_errno(words, errno_value, "password_command = %s cannot be run", name);
	return error_is_shortage(errno_value) ? ERROR_UNAVAILABLE : ERROR_SYSTEM;
}

enum error command_run(const char *dir, const char *name, const char *argument, int64_t deadline_ms,
                       struct secret *password, struct words *words)
{
	char *bytes = memory_alloc(OUTPUT_BYTES);
	struct buffer path;
	size_t length = 0;
	enum error error = ERROR_SYSTEM;
	int fds[2], code, status;
	pid_t pid;

	buffer_init(&path, 8192);
	buffer_printf(&path, "%s/%s", dir, name);
	if (pipe2(fds, O_CLOEXEC) != 0) {
		error = cannot_run(errno, name, words);
		goto out;
	}
	code = spawn(path.data, argument, fds[1], &pid);
	close(fds[1]);
	if (code != 0) {
		error = cannot_run(code, name, words);
		close(fds[0]);
		goto out;
	}
	error = read_output(fds[0], deadline_ms, bytes, &length);
	close(fds[0]);
	status = reap(pid, error == OK ? deadline_ms : 0);
	if (error == ERROR_LIMIT)
		words_set(words, "password_command = %s prints more than 64 KiB", name);
	else if (error != OK || status < 0)
		words_set(words, "password_command = %s did not end in time", name);
	else if (status != 0)
		words_set(words, "password_command = %s ended with exit status %d", name, status);
	else if ((length = strcspn(bytes, "\r\n")) == 0)
		words_set(words, "password_command = %s prints no password", name);
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
