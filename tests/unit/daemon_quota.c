/*
 * daemon_quota.c - never more than the limit within any 60 s, or any 24 h, whatever comes back when.
 */
#include <stdlib.h>

#include "daemon/quota.h"
#include "tests/unit/daemon_test.h"

#define DAY_S INT64_C(86400)

static struct quota_moment at(int64_t ms)
{
	/* of a machine that has just started */
	return (struct quota_moment){ .monotonic_ms = 2000 + ms, .boot_s = 3 + ms / 1000 };
}

static struct quota_moment at_s(int64_t s)
{
	return at(s * 1000);
}

/* A message with one recipient, from its place in the line to the server's answer. */
static bool send_one(struct quota *quota, const struct quota_moment *now)
{
	struct quota_wait wait;

	if (quota_room(quota, now, 1, &wait) == 0)
		return false;
	quota_reserve(quota, 1);
	ck_assert_uint_eq(quota_begin(quota, now, true, 1), 1);
	quota_end(quota, now, 1, 1);
	return true;
}

START_TEST(without_a_limit_there_is_room)
{
	struct quota *quota = quota_create();
	struct quota_moment now = at(0);
	struct quota_wait wait;

	ck_assert_int_eq(quota_room(quota, &now, 1000, &wait), 1000);
	ck_assert_uint_eq(quota_begin(quota, &now, false, 500), 500);
	ck_assert_int_eq(quota_end(quota, &now, 500, 500), 0);
	quota_release(&quota);
	ck_assert_ptr_null(quota);
}
END_TEST

/* Whoever asks as often as can be, at any millisecond: no 60 s see more than the limit. */
START_TEST(no_minute_sees_more_than_the_limit)
{
	static const int limits[] = { 1, 2, 7, 30, 600 };
	int limit = limits[_i];
	struct quota *quota = quota_create();
	int64_t *starts = calloc((size_t)limit, sizeof(*starts)); /* the last `limit` ones */
	int64_t count = 0;
	unsigned seed = 20261128;

	quota_set(quota, limit, 0);
	for (int64_t ms = 0; ms < 400000; ms += 1 + rand_r(&seed) % 200) {
		struct quota_moment now = at(ms);

		while (send_one(quota, &now)) {
			if (count >= limit)
				ck_assert_int_ge(ms - starts[count % limit], 60000);
			starts[count++ % limit] = ms;
		}
	}
	/* And it is used: nobody waits much longer than 61 s. */
	ck_assert_int_ge(count, (int64_t)limit * 6);
	free(starts);
	quota_release(&quota);
}
END_TEST

/* Handed out at once, said late: what is reserved has its room however late it starts. */
START_TEST(what_is_reserved_counts_until_it_starts)
{
	struct quota *quota = quota_create();
	struct quota_wait wait;
	struct quota_moment now = at(0);

	quota_set(quota, 10, 0);
	ck_assert_int_eq(quota_room(quota, &now, 32, &wait), 10);
	quota_reserve(quota, 10);
	ck_assert_int_eq(quota_room(quota, &now, 32, &wait), 0);
	ck_assert_int_eq(wait.limit, QUOTA_FREE); /* those under way decide */
	now = at_s(59);
	for (int i = 0; i < 6; i++)
		ck_assert_uint_eq(quota_begin(quota, &now, true, 1), 1);
	now = at_s(70);
	ck_assert_int_eq(quota_room(quota, &now, 32, &wait), 0);
	quota_unreserve(quota, 4);
	ck_assert_int_eq(quota_room(quota, &now, 32, &wait), 4);
	now = at_s(59 + 61);
	ck_assert_int_eq(quota_room(quota, &now, 32, &wait), 10);
	quota_release(&quota);
}
END_TEST

START_TEST(a_second_transaction_needs_a_start_of_its_own)
{
	struct quota *quota = quota_create();
	struct quota_moment now = at(0);

	quota_set(quota, 2, 0);
	quota_reserve(quota, 1);
	ck_assert_uint_eq(quota_begin(quota, &now, true, 9), 9);
	quota_end(quota, &now, 9, 4);
	ck_assert_uint_eq(quota_begin(quota, &now, false, 5), 5);
	quota_end(quota, &now, 5, 4);
	ck_assert_uint_eq(quota_begin(quota, &now, false, 1), 0);
	quota_release(&quota);
}
END_TEST

