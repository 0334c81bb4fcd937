/*
 * sqlite_internal.h - what the files of the SQLite backend share.
 *
 * A struct connection belongs to one thread at a time. Every statement is
 * reset before a verb returns: nothing stays open that could pin the WAL.
 */
#ifndef OUTBOXD_STORAGE_SQLITE_INTERNAL_H
#define OUTBOXD_STORAGE_SQLITE_INTERNAL_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "storage/sqlite_file.h"
#include "storage/storage.h"

#define CONNECTION_STATEMENTS 20

struct connection {
	sqlite3 *db; /* NULL = closed */
	const char *const *sql; /* its role's statements, by number */
	sqlite3_stmt *kept[CONNECTION_STATEMENTS]; /* prepared at first use */
	int64_t deadline_ms; /* of the verb under way: how long a lock is waited for */
};

/*
 * Opens path with the settings that all of ours have: WAL demanded, FULL,
 * no mmap, no automatic checkpoint, -wal persistent. ERROR_REFUSED: not a
 * database or not in WAL; ERROR_PERMISSION; ERROR_UNAVAILABLE.
 */
enum error connection_open(struct connection *connection, const char *path, const char *const *sql,
			   int64_t deadline_ms, struct words *words);
/* The same without demanding anything of what is inside (a file that is being made or checked). */
enum error connection_open_raw(struct connection *connection, const char *path, int64_t deadline_ms,
			       struct words *words);
void connection_close(struct connection *connection);

/* One read transaction: statements 0 and 1 of every role are BEGIN and COMMIT. End passes rc on, or its own error. */
int connection_read_begin(struct connection *connection);
int connection_read_end(struct connection *connection, int rc);

/* Runs SQL text that gives no rows; an SQLite result code. */
int connection_run(struct connection *connection, const char *sql);
/* The first column of the first row; *value is the fallback if there is none. */
int connection_ask_int(struct connection *connection, const char *sql, int64_t *value);
/* Likewise as text of at most size - 1 octets; "" if there is none. */
int connection_ask_text(struct connection *connection, const char *sql, char *text, size_t size);

/* words = what could not be done, and why; returns what a verb answers for an SQLite code. */
enum error connection_error(struct connection *connection, int rc, const char *doing, struct words *words);
/* Whether nothing is open on it: no transaction, no statement under way. */
bool connection_is_idle(struct connection *connection);

/* A kept statement in use; rc is the first error and makes all that follows do nothing. */
struct statement {
	sqlite3_stmt *stmt;
	int rc;
};
struct statement statement_begin(struct connection *connection, int number);
void statement_int(struct statement *statement, int index, int64_t value);
void statement_text(struct statement *statement, int index, const char *text); /* NULL or "" = NULL; not copied */
bool statement_row(struct statement *statement);	/* steps; true if there is a row */
int statement_end(struct statement *statement);		/* resets, forgets the bindings; SQLITE_OK or the error */
/* Allocated; NULL for a NULL or empty column. */
char *statement_column(struct statement *statement, int column);

/* The bodies that are being copied to files, and the connections that workers borrow. */
#define READERS_MAX 8
#define STORAGE_BLOCK_BYTES 262144 /* larger bodies go to a file */
struct readers {
	pthread_mutex_t lock;
	pthread_cond_t given;			/* on CLOCK_MONOTONIC */
	struct connection connections[READERS_MAX];
	bool busy[READERS_MAX];
	char *large[READERS_MAX / 2];		/* tenants whose large body is being copied */
	struct pool *blocks;
};

/* What the look knows of the feed outbox_change. */
#define FEED_MAX 10000
struct feed {
	pthread_mutex_t lock;
	int64_t *seen;	/* rows that were read and are to be deleted by the next commit, by exact seq */
	size_t seen_count;
	int64_t all_up_to; /* or all of them up to this one, 0 = none */
};

/* What one commit deletes of it. */
struct feed_cut {
	int64_t *seqs;
	size_t count;
	int64_t up_to;
};

struct storage {
	struct storage_file *file;
	char *spool_dir;
	char instance[33];

	/* supervisor */
	pthread_t home;
	bool home_known;
	struct connection look;
	int inotify_fd;
	int wal_watch;
	int64_t data_version;
	int64_t last_id;

	struct feed feed;

	/* storage thread */
	struct connection writer;
	atomic_flag settling;
	int64_t gap_until_us;		/* the write lock stays free until then (CLOCK_MONOTONIC) */

	struct connection checkpointer;	/* checkpoint thread */
	struct readers readers;		/* workers */
};

/* Supervisor's verbs: the first caller is the owner, and nobody else may come. */
void storage_assert_home(struct storage *storage);
/* sqlite_look.c: a message as its MESSAGE_COLUMNS have it, and a read transaction on the supervisor's connection. */
struct message *storage_message_of_row(struct statement *row);
struct connection *storage_look_begin(struct storage *storage, int *rc);
extern const char *const storage_look_sql[];
extern const char *const storage_take_sql[];
extern const char *const storage_settle_sql[];
enum look_statement {
	LOOK_BEGIN,
	LOOK_COMMIT,
	LOOK_DATA_VERSION,
	LOOK_LAST_ID,
	LOOK_NEW_TENANTS,
	LOOK_LAST_SEQ,
	LOOK_FEED,
	LOOK_NEXT_TENANT,
	LOOK_NEXT_PRIORITY,
	LOOK_DUE,
	LOOK_NEXT_DUE,
	LOOK_TENANTS,
	LOOK_ONE_TENANT,
	LOOK_COUNT,
	LOOK_FIND,
	LOOK_EXPIRED,
	LOOK_STATEMENTS
};

/* sqlite_wake.c */
enum error storage_wake_init(struct storage *storage, struct words *words);
void storage_wake_fini(struct storage *storage);
/* storage thread: what the next commit is to delete; given back after it, and freed: deleted or not. */
struct feed_cut storage_feed_cut(struct storage *storage);
void storage_feed_return(struct storage *storage, struct feed_cut *cut, bool deleted);

/* sqlite_readers.c: any thread. A place for a large copy is taken before a connection, never while one is held. */
enum error storage_readers_init(struct storage *storage, struct words *words);
void storage_readers_fini(struct storage *storage);
enum error readers_borrow(struct storage *storage, int64_t deadline_ms, struct connection **connection,
			  struct words *words);
void readers_give(struct storage *storage, struct connection *connection, bool well);
enum error readers_large_begin(struct storage *storage, const char *tenant, int64_t deadline_ms,
			       struct words *words);
void readers_large_end(struct storage *storage, const char *tenant);

#endif
