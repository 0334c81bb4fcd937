/*
 * daemon_retention_test.c - who is to go and when, how many at a time, and what is told of it.
 *
 * retention.c alone: the storage below it and the log are the test's own.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "daemon/retention.h"
#include "daemon/service_internal.h"

#define HOUR_MS INT64_C(3600000)
#define DAY_MS  (24 * HOUR_MS)
#define FEW     64 /* as storage removes at once */

enum { SENT, FAILED, CANCELLED };

static char db[] = "box";
static struct service service;
static struct outbox outbox;
static struct log_batch batch;
static struct retention retention;

/* What is in the table, old enough to go; and what storage was asked for. */
static int64_t left[RETENTION_STATES], refused[RETENTION_STATES]; /* … which a trigger of the owner keeps */
static bool out_of_order;
static struct {
	int times;
	int64_t before_ms[RETENTION_STATES], deadline_ms;
} asked;

/* The last line of the log, and how many of each kind there were. */
static struct {
	int removed, failed;
	char error[100];
	int64_t numbers[RETENTION_STATES];
} told;

static int place_of(enum message_state state)
{
	ck_assert(state == MESSAGE_SENT || state == MESSAGE_FAILED || state == MESSAGE_CANCELLED);
	return state == MESSAGE_SENT ? SENT : state == MESSAGE_FAILED ? FAILED : CANCELLED;
}

enum error storage_retain(struct storage *storage, struct storage_retention *round, int64_t deadline_ms,
                          struct words *words)
{
	int place = place_of(round->state);
	int64_t few;

	ck_assert_ptr_eq(storage, outbox.storage);
	asked.times++;
	asked.before_ms[place] = round->before_ms;
	asked.deadline_ms = deadline_ms;
	if (out_of_order) {
		words_set(words, "locked");
		return ERROR_UNAVAILABLE;
	}
	if (refused[place] > round->kept) {
		words_set(words, "mine");
		round->kept = refused[place];
	}
	few = left[place] < FEW ? left[place] : FEW;
	left[place] -= few;
	round->removed += few;
	round->more = few == FEW;
	return OK;
}

void log_begin(struct log_batch *lines, enum log_level level, const char *event, const char *whose,
               const char *tenant)
{
	ck_assert_ptr_eq(lines, &batch);
	ck_assert_ptr_null(tenant);
	ck_assert_ptr_eq(whose, db);
	if (level == LOG_INFO) {
		ck_assert_str_eq(event, "retention.removed");
		told.removed++;
	} else {
		ck_assert_str_eq(event, "retention.failed");
		told.failed++;
	}
}

void log_text(struct log_batch *lines, const char *key, const char *value)
{
	(void)lines;
	ck_assert_str_eq(key, "error");
	ck_assert_uint_lt(strlen(value), sizeof(told.error));
	memcpy(told.error, value, strlen(value) + 1);
}

void log_number(struct log_batch *lines, const char *key, int64_t value)
{
	(void)lines;
	for (int i = MESSAGE_DRAFT; i <= MESSAGE_CANCELLED; i++) {
		if (strcmp(key, message_state_name((enum message_state)i)) == 0)
			told.numbers[place_of((enum message_state)i)] = value;
	}
}

void log_end(struct log_batch *lines)
{
	(void)lines;
}

void log_push(struct log_batch *lines)
{
	(void)lines;
}

static void keep_ms(int64_t sent, int64_t failed)
{
	atomic_store(&service.keep_sent_ms, sent);
	atomic_store(&service.keep_failed_ms, failed);
}

static void setup(void)
{
	memset(&service, 0, sizeof(service));
	memset(&outbox, 0, sizeof(outbox));
	memset(left, 0, sizeof(left));
	memset(refused, 0, sizeof(refused));
	memset(&asked, 0, sizeof(asked));
	memset(&told, 0, sizeof(told));
	out_of_order = false;
	outbox.service = &service;
	outbox.db = db;
	outbox.storage = (struct storage *)&outbox;
	keep_ms(30 * DAY_MS, 90 * DAY_MS);
	retention_init(&retention, &outbox, &batch);
}

/* A step that is due; it says that the next one is due after pause_ms, and by then it is. */
static bool step(int64_t pause_ms)
{
	int64_t before = clock_monotonic_ms(), after;
	bool committed = retention_step(&retention);

	after = clock_monotonic_ms();
	ck_assert_int_ge(retention_next_ms(&retention), before + pause_ms);
	ck_assert_int_le(retention_next_ms(&retention), after + pause_ms);
	clock_move_ms(pause_ms);
	return committed;
}

