/*
 * schema_bed.c - a database in memory, and the questions that all tests of the schema ask.
 */
#include "tests/unit/schema_bed.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/schema_sql.h"

/*
 * Messages by id: 1 queued, 2 deferred, 3 sent, 4 failed, 5 uncertain,
 * 6 cancelled, 7 a draft, 8 waits for the second of its two attachments.
 */
static const char rows[] =
	"DROP VIEW outbox_now;"
	"CREATE TABLE clock (s INTEGER); INSERT INTO clock VALUES (1800000000);"
	"CREATE VIEW outbox_now AS SELECT s * 1000 AS ms, s FROM clock;"
	"INSERT INTO outbox_tenant (name, host, from_address) VALUES ('acme', 'mail.acme.example', 'pbx@acme.example');"
	"INSERT INTO outbox_tenant (name, host) VALUES ('bare', 'mail.bare.example');"
	"INSERT INTO outbox (tenant, to_addresses, idempotency_key) VALUES ('acme', 'bob@example.net', 'first');"
	"INSERT INTO outbox (tenant, to_addresses) VALUES ('acme', 'bob@example.net'), ('acme', 'bob@example.net'),"
	" ('acme', 'bob@example.net'), ('acme', 'bob@example.net'), ('acme', 'bob@example.net');"
	"INSERT INTO outbox (tenant, to_addresses, draft) VALUES ('acme', 'bob@example.net', 1);"
	"INSERT INTO outbox (tenant, to_addresses, attachments) VALUES ('acme', 'bob@example.net', 2);"
	"INSERT INTO outbox_attachment (outbox_id, position, content) VALUES (8, 1, x'00'), (7, 1, x'01');"
	"BEGIN; UPDATE outbox_meta SET value = 1 WHERE key = 'daemon';"
	"UPDATE outbox_status SET state = 'deferred', attempts = 3, due_at = 1800000900, result = '450 later' WHERE outbox_id = 2;"
	"UPDATE outbox_status SET state = 'sent', attempts = 1, finished_at_ms = 1800000000000 WHERE outbox_id = 3;"
	"UPDATE outbox_status SET state = 'failed', attempts = 7, finished_at_ms = 1800000000000 WHERE outbox_id = 4;"
	"UPDATE outbox_status SET state = 'uncertain', attempts = 2 WHERE outbox_id = 5;"
	"INSERT INTO outbox_delivery (outbox_id, recipient, state, attempts) VALUES (2, 'bob@example.net', 'deferred', 3),"
	" (3, 'bob@example.net', 'sent', 1), (4, 'bob@example.net', 'failed', 7), (5, 'bob@example.net', 'uncertain', 2);"
	"INSERT INTO outbox_tenant_status (tenant, state) VALUES ('acme', 'idle');"
	"INSERT INTO outbox_usage (tenant, since, recipients) VALUES ('acme', 1800000000, 5);"
	"UPDATE outbox_meta SET value = 0 WHERE key = 'daemon'; COMMIT;"
	"UPDATE outbox_status SET state = 'cancelled' WHERE outbox_id = 6;"
	"DELETE FROM outbox_change;";

/* Check writes a line to a file for each ck_assert: too dear for what runs for each value of a row. */
static void *need(void *memory)
{
	if (!memory)
		ck_abort_msg("out of memory");
	return memory;
}

static void must(struct bed *bed, const char *sql)
{
	char *message = NULL;

	if (sqlite3_exec(bed->db, sql, NULL, NULL, &message) != SQLITE_OK)
		ck_abort_msg("%s\n%s", message ? message : "?", sql);
}

/* Schema and rows, made once in this process: making them is dearer than most tests. */
static sqlite3 *first_rows(void)
{
	static struct bed first;

	if (!first.db) {
		ck_assert_int_eq(sqlite3_open(":memory:", &first.db), SQLITE_OK);
		must(&first, storage_schema_sql);
		must(&first, rows);
	}
	return first.db;
}

static void copy_first_rows(struct bed *bed)
{
	sqlite3_backup *copy = sqlite3_backup_init(bed->db, "main", first_rows(), "main");

	ck_assert_ptr_nonnull(copy);
	ck_assert_int_eq(sqlite3_backup_step(copy, -1), SQLITE_DONE);
	ck_assert_int_eq(sqlite3_backup_finish(copy), SQLITE_OK);
}

