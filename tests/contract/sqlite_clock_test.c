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
	/* a jump that we did not see: at the start */
	add_usage("acme", now + DAY_S, 5);
	add_usage("acme", now + 2 * PART_S, 3);
	add_usage("acme", now - 4 * PART_S, 2);
	add_usage("other", now + DAY_S, 7);
	jump(-PART_S / 2);
	ck_assert_int_eq(ask("SELECT sum(recipients) FROM outbox_usage WHERE tenant = 'acme'"), 10);
	ck_assert_int_eq(ask("SELECT sum(recipients) FROM outbox_usage WHERE tenant = 'other'"), 7);
	ck_assert_int_eq(ask("SELECT count(*) FROM outbox_usage WHERE since > strftime('%s')"), 0);
	ck_assert_int_eq(ask("SELECT count(*) FROM outbox_usage WHERE since % 900"), 0);
	ck_assert_int_ge(ask("SELECT max(since) FROM outbox_usage"), now - PART_S);
	/* and once: a further jump finds nothing ahead */
	jump(-PART_S / 2);
	ck_assert_int_eq(ask("SELECT sum(recipients) FROM outbox_usage"), 17);
}
END_TEST

/* The clock of the process is set too, as the table is told. */
static void set_clock(int64_t by_s)
{
	clock_jump_wall_ms(by_s * 1000);
	jump(by_s);
}

static void assert_20_and_10_hours_ago(int64_t less_s)
{
	struct bed_usage used = bed_usage_of("acme");

	ck_assert_int_eq(used.recipients, 10);
	ck_assert_int_eq(used.rows, 3);
	ck_assert_int_le(used.oldest_s, 20 * 3600 + PART_S + 360);
	ck_assert_int_ge(used.oldest_s, 20 * 3600 - less_s);
	ck_assert_int_le(used.youngest_s, 10 * 3600 + PART_S + 360);
	ck_assert_int_ge(used.youngest_s, 10 * 3600 - less_s);
	ck_assert_int_eq(ask("SELECT count(*) FROM outbox_usage WHERE since % 900"), 0);
}

/* A day is 24 hours: whichever way the clock is set, 20 hours ago is 20 hours ago, and stays so, however
 * often it is set by what is no quarter of an hour.
 */
START_TEST(what_was_used_is_as_long_ago_as_before)
{
	static const int64_t jumps_s[] = { DAY_S, -DAY_S, 3 * DAY_S + 7, 2 * PART_S, -2 * PART_S, 100,
		                           100,   100,    -100,          -100,       -100,        -1000,
		                           -1000, -1000,  5000,          -3 * DAY_S };
	int64_t now = clock_wall_s();

	add_usage("acme", now - 20 * 3600, 5);
	add_usage("acme", now - 20 * 3600 + PART_S, 2);
	add_usage("acme", now - 10 * 3600, 3);
	for (size_t i = 0; i < sizeof(jumps_s) / sizeof(*jumps_s); i++) {
		set_clock(jumps_s[i]);
		assert_20_and_10_hours_ago(0);
	}
	/* and by the wall clock as it is now, to a part */
	bed_open_anew(&(struct storage_settings){ 0 });
	assert_20_and_10_hours_ago(PART_S);
	/* it was set before this table was opened: that is over */
	jump(-DAY_S);
	assert_20_and_10_hours_ago(PART_S);
}
END_TEST

/* What keeps a clock right moves nothing, neither by itself nor beside a jump; to a part. */
START_TEST(a_minute_that_a_clock_is_wrong_moves_no_part)
{
	static const struct {
		int64_t by_s, parts;
	} jumps[] = { { 50, 0 },          { -50, 0 },           { DAY_S + 50, 96 },
		      { DAY_S - 50, 96 }, { -DAY_S + 50, -96 }, { -DAY_S - 50, -96 },
		      { PART_S + 50, 1 }, { PART_S + 70, 2 },   { -PART_S + 50, -1 } };
	int64_t before;

	add_usage("acme", clock_wall_s() - 5 * PART_S, 5);
	before = ask("SELECT since FROM outbox_usage");
	set_clock(jumps[_i].by_s);
	ck_assert_int_eq((ask("SELECT since FROM outbox_usage") - before) / PART_S, jumps[_i].parts);
	ck_assert_int_eq(bed_usage_of("acme").recipients, 5);
}
END_TEST

/* Of a row with this result: due in 100 s, as was decided by the clock of then. */
static int64_t settle_deferred(struct message *message, int64_t decided_s)
{
	bed_outcome(message, "bob@example.net", VERDICT_RETRY, 451, DELIVERY_DEFERRED);
	bed_judge(message, MESSAGE_DEFERRED, "later");
	message->decided_wall_ms = decided_s * 1000;
	message->due_at = decided_s + 100;
	bed_settle(message);
	ck_assert_int_eq(message->settled, SETTLED);
	message_destroy(&message);
	return ask("SELECT due_at FROM outbox_status");
}

/* … and was recorded after it was set back, before the table followed. */
START_TEST(decided_before_and_recorded_after_is_due_as_long_from_now)
{
	static const int64_t jumps_s[] = { -DAY_S, 0, 3600 }; /* the sum of several, too */
	int64_t now = clock_wall_s(), due;
	struct message *message;

	bed_insert_plain();
	message = bed_due_one();
	due = settle_deferred(message, now + DAY_S);
	ck_assert_int_eq(due, now + DAY_S + 100);
	jump(jumps_s[_i]);
	due = ask("SELECT due_at FROM outbox_status");
	ck_assert_int_ge(due, now + 100);
	ck_assert_int_lt(due, now + 100 + 600);
	ck_assert_int_lt(ask("SELECT updated_at_ms FROM outbox_status") / 1000, now + 600);
}
END_TEST

static void settle(struct message *message)
{
	bed_settle(message);
	ck_assert_int_eq(message->settled, SETTLED);
	message_destroy(&message);
}

/* Results that are recorded between the jump and its being followed take nothing of the day with them. */
START_TEST(until_the_table_follows_its_clock_is_that_of_before)
{
	static const int64_t jumps_s[] = { 2 * DAY_S, -2 * DAY_S };
	int64_t by_s = jumps_s[_i];
	struct message *late;
	struct bed_usage used;

	settle(bed_used(5));
	late = bed_used(2);
	clock_jump_wall_ms(by_s * 1000);
	settle(late);
	used = bed_usage_of("acme");
	ck_assert_int_eq(used.recipients, 7);
	ck_assert_int_le(used.oldest_s, 2 * PART_S);
	jump(by_s);
	used = bed_usage_of("acme");
	ck_assert_int_eq(used.recipients, 7);
	ck_assert_int_ge(used.youngest_s, 0);
	ck_assert_int_le(used.oldest_s, 2 * PART_S);
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
	tcase_add_test(tests, what_was_used_is_as_long_ago_as_before);
	tcase_add_loop_test(tests, a_minute_that_a_clock_is_wrong_moves_no_part, 0, 9);
	tcase_add_loop_test(tests, decided_before_and_recorded_after_is_due_as_long_from_now, 0, 3);
	tcase_add_loop_test(tests, until_the_table_follows_its_clock_is_that_of_before, 0, 2);
	tcase_add_test(tests, set_forward_nothing_grows_old_by_it);
	suite_add_tcase(suite, tests);
}
