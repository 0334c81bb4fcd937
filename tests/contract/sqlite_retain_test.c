/*
 * sqlite_retain_test.c - retention in SQLite: by an index, past triggers of the file's owner.
 */
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "storage/sqlite_settle.h"
#include "tests/contract/bed.h"
#include "tests/contract/sqlite_backend.h"

#define TEN_ARE_SENT                                                                                         \
	"INSERT INTO outbox (tenant, from_address, to_addresses) WITH RECURSIVE n (i) AS (SELECT 1 UNION"    \
	" SELECT i + 1 FROM n WHERE i < 10) SELECT 'acme', 'a@b', 'c@d' FROM n;"                             \
	"BEGIN; UPDATE outbox_meta SET value = 1 WHERE key = 'daemon';"                                      \
	"UPDATE outbox_status SET state = 'sent', finished_at_ms = 1000 + outbox_id;"                        \
	"UPDATE outbox_meta SET value = 0 WHERE key = 'daemon'; COMMIT"

/* A million rows or none: one seek, no sorting. */
START_TEST(what_is_to_go_is_found_by_the_index)
{
	sqlite3 *db = sqlite_backend_app(bed.outbox);
	sqlite3_stmt *plan;
	char *sql = sqlite3_mprintf("EXPLAIN QUERY PLAN %s", storage_settle_sql[RETAIN_FINISHED]);

	ck_assert_int_eq(sqlite3_prepare_v2(db, sql, -1, &plan, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(plan), SQLITE_ROW);
	ck_assert_ptr_nonnull(strstr((const char *)sqlite3_column_text(plan, 3),
	                             "COVERING INDEX outbox_status_finished (state=? AND finished_at_ms>?"));
	ck_assert_int_eq(sqlite3_step(plan), SQLITE_DONE);
	sqlite3_finalize(plan);
	sqlite3_free(sql);
}
END_TEST

/* The owner of the file wants some to stay: they do, are told, and keep nobody else. */
START_TEST(what_a_trigger_of_the_owner_keeps_is_passed_over)
{
	struct storage_retention retention = { .state = MESSAGE_SENT, .before_ms = clock_wall_ms() };

	sqlite_backend_run(bed.outbox, TEN_ARE_SENT);
	sqlite_backend_run(bed.outbox, "CREATE TRIGGER keep BEFORE DELETE ON outbox WHEN OLD.id <= 3"
	                               " BEGIN SELECT RAISE(ABORT, 'mine'); END");
	ck_ok(storage_retain(bed.storage, &retention, deadline_after_ms(5000), &bed.words));
	ck_assert_int_eq(retention.removed, 7);
	ck_assert_int_eq(retention.kept, 3);
	ck_assert_str_eq(bed.words.text, "message 3 is not removed: mine");
	ck_assert_int_eq(sqlite_backend_ask(bed.outbox, "SELECT sum(id) FROM outbox"), 6);
	ck_ok(storage_retain(bed.storage, &retention, deadline_after_ms(5000), &bed.words));
	ck_assert_int_eq(retention.kept, 3);
	sqlite_backend_run(bed.outbox, "DROP TRIGGER keep");
}
END_TEST

START_TEST(a_trigger_that_ends_the_transaction_removes_nothing)
{
	struct storage_retention retention = { .state = MESSAGE_SENT, .before_ms = clock_wall_ms() };

	sqlite_backend_run(bed.outbox, TEN_ARE_SENT);
	sqlite_backend_run(bed.outbox, "CREATE TRIGGER keep BEFORE DELETE ON outbox WHEN OLD.id = 3"
	                               " BEGIN SELECT RAISE(ROLLBACK, 'mine'); END");
	ck_assert_int_eq(storage_retain(bed.storage, &retention, deadline_after_ms(5000), &bed.words),
	                 ERROR_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(bed.words.text, "mine"));
	ck_assert_int_eq(sqlite_backend_ask(bed.outbox, "SELECT count(*) FROM outbox"), 10);
}
END_TEST

/* Whatever fails in the middle takes all of it back and leaves the lock to others. */
START_TEST(a_failure_in_the_middle_removes_nothing)
{
	const struct storage_retention before = { .state = MESSAGE_SENT, .before_ms = clock_wall_ms() };
	struct storage_retention retention = before;

	sqlite_backend_run(bed.outbox, TEN_ARE_SENT);
	sqlite_backend_run(bed.outbox, "CREATE TRIGGER breaks BEFORE DELETE ON outbox WHEN OLD.id = 3"
	                               " BEGIN SELECT abs(-9223372036854775807 - 1); END");
	ck_assert_int_eq(storage_retain(bed.storage, &retention, deadline_after_ms(5000), &bed.words),
	                 ERROR_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(bed.words.text, "cannot remove finished messages"));
	ck_assert_ptr_nonnull(strstr(bed.words.text, "integer overflow"));
	ck_assert_int_eq(retention.removed, 0);
	ck_assert_int_eq(retention.after_id, before.after_id);
	ck_assert_int_eq(sqlite_backend_ask(bed.outbox, "SELECT count(*) FROM outbox"), 10);
	sqlite_backend_run(bed.outbox, "DROP TRIGGER breaks");
	ck_ok(storage_retain(bed.storage, &retention, deadline_after_ms(5000), &bed.words));
	ck_assert_int_eq(retention.removed, 10);
	ck_assert_str_eq(bed.words.text, "");
}
END_TEST

/* What it says are sent, the next one a moment after each. */
static void all_are_sent(void)
{
	sqlite_backend_run(bed.outbox,
	                   "BEGIN; UPDATE outbox_meta SET value = 1 WHERE key = 'daemon';"
	                   "UPDATE outbox_status SET state = 'sent', finished_at_ms = 1000 + outbox_id;"
	                   "UPDATE outbox_meta SET value = 0 WHERE key = 'daemon'; COMMIT");
}

enum part { BODY_TEXT, BODY_HTML, MESSAGE, ATTACHMENT, PARTS };

/* The next parameter is so many octets of text. */
static void run_with_text(const char *sql, int octets)
{
	sqlite3 *app = sqlite_backend_app(bed.outbox);
	char *text = memory_alloc((size_t)octets);
	sqlite3_stmt *row;

	memset(text, 'x', (size_t)octets);
	ck_assert_int_eq(sqlite3_prepare_v2(app, sql, -1, &row, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_bind_text(row, 1, text, octets, free), SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(row), SQLITE_DONE);
	ck_assert_int_eq(sqlite3_finalize(row), SQLITE_OK);
}

static void insert_large(enum part part, int octets)
{
	static const char *const columns[] = {
		"INSERT INTO outbox (tenant, from_address, to_addresses, body_text) VALUES ('acme', 'a@b', 'c@d', ?)",
		"INSERT INTO outbox (tenant, from_address, to_addresses, body_html) VALUES ('acme', 'a@b', 'c@d', ?)",
		"INSERT INTO outbox (tenant, from_address, to_addresses, message) VALUES ('acme', 'a@b', 'c@d', ?)",
	};
	static const char attach[] = "INSERT INTO outbox_attachment (outbox_id, position, content)"
				     " SELECT max(id), (SELECT count(*) + 1 FROM outbox_attachment WHERE"
				     " outbox_id = max(id)), ? FROM outbox";

	if (part != ATTACHMENT) {
		run_with_text(columns[part], octets);
		return;
	}
	sqlite_backend_run(bed.outbox, "INSERT INTO outbox (tenant, from_address, to_addresses, attachments)"
	                               " VALUES ('acme', 'a@b', 'c@d', 2)");
	run_with_text(attach, octets / 2);
	run_with_text(attach, octets / 2);
}

/* How many go with the next commit, and whether there are more. */
static void assert_goes(struct storage_retention *retention, int64_t count, bool more)
{
	int64_t before = retention->removed;

	ck_ok(storage_retain(bed.storage, retention, deadline_after_ms(60000), &bed.words));
	ck_assert_int_eq(retention->removed - before, count);
	ck_assert_int_eq(retention->more, more);
}

/* Wherever a message's octets are, about 4 MiB go with a commit, or one message. */
START_TEST(every_part_of_a_message_counts)
{
	static const int octets[] = { 1000000, 1000000, 2500000, 5000000, 10 };
	struct storage_retention retention = { .state = MESSAGE_SENT, .before_ms = clock_wall_ms() };

	for (size_t i = 0; i < sizeof(octets) / sizeof(*octets); i++)
		insert_large((enum part)_i, octets[i]);
	all_are_sent();
	assert_goes(&retention, 2, true);
	assert_goes(&retention, 1, true);
	assert_goes(&retention, 1, true);
	assert_goes(&retention, 1, false);
}
END_TEST

/* More than a commit takes ended in one moment, and some of them stay: all are looked at, each once. */
START_TEST(of_one_moment_all_are_looked_at_once)
{
	struct storage_retention retention = { .state = MESSAGE_SENT, .before_ms = clock_wall_ms() };

	for (int i = 0; i < 14; i++)
		sqlite_backend_run(bed.outbox, TEN_ARE_SENT);
	sqlite_backend_run(bed.outbox, "BEGIN; UPDATE outbox_meta SET value = 1 WHERE key = 'daemon';"
	                               "UPDATE outbox_status SET finished_at_ms = 1000;"
	                               "UPDATE outbox_meta SET value = 0 WHERE key = 'daemon'; COMMIT");
	sqlite_backend_run(bed.outbox,
	                   "CREATE TRIGGER keep BEFORE DELETE ON outbox WHEN OLD.id IN (1, 64, 65)"
	                   " BEGIN SELECT RAISE(ABORT, 'mine'); END");
	assert_goes(&retention, 62, true);
	assert_goes(&retention, 63, true);
	assert_goes(&retention, 12, false);
	ck_assert_int_eq(retention.kept, 3);
}
END_TEST

/* However many there are: a round ends at once, and has no need of the lock. */
START_TEST(what_is_younger_is_not_looked_at)
{
	struct storage_retention retention = { .state = MESSAGE_SENT, .before_ms = 1001 };

	for (int i = 0; i < 7; i++)
		sqlite_backend_run(bed.outbox, TEN_ARE_SENT);
	APP->lock(bed.outbox);
	assert_goes(&retention, 0, false);
	APP->unlock(bed.outbox);
	retention.before_ms = 1002;
	assert_goes(&retention, 1, false);
}
END_TEST

static void finish_anew(void *context)
{
	sqlite_backend_run(bed.outbox,
	                   "BEGIN; UPDATE outbox_meta SET value = 1 WHERE key = 'daemon';"
	                   "UPDATE outbox_status SET finished_at_ms = %lld WHERE outbox_id = 1;"
	                   "UPDATE outbox_meta SET value = 0 WHERE key = 'daemon'; COMMIT",
	                   *(const long long *)context);
}

/* Queued anew and finished anew, between the search and the lock: its time begins anew. */
START_TEST(what_is_finished_anew_meanwhile_stays)
{
	struct storage_retention retention = { .state = MESSAGE_SENT, .before_ms = clock_wall_ms() };
	long long now = retention.before_ms;

	sqlite_backend_run(bed.outbox, TEN_ARE_SENT);
	APP->interpose(bed.outbox, "outbox_attachment", finish_anew, &now);
	assert_goes(&retention, 9, false);
	ck_assert_int_eq(sqlite_backend_ask(bed.outbox, "SELECT id FROM outbox"), 1);
}
END_TEST

/* As after a result: the lock stays free for as long as it was held, and so it does after ours. */
START_TEST(the_lock_is_left_to_others_as_long_as_it_was_held)
{
	struct storage_retention retention = { .state = MESSAGE_SENT, .before_ms = clock_wall_ms() };
	int64_t gap_until_us;

	sqlite_backend_run(bed.outbox, TEN_ARE_SENT);
	storage_lock_held(bed.storage, storage_now_us() - INT64_C(3600000000));
	ck_assert_int_eq(storage_retain(bed.storage, &retention, deadline_after_ms(50), &bed.words),
	                 ERROR_UNAVAILABLE);
	ck_assert_int_eq(retention.removed, 0);
	ck_assert_int_eq(sqlite_backend_ask(bed.outbox, "SELECT count(*) FROM outbox"), 10);
	storage_lock_held(bed.storage, storage_now_us());
	gap_until_us = bed.storage->gap_until_us;
	assert_goes(&retention, 10, false);
	ck_assert_int_gt(bed.storage->gap_until_us, gap_until_us);
}
END_TEST

/* Zeros over 60 MB would hold the lock for a second. */
START_TEST(what_is_freed_is_not_written_over)
{
	struct storage_retention retention = { .state = MESSAGE_SENT, .before_ms = clock_wall_ms() };
	struct connection *writer = &bed.storage->writer;
	int64_t mode = 0;

	sqlite_backend_run(bed.outbox, TEN_ARE_SENT);
	assert_goes(&retention, 10, false);
	ck_assert_int_eq(connection_ask_int(writer, "PRAGMA secure_delete", &mode), SQLITE_OK);
	ck_assert_int_eq(mode, 2); /* FAST */
}
END_TEST

void sqlite_retain_tests(Suite *suite)
{
	TCase *tests = tcase_create("SQLite's retention");

	tcase_set_timeout(tests, 360);
	tcase_add_checked_fixture(tests, bed_set_up, bed_tear_down);
	tcase_add_test(tests, what_is_to_go_is_found_by_the_index);
	tcase_add_test(tests, what_a_trigger_of_the_owner_keeps_is_passed_over);
	tcase_add_test(tests, a_trigger_that_ends_the_transaction_removes_nothing);
	tcase_add_test(tests, a_failure_in_the_middle_removes_nothing);
	tcase_add_loop_test(tests, every_part_of_a_message_counts, 0, PARTS);
	tcase_add_test(tests, of_one_moment_all_are_looked_at_once);
	tcase_add_test(tests, what_is_younger_is_not_looked_at);
	tcase_add_test(tests, what_is_finished_anew_meanwhile_stays);
	tcase_add_test(tests, the_lock_is_left_to_others_as_long_as_it_was_held);
	tcase_add_test(tests, what_is_freed_is_not_written_over);
	suite_add_tcase(suite, tests);
}
