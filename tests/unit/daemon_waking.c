/*
 * daemon_waking.c - when the supervisor asks whether a commit can be seen: soon after it can, and seldom.
 */
#include "daemon/supervisor_wait.h"
#include "tests/unit/daemon_test.h"

#define SECOND_US INT64_C(1000000)

/* Asks from the event at 0 on until the commit, to be seen from visible_us on, is seen; answers when. */
static int64_t seen_at(struct waking *waking, int64_t visible_us, int *asks)
{
	*asks = 0;
	waking_event(waking, 0);
	while (waking->event_us >= 0) {
		int64_t at = waking->ask_us;

		ck_assert(!waking_is_due(waking, at - 1));
		ck_assert(waking_is_due(waking, at));
		++*asks;
		waking_answered(waking, at, false, at >= visible_us);
		if (at >= visible_us)
			return at;
	}
	return -1;
}

START_TEST(a_commit_is_seen_at_most_a_quarter_later_than_it_can_be)
{
	for (int64_t visible_us = 1; visible_us <= 8000; visible_us += 7) {
		struct waking waking;
		int asks;

		waking_init(&waking);
		/* the first ask is not before half of what is usual: that is its measure */
		ck_assert_int_le(seen_at(&waking, visible_us, &asks),
		                 visible_us < 100 ? 100 : visible_us + visible_us / 4 + 50);
		ck_assert_int_le(asks, 30);
	}
}
END_TEST

START_TEST(with_nothing_in_hand_a_commit_is_seen_at_most_a_sixteenth_later)
{
	for (int64_t visible_us = 1; visible_us <= 8000; visible_us += 7) {
		struct waking waking;
		int asks;

		waking_init(&waking);
		waking.keen = true;
		ck_assert_int_le(seen_at(&waking, visible_us, &asks),
		                 visible_us < 100 ? 100 : visible_us + visible_us / 16 + 20);
		ck_assert_int_le(asks, 90);
	}
}
END_TEST

START_TEST(who_never_writes_mail_is_not_worth_being_keen)
{
	struct waking waking;

	waking_init(&waking);
	ck_assert_int_gt(waking.credit, 0);
	for (int i = 0; i < 100; i++) /* each message with our own commit and the one of its status */
		for (int n = 0; n < 3; n++) {
			waking_brought(&waking, 0, n == 0);
			ck_assert_int_gt(waking.credit, 0);
		}
	for (int i = 0; i < 20; i++)
		waking_brought(&waking, 0, false);
	ck_assert_int_eq(waking.credit, 0);
	waking_brought(&waking, 0, true); /* and a message is believed at once */
	ck_assert_int_gt(waking.credit, 0);
}
END_TEST

START_TEST(a_slow_disk_is_asked_seldom_and_seen_at_twice_the_time_at_the_latest)
{
	for (int64_t visible_us = 10000; visible_us <= 200000; visible_us += 991) {
		struct waking waking;
		int64_t at;
		int asks;

		waking_init(&waking);
		at = seen_at(&waking, visible_us, &asks);
		ck_assert_int_ge(at, visible_us);
		ck_assert_int_le(at, 2 * visible_us + 2500);
		ck_assert_int_le(asks, 40);
	}
}
END_TEST

START_TEST(what_commits_take_is_learnt)
{
	struct waking waking;
	int asks;

	waking_init(&waking);
	for (int i = 0; i < 200; i++) {
		waking.event_us = -1;
		seen_at(&waking, 1600, &asks);
	}
	ck_assert_int_ge(waking.usual_us, 1200);
	ck_assert_int_le(waking.usual_us, 2100);
	ck_assert_int_le(asks, 6); /* not from the beginning */
	waking.event_us = -1;
	seen_at(&waking, 300, &asks); /* a quick one is believed at once */
	ck_assert_int_le(waking.usual_us, 1000);
}
END_TEST

START_TEST(a_transaction_that_writes_for_long_does_not_keep_us_busy)
{
	struct waking waking;
	int64_t at = 0;
	int asks = 0;

	waking_init(&waking);
	waking_event(&waking, 0);
	while (at < 10 * SECOND_US) {
		ck_assert_int_ge(waking.event_us, 0);
		at = waking.ask_us;
		waking_answered(&waking, at, true, false);
		asks++;
	}
	ck_assert_int_le(asks, 10 * 600);
	/* its commit is still seen soon: the last of its events was told */
	ck_assert_int_le(waking.ask_us - at, 2000);
}
END_TEST