START_TEST(says_what_is_used_up_and_until_when)
{
	struct quota *quota = quota_create();
	struct quota_moment now = at(250);
	struct quota_wait wait;

	quota_set(quota, 2, 0);
	ck_assert(send_one(quota, &now));
	now = at(4900);
	ck_assert(send_one(quota, &now));
	ck_assert(!send_one(quota, &now));
	ck_assert_int_eq(quota_room(quota, &now, 1, &wait), 0);
	ck_assert_int_eq(wait.limit, QUOTA_MINUTE);
	ck_assert_int_eq(wait.most, 2);
	ck_assert_int_eq(wait.next_ms, at_s(61).monotonic_ms);
	now = at(60999);
	ck_assert_int_eq(quota_room(quota, &now, 1, &wait), 0);
	now = at(61000);
	ck_assert_int_eq(quota_room(quota, &now, 5, &wait), 1);
	quota_release(&quota);
}
END_TEST

START_TEST(a_smaller_limit_holds_at_once_a_larger_one_too)
{
	struct quota *quota = quota_create();
	struct quota_moment now = at(0);
	struct quota_wait wait;

	quota_set(quota, 10, 0);
	quota_reserve(quota, 5);
	ck_assert_uint_eq(quota_begin(quota, &now, true, 1), 1);
	ck_assert_uint_eq(quota_begin(quota, &now, true, 1), 1);
	quota_set(quota, 2, 0);
	ck_assert_uint_eq(quota_begin(quota, &now, true, 1), 0);
	quota_unreserve(quota, 3);
	quota_set(quota, 6, 0);
	ck_assert_int_eq(quota_room(quota, &now, 10, &wait), 4);
	quota_set(quota, 0, 0);
	ck_assert_int_eq(quota_room(quota, &now, 10, &wait), 10);
	quota_release(&quota);
}
END_TEST

START_TEST(a_message_goes_to_as_many_as_fit)
{
	struct quota *quota = quota_create();
	struct quota_moment now = at_s(0);
	struct quota_wait wait;

	quota_set(quota, 0, 100);
	ck_assert_uint_eq(quota_begin(quota, &now, false, 80), 80);
	/* Set apart until the answer, whoever asks. */
	ck_assert_uint_eq(quota_begin(quota, &now, false, 80), 20);
	ck_assert_uint_eq(quota_begin(quota, &now, false, 1), 0);
	ck_assert_int_eq(quota_room(quota, &now, 9, &wait), 0);
	ck_assert_int_eq(wait.limit, QUOTA_FREE);
	/* Not one of the 20 was named to the server: given back. */
	ck_assert_int_eq(quota_end(quota, &now, 20, 0), 0);
	ck_assert_uint_eq(quota_end(quota, &now, 80, 70), 70);
	ck_assert_uint_eq(quota_begin(quota, &now, false, 80), 30);
	quota_end(quota, &now, 30, 30);
	ck_assert_int_eq(quota_room(quota, &now, 9, &wait), 0);
	ck_assert_int_eq(wait.limit, QUOTA_DAY);
	ck_assert_int_eq(wait.most, 100);
	ck_assert_int_ge(wait.next_ms - now.monotonic_ms, DAY_S * 1000);
	ck_assert_int_le(wait.next_ms - now.monotonic_ms, (DAY_S + QUOTA_PART_S) * 1000);
	now = (struct quota_moment){ .monotonic_ms = wait.next_ms,
		                     .boot_s = now.boot_s + (wait.next_ms - now.monotonic_ms) / 1000 };
	ck_assert_int_eq(quota_room(quota, &now, 9, &wait), 9);
	ck_assert_uint_eq(quota_begin(quota, &now, false, 200), 100);
	quota_release(&quota);
}
END_TEST

START_TEST(no_day_sees_more_than_the_limit)
{
	struct quota *quota = quota_create();
	int64_t times[50];
	int64_t count = 0;
	unsigned seed = 7;

	quota_set(quota, 0, 50);
	for (int64_t s = 0; s < 4 * DAY_S; s += 1 + rand_r(&seed) % 600) {
		struct quota_moment now = at_s(s);

		while (quota_begin(quota, &now, false, 1) == 1) {
			quota_end(quota, &now, 1, 1);
			if (count >= 50)
				ck_assert_int_ge(s - times[count % 50], DAY_S);
			times[count++ % 50] = s;
			if (rand_r(&seed) % 3 == 0)
				break;
		}
	}
	ck_assert_int_ge(count, 50 * 3);
	quota_release(&quota);
}
END_TEST