void bed_open(struct bed *bed, int way)
{
	static const char *const conflicts[BED_WAYS / 4] = { "", " OR IGNORE", " OR REPLACE", " OR FAIL" };

	memset(bed, 0, sizeof *bed);
	bed->conflict = conflicts[way / 4];
	ck_assert_int_eq(sqlite3_open(":memory:", &bed->db), SQLITE_OK);
	copy_first_rows(bed);
	must(bed, way & 1 ? "PRAGMA recursive_triggers = ON" : "PRAGMA recursive_triggers = OFF");
	must(bed, way & 2 ? "PRAGMA foreign_keys = ON" : "PRAGMA foreign_keys = OFF");
	must(bed, "PRAGMA trusted_schema = OFF");
	bed->heard = need(calloc(1, 1));
}

void bed_close(struct bed *bed)
{
	/* whatever a test did: no mark outlives a statement, no message lacks its row or keeps one too many
	 */
	ck_assert_str_eq(
		bed_ask(bed, "SELECT sum(value) FROM outbox_meta WHERE key IN ('daemon', 'trigger')"), "0");
	ck_assert_str_eq(
		bed_ask(bed,
	                "SELECT count(*) FROM outbox_status WHERE outbox_id NOT IN (SELECT id FROM outbox)"),
		"0");
	ck_assert_str_eq(
		bed_ask(bed,
	                "SELECT count(*) FROM outbox WHERE id NOT IN (SELECT outbox_id FROM outbox_status)"),
		"0");
	ck_assert_str_eq(bed_ask(bed, "PRAGMA integrity_check"), "ok");
	for (size_t i = 0; i < BED_TABLES; i++)
		sqlite3_finalize(bed->all_rows[i]);
	ck_assert_int_eq(sqlite3_close(bed->db), SQLITE_OK);
	free(bed->heard);
}

/* The statement with the conflict clause where @@ is. */
static char *with_conflict(const struct bed *bed, const char *sql)
{
	char *whole = need(sqlite3_mprintf("%s", sql)), *at, *next;

	while ((at = strstr(whole, "@@")) != NULL) {
		next = need(sqlite3_mprintf("%.*s%s%s", (int)(at - whole), whole, bed->conflict, at + 2));
		sqlite3_free(whole);
		whole = next;
	}
	return whole;
}

static char *statement_of(struct bed *bed, const char *format, va_list arguments)
{
	char *sql = need(sqlite3_vmprintf(format, arguments)), *whole;

	whole = with_conflict(bed, sql);
	sqlite3_free(sql);
	return whole;
}

void bed_run(struct bed *bed, const char *format, ...)
{
	va_list arguments;
	char *sql;

	va_start(arguments, format);
	sql = statement_of(bed, format, arguments);
	va_end(arguments);
	must(bed, sql);
	sqlite3_free(sql);
}

void bed_run_as_daemon(struct bed *bed, const char *format, ...)
{
	va_list arguments;
	char *sql;

	va_start(arguments, format);
	sql = statement_of(bed, format, arguments);
	va_end(arguments);
	must(bed, "SAVEPOINT daemon; UPDATE outbox_meta SET value = 1 WHERE key = 'daemon'");
	must(bed, sql);
	must(bed, "UPDATE outbox_meta SET value = 0 WHERE key = 'daemon'; RELEASE daemon");
	sqlite3_free(sql);
}

static void append(char **text, size_t *length, const char *more)
{
	size_t octets = strlen(more);

	*text = need(realloc(*text, *length + octets + 1));
	memcpy(*text + *length, more, octets + 1);
	*length += octets;
}

/* The rows that a statement gives, columns parted by |. */
static void tell_rows(struct bed *bed, sqlite3_stmt *stmt, sqlite3_str *text)
{
	int rc;

	for (int row = 0; (rc = sqlite3_step(stmt)) == SQLITE_ROW; row++) {
		if (row)
			sqlite3_str_appendchar(text, 1, '\n');
		for (int i = 0; i < sqlite3_column_count(stmt); i++) {
			const char *value = (const char *)sqlite3_column_text(stmt, i);

			if (i)
				sqlite3_str_appendchar(text, 1, '|');
			sqlite3_str_appendall(text, value ? value : "NULL");
		}
	}
	if (rc != SQLITE_DONE)
		ck_abort_msg("%s\n%s", sqlite3_errmsg(bed->db), sqlite3_sql(stmt));
}

