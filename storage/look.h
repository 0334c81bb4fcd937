/*
 * look.h - the supervisor's verbs: what changed, who has mail, what is due.
 *
 * Part of storage/storage.h, which includes it. All belong to one thread, the
 * supervisor; none waits for a lock, none leaves a read transaction open, and
 * each may answer ERROR_UNAVAILABLE with words.
 */
#ifndef OUTBOXD_STORAGE_LOOK_H
#define OUTBOXD_STORAGE_LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/message.h"
#include "common/tenant.h"

struct storage;

/* What happened since the last look: who is to be looked at again. */
struct storage_changes {
	char **tenants_due; /* tenants with new or changed messages; may repeat */
	size_t tenants_due_count;
	char **tenants_changed; /* rows of outbox_tenant inserted, changed or deleted */
	size_t tenants_changed_count;
	char **tenants_retry; /* an operator asks to try the server again now */
	size_t tenants_retry_count;
	int64_t *messages; /* ids whose state an application changed */
	size_t messages_count;
	bool all; /* too much to list, the cursor was lost, or the rules were others meanwhile: scan again */
	bool rules; /* the schema was changed: storage_rules_mend() */
};
void storage_changes_fini(struct storage_changes *changes);

/* supervisor: a descriptor that is readable when there may be changes; storage_changed() clears it. */
int storage_wake_fd(const struct storage *storage);

/*
 * supervisor: true if anything was committed since the last call (SQLite: PRAGMA
 * data_version), our own commits included. Costs microseconds. After an event of storage_wake_fd() ask at
 * 0, 0.1, 0.2, 0.4 … ms again: the event comes before the commit can be seen.
 */
bool storage_changed(struct storage *storage);

/*
 * supervisor: whether somebody has committed since storage_changed() or storage_changes() began last, told by
 * a look at shared memory that costs next to nothing. STIRRED: storage_changes() says what it was.
 * STIRRED_BY_US: storage_settle() alone has, and since the answer before this one; that changes nothing that
 * storage_changes() tells. STIRRED_PERHAPS: that memory cannot be had; ask storage_changed(). Clears the
 * descriptor too. What stands behind it is SQLite's own sign; storage_changed() asked now and then finds what
 * it might not show.
 */
enum stirring { STIRRED_NOT, STIRRED_BY_US, STIRRED, STIRRED_PERHAPS };
enum stirring storage_stirred(struct storage *storage);

/*
 * supervisor: lists the changes and moves the cursor behind them. Does not wait
 * for a lock. What is told is deleted by the next storage_settle(), also by one
 * of an empty batch.
 */
enum error storage_changes(struct storage *storage, struct storage_changes *changes, struct words *words);

/* supervisor: each tenant that has unfinished messages, with the earliest due time (s) among them. */
typedef void storage_due_each(void *context, const char *tenant, int64_t earliest_due_at);
enum error storage_scan(struct storage *storage, storage_due_each *each, void *context, struct words *words);

/* What tells one try of a message from another one. */
struct storage_try {
	int64_t id;
	int64_t due_at; /* s */
	int attempts, requeue;
};
/* Whether a row's message is in hand already (and marks another try of it: looked at again when it leaves).
 */
typedef bool storage_in_hand(void *context, const struct storage_try *row);

/*
 * supervisor: the next due messages of a tenant, by priority (aged ones as 9)
 * and due time, at most limit; those in hand are left out. One read transaction
 * that begins, reads to the end and is over before the call returns. *first is a
 * chain of struct message; *next_due (s) is when the next one that is not due
 * becomes due, INT64_MAX = none.
 */
struct storage_due_query {
	const char *tenant;
	int64_t now; /* s */
	int limit;
	storage_in_hand *in_hand;
	void *context;
};
enum error storage_due(struct storage *storage, const struct storage_due_query *query,
                       struct queue_link **first, int64_t *next_due, struct words *words);

/*
 * supervisor: one message by id as storage_due() would give it, due or not;
 * ERROR_NOT_FOUND if it is not queued or deferred (with cancelled: nor cancelled).
 */
enum error storage_find(struct storage *storage, int64_t id, bool cancelled, struct message **message,
                        struct words *words);

/*
 * supervisor: messages of a tenant whose expires_at or max_age has passed, due or
 * not, at most query->limit, those in hand left out. Reads the tenant's whole queue
 * (rarely: while its server is down).
 */
enum error storage_expired(struct storage *storage, const struct storage_due_query *query, int max_age_s,
                           struct queue_link **first, struct words *words);

/*
 * supervisor: one tenant (name) or all (NULL) as sealed settings, given with their
 * reference. ERROR_NOT_FOUND: no tenant of this name; ERROR_INVALID: the words
 * name a row that is none, the others are given all the same.
 */
typedef void storage_tenant_each(void *context, struct tenant_settings *settings);
enum error storage_tenants(struct storage *storage, const char *name, storage_tenant_each *each,
                           void *context, struct words *words);

/* supervisor: recipients that a tenant used, by the parts of the day in which they were settled: each began
 * ago_s seconds ago, by the table's clock (storage_clock_jumped; below 0 = after now). */
typedef void storage_usage_each(void *context, int64_t ago_s, int64_t recipients);
enum error storage_usage(struct storage *storage, const char *tenant, storage_usage_each *each, void *context,
                         struct words *words);

/* supervisor: how many are queued and deferred, counted in the table (linear: once a tenant, then keep
 * deltas). */
struct storage_counts {
	int64_t queued, deferred, oldest_due_at;
};
enum error storage_count(struct storage *storage, const char *tenant, struct storage_counts *counts,
                         struct words *words);

#endif
