/*
 * command.h - runs an operator's program for its first line (password_command).
 */
#ifndef OUTBOXD_DAEMON_COMMAND_H
#define OUTBOXD_DAEMON_COMMAND_H

#include <stdint.h>

#include "common/error.h"
#include "common/secret.h"

/*
 * Runs dir/name with argument as its one argument: no shell, standard input and
 * error are /dev/null, an empty environment but for PATH. Its first line (at most 64 KiB) becomes
 * password. Blocks until its end or the deadline, then it is killed. Any thread
 * but a worker. Not OK: words, never what it printed.
 */
enum error command_run(const char *dir, const char *name, const char *argument, int64_t deadline_ms,
                       struct secret *password, struct words *words);

#endif