static sqlite3_stmt *prepare(struct bed *bed, const char *sql)
{
	sqlite3_stmt *stmt;

	if (sqlite3_prepare_v2(bed->db, sql, -1, &stmt, NULL) != SQLITE_OK)
		ck_abort_msg("%s\n%s", sqlite3_errmsg(bed->db), sql);
	return stmt;
}

static char *finish(sqlite3_str *text)
{
	char *told = sqlite3_str_finish(text);

	return told ? told : need(sqlite3_mprintf(""));
}

static char *answer(struct bed *bed, const char *sql)
{
	sqlite3_stmt *stmt = prepare(bed, sql);
	sqlite3_str *text = sqlite3_str_new(NULL);

	tell_rows(bed, stmt, text);
	sqlite3_finalize(stmt);
	return finish(text);
}

const char *bed_ask(struct bed *bed, const char *format, ...)
{
	static char *kept[4];
	static unsigned next;
	va_list arguments;
	char *sql;

	va_start(arguments, format);
	sql = statement_of(bed, format, arguments);
	va_end(arguments);
	next = (next + 1) % COUNT(kept);
	sqlite3_free(kept[next]);
	kept[next] = answer(bed, sql);
	sqlite3_free(sql);
	return kept[next];
}

/* Every row of ours, as text. */
static char *everything(struct bed *bed)
{
	static const char *const tables[BED_TABLES] = {
		"outbox_meta",          "outbox_change",  "outbox_tenant", "outbox_suspension",
		"outbox_tenant_status", "outbox_usage",   "outbox",        "outbox_attachment",
		"outbox_status",        "outbox_delivery"
	};
	sqlite3_str *text = sqlite3_str_new(NULL);

	for (size_t i = 0; i < BED_TABLES; i++) {
		if (!bed->all_rows[i]) {
			char *sql = need(sqlite3_mprintf("SELECT * FROM %s", tables[i]));

			bed->all_rows[i] = prepare(bed, sql);
			sqlite3_free(sql);
		}
		sqlite3_str_appendchar(text, 1, '\n');
		tell_rows(bed, bed->all_rows[i], text);
		sqlite3_reset(bed->all_rows[i]);
	}
	return finish(text);
}

/* before: every row, which must be so after it too. */
static void refused(struct bed *bed, const char *sentence, const char *sql, const char *before)
{
	char *message = NULL, *after;
	int rc = sqlite3_exec(bed->db, sql, NULL, NULL, &message);

	if (rc == SQLITE_OK || !message || strcmp(message, sentence) != 0)
		ck_abort_msg("wanted: %s\n   got: %s\n%s", sentence, message ? message : "success", sql);
	if (sqlite3_extended_errcode(bed->db) != SQLITE_CONSTRAINT_TRIGGER)
		ck_abort_msg("not from a trigger: %s", sql);
	after = everything(bed);
	if (strcmp(before, after) != 0)
		ck_abort_msg("refused, but rows changed: %s\n%s\n%s", sql, before, after);
	append(&bed->heard, &bed->heard_length, "\n");
	append(&bed->heard, &bed->heard_length, message);
	append(&bed->heard, &bed->heard_length, "\n");
	sqlite3_free(after);
	sqlite3_free(message);
}

void bed_refused(struct bed *bed, const char *sentence, const char *format, ...)
{
	va_list arguments;
	char *sql, *before = everything(bed);

	va_start(arguments, format);
	sql = statement_of(bed, format, arguments);
	va_end(arguments);
	refused(bed, sentence, sql, before);
	sqlite3_free(sql);
	sqlite3_free(before);
}

void bed_refuse_all(struct bed *bed, const struct refusal *refusals, size_t count)
{
	char *before = everything(bed);

	for (size_t i = 0; i < count; i++) {
		char *sql = with_conflict(bed, refusals[i].sql);

		refused(bed, refusals[i].sentence, sql, before);
		sqlite3_free(sql);
	}
	sqlite3_free(before);
}

void bed_pass(struct bed *bed, int seconds)
{
	bed_run(bed, "UPDATE clock SET s = s + %d", seconds);
}

const char *bed_feed(struct bed *bed)
{
	const char *feed = bed_ask(bed, "SELECT group_concat(kind || ' ' || key, ', ') FROM"
	                                " (SELECT kind, key FROM outbox_change ORDER BY seq)");

	bed_run(bed, "DELETE FROM outbox_change");
	return feed;
}
