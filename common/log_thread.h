/*
 * log_thread.h - the log's bounded buffer, its thread, and what both share.
 *
 * Part of the log, for log.c and log_thread.c.
 */
#ifndef OUTBOXD_COMMON_LOG_THREAD_H
#define OUTBOXD_COMMON_LOG_THREAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/log.h"
#include "common/log_dir.h"
#include "common/log_file.h"

#define LOG_BYTES            (8 << 20) /* what may wait for the files at once */
#define LOG_BATCH_KEEP_BYTES 65536     /* memory that an empty batch keeps */

/* How lines travel: this, the name of the tenant's file with its NUL (or nothing), the line. */
struct log_frame {
	uint32_t name_bytes;
	uint32_t line_bytes;
};

struct log {
	/* constant */
	char *path;
	enum log_level level;
	bool json;
	pthread_t thread;
	int event_fd;        /* wakes the thread */
	int done_fd;         /* says that it has ended */
	struct log_dir *dir; /* NULL or the thread's; that it is there is constant */

	_Atomic uint64_t dropped_ever;

	pthread_mutex_t lock; /* guards all down to the next blank line */
	struct buffer pending;
	size_t held;            /* octets in pending and in the thread's hands */
	uint64_t dropped;       /* lines that found no room */
	int64_t close_deadline; /* DEADLINE_NEVER unless closing */
	bool reopen, closing, finished, abandoned;

	bool joined; /* the owner's: the thread is no more */

	/* the thread's own */
	struct log_file file;
	struct buffer work;
	struct buffer text; /* lines for the main file, without frames */
	uint64_t lost;      /* lines to be told of */
	int lost_error;     /* why, 0 = no room */
};

/* Copies whole frames into the bounded buffer; those that find no room are counted. Does not block. */
void log_give(struct log *log, const char *frames, size_t length);

/* Octets that were given and are not yet written or lost. Any thread. */
size_t log_held(struct log *log);

/* Lines that were lost before they came here. */
void log_count_dropped(struct log *log, uint64_t lines);

#endif
