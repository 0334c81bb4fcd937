/*
 * daemon_breaker.c - the tenant's breaker: backoff, probes, slow start, streaks.
 */
#include "daemon/breaker.h"
#include "tests/unit/daemon_test.h"

#define MIDDLE 0x40000000u

/* The delay of the n-th failure in a row lies within ±20 % of what the contract says. */
START_TEST(backoff_doubles_to_retry_max)
{
	static const int64_t expected_s[] = { 5, 10, 20, 40, 80, 160, 300, 300 };
	struct breaker breaker;
	int64_t now = 1000;

	breaker_init(&breaker);
	for (size_t i = 0; i < sizeof(expected_s) / sizeof(expected_s[0]); i++) {
		int64_t delay;

		if (i > 0) {
			ck_assert_int_eq(breaker_allowance(&breaker, now), 1);
			breaker_probe_started(&breaker);
		}
		ck_assert(breaker_fail(&breaker, TROUBLE_PLAIN, 300, now, (uint32_t)(i * 2654435761u)));
		delay = breaker.retry_at_ms - now;
		ck_assert_int_ge(delay, expected_s[i] * 800);
		ck_assert_int_le(delay, expected_s[i] * 1200);
		ck_assert_int_eq(breaker.failures, (int)i + 1);
		ck_assert_int_eq(breaker_allowance(&breaker, breaker.retry_at_ms - 1), 0);
		now = breaker.retry_at_ms;
	}
}
END_TEST

START_TEST(first_delay_is_retry_max_if_that_is_shorter)
{
	struct breaker breaker;

	breaker_init(&breaker);
	breaker_fail(&breaker, TROUBLE_PLAIN, 2, 0, MIDDLE);
	ck_assert_int_le(breaker.retry_at_ms, 2400);
}
END_TEST

START_TEST(rejected_login_waits_15_minutes_to_6_hours)
{
	static const int64_t expected_min[] = { 15, 30, 60, 120, 240, 360, 360 };
	struct breaker breaker;
	int64_t now = 0;

	breaker_init(&breaker);
	for (size_t i = 0; i < sizeof(expected_min) / sizeof(expected_min[0]); i++) {
		if (i > 0)
			breaker_probe_started(&breaker);
		ck_assert(breaker_fail(&breaker, TROUBLE_AUTH_FAILED, 60, now, MIDDLE));
		ck_assert_int_eq(breaker.state, BREAKER_AUTH_FAILED);
		ck_assert_int_ge(breaker.retry_at_ms - now, expected_min[i] * 48000);
		ck_assert_int_le(breaker.retry_at_ms - now, expected_min[i] * 72000);
		now = breaker.retry_at_ms;
	}
}
END_TEST

START_TEST(rejected_login_begins_its_own_row_of_delays)
{
	struct breaker breaker;

	breaker_init(&breaker);
	breaker_fail(&breaker, TROUBLE_PLAIN, 3600, 0, MIDDLE);
	/* Even from another session that was under way: a wrong password is never hammered. */
	ck_assert(breaker_fail(&breaker, TROUBLE_AUTH_FAILED, 3600, 1, MIDDLE));
	ck_assert_int_ge(breaker.retry_at_ms, 15 * 48000);
	/* And trouble of the plain kind does not shorten it. */
	ck_assert(!breaker_fail(&breaker, TROUBLE_PLAIN, 3600, 2, MIDDLE));
	ck_assert_int_eq(breaker.state, BREAKER_AUTH_FAILED);
}
END_TEST

START_TEST(sessions_under_way_tell_nothing_new)
{
	struct breaker breaker;
	int64_t retry_at;

	breaker_init(&breaker);
	ck_assert(breaker_fail(&breaker, TROUBLE_PLAIN, 3600, 0, MIDDLE));
	retry_at = breaker.retry_at_ms;
	ck_assert(!breaker_fail(&breaker, TROUBLE_PLAIN, 3600, 10, MIDDLE));
	ck_assert_int_eq(breaker.retry_at_ms, retry_at);
	ck_assert_int_eq(breaker.failures, 1);
}
END_TEST

