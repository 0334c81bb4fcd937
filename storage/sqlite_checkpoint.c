/*
 * sqlite_checkpoint.c - the WAL moves into the file, by a thread of its own.
 *
 * Promises: the writer's commits never wait for a checkpoint (its
 * wal_autocheckpoint is 0); PASSIVE waits for nobody; above 16 MiB the log is
 * to be begun anew: by whoever commits next, where PASSIVE has moved all of it and
 * nobody commits meanwhile, which is tried a few times; else by RESTART, which moves
 * and syncs what is left with the write lock in hand, and waits for readers, so for
 * 50 ms at most.  Fails with ERROR_UNAVAILABLE; a log that could not be moved whole is
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

#define ANEW_ABOVE_BYTES    (16 * 1024 * 1024)
#define RESTART_ABOVE_BYTES (2 * ANEW_ABOVE_BYTES) /* where it can be moved whole */
#define RESTART_LIMIT_MS    50
#define RESTART_EVERY_MS    1000
#define TURNS               8
#define KEEP_ABOVE_PAGES    100 /* a tenth of what an automatic checkpoint begins at */
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

static int move(struct connection *connection, int how, int *pages, int *moved)
{
	return sqlite3_wal_checkpoint_v2(connection->db, "main", how, pages, moved);
}

/*
 * Moves what is in the WAL, and then what came meanwhile, without the write lock. *whole: nothing came any
 * more, and no reader was in the way: the next commit begins the WAL anew, whoever's it is.
 */
static int move_whole(struct connection *connection, int *pages, bool *whole)
{
	int rc = SQLITE_OK, before = -1, moved = 0;

	for (int turn = 0; turn < TURNS && rc == SQLITE_OK && *pages != before; turn++) {
		before = *pages;
		rc = move(connection, SQLITE_CHECKPOINT_PASSIVE, pages, &moved);
	}
	*whole = rc == SQLITE_OK && *pages == before && moved == *pages;
	return rc;
}

/* The WAL is long: it is to be begun anew. SQLITE_BUSY: a reader is in the way. */
static int begin_anew(struct storage *storage, int64_t page_bytes, int *pages)
{
	struct connection *connection = &storage->checkpointer;
	bool whole;
	int rc = move_whole(connection, pages, &whole);

	if (rc != SQLITE_OK || (whole && *pages * page_bytes <= RESTART_ABOVE_BYTES))
		return rc;
	/* who waits for a reader with the write lock in hand does that once a second */
	if (storage->wal_busy && clock_monotonic_ms() < storage->restart_at_ms)
		return SQLITE_BUSY;
	connection->deadline_ms = deadline_after_ms(RESTART_LIMIT_MS);
	rc = move(connection, SQLITE_CHECKPOINT_RESTART, NULL, NULL);
	storage->restart_at_ms = clock_monotonic_ms() + RESTART_EVERY_MS;
	return rc;
}

enum error storage_checkpoint(struct storage *storage, int64_t *held_bytes, struct words *words)
{
	struct connection *connection = &storage->checkpointer;
	int64_t page_bytes = 4096;
	enum error error = OK;
	int pages = 0, rc;

	storage_checkpoint_leave(storage);
	storage->wal_pages = 0;
	if (held_bytes)
		*held_bytes = 0;
	if (!connection->db)
		error = connection_open(connection, storage_file_path(storage->file), checkpoint_sql,
		                        deadline_after_ms(RESTART_LIMIT_MS), words);
	if (error != OK)
		return ERROR_UNAVAILABLE;
	rc = move(connection, SQLITE_CHECKPOINT_PASSIVE, &pages, NULL);
	if (rc == SQLITE_OK)
		rc = connection_ask_int(connection, "PRAGMA page_size", &page_bytes);
	if (rc == SQLITE_OK && pages * page_bytes > ANEW_ABOVE_BYTES)
		rc = begin_anew(storage, page_bytes, &pages);
	storage->wal_busy = (rc & 0xff) == SQLITE_BUSY;
	if (storage->wal_busy && held_bytes && pages * page_bytes > ANEW_ABOVE_BYTES)
		*held_bytes = pages * page_bytes;
	storage->wal_pages = pages;
	if (rc == SQLITE_OK || storage->wal_busy)
		return OK;
	storage->wal_pages = 0;
	(void)connection_error(connection, rc, "cannot move the write-ahead log", words);
	connection_close(connection);
	return ERROR_UNAVAILABLE;
}
