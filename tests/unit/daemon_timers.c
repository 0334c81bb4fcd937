/*
 * daemon_timers.c - the heap of times gives them back in order, whatever happened before.
 */
#include <stdlib.h>

#include "daemon/timers.h"
#include "tests/unit/daemon_test.h"

#define TIMERS 500

START_TEST(taken_in_order_after_moves_and_removals)
{
	struct timers timers;
	struct timer all[TIMERS] = { { 0 } };
	int64_t last = -1;
	int taken = 0, cleared = 0;
	unsigned seed = 20261125;

	timers_init(&timers);
	for (int i = 0; i < TIMERS; i++)
		timers_set(&timers, &all[i], rand_r(&seed) % 1000);
	for (int i = 0; i < TIMERS; i += 3)
		timers_set(&timers, &all[i], rand_r(&seed) % 1000);
	for (int i = 0; i < TIMERS; i += 7, cleared++)
		timers_clear(&timers, &all[i]);
	ck_assert_ptr_null(timers_take(&timers, -1));
	while (timers_next(&timers) != INT64_MAX) {
		int64_t at = timers_next(&timers);
		struct timer *timer = timers_take(&timers, at);

		ck_assert_ptr_nonnull(timer);
		ck_assert_int_eq(timer->at_ms, at);
		ck_assert_int_ge(at, last);
		ck_assert_uint_eq(timer->place, 0);
		last = at;
		taken++;
	}
	ck_assert_int_eq(taken, TIMERS - cleared);
	timers_fini(&timers);
}
END_TEST

START_TEST(earlier_only_moves_forward)
{
	struct timers timers;
	struct timer timer = { 0 };

	timers_init(&timers);
	timers_set_earlier(&timers, &timer, 50);
	timers_set_earlier(&timers, &timer, 80);
	ck_assert_int_eq(timers_next(&timers), 50);
	timers_set_earlier(&timers, &timer, 20);
	ck_assert_int_eq(timers_next(&timers), 20);
	timers_set(&timers, &timer, 90);
	ck_assert_int_eq(timers_next(&timers), 90);
	timers_clear(&timers, &timer);
	timers_clear(&timers, &timer);
	ck_assert_int_eq(timers_next(&timers), INT64_MAX);
	timers_fini(&timers);
}
END_TEST

TCase *timers_tests(void)
{
	TCase *tests = tcase_create("timers");

	tcase_add_test(tests, taken_in_order_after_moves_and_removals);
	tcase_add_test(tests, earlier_only_moves_forward);
	return tests;
}
