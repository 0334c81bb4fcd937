/*
 * spawn.c - see spawn.h.
 */
#include "run/spawn.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"

#define REAP_MS 10

int spawn_start(const char *path, const char *argument, int input_fd, int output_fd, pid_t *pid)
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
	if (input_fd < 0)
		posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	else
		posix_spawn_file_actions_adddup2(&actions, input_fd, STDIN_FILENO);
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

int spawn_reap(pid_t pid, int64_t deadline_ms)
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
