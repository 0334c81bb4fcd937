/*
 * admin_mail.c - the operator's verbs about messages.
 *
 * Promises: a message is inserted whole or not at all; listings read one page
 * at a time, so that a slow reader of the listing pins no WAL; what is done to
 * many rows is done some at a time, with room for writers between.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "storage/admin_internal.h"

#define COPY_BYTES      65536
#define STATEMENT_BYTES 4096
#define RETRY_AT_ONCE   500

/* ---- send ------------------------------------------------------------------- */

/* Fills the BLOB that the INSERT made of zeros. */
static enum error copy_message(struct admin *admin, int64_t id, const struct admin_mail *mail,
                               struct words *words)
{
	sqlite3_blob *blob = NULL;
	char *block = memory_alloc(COPY_BYTES);
	int rc = sqlite3_blob_open(admin->connection.db, "main", "outbox", "message", id, 1, &blob);
	enum error error = OK;
	int64_t done = 0;

	while (rc == SQLITE_OK && error == OK && done < mail->message_size) {
		int64_t left = mail->message_size - done;
		ssize_t got = pread(mail->message_fd, block, left < COPY_BYTES ? (size_t)left : COPY_BYTES,
		                    done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			words_set_errno(words, errno, "reading the message");
			error = ERROR_SYSTEM;
		} else if (got == 0) {
			words_set(words, "the message became shorter while it was read");
			error = ERROR_INVALID;
		} else {
			rc = sqlite3_blob_write(blob, block, (int)got, (int)done);
			done += got;
		}
	}
	if (error == OK)
		error = admin_error(admin, rc, "writing the message", words);
	(void)sqlite3_blob_close(blob);
	free(block);
	return error;
}

static bool insert_text(const struct admin_mail *mail, struct buffer *sql)
{
	const char *separator = "";
	bool fits = buffer_append_text(sql, "INSERT INTO outbox (");

	for (size_t i = 0; i < mail->count; i++, separator = ", ")
		fits = fits && buffer_printf(sql, "%s%s", separator, mail->columns[i].column);
	if (mail->message_fd >= 0)
		fits = fits && buffer_printf(sql, "%smessage", separator);
	fits = fits && buffer_append_text(sql, ") VALUES (");
	separator = "";
	for (size_t i = 0; i < mail->count; i++, separator = ", ")
		fits = fits && buffer_printf(sql, "%s?", separator);
	if (mail->message_fd >= 0)
		fits = fits && buffer_printf(sql, "%s?", separator);
	return fits && buffer_append_text(sql, ")");
}

static enum error insert(struct admin *admin, const char *sql, const struct admin_mail *mail, int64_t *id,
                         struct words *words)
{
	struct statement statement = admin_prepare(admin, sql);
	int index = 1;
	enum error error;

	for (size_t i = 0; i < mail->count; i++)
		statement_text(&statement, index++, mail->columns[i].value);
	if (mail->message_fd >= 0 && statement.rc == SQLITE_OK)
		statement.rc = sqlite3_bind_zeroblob64(statement.stmt, index,
		                                       (sqlite3_uint64)mail->message_size);
	(void)statement_row(&statement);
	*id = sqlite3_last_insert_rowid(admin->connection.db);
	error = admin_error(admin, admin_finish(&statement), "writing the message", words);
	if (error == OK && mail->message_fd >= 0)
		error = copy_message(admin, *id, mail, words);
	return error;
}

enum error admin_send(struct admin *admin, const struct admin_mail *mail, int64_t *id, struct words *words)
{
	struct buffer sql;
	enum error error;

	buffer_init(&sql, STATEMENT_BYTES);
	if (insert_text(mail, &sql)) {
		error = admin_begin(admin, words);
		if (error == OK)
			error = admin_end(admin, insert(admin, sql.data, mail, id, words), words);
	} else {
		words_set(words, "too many columns at once");
		error = ERROR_LIMIT;
	}
	buffer_fini(&sql);
	return error;
}

/* ---- listings ----------------------------------------------------------------- */

struct page {
	admin_each *each;
	void *context;
	int64_t last_id;
};

