/*
 * schema_file.c - the schema as a whole: every sentence, the indexes that the
 * daemon relies on, what an old SQLite can read, and what it leaves alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/schema_sql.h"
#include "tests/unit/schema_bed.h"

/* The next RAISE(ABORT, '…') after *at, as it will be heard; NULL if there is none. */
static char *next_sentence(const char **at)
{
	static const char raise[] = "RAISE(ABORT, '";
	const char *begin = strstr(*at, raise);
	char *sentence, *to;

	if (!begin)
		return NULL;
	begin += strlen(raise);
	sentence = to = malloc(strlen(begin) + 3);
	ck_assert_ptr_nonnull(sentence);
	*to++ = '\n';
	for (; *begin != '\'' || begin[1] == '\''; begin++) {
		begin += *begin == '\'';
		*to++ = *begin;
	}
	*to++ = '\n';
	*to = '\0';
	*at = begin;
	return sentence;
}

START_TEST(every_sentence_is_provoked_by_a_test)
{
	const char *at = strstr(storage_schema_sql, "CREATE TABLE");
	struct bed bed;
	size_t count = 0;
	char *sentence;

	bed_open(&bed, 0);
	schema_refuse_messages(&bed);
	schema_refuse_tenants(&bed);
	schema_refuse_states(&bed);
	schema_refuse_attachments(&bed);
	schema_refuse_guarded(&bed);
	while ((sentence = next_sentence(&at)) != NULL) {
		if (!strstr(bed.heard, sentence))
			ck_abort_msg("nothing provokes: %s", sentence);
		free(sentence);
		count++;
	}
	ck_assert_uint_gt(count, 150);
	bed_close(&bed);
}
END_TEST

/* Newer words than SQLite 3.31 has; one STRICT table would make the whole file unreadable to it. */
START_TEST(nothing_is_newer_than_sqlite_3_31)
{
	static const char *const newer[] = {
		"STRICT",        "RETURNING",      "->",           "iif(",           "unixepoch(",
		"GENERATED",     "MATERIALIZED",   "string_agg",   "concat(",        "format(",
		"octet_length(", "IS DISTINCT",    "UPDATE FROM",  "json",           "FILTER (",
		"RIGHT JOIN",    "FULL JOIN",      "sign(",        "unhex(",         "NULLS FIRST",
		"DROP COLUMN",   "sqlite_schema",  "subsec",       "timediff",       "CHECK",
		"REFERENCES",    "WITH RECURSIVE", "user_version", "application_id", "PRAGMA"
	};
	const char *at = strstr(storage_schema_sql, "SAVEPOINT");

	ck_assert_ptr_nonnull(at);
	for (size_t i = 0; i < COUNT(newer); i++)
		ck_assert_msg(!strstr(at, newer[i]), "%s", newer[i]);
	/* RAISE takes only a literal before 3.47 */
	for (at = strstr(at, "RAISE("); at; at = strstr(at + 1, "RAISE("))
		ck_assert_msg(strncmp(at, "RAISE(ABORT, '", 14) == 0 || strncmp(at, "RAISE(IGNORE)", 13) == 0,
		              "%.60s", at);
}
END_TEST

