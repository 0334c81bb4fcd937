/*
 * command.h - runs an operator's program for its first line (password_command, token_command).
 */
#ifndef OUTBOXD_RUN_COMMAND_H
#define OUTBOXD_RUN_COMMAND_H

#include <stdint.h>

#include "common/error.h"
#include "common/secret.h"

/* dir/name, with argument as its one argument; column names it in words. */
struct command {
	const char *column, *dir, *name, *argument;
};

/*
 * Runs it: no shell, standard input and error are /dev/null, an empty environment but for PATH. Its
 * first line (at most 64 KiB) becomes password. Blocks until its end or the deadline, then it is
 * killed. Any thread but a worker. Not OK: words, never what it printed.
 */
enum error command_run(const struct command *command, int64_t deadline_ms, struct secret *password,
                       struct words *words);

#endif
