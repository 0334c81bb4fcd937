/*
 * checkpoints.h - the thread `storage-ckpt`: the write-ahead log moves into the file.
 *
 * Once a second where something was committed. While much is committed four times a second, and
 * between these SQLite's lock of checkpoints is kept (storage/checkpoint.h), so that an application's
 * COMMIT does not move what we wrote; every three seconds others have it for 50 ms. Who reads in one
 * transaction and does not end is told of in the log: the write-ahead log grows as long as that.
 */
#ifndef OUTBOXD_DAEMON_CHECKPOINTS_H
#define OUTBOXD_DAEMON_CHECKPOINTS_H

#include "common/error.h"

struct outbox;
struct checkpoints;

/* Starts the thread. Supervisor thread. */
enum error checkpoints_start(struct outbox *outbox, struct checkpoints **checkpoints, struct words *words);

/* Something was committed. Storage thread; does not block. */
void checkpoints_note(struct checkpoints *checkpoints);

/* … and much of it: the log grows fast. Storage thread; does not block. */
void checkpoints_hurry(struct checkpoints *checkpoints);

/* Ends the thread, leaves NULL. Nobody calls the two above any more. */
void checkpoints_stop(struct checkpoints **checkpoints);

#endif
