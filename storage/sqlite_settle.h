/*
 * sqlite_settle.h - what the storage thread's files share: statements, and the gap.
 */
#ifndef OUTBOXD_STORAGE_SQLITE_SETTLE_H
#define OUTBOXD_STORAGE_SQLITE_SETTLE_H

#include "storage/sqlite_internal.h"

/* What its connection keeps prepared. */
extern const char *const storage_settle_sql[];
enum settle_statement {
	SETTLE_BEGIN,
	SETTLE_COMMIT,
	SETTLE_MARK,
	SETTLE_MESSAGE,
	SETTLE_CANCELLED,
	SETTLE_ASK,
	SETTLE_TRIED,
	SETTLE_GIVEN_UP,
	SETTLE_STATUS,
	SETTLE_USAGE,
	SETTLE_USAGE_OLD,
	SETTLE_FEED,
	SETTLE_FEED_ALL,
	RETAIN_FINISHED,
	RETAIN_ATTACHMENTS,
	RETAIN_REMOVE,
	SETTLE_OTHERS,
	TRIGGERS_VERSION,
	TRIGGERS_FOREIGN,
	SETTLE_STATEMENTS
};

/* The writing connection, opened where it is not, for a verb that may wait until deadline_ms for the lock. */
enum error storage_open_writer(struct storage *storage, int64_t deadline_ms, struct words *words);

/* sqlite_gap.c: what keeps the write lock free between two of our commits. */
int64_t storage_now_us(void); /* CLOCK_MONOTONIC */
enum error storage_wait_for_gap(struct storage *storage, int64_t deadline_ms, struct words *words);
void storage_lock_held(struct storage *storage, int64_t began_us); /* until now */
/* The write lock is held: whether somebody else has committed since we did. An SQLite result code. */
int storage_ask_others(struct storage *storage);
#define CLOCK_SLACK_MS 60000 /* clocks that are kept right are set by less */

/* In a writing transaction, before all else at the start: looks whether the clock was set back while no
 * outboxd ran, and mends what that left. */
int storage_mend_times(struct storage *storage);
/* Now as outbox_usage has it, s: the wall clock as it was last followed, or up to a quarter
 * of an hour later, since whole ones are moved. Any thread. */
int64_t storage_usage_s(const struct storage *storage);
/* The quarter of an hour in which what is used now counts. Storage thread. */
int64_t storage_usage_part_s(const struct storage *storage);

/*
 * sqlite_triggers.c. storage, in a writing transaction: leaves the triggers out where all that are on the
 * tables of settling are ours (*run = false), or lets them run (true: the marks must be set). An SQLite
 * result code.
 */
int storage_triggers_settle(struct connection *writer, bool *run);
/* Whatever else is written, and outside a transaction too: all triggers run. */
int storage_triggers_run(struct connection *writer);
extern const char storage_triggers_foreign_sql[];

#endif