static void page_row(void *context, const struct admin_value *values, size_t count)
{
	struct page *page = context;

	page->last_id = values[0].integer; /* outbox_all begins with id */
	page->each(page->context, values, count);
}

enum error admin_queue(struct admin *admin, struct admin_query *query, size_t *given, admin_each *each,
                       void *context, struct words *words)
{
	struct page page = { .each = each, .context = context, .last_id = query->after_id };
	bool all = query->state && strcmp(query->state, "all") == 0;
	const char *states = all            ? ""
	                     : query->state ? " AND state = ?3"
	                                    : " AND state IN ('draft', 'queued', 'deferred', 'uncertain')";
	struct statement statement;
	char sql[512];

	(void)snprintf(sql, sizeof sql, "SELECT * FROM outbox_all WHERE id > ?1%s%s ORDER BY id LIMIT ?4",
	               query->tenant ? " AND tenant = ?2" : "", states);
	admin_verb(admin);
	statement = admin_prepare(admin, sql);
	statement_int(&statement, 1, query->after_id);
	if (query->tenant)
		statement_text(&statement, 2, query->tenant);
	if (query->state && !all)
		statement_text(&statement, 3, query->state);
	statement_int(&statement, 4, query->limit);
	*given = admin_rows(&statement, page_row, &page);
	query->after_id = page.last_id;
	return admin_error(admin, admin_finish(&statement), "reading the queue", words);
}

static enum error no_such_message(int64_t id, struct words *words)
{
	words_set(words, "there is no message %lld", (long long)id);
	return ERROR_NOT_FOUND;
}

static int rows_of_message(struct admin *admin, const char *sql, int64_t id, admin_each *each, void *context,
                           size_t *rows)
{
	struct statement statement = admin_prepare(admin, sql);

	statement_int(&statement, 1, id);
	*rows = admin_rows(&statement, each, context);
	return admin_finish(&statement);
}

enum error admin_message(struct admin *admin, int64_t id, admin_each *message, admin_each *delivery,
                         void *context, struct words *words)
{
	size_t found = 0, recipients;
	enum error error;
	int rc;

	admin_verb(admin);
	rc = connection_run(&admin->connection, "BEGIN");
	if (rc == SQLITE_OK)
		rc = rows_of_message(admin, "SELECT * FROM outbox_all WHERE id = ?1", id, message, context,
		                     &found);
	if (rc == SQLITE_OK && found)
		rc = rows_of_message(admin,
		                     "SELECT * FROM outbox_delivery WHERE outbox_id = ?1 ORDER BY recipient",
		                     id, delivery, context, &recipients);
	error = admin_error(admin, rc, "reading the message", words);
	if (error == OK && !found)
		error = no_such_message(id, words);
	return admin_end(admin, error, words);
}

enum error admin_status(struct admin *admin, admin_each *each, void *context, struct words *words)
{
	/* counted here: outboxd's own figures are those of its last second, or of its last life */
	static const char sql[] =
		"WITH waiting AS (SELECT tenant, sum(state = 'queued') AS queued, sum(state = 'deferred') AS deferred, "
		"min(due_at) AS oldest_due_at FROM outbox_status WHERE state IN ('queued', 'deferred') GROUP BY tenant), "
		"held AS (SELECT tenant, count(*) AS uncertain FROM outbox_status WHERE state = 'uncertain' AND outbox_id IN "
		"(SELECT outbox_id FROM outbox_delivery WHERE state = 'uncertain') GROUP BY tenant) "
		"SELECT t.name AS tenant, CASE t.enabled WHEN 0 THEN 'suspended' ELSE s.state END AS state, "
		"coalesce(w.queued, 0) AS queued, coalesce(w.deferred, 0) AS deferred, "
		"coalesce(h.uncertain, 0) AS uncertain, w.oldest_due_at, s.consecutive_failures, s.retry_at, "
		"s.worker_restarts, s.last_error, s.last_sent_at, s.updated_at FROM outbox_tenant AS t "
		"LEFT JOIN outbox_tenant_status AS s ON s.tenant = t.name LEFT JOIN waiting AS w ON w.tenant = t.name "
		"LEFT JOIN held AS h ON h.tenant = t.name ORDER BY t.name";
	struct statement statement;

