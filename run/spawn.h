/*
 * spawn.h - starts a program and ends it: never a fork that goes on in our code.
 */
#ifndef OUTBOXD_RUN_SPAWN_H
#define OUTBOXD_RUN_SPAWN_H

#include <stdint.h>
#include <sys/types.h>

/*
 * Starts path with argument (NULL = none) as its one argument: no shell, its own process group, an
 * environment of PATH alone, input_fd (-1 = /dev/null) and output_fd as its standard input and
 * output, /dev/null for errors. 0 or an errno. Any thread; does not block.
 */
int spawn_start(const char *path, const char *argument, int input_fd, int output_fd, pid_t *pid);

/*
 * Waits for its end; at the deadline it is killed with all that it started. Its exit status, -1: it was
 * killed. Any thread but a worker's. Blocks until the deadline at most.
 */
int spawn_reap(pid_t pid, int64_t deadline_ms);

#endif
