/*
 * sqlite_checkpoint.c - the WAL moves into the file, by a thread of its own.
 *
 * Promises: the writer's commits never wait for a checkpoint (its
 * wal_autocheckpoint is 0); PASSIVE waits for nobody; above 16 MiB the log is
 * started anew, which waits for readers and keeps writers out, so for 50 ms at
 * most.  Fails with ERROR_UNAVAILABLE; a log that could not be moved whole is
 * no failure, the next call goes on.
 *
 * An application's connection has an automatic checkpoint of its own: each of its
 * commits that leaves more than 1,000 pages in the WAL moves all that is in it, ours
 * too, and syncs the file.  Between two of ours the lock of checkpoints (WAL_CKPT_LOCK,
 * SQLite's file format, 2.3.1) is therefore kept while we write much: what asks for
 * it then takes it that one is under way, and goes on at once.
 */
#include "common/clock.h"
#include "storage/checkpoint.h"
#include "storage/sqlite_internal.h"

#define RESTART_ABOVE_BYTES (16 * 1024 * 1024)
#define RESTART_LIMIT_MS    50
#define KEEP_ABOVE_PAGES    500 /* half of what an automatic checkpoint begins at */
#define CHECKPOINT_LOCK     1   /* among the locks of the -shm file */

enum { CHECKPOINT_BEGIN, CHECKPOINT_COMMIT };
static const char *const checkpoint_sql[] = { [CHECKPOINT_BEGIN] = "BEGIN", [CHECKPOINT_COMMIT] = "COMMIT" };

static bool change_lock(struct connection *connection, int change)
{
	sqlite3_file *file = NULL;

	if (sqlite3_file_control(connection->db, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK ||
	    !file || !file->pMethods || file->pMethods->iVersion < 2)
		return false;
	return file->pMethods->xShmLock(file, CHECKPOINT_LOCK, 1, change | SQLITE_SHM_EXCLUSIVE) == SQLITE_OK;
}

void storage_checkpoint_keep(struct storage *storage)
{
	/* pages were counted: the connection has the -shm file */
	if (!storage->checkpoint_held && storage->checkpointer.db && storage->wal_pages > KEEP_ABOVE_PAGES)
		storage->checkpoint_held = change_lock(&storage->checkpointer, SQLITE_SHM_LOCK);
}

void storage_checkpoint_leave(struct storage *storage)
{
	if (storage->checkpoint_held)
		(void)change_lock(&storage->checkpointer, SQLITE_SHM_UNLOCK);
	storage->checkpoint_held = false;
}

enum error storage_checkpoint(struct storage *storage, int64_t *held_bytes, struct words *words)
{
	struct connection *connection = &storage->checkpointer;
	int64_t page_bytes = 4096;
	int pages = 0, moved = 0;
	enum error error = OK;
	int rc;

	storage_checkpoint_leave(storage);
	storage->wal_pages = 0;
	if (held_bytes)
		*held_bytes = 0;
	if (!connection->db)
		error = connection_open(connection, storage_file_path(storage->file), checkpoint_sql,
		                        deadline_after_ms(RESTART_LIMIT_MS), words);
	if (error != OK)
		return ERROR_UNAVAILABLE;
	rc = sqlite3_wal_checkpoint_v2(connection->db, "main", SQLITE_CHECKPOINT_PASSIVE, &pages, &moved);
	if (rc == SQLITE_OK)
		rc = connection_ask_int(connection, "PRAGMA page_size", &page_bytes);
	if (rc == SQLITE_OK && pages * page_bytes > RESTART_ABOVE_BYTES) {
		/* What came meanwhile is little: RESTART moves the rest with the write lock held. */
		rc = sqlite3_wal_checkpoint_v2(connection->db, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	}
	if (rc == SQLITE_OK && pages * page_bytes > RESTART_ABOVE_BYTES) {
		connection->deadline_ms = deadline_after_ms(RESTART_LIMIT_MS);
		rc = sqlite3_wal_checkpoint_v2(connection->db, "main", SQLITE_CHECKPOINT_RESTART, NULL, NULL);
	}
	if ((rc & 0xff) == SQLITE_BUSY && held_bytes && pages * page_bytes > RESTART_ABOVE_BYTES)
		*held_bytes = pages * page_bytes;
	storage->wal_pages = pages;
	if (rc == SQLITE_OK || (rc & 0xff) == SQLITE_BUSY)
		return OK;
	storage->wal_pages = 0;
	(void)connection_error(connection, rc, "cannot move the write-ahead log", words);
	connection_close(connection);
	return ERROR_UNAVAILABLE;
}