	admin_verb(admin);
	statement = admin_prepare(admin, sql);
	(void)admin_rows(&statement, each, context);
	return admin_error(admin, admin_finish(&statement), "reading the status", words);
}

/* ---- changes of state ----------------------------------------------------------- */

/* In a transaction. */
static enum error set_state(struct admin *admin, int64_t id, const char *state, struct words *words)
{
	struct statement statement = admin_prepare(
		admin, "UPDATE outbox_status SET state = ?2 WHERE outbox_id = ?1");
	bool changed;
	enum error error;

	statement_int(&statement, 1, id);
	statement_text(&statement, 2, state);
	(void)statement_row(&statement);
	changed = sqlite3_changes(admin->connection.db) > 0;
	error = admin_error(admin, admin_finish(&statement), "writing the state", words);
	return error != OK || changed ? error : no_such_message(id, words);
}

enum error admin_change(struct admin *admin, int64_t id, enum admin_change change, struct words *words)
{
	enum error error = admin_begin(admin, words);

	if (error != OK)
		return error;
	return admin_end(admin, set_state(admin, id, change == ADMIN_RETRY ? "queued" : "cancelled", words),
	                 words);
}

/* In a transaction: the next deferred messages of a tenant behind *last_id, queued. */
static enum error queue_some(struct admin *admin, const char *tenant, int64_t *last_id, int *count,
                             struct words *words)
{
	struct statement statement = admin_prepare(
		admin,
		"SELECT outbox_id FROM outbox_status WHERE tenant = ?1 AND outbox_id > ?2 AND state = 'deferred' "
		"ORDER BY outbox_id LIMIT ?3");
	int64_t ids[RETRY_AT_ONCE];
	enum error error;

	*count = 0;
	statement_text(&statement, 1, tenant);
	statement_int(&statement, 2, *last_id);
	statement_int(&statement, 3, RETRY_AT_ONCE);
	while (*count < RETRY_AT_ONCE && statement_row(&statement))
		ids[(*count)++] = sqlite3_column_int64(statement.stmt, 0);
	error = admin_error(admin, admin_finish(&statement), "reading the queue", words);
	for (int i = 0; i < *count && error == OK; i++) {
		*last_id = ids[i];
		error = set_state(admin, ids[i], "queued", words);
	}
	return error;
}

static enum error queue_deferred(struct admin *admin, const char *tenant, int64_t *queued,
                                 struct words *words)
{
	enum error error = OK;
	int64_t last_id = 0;
	int count = RETRY_AT_ONCE;

	while (error == OK && count == RETRY_AT_ONCE) {
		int64_t begun_ms = clock_monotonic_ms();

		error = admin_begin(admin, words);
		if (error != OK)
			break;
		error = admin_end(admin, queue_some(admin, tenant, &last_id, &count, words), words);
		if (error == OK)
			*queued += count;
		admin_leave_room(begun_ms);
	}
	return error;
}

enum error admin_tenant_retry(struct admin *admin, const char *name, int64_t *queued, struct words *words)
{
	struct statement statement;
	enum error error = OK;
	bool found;

	if (queued) {
		*queued = 0;
		error = queue_deferred(admin, name, queued, words);
	}
	if (error == OK)
		error = admin_begin(admin, words);
	if (error != OK)
		return error;
	statement = admin_prepare(admin, "INSERT INTO outbox_change (kind, key) "
	                                 "SELECT 'retry', name FROM outbox_tenant WHERE name = ?1");
	statement_text(&statement, 1, name);
	(void)statement_row(&statement);
	found = sqlite3_changes(admin->connection.db) > 0;
	error = admin_error(admin, admin_finish(&statement), "writing the change feed", words);
	if (error == OK && !found) {
		words_set(words, "there is no tenant %s", name);
		error = ERROR_NOT_FOUND;
	}
	return admin_end(admin, error, words);
}
