/*
 * sqlite_clock_test.c - the table follows a wall clock that was set.
 */
#include <stdint.h>
#include <stdio.h>

#include "common/clock.h"
#include "tests/contract/bed.h"
#include "tests/contract/sqlite_backend.h"

#define DAY_S  86400
#define PART_S 900
#define MARK   "UPDATE outbox_meta SET value = %d WHERE key IN ('daemon', 'trigger');"

static int64_t ask(const char *sql)
{
	return sqlite_backend_ask(bed.outbox, sql);
}

/* What outboxd alone writes; the format has one %lld. */
static void as_daemon(const char *format, int64_t number)
{
	sqlite_backend_run(bed.outbox, "BEGIN;" MARK, 1);
	sqlite_backend_run(bed.outbox, format, (long long)number);
	sqlite_backend_run(bed.outbox, MARK "COMMIT", 0);
}

static void jump(int64_t jumped_s)
{
	ck_ok(storage_clock_jumped(bed.storage, jumped_s * 1000, deadline_after_ms(5000), &bed.words));
	ck_assert_int_eq(ask("SELECT sum(value) FROM outbox_meta WHERE key IN ('daemon', 'trigger')"), 0);
}

static void add_usage(const char *tenant, int64_t since, int recipients)
{
	char sql[160];

	(void)snprintf(sql, sizeof(sql), "INSERT INTO outbox_usage VALUES ('%s', %%lld, %d)", tenant,
	               recipients);
	as_daemon(sql, since - since % PART_S);
}

START_TEST(set_back_what_is_deferred_is_due_as_long_from_now)
{
	int64_t id = bed_insert_plain(), now = clock_wall_s(), due;

	as_daemon("UPDATE outbox_status SET state = 'deferred', due_at = %lld + 100", now + DAY_S);
	as_daemon("UPDATE outbox_status SET updated_at_ms = %lld * 1000", now + DAY_S);
	jump(-DAY_S);
	due = ask("SELECT due_at FROM outbox_status") - now;
	ck_assert_int_eq(ask("SELECT outbox_id FROM outbox_status"), id);
	ck_assert_int_ge(due, 100);
	ck_assert_int_lt(due, 100 + 600);
	ck_assert_int_lt(ask("SELECT updated_at_ms FROM outbox_status") / 1000, now + 600);
}
END_TEST

/* Nothing that was used is forgotten, and none of it is in the future, where each start would count it anew.
 */
START_TEST(set_back_what_was_used_was_used_now)
{
	int64_t now = clock_wall_s();

	sqlite_backend_run(bed.outbox, "INSERT INTO outbox_tenant (name, host) VALUES ('other', 'b')");
	add_usage("acme", now + DAY_S, 5);
	add_usage("acme", now + 2 * PART_S, 3);
	add_usage("acme", now - 4 * PART_S, 2);
	add_usage("other", now + DAY_S, 7);
	jump(-DAY_S);
	ck_assert_int_eq(ask("SELECT sum(recipients) FROM outbox_usage WHERE tenant = 'acme'"), 10);
	ck_assert_int_eq(ask("SELECT sum(recipients) FROM outbox_usage WHERE tenant = 'other'"), 7);
	ck_assert_int_eq(ask("SELECT count(*) FROM outbox_usage WHERE since > strftime('%s')"), 0);
	ck_assert_int_eq(ask("SELECT count(*) FROM outbox_usage WHERE since % 900"), 0);
	ck_assert_int_ge(ask("SELECT max(since) FROM outbox_usage"), now - PART_S);
	/* and once: a further jump finds nothing ahead */
	jump(-DAY_S);
	ck_assert_int_eq(ask("SELECT sum(recipients) FROM outbox_usage"), 17);
}
END_TEST

START_TEST(set_forward_nothing_grows_old_by_it)
{
	int64_t now = clock_wall_s();
	struct message *message;

	bed_insert_plain();
	as_daemon("UPDATE outbox_status SET queued_at_ms = (%lld - 60) * 1000", now - 10 * DAY_S);
	jump(10 * DAY_S);
	message = bed_due_one();
	ck_assert_int_ge(message->age_from_s, now - 90);
	ck_assert_int_lt(message->age_from_s, now + 600);
	message_destroy(&message);
}
END_TEST

void sqlite_clock_tests(Suite *suite)
{
	TCase *tests = tcase_create("SQLite's clock");

	tcase_add_checked_fixture(tests, bed_set_up, bed_tear_down);
	tcase_add_test(tests, set_back_what_is_deferred_is_due_as_long_from_now);
	tcase_add_test(tests, set_back_what_was_used_was_used_now);
	tcase_add_test(tests, set_forward_nothing_grows_old_by_it);
	suite_add_tcase(suite, tests);
}
