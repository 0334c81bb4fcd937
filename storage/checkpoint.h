/*
 * checkpoint.h - the WAL moves into the file: verbs of the checkpoint thread alone.
 */
#ifndef OUTBOXD_STORAGE_CHECKPOINT_H
#define OUTBOXD_STORAGE_CHECKPOINT_H

#include "storage/storage.h"

/*
 * checkpoint thread: moves the WAL into the file, without the write lock. Above 16 MiB it is to be begun
 * anew: by whoever commits next, or with the write lock, which is held for 50 ms at most. *held_bytes (may be
 * NULL): how long the WAL is where it could not be begun anew because somebody reads in it, else 0. Blocks
 * for the disk. ERROR_UNAVAILABLE with words; the next call tries again.
 */
enum error storage_checkpoint(struct storage *storage, int64_t *held_bytes, struct words *words);

/*
 * checkpoint thread, after storage_checkpoint() was OK: until the next of these calls other connections find
 * a checkpoint under way, so that an application's COMMIT does not move what we have written. Does nothing
 * where the WAL is too short for SQLite's automatic one. Who is to recover the WAL waits meanwhile: keep it
 * shortly, the next storage_checkpoint() recovers it. Does not block.
 */
void storage_checkpoint_keep(struct storage *storage);
void storage_checkpoint_leave(struct storage *storage);

#endif