START_TEST(an_earlier_process_is_remembered)
{
	struct quota *quota = quota_create();
	struct quota_moment now = at_s(0);
	struct quota_wait wait;

	quota_set(quota, 0, 100);
	quota_remember(quota, &now, DAY_S + 2 * QUOTA_PART_S, 1000); /* over */
	quota_remember(quota, &now, DAY_S / 2, 60);
	quota_remember(quota, &now, 3600, 30);
	quota_remember(quota, &now, -40 * DAY_S,
	               5); /* the clock was set back while there was no process: counts now */
	ck_assert_uint_eq(quota_begin(quota, &now, false, 50), 5);
	quota_end(quota, &now, 5, 5);
	ck_assert_int_eq(quota_room(quota, &now, 1, &wait), 0);
	now = at_s(DAY_S / 2 + QUOTA_PART_S);
	ck_assert_uint_eq(quota_begin(quota, &now, false, 500), 60);
	/* what was in the future is over in a day, not later */
	now = at_s(DAY_S + QUOTA_PART_S);
	ck_assert_uint_eq(quota_begin(quota, &now, false, 500), 40);
	quota_release(&quota);
}
END_TEST

/* A thread that read its clock before another one did sets nothing free. */
START_TEST(a_late_thread_sets_nothing_free)
{
	struct quota *quota = quota_create();
	struct quota_moment now = at(1000), before = at(999), after = at(61500);
	struct quota_wait wait;

	quota_set(quota, 1, 0);
	ck_assert(send_one(quota, &now));
	ck_assert(!send_one(quota, &before));
	ck_assert_int_eq(quota_room(quota, &after, 1, &wait), 0);
	quota_release(&quota);
}
END_TEST

/* Nor is it told of an earlier moment: who reads it at the end of a part waits for the part that has begun.
 */
START_TEST(a_late_thread_waits_as_long)
{
	struct quota *quota = quota_create();
	struct quota_moment now = at_s(10 * QUOTA_PART_S), before = at_s(10 * QUOTA_PART_S - 4);
	struct quota_wait wait, late;

	quota_set(quota, 0, 1);
	ck_assert(send_one(quota, &now));
	ck_assert_int_eq(quota_room(quota, &now, 1, &wait), 0);
	ck_assert_int_eq(wait.limit, QUOTA_DAY);
	ck_assert_int_eq(quota_room(quota, &before, 1, &late), 0);
	ck_assert_int_eq(late.limit, QUOTA_DAY);
	ck_assert_int_eq(late.next_ms, wait.next_ms);
	quota_release(&quota);
}
END_TEST

START_TEST(two_tenants_can_share_one)
{
	struct quota *one = quota_create(), *other = quota_hold(one);
	struct quota_moment now = at(0);

	quota_set(one, 3, 0);
	ck_assert(send_one(one, &now));
	ck_assert(send_one(other, &now));
	quota_release(&one);
	ck_assert(send_one(other, &now));
	ck_assert(!send_one(other, &now));
	quota_release(&other);
}
END_TEST

/* Who has a message handed out gets a recipient of the day, however many another asks for first. */
START_TEST(what_is_handed_out_has_a_recipient_of_the_day)
{
	struct quota *quota = quota_create();
	struct quota_moment now = at(0);
	struct quota_wait wait;

	quota_set(quota, 0, 5);
	quota_reserve(quota, 2);
	ck_assert_int_eq(quota_room(quota, &now, 9, &wait), 3);
	ck_assert_uint_eq(quota_begin(quota, &now, true, 100), 4);
	ck_assert_uint_eq(quota_begin(quota, &now, false, 100), 0);
	ck_assert_int_eq(quota_room(quota, &now, 9, &wait), 0);
	ck_assert_int_eq(wait.limit, QUOTA_FREE);
	ck_assert_uint_eq(quota_begin(quota, &now, true, 100), 1);
	quota_release(&quota);
}
END_TEST

TCase *quota_tests(void)
{
	TCase *tcase = tcase_create("quota");

	tcase_add_test(tcase, without_a_limit_there_is_room);
	tcase_add_loop_test(tcase, no_minute_sees_more_than_the_limit, 0, 5);
	tcase_add_test(tcase, what_is_reserved_counts_until_it_starts);
	tcase_add_test(tcase, a_second_transaction_needs_a_start_of_its_own);
	tcase_add_test(tcase, says_what_is_used_up_and_until_when);
	tcase_add_test(tcase, a_smaller_limit_holds_at_once_a_larger_one_too);
	tcase_add_test(tcase, a_message_goes_to_as_many_as_fit);
	tcase_add_test(tcase, no_day_sees_more_than_the_limit);
	tcase_add_test(tcase, an_earlier_process_is_remembered);
	tcase_add_test(tcase, a_late_thread_sets_nothing_free);
	tcase_add_test(tcase, a_late_thread_waits_as_long);
	tcase_add_test(tcase, two_tenants_can_share_one);
	tcase_add_test(tcase, what_is_handed_out_has_a_recipient_of_the_day);
	return tcase;
}
