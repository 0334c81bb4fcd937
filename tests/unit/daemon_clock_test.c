/*
 * daemon_clock_test.c - a wall clock that was set is noticed once, and makes nothing old.
 *
 * supervisor_clock.c alone: what it calls of the supervisor and the writer is here.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "daemon/service_internal.h"
#include "daemon/supervisor_clock.h"
#include "daemon/supervisor_result.h"

static struct outbox outbox;
static struct supervisor supervisor;
static struct message message;
static int64_t told_ms;
static int told, given, given_before;

unsigned writer_clock_jumped(struct writer *writer, int64_t jumped_ms)
{
	ck_assert_ptr_eq(writer, outbox.writer);
	told_ms += jumped_ms;
	told++;
	given_before = given;
	return (unsigned)told;
}

void result_give_judged(struct supervisor *whose)
{
	ck_assert_ptr_eq(whose, &supervisor);
	given++;
}

static void setup(void)
{
	memset(&outbox, 0, sizeof(outbox));
	memset(&supervisor, 0, sizeof(supervisor));
	memset(&message, 0, sizeof(message));
	told_ms = told = given = given_before = 0;
	log_batch_init(&supervisor.log, NULL);
	supervisor.outbox = &outbox;
	supervisor.wall_ahead_ms = clock_wall_ahead_ms();
	supervisor.next_scan_ms = 12345;
	message.age_from_s = 1000000;
	message.ready_ms = clock_monotonic_ms();
}

static void teardown(void)
{
	log_batch_fini(&supervisor.log);
}

static void jump_s(int64_t by_s)
{
	clock_jump_wall_ms(by_s * 1000);
}

static void time_passes(void)
{
	clock_move_ms(10);
}

static void table_follows(void)
{
	atomic_store(&outbox.clock_followed, (unsigned)told);
	clock_follow(&supervisor);
}

START_TEST(what_keeps_a_clock_right_is_no_jump)
{
	for (int i = 0; i < 4; i++) {
		jump_s(_i == i % 2 ? 50 : -50);
		clock_follow(&supervisor);
	}
	clock_result(&supervisor, &message);
	clock_adopt(&supervisor, &message);
	ck_assert_int_eq(told, 0);
	ck_assert(!supervisor.clock_set);
	ck_assert_int_eq(message.age_from_s, 1000000);
}
END_TEST

/* Nor are ages and days kept right for long where small steps are never looked at. */
START_TEST(small_steps_add_up)
{
	for (int i = 0; i < 6; i++) {
		jump_s(25);
		clock_follow(&supervisor);
	}
	ck_assert_int_eq(told, 2);
	ck_assert_int_le(llabs(told_ms - 150000), 1000);
}
END_TEST

START_TEST(a_jump_is_told_once_and_followed_once)
{
	static const int64_t jumps_s[] = { 62, -62, 86400, -86400 };
	int64_t by_s = jumps_s[_i];

	jump_s(by_s);
	clock_follow(&supervisor);
	clock_follow(&supervisor);
	ck_assert_int_eq(told, 1);
	ck_assert_int_eq(given_before, 1); /* what was judged by the clock of before went first */
	ck_assert_int_le(llabs(told_ms - by_s * 1000), 1000);
	ck_assert(supervisor.clock_set);
	ck_assert_int_eq(supervisor.next_scan_ms, 12345);
	table_follows();
	ck_assert(!supervisor.clock_set);
	ck_assert_int_eq(supervisor.next_scan_ms, 0); /* what is due by now is looked for at once */
	ck_assert_int_eq(told, 1);
}
END_TEST

