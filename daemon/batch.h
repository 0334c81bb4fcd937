/*
 * batch.h - what the storage thread commits together. Pure.
 */
#ifndef OUTBOXD_DAEMON_BATCH_H
#define OUTBOXD_DAEMON_BATCH_H

#include "common/queue.h"
#include "storage/storage.h"

#define BATCH_MESSAGES 256 /* of each kind at most */
#define BATCH_STATUSES 64  /* tenants' */

/*
 * How long messages are added to a commit that others wait for, but so many in any case. With what COMMIT
 * takes, the write lock is held for some 3 ms: SQLite's busy handler asks for it after 1, 3 and 8 ms, and
 * then too seldom. Where COMMIT takes longer, as long as the last one: else it would be all that is done.
 */
#define BATCH_HOLD_LEAST 32
#define BATCH_HOLD_US    2500

/* How long messages are added to a batch, where the last COMMIT took commit_us (0 = none yet). */
void batch_hold(struct storage_batch *batch, int64_t commit_us);

/*
 * Moves the first messages of two chains, those to settle and those to hold, into
 * an empty batch. A suspect is a commit of its own, so that a crash in it names one.
 */
void batch_cut(struct storage_batch *batch, struct queue_link **settle, struct queue_link **hold);

/* Likewise the first tenants' statuses. */
void batch_cut_statuses(struct storage_batch *batch, struct queue_link **statuses);

/* After a commit: what it left SETTLED_NOT_YET goes from the end of the chain back to the front of rest. */
void batch_put_back(struct queue_link **chain, struct queue_link **rest);

#endif
