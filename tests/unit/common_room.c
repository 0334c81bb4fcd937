/*
 * common_room.c - room is never lent beyond its bound, the last quarter is for what is small,
 * and what was taken is what is given back.
 */
#include "common/room.h"

#include <pthread.h>
#include <signal.h>

#include "tests/unit/common_test.h"

#define KIB 1024

static int64_t used(struct room *room)
{
	return atomic_load(&room->used_bytes);
}

START_TEST(the_last_quarter_is_for_what_is_small)
{
	struct room room;

	room_init(&room, 400 * KIB);
	ck_assert(room_take(&room, 200 * KIB, false));
	ck_assert(!room_take(&room, 100 * KIB + 1, false));
	ck_assert(room_take(&room, 100 * KIB, false));
	ck_assert(!room_take(&room, 1, false));
	ck_assert(room_take(&room, 100 * KIB, true));
	ck_assert(!room_take(&room, 1, true));
	ck_assert_int_eq(used(&room), 400 * KIB);
	ck_assert(room_take(&room, 0, false)); /* nothing always has its place */
	room_give(&room, 100 * KIB);
	ck_assert(!room_take(&room, 1, false));
	ck_assert(room_take(&room, 1, true));
	room_give(&room, 300 * KIB + 1);
	ck_assert_int_eq(used(&room), 0);
}
END_TEST

START_TEST(what_must_be_is_charged_and_others_find_less)
{
	struct room room;

	room_init(&room, 100 * KIB);
	room_charge(&room, 90 * KIB);
	ck_assert(!room_take(&room, 1, false));
	ck_assert(room_take(&room, 10 * KIB, true));
	room_charge(&room, 90 * KIB);
	ck_assert_int_eq(used(&room), 190 * KIB);
	room_give(&room, 190 * KIB);
	ck_assert(room_take(&room, 75 * KIB, false));
}
END_TEST

START_TEST(a_bound_that_is_lowered_or_raised_counts_at_once)
{
	struct room room;

	room_init(&room, 400 * KIB);
	ck_assert(room_take(&room, 300 * KIB, false));
	atomic_store(&room.max_bytes, 100 * KIB);
	ck_assert(!room_take(&room, 1, true));
	room_give(&room, 250 * KIB);
	ck_assert(room_take(&room, 25 * KIB, false));
	ck_assert(!room_take(&room, 1, false));
	atomic_store(&room.max_bytes, INT64_MAX);
	ck_assert(room_take(&room, INT64_C(1) << 50, false));
}
END_TEST

START_TEST(more_is_not_given_back_than_was_taken)
{
	struct room room;

	room_init(&room, 100);

	(void)room_take(&room, 10, false);
	room_give(&room, 11);
}
END_TEST

static int asked;

static void ask(struct room_asker *asker)
{
	(void)asker;
	asked++;
}

/* Who has no other way gets what it waits for, however many others come meanwhile. */
START_TEST(what_is_claimed_is_left_alone_by_who_is_not_small)
{
	struct room room;
	struct room_asker asker = { .freed = ask };
	int64_t wanted;

	room_init(&room, 400 * KIB);
	ck_assert(room_take(&room, 200 * KIB, false));
	ck_assert(!room_take_whole(&room, 150 * KIB, false, &wanted)); /* 300 are for what is not small */
	ck_assert_int_eq(wanted, 150 * KIB);
	ck_assert_int_eq(used(&room), 200 * KIB);
	room_claim(&room, wanted);
	ck_assert(!room_fits(&room, 1, false));
	ck_assert(!room_take(&room, 1, false));
	ck_assert(room_take(&room, ROOM_SMALL_BYTES, true));
	ck_assert(!room_fits_claimed(&room, wanted));
	room_give(&room, ROOM_SMALL_BYTES);
	room_give(&room, 50 * KIB); /* 150 are in use: just enough */
	ck_assert(!room_take(&room, 1, false));
	ck_assert(room_fits_claimed(&room, wanted));
	ck_assert(room_take_whole(&room, wanted, true, &wanted));
	room_join(&room, &asker);
	atomic_store(&room.waiting, 1);
	room_unclaim(&room, 150 * KIB); /* others may take what is left */
	ck_assert_int_eq(asked, 1);
	room_part(&room, &asker);
	room_give(&room, 200 * KIB);
	ck_assert(room_take(&room, 200 * KIB, false));
	room_give(&room, 300 * KIB);
	room_fini(&room);
}
END_TEST

START_TEST(what_cannot_go_elsewhere_waits_only_if_it_is_large_and_for_no_more_than_half)
{
	struct room room;
	int64_t wanted;

	room_init(&room, 400 * KIB);
	room_charge(&room, 400 * KIB);
	ck_assert(room_take_whole(&room, ROOM_ANYWAY_BYTES, false, &wanted));
	ck_assert_int_eq(used(&room), 400 * KIB + ROOM_ANYWAY_BYTES);
	room_give(&room, ROOM_ANYWAY_BYTES);
	ck_assert(!room_take_whole(&room, ROOM_ANYWAY_BYTES + 1, false, &wanted));
	ck_assert_int_eq(wanted, ROOM_ANYWAY_BYTES + 1);
	room_give(&room, 300 * KIB - 1);
	ck_assert(!room_take_whole(&room, 1000 * KIB, false, &wanted));
	ck_assert_int_eq(wanted, 200 * KIB);
	room_give(&room, 1);
	ck_assert(room_take_whole(&room, 1000 * KIB, false, &wanted));
	ck_assert_int_eq(used(&room), 1100 * KIB); /* all of it counts */
	room_give(&room, 1100 * KIB);
	room_fini(&room);
}
END_TEST

#define THREADS 8
#define ROUNDS  20000

struct crowd {
	struct room room;
	_Atomic int64_t held; /* counted beside it, after taking and before giving */
	atomic_int above, refused;
};

static void *one_of_many(void *context)
{
	struct crowd *crowd = context;

	for (int i = 1; i <= ROUNDS; i++) {
		int64_t bytes = i % 7 + 1;

		if (!room_take(&crowd->room, bytes, true)) {
			atomic_fetch_add(&crowd->refused, 1);
			continue;
		}
		if (atomic_fetch_add(&crowd->held, bytes) + bytes > 12)
			atomic_fetch_add(&crowd->above, 1);
		atomic_fetch_sub(&crowd->held, bytes);
		room_give(&crowd->room, bytes);
	}
	return NULL;
}

START_TEST(however_many_come_at_once_it_is_never_above_its_bound)
{
	struct crowd crowd = { .held = 0 };
	pthread_t threads[THREADS];

	room_init(&crowd.room, 12);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, one_of_many, &crowd), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(atomic_load(&crowd.above), 0);
	ck_assert_int_eq(used(&crowd.room), 0);
}
END_TEST

TCase *common_room_cases(void)
{
	TCase *cases = tcase_create("room");

	tcase_add_test(cases, the_last_quarter_is_for_what_is_small);
	tcase_add_test(cases, what_must_be_is_charged_and_others_find_less);
	tcase_add_test(cases, a_bound_that_is_lowered_or_raised_counts_at_once);
	tcase_add_test(cases, what_is_claimed_is_left_alone_by_who_is_not_small);
	tcase_add_test(cases, what_cannot_go_elsewhere_waits_only_if_it_is_large_and_for_no_more_than_half);
	tcase_add_test_raise_signal(cases, more_is_not_given_back_than_was_taken, SIGABRT);
	tcase_add_test(cases, however_many_come_at_once_it_is_never_above_its_bound);
	return cases;
}
