/*
 * storage.h - the outbox, in a dozen verbs and without SQL.
 *
 * SQLite is behind it now, PostgreSQL may be later (one contract test for
 * both: tests/contract/).  Each verb says which thread may call it:
 *   supervisor  one thread, the first that calls one: owns the reading connection
 *               (its verbs are in storage/look.h)
 *   storage     one thread: owns the writing connection
 *   worker      any thread: borrows a connection of the readers' pool
 *               (its verbs are in storage/take.h)
 * Verbs that take a deadline may answer ERROR_UNAVAILABLE (busy, disk trouble;
 * with words): the same call may do later and nothing was lost.
 */
#ifndef OUTBOXD_STORAGE_STORAGE_H
#define OUTBOXD_STORAGE_STORAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/mail.h"
#include "common/message.h"
#include "storage/look.h"
#include "storage/take.h"

struct storage;

struct storage_settings {
	const char *path;      /* of the database file */
	const char *spool_dir; /* for unlinked files of large bodies; NULL = $TMPDIR or /var/tmp */
	bool create;           /* make file and schema if absent or empty */
	int64_t largest_bytes; /* of a message's bodies and attachments together; 0 = 1000000000 */
	struct room *room;     /* memory for what is in hand; shared, outlives the storage; NULL = no bound */
	struct room *files;    /* likewise files, beyond one for each worker: for who is in_company */
};

/*
 * Opens, locks (flock) and checks the database and migrates an older schema.
 * Before the first use. Blocks for disk work. ERROR_BUSY: another outboxd has
 * it (75); ERROR_EXISTS: cannot create (73); ERROR_PERMISSION (77); ERROR_REFUSED: not ours, not WAL, newer
 * schema, network file system, the same file twice in this process (78); ERROR_UNAVAILABLE otherwise. A
 * descriptor once taken is never closed.
 */
enum error storage_open(const struct storage_settings *settings, struct storage **storage,
                        struct words *words);

/* Closes all connections (not the lock's descriptor); all mail must have been given back. */
void storage_close(struct storage **storage);

/* 32 hex digits that name this outbox (outbox_meta 'instance'); constant while open. Any thread. */
const char *storage_instance(const struct storage *storage);

/* outbox_tenant_status, as the supervisor knows it. */
struct tenant_status {
	struct queue_link link; /* first member */
	char *tenant;
	const char *state; /* constant */
	int64_t queued, deferred;
	int64_t oldest_due_at; /* s, 0 = none */
	int consecutive_failures;
	int64_t retry_at, token_expires_at; /* s, 0 = NULL */
	int worker_restarts;
	char *last_error, *token_error; /* NULL = none */
	int64_t last_sent_at;           /* s, 0 = never (keeps what is there) */
};

/* What one commit writes. */
struct storage_batch {
	struct queue_link
		*messages; /* chain of struct message: state, attempts, due_at, result, recipients, usage */
	struct queue_link
		*uncertain; /* chain: before the end of data (hold): recipients with outcome UNCERTAIN */
	struct queue_link *statuses; /* chain of struct tenant_status */
	int64_t hold_us; /* how long messages may be added to the commit; 0 = until all are in it */
	int hold_least;  /* so many (and one) of each kind are added however long it takes */
};

/*
 * storage: settles all in one transaction (BEGIN IMMEDIATE, durable) and sets
 * each message's settled. Ids may leave the set in hand only after OK. Anything
 * else: nothing is settled, repeat the same batch later (an unknown commit is
 * repeated too and finds its own work). Keeps the write lock free between two
 * calls as the architecture says (the call itself waits for that gap). After
 * hold_us what has not been written, at the end of its chain, stays SETTLED_NOT_YET:
 * it is the next batch's.
 */
enum error storage_settle(struct storage *storage, const struct storage_batch *batch, int64_t deadline_ms,
                          struct words *words);

/* Each of the two for its own connection: nothing is to be done for a while, its pages go back. */
void storage_rest(struct storage *storage);      /* storage */
void storage_look_rest(struct storage *storage); /* supervisor */

/* storage: what the last COMMIT took, 0 = none yet: less than that is not worth a commit. */
int64_t storage_commit_us(const struct storage *storage);

/* storage: whether somebody else had committed between the last two commits. */
bool storage_is_shared(const struct storage *storage);

/* Finished messages of one state that are no longer kept. */
struct storage_retention {
	enum message_state state;   /* MESSAGE_SENT, MESSAGE_FAILED or MESSAGE_CANCELLED */
	int64_t before_ms;          /* finished before, ms since 1970 */
	int64_t after_ms, after_id; /* 0 = from the oldest on; moved behind what was looked at */
	int64_t removed;            /* added to */
	int64_t kept;               /* likewise: a trigger of the file's owner said no (words) */
	bool more;                  /* there may be more behind it */
};

/*
 * storage: removes the next few (bounded in rows and octets, so that a commit is short)
 * with attachments, recipients and status, in one transaction. Where there is none nothing
 * is locked or written. Drafts and what is not finished are never touched. Not OK
 * (ERROR_UNAVAILABLE): nothing was removed; the same call may do later.
 */
enum error storage_retain(struct storage *storage, struct storage_retention *retention, int64_t deadline_ms,
                          struct words *words);

/*
 * storage: the wall clock was set by so many ms, forward or (below 0) back, in sum. What was written last in
 * the future becomes due as long after now as it was after then; no message grows old by time that did not
 * pass; what was used of a day stays as long ago as it is. Not OK (ERROR_UNAVAILABLE): nothing was changed.
 */
enum error storage_clock_jumped(struct storage *storage, int64_t jumped_ms, int64_t deadline_ms,
                                struct words *words);

/*
 * any thread: modes, owners, file system, the file still the same: words for what
 * is wrong. Opens nothing. ERROR_NOT_FOUND: the file is gone or another is in its
 * place (close and open anew); ERROR_UNAVAILABLE: left WAL; ERROR_REFUSED: file
 * system; ERROR_PERMISSION: modes or owners (a warning: it is served all the same).
 */
enum error storage_inspect(const struct storage *storage, struct words *words);

#endif
