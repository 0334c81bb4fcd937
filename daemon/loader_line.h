/*
 * loader_line.h - who reads files for sessions, who waits for a thread to do so.
 *
 * LOADER_THREADS are at work at once. One that has been at the same request for LOADER_LATE_MS is
 * late: its place is another's until it comes back, however long the disk or mount takes. So that
 * what hangs takes no more and more of them, a file at which somebody is late is begun by nobody
 * else, nor is any in a folder where LOADER_LATE_A_FOLDER are; who wants one of those is passed over in
 * the line. More than LOADER_LATE_MAX are not lent: then all wait for those. Any thread; takes a
 * lock for a moment.
 */
#ifndef OUTBOXD_DAEMON_LOADER_LINE_H
#define OUTBOXD_DAEMON_LOADER_LINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define LOADER_THREADS       16
#define LOADER_LATE_MS       1000
#define LOADER_LATE_A_FOLDER 32
#define LOADER_LATE_MAX      96
#define LOADER_PLACES        6 /* that one request reads: authorities, and files or a program for it */

/* A file or program; the texts are the caller's, and live as long as its entry. */
struct loader_place {
	const char *column;
	const char *folder; /* its first folder_length octets */
	size_t folder_length;
	const char *name; /* in it; "" without a folder: the system's list of authorities */
	bool program;     /* ends by itself in a while, and each call is its own */
};

/* By its path, NULL = the system's list; and by its name in a folder, NULL = there is none to read from. */
struct loader_place loader_place_of_path(const char *column, const char *path);
struct loader_place loader_place_in(const char *folder, const char *column, const char *name);

/* One request, inside a struct of the caller's; all zero to begin with. */
struct loader_entry {
	struct loader_entry *next;
	struct loader_place places[LOADER_PLACES];
	int count;
	atomic_int at; /* the place that is read; written by the thread that reads */
	int64_t since_ms;
	enum { LOADER_OUT, LOADER_WAITS, LOADER_AT_WORK, LOADER_LATE } state;
};

struct loader_line {
	pthread_mutex_t lock; /* of all that follows */
	int threads, late;
	struct loader_entry *waiting, **waiting_end; /* the first one first */
	struct loader_entry *begun;                  /* at work or late */
};

void loader_line_init(struct loader_line *line);
void loader_line_fini(struct loader_line *line);

/* True: the caller starts a thread that reads it. False: it has its place in the line, if it may wait. */
bool loader_line_enter(struct loader_line *line, struct loader_entry *entry, bool may_wait);

/* For who waits in the line, every LOADER_LATE_MS / 2: true: as above, since a thread is late or came back.
 */
bool loader_line_lend(struct loader_line *line, struct loader_entry *entry);

/* No thread could be started for it. */
void loader_line_return(struct loader_line *line, struct loader_entry *entry);

/* The thread that read it is done with it; the next one that it is to read, NULL: none, it ends. */
struct loader_entry *loader_line_next(struct loader_line *line, struct loader_entry *done);

/* Nobody wants it any more. True: it was still in the line and is the caller's; else a thread has it. */
bool loader_line_leave(struct loader_line *line, struct loader_entry *entry);

/* Whether it still waits in the line. */
bool loader_line_waits(struct loader_line *line, struct loader_entry *entry);

/* The thread that has it reads that column's now. */
void loader_entry_at(struct loader_entry *entry, const char *column);

/* What keeps it, for its tenant's administrator: "tls_ca_file = … could not be read in time: …". */
void loader_line_say(struct loader_line *line, struct loader_entry *entry, struct words *words);

#endif
