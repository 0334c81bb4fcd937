/*
 * sqlite_retain.c - finished messages go when their time is over, a few at a time.
 *
 * Promises: a commit removes at most RETAIN_ROWS rows and about RETAIN_OCTETS octets
 * (or one row), and keeps to the gap of sqlite_settle.c, so that applications wait no
 * longer for it than for a result; what is looked for is found by an index, without a
 * lock; what an application queued anew meanwhile stays.
 */
#include <assert.h>

#include "common/clock.h"
#include "storage/sqlite_settle.h"

#define RETAIN_ROWS   64
#define RETAIN_OCTETS (4 * 1024 * 1024)

struct leaving {
	int64_t id, finished_at_ms;
};

/* The octets of one value, of which only the head is read. */
static int64_t octets_of(sqlite3 *db, const char *table, const char *column, int64_t row)
{
	sqlite3_blob *blob = NULL;
	int64_t octets = 0;

	/* NULL and numbers have no handle. */
	if (sqlite3_blob_open(db, "main", table, column, row, 0, &blob) == SQLITE_OK)
		octets = sqlite3_blob_bytes(blob);
	(void)sqlite3_blob_close(blob);
	return octets;
}

static int64_t message_octets(struct connection *writer, int64_t id)
{
	static const char *const columns[] = { "body_text", "body_html", "message" };
	struct statement rows = statement_begin(writer, RETAIN_ATTACHMENTS);
	int64_t octets = 0;

	for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
		octets += octets_of(writer->db, "outbox", columns[i], id);
	statement_int(&rows, 1, id);
	while (statement_row(&rows))
		octets += octets_of(writer->db, "outbox_attachment", "content",
		                    sqlite3_column_int64(rows.stmt, 0));
	(void)statement_end(&rows);
	return octets;
}

/* Who is next, without a lock; an SQLite result code. */
static int find_next(struct connection *writer, const struct storage_retention *retention,
                     struct leaving *leaving, int *count)
{
	struct statement row = statement_begin(writer, RETAIN_FINISHED);

	statement_text(&row, 1, message_state_name(retention->state));
	statement_int(&row, 2, retention->before_ms);
	statement_int(&row, 3, retention->after_ms);
	statement_int(&row, 4, retention->after_id);
	statement_int(&row, 5, RETAIN_ROWS);
	for (*count = 0; *count < RETAIN_ROWS && statement_row(&row); (*count)++)
		leaving[*count] = (struct leaving){ sqlite3_column_int64(row.stmt, 0),
			                            sqlite3_column_int64(row.stmt, 1) };
	return statement_end(&row);
}

/* How many of them one commit takes. */
static int cut_by_octets(struct connection *writer, const struct leaving *leaving, int count)
{
	int64_t octets = 0;

	for (int i = 0; i < count; i++) {
		octets += message_octets(writer, leaving[i].id);
		if (octets > RETAIN_OCTETS)
			return i > 0 ? i : 1;
	}
	return count;
}

/* One row; a trigger of the file's owner may refuse, which undoes this row alone. */
static int remove_one(struct connection *writer, const struct leaving *leaving,
                      struct storage_retention *counts, struct words *words)
{
	struct statement row = statement_begin(writer, RETAIN_REMOVE);
	int changes, rc;

	statement_int(&row, 1, leaving->id);
	statement_text(&row, 2, message_state_name(counts->state));
	statement_int(&row, 3, counts->before_ms);
	(void)statement_row(&row);
	changes = row.rc == SQLITE_OK ? sqlite3_changes(writer->db) : 0;
	rc = row.rc;
	if ((rc & 0xff) == SQLITE_CONSTRAINT && !sqlite3_get_autocommit(writer->db)) {
		words_set(words, "message %lld is not removed: %s", (long long)leaving->id,
		          sqlite3_errmsg(writer->db));
		counts->kept++;
		rc = SQLITE_OK;
		(void)statement_end(&row);
	} else {
		rc = statement_end(&row);
	}
	counts->removed += changes;
	return rc;
}

static enum error remove_all(struct storage *storage, const struct leaving *leaving, int count,
                             struct storage_retention *retention, struct words *words)
{
	struct connection *writer = &storage->writer;
	struct storage_retention counts = *retention;
	int rc = connection_run(writer, "BEGIN IMMEDIATE"); /* waits for the lock */
	int64_t began_us = storage_now_us();
	enum error error;

	if (rc != SQLITE_OK)
		return connection_error(writer, rc, "cannot begin to remove finished messages", words);
	rc = storage_triggers_run(writer); /* what belongs to a message goes by ours */
	for (int i = 0; i < count && rc == SQLITE_OK; i++)
		rc = remove_one(writer, &leaving[i], &counts, words);
	if (rc == SQLITE_OK)
		rc = connection_run(writer, "COMMIT");
	storage_lock_held(storage, began_us);
	if (rc == SQLITE_OK) {
		counts.after_ms = leaving[count - 1].finished_at_ms;
		counts.after_id = leaving[count - 1].id;
		*retention = counts;
		return OK;
	}
	error = connection_error(writer, rc, "cannot remove finished messages", words);
	connection_close(writer); /* takes back what there is */
	return error;
}

enum error storage_retain(struct storage *storage, struct storage_retention *retention, int64_t deadline_ms,
                          struct words *words)
{
	struct connection *writer = &storage->writer;
	bool busy = atomic_flag_test_and_set(&storage->settling);
	struct leaving leaving[RETAIN_ROWS];
	enum error error = OK;
	int found = 0, count, rc;

	assert(!busy); /* one thread owns the writing connection */
	words->text[0] = '\0';
	if (!storage_file_is_wal(storage->file)) {
		words_set(words, "%s is no longer in WAL mode", storage_file_path(storage->file));
		error = ERROR_UNAVAILABLE;
	} else {
		error = storage_open_writer(storage, deadline_ms, words);
	}
	if (error != OK)
		goto out;
	/* What is freed is not written over with zeros: 60 MB of them would hold the lock for a second. */
	rc = connection_run(writer, "PRAGMA secure_delete = FAST");
	if (rc == SQLITE_OK)
		rc = find_next(writer, retention, leaving, &found);
	error = connection_error(writer, rc, "cannot look for finished messages", words);
	if (error != OK || found == 0) {
		retention->more = false;
		goto out;
	}
	count = cut_by_octets(writer, leaving, found);
	error = storage_wait_for_gap(storage, deadline_ms, words);
	if (error == OK)
		error = remove_all(storage, leaving, count, retention, words);
	retention->more = found == RETAIN_ROWS || count < found;
out:
	atomic_flag_clear(&storage->settling);
	return error == OK ? OK : ERROR_UNAVAILABLE;
}
