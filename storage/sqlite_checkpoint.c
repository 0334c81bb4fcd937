/*
 * sqlite_checkpoint.c - the WAL moves into the file, by a thread of its own.
 *
 * Promises: the writer's commits never wait for a checkpoint (its
 * wal_autocheckpoint is 0); PASSIVE waits for nobody; above 16 MiB the log is
 * started anew, which waits for readers and keeps writers out, so for 50 ms at
 * most.  Fails with ERROR_UNAVAILABLE; a log that could not be moved whole is
 * no failure, the next call goes on.
 */
#include "common/clock.h"
#include "storage/sqlite_internal.h"

#define RESTART_ABOVE_BYTES (16 * 1024 * 1024)
#define RESTART_LIMIT_MS    50

enum { CHECKPOINT_BEGIN, CHECKPOINT_COMMIT };
static const char *const checkpoint_sql[] = { [CHECKPOINT_BEGIN] = "BEGIN", [CHECKPOINT_COMMIT] = "COMMIT" };

enum error storage_checkpoint(struct storage *storage, int64_t *held_bytes, struct words *words)
{
	struct connection *connection = &storage->checkpointer;
	int64_t page_bytes = 4096;
	int pages = 0, moved = 0;
	enum error error = OK;
	int rc;

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
	if (rc == SQLITE_OK || (rc & 0xff) == SQLITE_BUSY)
		return OK;
	(void)connection_error(connection, rc, "cannot move the write-ahead log", words);
	connection_close(connection);
	return ERROR_UNAVAILABLE;
}