/* A step a tenth of a second, each a commit at most. */
START_TEST(a_few_at_a_time)
{
	left[SENT] = 2 * FEW + 10;
	left[FAILED] = 1;
	for (int i = 1; i <= 3; i++) {
		ck_assert(step(100));
		ck_assert_int_eq(asked.times, i);
	}
	ck_assert_int_eq(left[SENT], 0);
	ck_assert_int_eq(left[FAILED], 1);
	ck_assert(step(100));
	ck_assert_int_eq(asked.times, 4);
	/* cancelled: none, and the round is over */
	ck_assert(!step(60000));
	ck_assert_int_eq(asked.times, 5);
	ck_assert_int_eq(atomic_load(&outbox.removed), 2 * FEW + 11);
}
END_TEST

START_TEST(not_before_it_is_due)
{
	left[SENT] = 2 * FEW;
	ck_assert(retention_step(&retention));
	retention.next_ms = clock_monotonic_ms() + HOUR_MS;
	ck_assert(!retention_step(&retention));
	ck_assert_int_eq(asked.times, 1);
	ck_assert_int_eq(left[SENT], FEW);
}
END_TEST

/* A step that finds none is no commit, whatever went before it. */
START_TEST(as_many_as_go_at_once_and_no_more)
{
	left[SENT] = FEW;
	ck_assert(step(100));
	ck_assert(!step(60000));
	ck_assert_int_eq(asked.times, 4);
}
END_TEST

/* What a round's last step removed is a commit, too. */
START_TEST(the_last_state_s_are_a_commit)
{
	left[CANCELLED] = 1;
	ck_assert(step(60000));
	ck_assert_int_eq(asked.times, 3);
	ck_assert(!step(60000));
	ck_assert_int_eq(asked.times, 6);
}
END_TEST

/* A cancelled one stays a day at least: its cancel may have come too late. */
START_TEST(each_state_has_its_time)
{
	static const int64_t minute = 60000;
	static const struct {
		int64_t sent, failed, expected[RETENTION_STATES]; /* -1 = not asked for */
	} cases[] = {
		{ 30 * DAY_MS, 90 * DAY_MS, { 30 * DAY_MS, 90 * DAY_MS, 90 * DAY_MS } },
		{ 90 * DAY_MS, 30 * DAY_MS, { 90 * DAY_MS, 30 * DAY_MS, 30 * DAY_MS } },
		{ 0, 2 * DAY_MS, { 0, 2 * DAY_MS, 2 * DAY_MS } },
		{ DAY_MS / 2, DAY_MS / 2, { DAY_MS / 2, DAY_MS / 2, DAY_MS } },
		{ DAY_MS, 0, { DAY_MS, 0, DAY_MS } },
		{ -1, 2 * DAY_MS, { -1, 2 * DAY_MS, 2 * DAY_MS } },
		{ 2 * DAY_MS, -1, { 2 * DAY_MS, -1, -1 } },
		{ -1, -1, { -1, -1, -1 } },
	};
	int64_t before = clock_wall_ms(), after;
	int times = 0;

	keep_ms(cases[_i].sent, cases[_i].failed);
	memset(asked.before_ms, 0, sizeof(asked.before_ms));
	(void)retention_step(&retention);
	after = clock_wall_ms();
	for (int i = 0; i < RETENTION_STATES; i++) {
		if (cases[_i].expected[i] < 0) {
			ck_assert_int_eq(asked.before_ms[i], 0);
			continue;
		}
		times++;
		ck_assert_int_ge(asked.before_ms[i], before - cases[_i].expected[i]);
		ck_assert_int_le(asked.before_ms[i], after - cases[_i].expected[i]);
	}
	ck_assert_int_eq(asked.times, times);
	ck_assert_int_le(retention_next_ms(&retention) - clock_monotonic_ms(), minute);
}
END_TEST

/* What is kept for a short time is looked for the more often, but not all the time. */
START_TEST(a_round_fits_what_is_kept)
{
	static const struct {
		int64_t sent, failed, pause_ms;
	} cases[] = { { 240000, 240000, 60000 }, { 8000, 240000, 2000 },    { 240000, 8000, 2000 },
		      { -1, 8000, 2000 },        { 8000, -1, 2000 },        { 0, 240000, 1000 },
		      { 240000, 1, 1000 },       { 120000, 240000, 30000 }, { -1, -1, 60000 } };

	keep_ms(cases[_i].sent, cases[_i].failed);
	ck_assert(!step(cases[_i].pause_ms));
	ck_assert(!step(cases[_i].pause_ms));
}
END_TEST