START_TEST(the_daemons_questions_have_their_indexes)
{
	static const struct {
		const char *question, *plan;
	} questions[] = {
		{ "SELECT outbox_id FROM outbox_status WHERE state IN ('queued', 'deferred') AND tenant = 'a' AND priority = 0"
		  " AND due_at <= 9 ORDER BY due_at LIMIT 5",
		  "SEARCH outbox_status USING INDEX outbox_status_waiting (tenant=? AND priority=? AND due_at<?)" },
		{ "SELECT min(due_at) FROM outbox_status WHERE state IN ('queued', 'deferred') AND tenant = 'a'",
		  "SEARCH outbox_status USING INDEX outbox_status_due (tenant=?)" },
		{ "SELECT tenant FROM outbox_status WHERE state IN ('queued', 'deferred') AND tenant > 'a' ORDER BY tenant LIMIT 1",
		  "SEARCH outbox_status USING INDEX outbox_status_due (tenant>?)" },
		{ "SELECT 1 FROM outbox_status WHERE tenant = 'a'",
		  "SEARCH outbox_status USING COVERING INDEX outbox_status_tenant (tenant=?)" },
		{ "SELECT 1 FROM outbox WHERE tenant = 'a' AND idempotency_key = 'b' AND idempotency_key <> '' AND id <> 5",
		  "SEARCH outbox USING COVERING INDEX outbox_idempotency (tenant=? AND idempotency_key=?)" },
		{ "SELECT count(*) FROM outbox_attachment WHERE outbox_id = 1",
		  "SEARCH outbox_attachment USING COVERING INDEX outbox_attachment_position (outbox_id=?)" },
		{ "SELECT since_ms, until_ms FROM outbox_suspension WHERE tenant = 'a'",
		  "SEARCH outbox_suspension USING INDEX outbox_suspension_tenant (tenant=?)" },
		{ "SELECT outbox_id FROM outbox_delivery WHERE state = 'uncertain'",
		  "SCAN outbox_delivery USING INDEX outbox_delivery_uncertain" },
	};
	struct bed bed;

	if (sqlite3_libversion_number() < 3036000 || sqlite3_libversion_number() >= 3045000)
		return; /* the words of the plan are those of 3.36 to 3.44 */
	bed_open(&bed, 0);
	for (size_t i = 0; i < COUNT(questions); i++)
		ck_assert_str_eq(strrchr(bed_ask(&bed, "EXPLAIN QUERY PLAN %s", questions[i].question), '|') +
		                         1,
		                 questions[i].plan);
	bed_close(&bed);
}
END_TEST

static void run(sqlite3 *db, const char *sql)
{
	char *message = NULL;

	if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
		ck_abort_msg("%s: %s", sql, message);
}

START_TEST(a_file_of_an_applications_own_keeps_all_else)
{
	struct bed bed = { .conflict = "" };

	ck_assert_int_eq(sqlite3_open(":memory:", &bed.db), SQLITE_OK);
	run(bed.db, "PRAGMA user_version = 17; PRAGMA application_id = 4711;"
	            "CREATE TABLE orders (id INTEGER PRIMARY KEY, mail INTEGER REFERENCES outbox (id));"
	            "CREATE TABLE outgoing (x); CREATE VIEW unsent AS SELECT id FROM orders");
	run(bed.db, storage_schema_sql);
	ck_assert_str_eq(bed_ask(&bed, "PRAGMA user_version"), "17");
	ck_assert_str_eq(bed_ask(&bed, "PRAGMA application_id"), "4711");
	ck_assert_str_eq(
		bed_ask(&bed,
	                "SELECT group_concat(name) FROM sqlite_master WHERE substr(name, 1, 6) <> 'outbox'"
	                " AND name NOT LIKE 'sqlite_%%'"),
		"orders,outgoing,unsent");
	/* in one transaction with its own row, and with its own foreign key to ours */
	run(bed.db,
	    "PRAGMA foreign_keys = ON; INSERT INTO outbox_tenant (name, host, from_address) VALUES ('a', 'h', 'a@b');"
	    "BEGIN; INSERT INTO outbox (tenant, to_addresses) VALUES ('a', 'c@d');"
	    "INSERT INTO orders (mail) VALUES (last_insert_rowid()); COMMIT");
	ck_assert_str_eq(bed_ask(&bed, "SELECT mail FROM orders"), "1");
	ck_assert_int_eq(sqlite3_close(bed.db), SQLITE_OK);
}
END_TEST

