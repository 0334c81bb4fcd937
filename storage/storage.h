/*
 * storage.h - the outbox, in a dozen verbs and without SQL.
 *
 * SQLite is behind it now, PostgreSQL may be later (one contract test for
 * both: tests/contract/).  Each verb says which thread may call it:
 *   supervisor  the thread that called storage_open(): owns the reading connection
 *   storage     one thread: owns the writing connection
 *   worker      any thread: borrows a connection of the readers' pool
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
#include "common/tenant.h"

struct storage;

struct storage_settings {
	const char *path;		/* of the database file */
	const char *spool_dir;		/* large bodies are copied to unlinked files there; NULL = $TMPDIR or /var/tmp */
	bool create;			/* make file and schema if absent or empty */
};

/*
 * Opens, locks (flock) and checks the database and migrates an older schema.
 * Before the first use. Blocks for disk work. ERROR_BUSY: another outboxd has
 * it (75); ERROR_EXISTS: cannot create (73); ERROR_PERMISSION (77); ERROR_REFUSED: not ours, not WAL, newer schema,
 * network file system, the same file twice in this process (78);
 * ERROR_UNAVAILABLE otherwise. A descriptor once taken is never closed.
 */
enum error storage_open(const struct storage_settings *settings, struct storage **storage,
			struct words *words);

/* Closes all connections (not the lock's descriptor); all mail must have been given back. */
void storage_close(struct storage **storage);

/* 32 hex digits that name this outbox (outbox_meta 'instance'); constant while open. Any thread. */
const char *storage_instance(const struct storage *storage);

/* What happened since the last look: who is to be looked at again. */
struct storage_changes {
	char **tenants_due;	/* tenants with new or changed messages; may repeat */
	size_t tenants_due_count;
	char **tenants_changed;	/* rows of outbox_tenant inserted, changed or deleted */
	size_t tenants_changed_count;
	char **tenants_retry;	/* an operator asks to try the server again now */
	size_t tenants_retry_count;
	int64_t *messages;	/* ids whose state an application changed */
	size_t messages_count;
	bool all;		/* too much to list, or the cursor was lost: scan again */
};
void storage_changes_fini(struct storage_changes *changes);

/* supervisor: a descriptor that is readable when there may be changes; storage_changed() clears it. */
int storage_wake_fd(const struct storage *storage);

/*
 * supervisor: true if anything was committed since the last call (SQLite: PRAGMA
 * data_version). Costs microseconds. After an event of storage_wake_fd() ask at
 * 0, 0.1, 0.2, 0.4 … ms again: the event comes before the commit can be seen.
 */
bool storage_changed(struct storage *storage);

/* supervisor: lists the changes and moves the cursor behind them. Does not wait for a lock. */
enum error storage_changes(struct storage *storage, struct storage_changes *changes, struct words *words);

/* supervisor: each tenant that has unfinished messages, with the earliest due time (s) among them. */
typedef void storage_due_each(void *context, const char *tenant, int64_t earliest_due_at);
enum error storage_scan(struct storage *storage, storage_due_each *each, void *context, struct words *words);

/* Whether an id is in hand already (and marks it: looked at again when it leaves). */
typedef bool storage_in_hand(void *context, int64_t id);

/*
 * supervisor: the next due messages of a tenant, by priority (aged ones as 9)
 * and due time, at most limit; those in hand are left out. One read transaction
 * that begins, reads to the end and is over before the call returns. *first is a
 * chain of struct message; *next_due (s) is when the next one that is not due
 * becomes due, INT64_MAX = none.
 */
struct storage_due_query {
	const char *tenant;
	int64_t now;		/* s */
	int limit;
	storage_in_hand *in_hand;
	void *context;
};
enum error storage_due(struct storage *storage, const struct storage_due_query *query,
		       struct queue_link **first, int64_t *next_due, struct words *words);

/*
 * supervisor: one message by id as storage_due() would give it, due or not;
 * ERROR_NOT_FOUND if it is not queued or deferred.
 */
enum error storage_find(struct storage *storage, int64_t id, struct message **message, struct words *words);

/*
 * supervisor: messages of a tenant whose expires_at or max_age has passed, due or
 * not, at most query->limit, those in hand left out. Reads the tenant's whole queue
 * (rarely: while its server is down).
 */
enum error storage_expired(struct storage *storage, const struct storage_due_query *query, int max_age_s,
			   struct queue_link **first, struct words *words);

/* supervisor: one tenant (name) or all (NULL) as sealed settings, given with their reference. */
typedef void storage_tenant_each(void *context, struct tenant_settings *settings);
enum error storage_tenants(struct storage *storage, const char *name, storage_tenant_each *each,
			   void *context, struct words *words);

/* supervisor: how many are queued and deferred, counted in the table (linear: once a tenant, then keep deltas). */
struct storage_counts { int64_t queued, deferred, oldest_due_at; };
enum error storage_count(struct storage *storage, const char *tenant, struct storage_counts *counts,
			 struct words *words);

/*
 * worker: the last read before MAIL. In one short read transaction demands that
 * state, tenant, attempts, requeue and due time of message still hold, that its tenant
 * is enabled and it has not expired (not demanded where message->offline), and copies columns,
 * bodies (up to 256 KiB each in memory, larger ones in an unlinked file) and
 * known recipients. ERROR_NOT_FOUND: it is no longer to be sent (cancelled,
 * suspended by expiry, gone); ERROR_UNAVAILABLE: not now, with words.
 */
enum error storage_take(struct storage *storage, const struct message *message, int64_t deadline_ms,
			struct mail **mail, struct words *words);
void storage_give_back(struct storage *storage, struct mail **mail);

/* outbox_tenant_status, as the supervisor knows it. */
struct tenant_status {
	struct queue_link link;		/* first member */
	char *tenant;
	const char *state;		/* constant */
	int64_t queued, deferred;
	int64_t oldest_due_at;		/* s, 0 = none */
	int consecutive_failures;
	int64_t retry_at;		/* s, 0 = NULL */
	int worker_restarts;
	char *last_error;		/* NULL = none */
	int64_t last_sent_at;		/* s, 0 = never (keeps what is there) */
};

/* What one commit writes. */
struct storage_batch {
	struct queue_link *messages;	/* chain of struct message: state, attempts, due_at, result, recipients */
	struct queue_link *uncertain;	/* chain: before the end of data (hold): recipients with outcome UNCERTAIN */
	struct queue_link *statuses;	/* chain of struct tenant_status */
};

/*
 * storage: settles all in one transaction (BEGIN IMMEDIATE, durable) and sets
 * each message's settled. Ids may leave the set in hand only after OK. Anything
 * else: nothing is settled, repeat the same batch later (an unknown commit is
 * repeated too and finds its own work). Keeps the write lock free between two
 * calls as the architecture says (the call itself waits for that gap).
 */
enum error storage_settle(struct storage *storage, const struct storage_batch *batch,
			  int64_t deadline_ms, struct words *words);

/* checkpoint thread: moves the WAL into the file; PASSIVE, RESTART above 16 MiB. */
enum error storage_checkpoint(struct storage *storage, struct words *words);

/* any thread: modes, owners, file system, the file still the same: words for what is wrong. Opens nothing. */
enum error storage_inspect(const struct storage *storage, struct words *words);

#endif
