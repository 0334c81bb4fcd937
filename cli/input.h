/*
 * input.h - a file, or standard input, whose size is known.
 *
 * Opened before the database and closed after it: closing a descriptor of the
 * database's own file (somebody may name it) would drop SQLite's locks.
 */
#ifndef OUTBOXD_CLI_INPUT_H
#define OUTBOXD_CLI_INPUT_H

#include <stdint.h>
#include <time.h>

#include "common/error.h"

#define INPUT_MAX_BYTES      1000000000 /* SQLite takes no longer row */
#define INPUT_TEXT_MAX_BYTES (64 << 20)

struct input {
	int fd;                   /* -1 = none */
	int64_t size;             /* octets, from the file's start */
	struct timespec modified; /* when it was, last before it was opened */
};

/*
 * Opens name, "-" = standard input; what is no regular file is copied to an
 * unlinked one in $TMPDIR or /var/tmp. Blocks for its end. ERROR_NOT_FOUND,
 * ERROR_PERMISSION, ERROR_LIMIT, ERROR_SYSTEM.
 */
enum error input_open(const char *name, struct input *input, struct words *words);
void input_close(struct input *input);

/* All of it as a terminated string, which the caller frees. ERROR_INVALID: not UTF-8, or a NUL in it. */
enum error input_text(const struct input *input, const char *name, char **text, struct words *words);

#endif
