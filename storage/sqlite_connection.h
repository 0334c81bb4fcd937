/*
 * sqlite_connection.h - one SQLite connection as all of ours are.
 *
 * Belongs to one thread at a time. Every statement is reset before a verb
 * returns: nothing stays open that could pin the WAL. All block for disk work,
 * and for locks until the connection's deadline.
 */
#ifndef OUTBOXD_STORAGE_SQLITE_CONNECTION_H
#define OUTBOXD_STORAGE_SQLITE_CONNECTION_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define CONNECTION_STATEMENTS 20

struct connection {
	sqlite3 *db;                               /* NULL = closed */
	const char *const *sql;                    /* its role's statements, by number */
	sqlite3_stmt *kept[CONNECTION_STATEMENTS]; /* prepared at first use */
	int64_t deadline_ms;                       /* of the verb under way: how long a lock is waited for */
	int why_rc;                                /* what a read transaction failed with … */
	char why[160];                             /* … in SQLite's words, which its end makes it forget */
	bool triggers_known, triggers_foreign;     /* sqlite_triggers.c: of the schema of this version */
	int64_t triggers_version;
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

/* One read transaction: statements 0 and 1 of every role are BEGIN and COMMIT. End passes rc on, or its own
 * error. */
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

#endif