START_TEST(each_outbox_has_a_name_of_its_own)
{
	struct bed one = { .conflict = "" }, two = { .conflict = "" };

	ck_assert_int_eq(sqlite3_open(":memory:", &one.db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_open(":memory:", &two.db), SQLITE_OK);
	run(one.db, storage_schema_sql);
	run(two.db, storage_schema_sql);
	ck_assert_str_eq(bed_ask(&one, "SELECT value FROM outbox_meta WHERE key = 'schema_version'"), "3");
	ck_assert_str_eq(
		bed_ask(&one,
	                "SELECT length(value), value GLOB '*[^0-9a-f]*' FROM outbox_meta WHERE key = 'instance'"),
		"32|0");
	ck_assert_str_ne(bed_ask(&one, "SELECT value FROM outbox_meta WHERE key = 'instance'"),
	                 bed_ask(&two, "SELECT value FROM outbox_meta WHERE key = 'instance'"));
	ck_assert_int_eq(sqlite3_close(one.db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_close(two.db), SQLITE_OK);
}
END_TEST

START_TEST(the_view_has_both_tables_and_no_bodies)
{
	struct bed bed;

	bed_open(&bed, 0);
	ck_assert_str_eq(
		bed_ask(&bed,
	                "SELECT group_concat(c.name) FROM pragma_table_info('outbox') AS c WHERE c.name NOT IN"
	                " (SELECT name FROM pragma_table_info('outbox_all'))"),
		"body_text,body_html,message");
	ck_assert_str_eq(
		bed_ask(&bed,
	                "SELECT group_concat(c.name) FROM pragma_table_info('outbox_status') AS c WHERE c.name"
	                " NOT IN (SELECT name FROM pragma_table_info('outbox_all'))"),
		"outbox_id");
	ck_assert_str_eq(bed_ask(&bed, "SELECT count(*) FROM outbox_all"), "8");
	bed_close(&bed);
}
END_TEST

/* The clock of the triggers is the system's, to the millisecond. */
START_TEST(the_clock_is_right)
{
	struct bed bed = { .conflict = "" };

	ck_assert_int_eq(sqlite3_open(":memory:", &bed.db), SQLITE_OK);
	run(bed.db, storage_schema_sql);
	/* one statement has one time */
	ck_assert_str_eq(bed_ask(&bed, "SELECT ms - CAST(strftime('%%s', 'now') AS INTEGER) * 1000"
	                               " - CAST(substr(strftime('%%f', 'now'), 4) AS INTEGER),"
	                               " s - CAST(strftime('%%s', 'now') AS INTEGER) FROM outbox_now"),
	                 "0|0");
	ck_assert_int_eq(sqlite3_close(bed.db), SQLITE_OK);
}
END_TEST

/* An application's own triggers on our tables may fail inside ours. */
START_TEST(a_failed_statement_leaves_no_mark)
{
	static const char *const inserts[] = {
		"INSERT INTO outbox (tenant, to_addresses) VALUES ('acme', 'b@c')",
		"INSERT OR ABORT INTO outbox (tenant, to_addresses) VALUES ('acme', 'b@c')",
		"INSERT OR ROLLBACK INTO outbox (tenant, to_addresses) VALUES ('acme', 'b@c')",
	};
	struct bed bed;

	bed_open(&bed, 0);
	bed_run(&bed,
	        "CREATE TABLE theirs (x UNIQUE); INSERT INTO theirs VALUES (1);"
	        "CREATE TRIGGER their_copy AFTER INSERT ON outbox_status BEGIN INSERT INTO theirs VALUES (1); END;"
	        "CREATE TRIGGER their_refusal AFTER UPDATE ON outbox_status BEGIN SELECT RAISE(ABORT, 'theirs'); END");
	for (size_t i = 0; i < COUNT(inserts); i++) {
		bed_run(&bed, "BEGIN");
		ck_assert_int_ne(sqlite3_exec(bed.db, inserts[i], NULL, NULL, NULL), SQLITE_OK);
		ck_assert_int_ne(
			sqlite3_exec(bed.db,
		                     "UPDATE outbox_status SET state = 'cancelled' WHERE outbox_id = 1", NULL,
		                     NULL, NULL),
			SQLITE_OK);
		bed_run(&bed, sqlite3_get_autocommit(bed.db) ? "SELECT 1" : "COMMIT");
	}
	bed_run(&bed, "DROP TRIGGER their_copy; DROP TRIGGER their_refusal");
	ck_assert_str_eq(bed_ask(&bed, "SELECT value FROM outbox_meta WHERE key = 'trigger'"), "0");
	ck_assert_str_eq(bed_ask(&bed, "SELECT state FROM outbox_status WHERE outbox_id = 1"), "queued");
	bed_close(&bed);
}
END_TEST

TCase *schema_file_cases(void)
{
	TCase *cases = tcase_create("file");

	tcase_add_test(cases, every_sentence_is_provoked_by_a_test);
	tcase_add_test(cases, nothing_is_newer_than_sqlite_3_31);
	tcase_add_test(cases, the_daemons_questions_have_their_indexes);
	tcase_add_test(cases, a_file_of_an_applications_own_keeps_all_else);
	tcase_add_test(cases, each_outbox_has_a_name_of_its_own);
	tcase_add_test(cases, the_view_has_both_tables_and_no_bodies);
	tcase_add_test(cases, the_clock_is_right);
	tcase_add_test(cases, a_failed_statement_leaves_no_mark);
	return cases;
}