START_TEST(a_commit_right_behind_one_that_was_seen_is_looked_for)
{
	struct waking waking;
	int64_t at;

	waking_init(&waking);
	waking_event(&waking, 0);
	at = waking.ask_us;
	waking_answered(&waking, at, true, true); /* seen, and events of the next */
	ck_assert_int_le(waking.ask_us - at, 1000);
	at = waking.ask_us;
	waking_answered(&waking, at, false, true); /* its event came between our look at it and the answer */
	ck_assert_int_ge(waking.event_us, 0);
	ck_assert_int_le(waking.ask_us - at, 1000);
}
END_TEST

/* An ask found the event of another commit, which is not to be seen yet and tells nothing further. */
START_TEST(a_commit_whose_event_an_ask_found_is_seen_as_soon_as_the_first_one)
{
	for (int64_t event_us = 200; event_us <= 20000; event_us += 7) {
		struct waking waking;
		int64_t at = 0, visible_us = 0;

		waking_init(&waking);
		waking.keen = true;
		waking_event(&waking, 0);
		while (visible_us == 0 || at < visible_us) {
			bool more = visible_us == 0 && waking.ask_us >= event_us;

			at = waking.ask_us;
			if (more)
				visible_us = at + 1000;
			waking_answered(&waking, at, more, visible_us && at >= visible_us);
		}
		/* the ask after one that found an event comes within 2 ms, the others by the time since then
		 */
		ck_assert_int_le(at, visible_us + 4000);
	}
}
END_TEST

/* Each message a commit, one right after another: seen some at a time, and nothing is learnt from that. */
START_TEST(mail_right_behind_mail_is_looked_for_a_moment_later)
{
	struct waking waking;
	int asks;

	waking_init(&waking);
	waking_brought(&waking, 0, true);
	ck_assert_int_ge(seen_at(&waking, 300, &asks), 2000);
	ck_assert_int_eq(asks, 1);
	waking.event_us = -1;
	ck_assert_int_le(seen_at(&waking, 2200, &asks), 2000 + 800); /* what it waits for then is as soon */
	waking_init(&waking);
	waking_brought(&waking, 0, true);
	for (int i = 0; i < 50; i++) {
		waking.event_us = -1;
		seen_at(&waking, 300, &asks);
	}
	waking.event_us = -1;
	waking_event(&waking, 5000); /* one by itself is seen as soon as ever */
	ck_assert_int_le(waking.ask_us, 5000 + 200);
	waking_brought(&waking, 5000, false); /* what is no mail puts nothing off */
	waking.event_us = -1;
	waking_event(&waking, 5100);
	ck_assert_int_le(waking.ask_us, 5100 + 200);
}
END_TEST

START_TEST(it_ends_and_an_event_begins_anew)
{
	struct waking waking;
	int asks = 0;

	waking_init(&waking);
	ck_assert(waking_hears_events(&waking));
	ck_assert(!waking_is_due(&waking, SECOND_US));
	waking_answered(&waking, 0, false, true); /* asked by the clock: nothing is awaited */
	ck_assert_int_lt(waking.event_us, 0);

	waking_event(&waking, 0);
	ck_assert(!waking_hears_events(&waking)); /* asked closely: nobody wakes us for each write */
	while (waking.event_us >= 0) {
		waking_answered(&waking, waking.ask_us, false, false);
		asks++;
		if (waking.wait_us > 5000 && waking.event_us == 0) { /* a new event shall not wait for that */
			struct waking other = waking;

			ck_assert(waking_hears_events(&other));
			waking_event(&other, waking.ask_us - 1);
			ck_assert_int_le(other.ask_us - waking.ask_us, 1000);
		}
	}
	ck_assert_int_le(asks, 40);
	ck_assert(waking_hears_events(&waking));
}
END_TEST

TCase *waking_tests(void)
{
	TCase *test = tcase_create("waking");

	tcase_add_test(test, a_commit_is_seen_at_most_a_quarter_later_than_it_can_be);
	tcase_add_test(test, with_nothing_in_hand_a_commit_is_seen_at_most_a_sixteenth_later);
	tcase_add_test(test, who_never_writes_mail_is_not_worth_being_keen);
	tcase_add_test(test, a_slow_disk_is_asked_seldom_and_seen_at_twice_the_time_at_the_latest);
	tcase_add_test(test, what_commits_take_is_learnt);
	tcase_add_test(test, a_transaction_that_writes_for_long_does_not_keep_us_busy);
	tcase_add_test(test, a_commit_right_behind_one_that_was_seen_is_looked_for);
	tcase_add_test(test, a_commit_whose_event_an_ask_found_is_seen_as_soon_as_the_first_one);
	tcase_add_test(test, mail_right_behind_mail_is_looked_for_a_moment_later);
	tcase_add_test(test, it_ends_and_an_event_begins_anew);
	return test;
}
