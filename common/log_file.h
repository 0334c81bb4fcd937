/*
 * log_file.h - one file that lines are appended to.
 *
 * Part of the log, for its thread alone.  A FIFO, a terminal or a pipe that
 * takes nothing does not hold the thread fast: it waits by the caller's
 * function, which may give up.
 */
#ifndef OUTBOXD_COMMON_LOG_FILE_H
#define OUTBOXD_COMMON_LOG_FILE_H

#include <stdbool.h>
#include <stddef.h>

struct log_file {
	int fd;         /* -1: not open */
	bool borrowed;  /* standard error: neither closed nor made non-blocking */
	bool in_pieces; /* may block: asked before each piece */
	bool torn;      /* ends in the middle of a line */
	int error;      /* errno of the last failure, 0 = none */
};

/* Waits until fd takes something; false = what is not written yet is given up. */
struct log_patience {
	bool (*wait)(void *context, int fd);
	void *context;
};

/*
 * Opens path ("-" = standard error) for appending and creates it with mode 0640.
 * A FIFO is opened so that it needs no reader. links: a symbolic link is
 * followed. false with file->error if that cannot be done.
 */
bool log_file_open(struct log_file *file, const char *path, bool links);
void log_file_close(struct log_file *file);

/* Appends whole lines. Answers how many of them were lost (then file->error says why, 0 = given up). */
size_t log_file_write(struct log_file *file, const char *lines, size_t length,
                      const struct log_patience *patience);

#endif
