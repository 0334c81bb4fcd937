/*
 * sqlite_retain_test.c - retention in SQLite: by an index, past triggers of the file's owner.
 */
#include <string.h>

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

void sqlite_retain_tests(Suite *suite)
{
	TCase *tests = tcase_create("SQLite's retention");

	tcase_add_checked_fixture(tests, bed_set_up, bed_tear_down);
	tcase_add_test(tests, what_is_to_go_is_found_by_the_index);
	tcase_add_test(tests, what_a_trigger_of_the_owner_keeps_is_passed_over);
	tcase_add_test(tests, a_trigger_that_ends_the_transaction_removes_nothing);
	suite_add_tcase(suite, tests);
}