/* The answer to the first jump is none to the second, whether that is told by then or not. */
START_TEST(set_again_when_the_table_has_just_followed)
{
	jump_s(1000);
	clock_follow(&supervisor);
	jump_s(2000);
	if (_i)
		clock_follow(&supervisor);
	atomic_store(&outbox.clock_followed, 1);
	clock_follow(&supervisor);
	ck_assert(supervisor.clock_set);
	ck_assert_int_eq(told, 2);
	ck_assert_int_le(llabs(told_ms - 3000000), 1000);
	/* what is read meanwhile may be of before both */
	clock_adopt(&supervisor, &message);
	ck_assert_int_le(llabs(message.age_from_s - 1003000), 1);
	table_follows();
	ck_assert(!supervisor.clock_set);
}
END_TEST

/* A look began before the table followed, and ends when that is told already. */
START_TEST(what_was_read_before_is_no_older_though_the_table_has_followed)
{
	jump_s(5000);
	clock_follow(&supervisor);
	atomic_store(&outbox.clock_followed, 1);
	clock_adopt(&supervisor, &message);
	ck_assert_int_le(llabs(message.age_from_s - 1005000), 1);
	clock_follow(&supervisor);
	ck_assert(!supervisor.clock_set);
}
END_TEST

START_TEST(what_was_in_hand_several_times_is_no_older)
{
	clock_adopt(&supervisor, &message);
	for (int i = 0; i < 3; i++) {
		jump_s(5000);
		clock_follow(&supervisor);
		if (_i)
			table_follows();
	}
	clock_result(&supervisor, &message);
	ck_assert_int_le(llabs(message.age_from_s - 1015000), 1);
	clock_result(&supervisor, &message);
	ck_assert_int_le(llabs(message.age_from_s - 1015000), 1);
}
END_TEST

START_TEST(what_is_read_before_the_table_follows_is_no_older)
{
	jump_s(5000);
	clock_adopt(&supervisor, &message);
	ck_assert_int_le(llabs(message.age_from_s - 1005000), 1);
	/* … once, though its line began before the jump was noticed */
	clock_result(&supervisor, &message);
	ck_assert_int_le(llabs(message.age_from_s - 1005000), 1);
}
END_TEST

START_TEST(what_is_read_when_the_table_has_followed_is_as_it_says)
{
	jump_s(5000);
	clock_follow(&supervisor);
	table_follows();
	time_passes();
	message.ready_ms = clock_monotonic_ms();
	clock_adopt(&supervisor, &message);
	clock_result(&supervisor, &message);
	ck_assert_int_eq(message.age_from_s, 1000000);
}
END_TEST

START_TEST(what_was_in_hand_is_no_older)
{
	bool followed = _i;

	time_passes();
	jump_s(5000);
	if (followed) {
		clock_follow(&supervisor);
		table_follows();
		time_passes();
	}
	clock_result(&supervisor, &message);
	ck_assert_int_le(llabs(message.age_from_s - 1005000), 1);
}
END_TEST

START_TEST(set_back_nothing_grows_young)
{
	jump_s(-5000);
	clock_adopt(&supervisor, &message);
	clock_result(&supervisor, &message);
	ck_assert(supervisor.clock_set);
	ck_assert_int_eq(message.age_from_s, 1000000);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("daemon: the wall clock");
	TCase *tests = tcase_create("supervisor_clock");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tests, 360);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_loop_test(tests, what_keeps_a_clock_right_is_no_jump, 0, 2);
	tcase_add_test(tests, small_steps_add_up);
	tcase_add_loop_test(tests, a_jump_is_told_once_and_followed_once, 0, 4);
	tcase_add_loop_test(tests, set_again_when_the_table_has_just_followed, 0, 2);
	tcase_add_test(tests, what_was_read_before_is_no_older_though_the_table_has_followed);
	tcase_add_loop_test(tests, what_was_in_hand_several_times_is_no_older, 0, 2);
	tcase_add_test(tests, what_is_read_before_the_table_follows_is_no_older);
	tcase_add_test(tests, what_is_read_when_the_table_has_followed_is_as_it_says);
	tcase_add_loop_test(tests, what_was_in_hand_is_no_older, 0, 2);
	tcase_add_test(tests, set_back_nothing_grows_young);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
