/*
 * log.h - one event a line, logfmt or JSON, written by a thread of its own.
 *
 * A caller builds lines in a batch that is its own and pushes it: one lock and
 * one copy for all lines of a commit, one write(2) by the log thread.  Pushing
 * never waits for a file: when the 8 MiB of the log are full or a file is
 * stuck, lines are dropped and counted (event log.dropped).  Values with
 * spaces, quotes, '=' or control characters are quoted and escaped, so that one
 * event is always one line.
 */
#ifndef OUTBOXD_COMMON_LOG_H
#define OUTBOXD_COMMON_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };

struct log;

struct log_settings {
	const char *file;     /* main log: a path, "-" = standard error, NULL = "-" */
	const char *dir;      /* NULL, or where TENANT.log or DB/TENANT.log go (at most 64 open at once) */
	enum log_level level; /* lines below it are not made */
	bool json;
};

/*
 * Opens the files and starts the thread `log`. ERROR_PERMISSION or ERROR_SYSTEM
 * with words if the main file cannot be opened or the directory cannot be made or
 * written; a tenant's file that cannot be opened later costs its lines, once told
 * in the main log (event log.failed with file, error).
 */
enum error log_open(const struct log_settings *settings, struct log **log, struct words *words);

/* Writes what is there (for at most 2 s), ends the thread, leaves NULL. Nobody pushes any more. */
void log_close(struct log **log);

/*
 * The same, before a process ends with threads left behind that may still push: nothing is freed, and
 * what they push from now on is lost.
 */
void log_leave(struct log *log);

/*
 * Waits until what was pushed so far has been written or lost, at most until deadline_ms
 * (monotonic). For words that must stand in the file before what comes next can end us. Any thread.
 */
void log_flush(struct log *log, int64_t deadline_ms);

/* Lines that were dropped since log_open(). Any thread. */
uint64_t log_dropped(struct log *log);

/*
 * Files are closed and opened again by the log thread (SIGHUP). Does not block.
 * What a stuck main file did not take is counted in log.dropped of the new one.
 */
void log_reopen(struct log *log);

/*
 * Lines on their way; owned by one thread.  tenant and db say which further
 * file the following lines go to besides the main one (copied at log_begin).
 */
struct log_batch {
	struct log *log;
	struct buffer lines; /* framed as the log thread wants them */
	size_t line_start;
	bool open; /* a line has begun and is wanted at this level */
};

void log_batch_init(struct log_batch *batch, struct log *log); /* log NULL: all lines go nowhere */
/* Frees; lines that were not pushed are gone with it. */
void log_batch_fini(struct log_batch *batch);

/* Starts a line: time (now), level, event, and db= and tenant= where not NULL. */
void log_begin(struct log_batch *batch, enum log_level level, const char *event, const char *db,
               const char *tenant);
/* One key each; a NULL value leaves the key out, one over 8 KiB is cut. Keys are constant strings [a-z_]. */
void log_text(struct log_batch *batch, const char *key, const char *value);
void log_number(struct log_batch *batch, const char *key, int64_t value);
void log_seconds(struct log_batch *batch, const char *key, int64_t ms); /* 1234 → 1.234 */
void log_end(struct log_batch *batch);

/* Gives all finished lines to the log thread; the batch is empty after it and can be used again. */
void log_push(struct log_batch *batch);

#endif