/* An application that has the lock keeps it, and is waited for no longer than this. */
START_TEST(a_lock_is_waited_for_shortly)
{
	int64_t before = clock_monotonic_ms();

	(void)retention_step(&retention);
	ck_assert_int_ge(asked.deadline_ms, before + 250);
	ck_assert_int_le(asked.deadline_ms, clock_monotonic_ms() + 250);
}
END_TEST

START_TEST(what_fails_for_a_minute_is_told_once)
{
	left[SENT] = FEW;
	ck_assert(step(100));
	out_of_order = true;
	for (int i = 1; i < 200; i++) {
		ck_assert(!step(1000));
		ck_assert_int_eq(told.failed, i >= 60);
		ck_assert_int_eq(asked.times, i + 1); /* and the round goes on where it was */
	}
	ck_assert_str_eq(told.error, "locked");
	out_of_order = false;
	left[SENT] = 1;
	ck_assert(step(100));
	ck_assert_int_eq(left[SENT], 0);
	ck_assert(!step(60000));
	/* and again after as many */
	out_of_order = true;
	for (int i = 1; i <= 60; i++) {
		ck_assert(!step(1000));
		ck_assert_int_eq(told.failed, i < 60 ? 1 : 2);
	}
}
END_TEST

START_TEST(what_a_trigger_keeps_is_told_once)
{
	refused[FAILED] = 3;
	left[FAILED] = 2;
	ck_assert(step(100));
	ck_assert_int_eq(told.failed, 1);
	ck_assert_str_eq(told.error, "mine");
	ck_assert(!step(60000));
	for (int i = 0; i < 3; i++)
		ck_assert(!step(60000));
	ck_assert_int_eq(told.failed, 1);
}
END_TEST

static void assert_told(int times, int64_t sent, int64_t failed, int64_t cancelled)
{
	ck_assert_int_eq(told.removed, times);
	ck_assert_int_eq(told.numbers[SENT], sent);
	ck_assert_int_eq(told.numbers[FAILED], failed);
	ck_assert_int_eq(told.numbers[CANCELLED], cancelled);
}

/* At a round's end, the first at once; a line a minute at most; what is not told yet at the end. */
START_TEST(what_is_removed_is_told_by_the_minute)
{
	keep_ms(0, 8000);
	left[SENT] = FEW + 5;
	left[FAILED] = 2;
	left[CANCELLED] = 1;
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(told.removed, 0);
		ck_assert(step(100));
	}
	ck_assert(step(1000));
	assert_told(1, FEW + 5, 2, 1);
	/* nothing is removed, nothing is told */
	clock_move_ms(60000);
	ck_assert(!step(1000));
	retention_tell(&retention, true);
	assert_told(1, FEW + 5, 2, 1);
	left[CANCELLED] = 4;
	ck_assert(step(1000));
	assert_told(2, 0, 0, 4);
	for (int i = 0; i < 5; i++) {
		left[CANCELLED] = 2;
		ck_assert(step(1000));
	}
	assert_told(2, 0, 0, 4);
	clock_move_ms(60000);
	left[CANCELLED] = 1;
	ck_assert(step(1000));
	assert_told(3, 0, 0, 11);
	left[CANCELLED] = 3;
	ck_assert(step(1000));
	assert_told(3, 0, 0, 11);
	retention_tell(&retention, true);
	assert_told(4, 0, 0, 3);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("daemon: retention");
	TCase *tests = tcase_create("retention");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tests, 360);
	tcase_add_checked_fixture(tests, setup, NULL);
	tcase_add_test(tests, a_few_at_a_time);
	tcase_add_test(tests, not_before_it_is_due);
	tcase_add_test(tests, as_many_as_go_at_once_and_no_more);
	tcase_add_test(tests, the_last_state_s_are_a_commit);
	tcase_add_loop_test(tests, each_state_has_its_time, 0, 8);
	tcase_add_loop_test(tests, a_round_fits_what_is_kept, 0, 9);
	tcase_add_test(tests, a_lock_is_waited_for_shortly);
	tcase_add_test(tests, what_fails_for_a_minute_is_told_once);
	tcase_add_test(tests, what_a_trigger_keeps_is_told_once);
	tcase_add_test(tests, what_is_removed_is_told_by_the_minute);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
