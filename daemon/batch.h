/*
 * batch.h - what the storage thread commits together. Pure.
 */
#ifndef OUTBOXD_DAEMON_BATCH_H
#define OUTBOXD_DAEMON_BATCH_H

#include "common/queue.h"
#include "storage/storage.h"

#define BATCH_MESSAGES 256 /* of each kind: a commit stays short for waiting applications */

/*
 * Moves the first messages of two chains, those to settle and those to hold, into
 * an empty batch. A suspect is a commit of its own, so that a crash in it names one.
 */
void batch_cut(struct storage_batch *batch, struct queue_link **settle, struct queue_link **hold);

#endif
