/*
 * admin_mail.c - the operator's verbs about messages.
 *
 * Promises: listings read one page at a time, so that a slow reader of the
 * listing pins no WAL; what is done to many rows is done some at a time, with
 * room for writers between.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "storage/admin_internal.h"

#define RETRY_AT_ONCE 500

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

enum error admin_message(struct admin *admin, int64_t id, const struct admin_message_to *to,
                         struct words *words)
{
	/* length() of a BLOB does not read it */
	static const char attachments[] =
		"SELECT position, filename, content_type, content_id, CASE typeof(content) WHEN 'text' "
		"THEN length(CAST(content AS BLOB)) ELSE length(content) END AS size "
		"FROM outbox_attachment WHERE outbox_id = ?1 ORDER BY position, rowid";
	static const char deliveries[] =
		"SELECT * FROM outbox_delivery WHERE outbox_id = ?1 ORDER BY recipient";
	size_t found = 0, rows;
	enum error error;
	int rc;

	admin_verb(admin);
	rc = connection_run(&admin->connection, "BEGIN");
	if (rc == SQLITE_OK)
		rc = rows_of_message(admin, "SELECT * FROM outbox_all WHERE id = ?1", id, to->message,
		                     to->context, &found);
	if (rc == SQLITE_OK && found)
		rc = rows_of_message(admin, attachments, id, to->attachment, to->context, &rows);
	if (rc == SQLITE_OK && found)
		rc = rows_of_message(admin, deliveries, id, to->delivery, to->context, &rows);
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
		"(SELECT outbox_id FROM outbox_delivery WHERE state = 'uncertain') GROUP BY tenant), "
		/* as tenant_settings_credential() has it */
		"login AS (SELECT lower(host) AS host, port, lower(username) AS username, count(*) AS tenants "
		"FROM outbox_tenant WHERE auth <> 'none' AND username <> '' GROUP BY 1, 2, 3 HAVING count(*) > 1) "
		"SELECT t.name AS tenant, CASE t.enabled WHEN 0 THEN 'suspended' ELSE s.state END AS state, "
		"coalesce(w.queued, 0) AS queued, coalesce(w.deferred, 0) AS deferred, "
		"coalesce(h.uncertain, 0) AS uncertain, w.oldest_due_at, s.consecutive_failures, s.retry_at, "
		"s.worker_restarts, s.last_error, s.last_sent_at, s.token_expires_at, s.token_error, s.updated_at, "
		"l.tenants - 1 AS sharing "
		"FROM outbox_tenant AS t "
		"LEFT JOIN outbox_tenant_status AS s ON s.tenant = t.name LEFT JOIN waiting AS w ON w.tenant = t.name "
		"LEFT JOIN held AS h ON h.tenant = t.name "
		"LEFT JOIN login AS l ON t.auth <> 'none' AND l.port = t.port AND l.host = lower(t.host) "
		"AND l.username = lower(t.username) ORDER BY t.name";
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