START_TEST(one_probe_at_a_time)
{
	struct breaker breaker;

	breaker_init(&breaker);
	breaker_fail(&breaker, TROUBLE_THROTTLED, 3600, 0, MIDDLE);
	ck_assert_int_eq(breaker.state, BREAKER_THROTTLED);
	breaker_probe_started(&breaker);
	ck_assert_int_eq(breaker_allowance(&breaker, breaker.retry_at_ms + 100000), 0);
	breaker_probe_untried(&breaker, 50000);
	ck_assert_int_eq(breaker_allowance(&breaker, 50999), 0);
	ck_assert_int_eq(breaker_allowance(&breaker, 51000), 1);
}
END_TEST

START_TEST(slow_start_after_an_outage)
{
	struct breaker breaker;
	int pace = 1;

	breaker_init(&breaker);
	ck_assert_int_eq(breaker_allowance(&breaker, 0), BREAKER_PACE_NORMAL);
	breaker_fail(&breaker, TROUBLE_PLAIN, 3600, 0, MIDDLE);
	breaker_probe_started(&breaker);
	ck_assert(breaker_succeed(&breaker));
	while (pace < BREAKER_PACE_NORMAL) {
		ck_assert_int_eq(breaker_allowance(&breaker, 0), pace);
		ck_assert(!breaker_succeed(&breaker));
		pace *= 2;
	}
	ck_assert_int_eq(breaker_allowance(&breaker, 0), BREAKER_PACE_NORMAL);
	/* The next outage begins with the first delay again. */
	breaker_fail(&breaker, TROUBLE_PLAIN, 3600, 0, MIDDLE);
	ck_assert_int_le(breaker.retry_at_ms, 6000);
}
END_TEST

START_TEST(streak_of_the_same_refusal)
{
	struct breaker breaker;

	breaker_init(&breaker);
	for (int i = 1; i < 5; i++)
		ck_assert(!breaker_streak(&breaker, STAGE_RCPT, 550, 5));
	ck_assert(breaker_streak(&breaker, STAGE_RCPT, 550, 5));
	ck_assert(breaker_streak(&breaker, STAGE_RCPT, 550, 5));
	/* another code, another stage, or an acceptance begins anew */
	ck_assert(!breaker_streak(&breaker, STAGE_RCPT, 554, 5));
	ck_assert(!breaker_streak(&breaker, STAGE_MAIL, 554, 5));
	for (int i = 0; i < 3; i++)
		ck_assert(!breaker_streak(&breaker, STAGE_MAIL, 554, 5));
	breaker_streak_end(&breaker);
	ck_assert(!breaker_streak(&breaker, STAGE_MAIL, 554, 5));
	/* 0 = off */
	for (int i = 0; i < 20; i++)
		ck_assert(!breaker_streak(&breaker, STAGE_MAIL, 554, 0));
}
END_TEST

START_TEST(message_delay_doubles_and_keeps_its_bounds)
{
	for (uint32_t dice = 0; dice < 4000; dice += 37) {
		ck_assert_int_ge(backoff_message_s(1, 60, 3600, dice * 1000003u), 48);
		ck_assert_int_le(backoff_message_s(1, 60, 3600, dice * 1000003u), 72);
		ck_assert_int_ge(backoff_message_s(4, 60, 3600, dice * 1000003u), 384);
		ck_assert_int_le(backoff_message_s(4, 60, 3600, dice * 1000003u), 576);
		ck_assert_int_le(backoff_message_s(40, 60, 3600, dice * 1000003u), 3600);
		ck_assert_int_ge(backoff_message_s(40, 60, 3600, dice * 1000003u), 2880);
		ck_assert_int_ge(backoff_message_s(1, 1, 1, dice * 1000003u), 1);
	}
}
END_TEST

TCase *breaker_tests(void)
{
	TCase *tests = tcase_create("breaker");

	tcase_add_test(tests, backoff_doubles_to_retry_max);
	tcase_add_test(tests, first_delay_is_retry_max_if_that_is_shorter);
	tcase_add_test(tests, rejected_login_waits_15_minutes_to_6_hours);
	tcase_add_test(tests, rejected_login_begins_its_own_row_of_delays);
	tcase_add_test(tests, sessions_under_way_tell_nothing_new);
	tcase_add_test(tests, one_probe_at_a_time);
	tcase_add_test(tests, slow_start_after_an_outage);
	tcase_add_test(tests, streak_of_the_same_refusal);
	tcase_add_test(tests, message_delay_doubles_and_keeps_its_bounds);
	return tests;
}
