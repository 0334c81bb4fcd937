/*
 * sqlite_internal.h - what the files of the SQLite backend share: an open outbox.
 */
#ifndef OUTBOXD_STORAGE_SQLITE_INTERNAL_H
#define OUTBOXD_STORAGE_SQLITE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "storage/sqlite_connection.h"
#include "storage/sqlite_file.h"
#include "storage/sqlite_places.h"
#include "storage/sqlite_statement.h"
#include "storage/storage.h"

/* The bodies that are being copied to files, and the connections that workers borrow. */
#define READERS_MAX         8
#define READERS_LARGE       (READERS_MAX / 2)
#define READERS_SPILL       2
#define STORAGE_BLOCK_BYTES 262144 /* larger bodies go to a file */
struct readers {
	pthread_mutex_t lock;
	pthread_condattr_t on_monotonic;
	struct reader_waiter *waiters; /* for a connection, the first one first */
	int particular;                /* of the waiters: only an open connection will do */
	struct connection connections[READERS_MAX];
	bool busy[READERS_MAX];
	int open; /* how many connections */
	struct pool *blocks;
};

/* One copy of the header of the WAL-index, as the file format has it (walformat.html, 2.2.1). */
#define WAL_HEADER_WORDS  12
#define WAL_HEADER_CHANGE 2 /* iChange: each commit of anybody's makes it one more */

/* What the look knows of the feed outbox_change. */
#define FEED_MAX 10000
struct feed {
	pthread_mutex_t lock;
	int64_t *seen; /* rows that were read and are to be deleted by the next commit, by exact seq */
	size_t seen_count;
	int64_t all_up_to; /* or all of them up to this one, 0 = none */
};

struct feed_cut { /* what one commit deletes of it */
	int64_t *seqs;
	size_t count;
	int64_t up_to;
};

struct storage {
	struct storage_file *file;
	char *spool_dir;
	int64_t largest_bytes; /* of one message */
	struct room *files;    /* NULL = any number */
	struct room *room;     /* for what mail holds in memory: shared, or the next */
	struct room unbounded;
	char instance[33];

	/* supervisor */
	pthread_t home;
	bool home_known;
	struct connection look;
	int inotify_fd;
	int wal_watch;
	int64_t data_version;
	uint32_t wal_header[WAL_HEADER_WORDS]; /* what it was before data_version was asked for last */
	int64_t last_id;
	int64_t schema; /* SQLite's count of the changes of the schema, at the last look */
	const struct storage_due_query *look_query; /* while it is answered */

	/* its header, mapped by `look`; NULL: it cannot be had. The supervisor sets it, anybody reads it. */
	_Atomic(const volatile uint32_t *) wal_index;
	/* Commits (iChange) that only settled, without triggers: all after the upper half, up to the lower
	 * one. The storage thread sets it, anybody reads it. */
	_Atomic uint64_t own_commits;

	struct feed feed;
	_Atomic int64_t usage_ahead_ms; /* of the time since boot: storage_usage_s(); storage thread */

	/* storage thread */
	struct connection writer;
	atomic_flag settling;
	int64_t commit_us;      /* what the last COMMIT took */
	bool plain;             /* no trigger ran in it */
	int64_t writer_version; /* SQLite's count of others' commits, at the last one of ours; 0 = none */
	bool shared;            /* it was another at the one before */
	int64_t gap_until_us;   /* the write lock stays free until then (CLOCK_MONOTONIC) */

	/* checkpoint thread */
	struct connection checkpointer;
	int wal_pages;         /* in the WAL at the last checkpoint */
	bool wal_busy;         /* a reader was in the way */
	int64_t restart_at_ms; /* not before, then */
	bool checkpoint_held;  /* storage_checkpoint_keep() */

	/* workers */
	struct readers readers;
	struct spool_places places;
};

/* Supervisor's verbs: the first caller is the owner, and nobody else may come. */
void storage_assert_home(struct storage *storage);
/* sqlite_settings.c: a row of outbox_tenant, sealed; NULL and words, of the first column that is none. */
struct tenant_settings *storage_settings_of_row(struct statement *row, struct words *words);
extern const char *const storage_take_sql[];

/* sqlite_wake.c */
bool wal_header_read(struct storage *storage,
                     uint32_t header[WAL_HEADER_WORDS]); /* any thread; false: none */
/* Storage thread, after such a commit that has written something, which has the next number then; the header
 * is that of when it had got the write lock. */
void wal_own_commit(struct storage *storage, const uint32_t before[WAL_HEADER_WORDS]);
/* Any thread: whether all that was committed between two headers are such commits. False: not for certain. */
bool wal_only_own(const struct storage *storage, const uint32_t since[WAL_HEADER_WORDS],
                  const uint32_t now[WAL_HEADER_WORDS]);
enum error storage_wake_init(struct storage *storage, struct words *words);
void storage_wake_fini(struct storage *storage);
/* storage thread: what the next commit is to delete; given back after it, and freed: deleted or not. */
struct feed_cut storage_feed_cut(struct storage *storage);
void storage_feed_return(struct storage *storage, struct feed_cut *cut, bool deleted);

/* sqlite_readers.c: any thread. A place for copying to a file is taken before a connection, never while one
 * is held. */
enum error storage_readers_init(struct storage *storage, struct words *words);
void storage_readers_fini(struct storage *storage);
/* At STORAGE_AT_ONCE one that is open and free, or none. */
enum error readers_borrow(struct storage *storage, int64_t deadline_ms, struct connection **connection,
                          struct words *words);
void readers_give(struct storage *storage, struct connection *connection, bool well);

#endif
