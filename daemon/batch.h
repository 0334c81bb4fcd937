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
#define BATCH_HOLD_LEAST       32
#define BATCH_HOLD_US          2500
#define BATCH_HOLD_SHARED_US   1500 /* where others do commit: let in at the third question, … */
#define BATCH_HELD_SHARED_US   2800 /* … with what COMMIT takes, as long as that leaves so much to write in */
#define BATCH_HOLD_SHORTEST_US 500

/*
 * How long messages are added to a batch, where the last COMMIT took commit_us (0 = none yet). shared:
 * others commit too.
 */
void batch_hold(struct storage_batch *batch, int64_t commit_us, bool shared);

/*
 * Where others commit too, each commit of ours makes them wait: so that these are few, results are gathered
 * for so long after the last one, but not while as many wait as are worth one. Until when (ms) one is to
 * wait for more, looking again every so often; 0 = not at all. What is committed at once is over before an
 * application that commits now and then does so again; what waits meets the next of its commits.
 */
#define BATCH_GATHER_MS       30
#define BATCH_GATHER_MESSAGES 128
#define BATCH_GATHER_LOOK_MS  5
#define BATCH_GATHER_LEAST    4 /* with those of the last commit: where there are fewer they come seldom */
int64_t batch_gather(size_t waiting, size_t committed, int64_t committed_ms, int64_t now_ms);

/*
 * Moves the first messages of two chains, those to settle and those to hold, into
 * an empty batch. A suspect is a commit of its own, so that a crash in it names one.
 */
void batch_cut(struct storage_batch *batch, struct queue_link **settle, struct queue_link **hold);

/* How many a chain has. */
size_t batch_count(const struct queue_link *messages);

/* Likewise the first tenants' statuses. */
void batch_cut_statuses(struct storage_batch *batch, struct queue_link **statuses);

/* After a commit: what it left SETTLED_NOT_YET goes from the end of the chain back to the front of rest. */
void batch_put_back(struct queue_link **chain, struct queue_link **rest);

#endif
