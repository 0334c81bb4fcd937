/*
 * sqlite_places_test.c - places for copying: the order of who waits, and memory that comes back.
 *
 * Each that waits is a thread; the next step is taken when it is in line, or out of it.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "storage/sqlite_places.h"
#include "tests/contract/bed.h"
#include "tests/contract/sqlite_backend.h"

#define KIB       1024
#define PATIENCE  60000 /* ms: never reached where all is well */
#define WAITS_MAX 8

static const int two_and_four[SPOOL_KINDS] = { [SPOOL_SPILL] = 2, [SPOOL_LARGE] = 4 };
static struct spool_places places;
static struct room room;
static struct who {
	struct place_wait wait;
	pthread_t thread;
	atomic_int got; /* -1 = waits */
	int64_t deadline_ms;
} all[WAITS_MAX];
static int begun;

static void set_up(void)
{
	room_init(&room, 1024 * KIB);
	places_init(&places, two_and_four, &room);
	memset(all, 0, sizeof all);
	begun = 0;
}

static void tear_down(void)
{
	places_fini(&places);
	room_fini(&room);
}

static void pause_briefly(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

static void *one(void *context)
{
	struct who *who = context;

	atomic_store(&who->got, (int)places_wait(&places, &who->wait, who->deadline_ms));
	return NULL;
}

/* It stands in line when this returns, or has what it wants. */
static void start(struct who *who)
{
	bool in_line = false;

	who->wait.prev = who->wait.next = NULL;
	atomic_store(&who->got, -1);
	who->deadline_ms = deadline_after_ms(PATIENCE);
	ck_assert_int_eq(pthread_create(&who->thread, NULL, one, who), 0);
	while (!in_line && atomic_load(&who->got) == -1) {
		pause_briefly();
		pthread_mutex_lock(&places.lock);
		in_line = who->wait.prev;
		pthread_mutex_unlock(&places.lock);
	}
}

static struct who *stand_for(enum spooling kind, const char *tenant, int64_t bytes)
{
	struct who *who = &all[begun++];

	who->wait = (struct place_wait){ .kind = kind, .tenant = tenant, .bytes = bytes };
	start(who);
	return who;
}

/* With bytes: room for them would do. */
static struct who *stand(const char *tenant, int64_t bytes)
{
	return stand_for(SPOOL_SPILL, tenant, bytes);
}

/* Whatever it gets is settled by who gives it, before its own thread runs. */
static bool waits(struct who *who)
{
	bool nothing;

	pthread_mutex_lock(&places.lock);
	nothing = who->wait.got == PLACE_NONE;
	pthread_mutex_unlock(&places.lock);
	return nothing;
}

/* So whoever got nothing is known at once, and whoever was not told of it by its deadline. */
static void expect(struct who *who, enum place_given got)
{
	ck_assert_msg(atomic_load(&who->got) != -1 || !waits(who), "%s's message still waits",
	              who->wait.tenant);
	ck_assert_int_eq(pthread_join(who->thread, NULL), 0);
	ck_assert_msg(deadline_left_ms(who->deadline_ms) > 0, "%s was not told what it got",
	              who->wait.tenant);
	ck_assert_int_eq(atomic_load(&who->got), (int)got);
}

/* At once or not at all. */
static enum place_given try(const char *tenant)
{
	struct place_wait wait = { .kind = SPOOL_SPILL, .tenant = tenant };

	return places_wait(&places, &wait, 0);
}

static void give(const char *tenant)
{
	places_give(&places, SPOOL_SPILL, tenant);
}

static void hold_both(void)
{
	ck_assert_int_eq(try("x"), PLACE_GIVEN);
	ck_assert_int_eq(try("y"), PLACE_GIVEN);
}

START_TEST(a_tenant_has_one_place_at_a_time_and_goes_behind_after_its_turn)
{
	struct who *a1, *a2, *a3, *b, *c;

	hold_both();
	a1 = stand("a", 0);
	a2 = stand("a", 0);
	a3 = stand("a", 0);
	b = stand("b", 0);
	c = stand("c", 0);
	give("x");
	expect(a1, PLACE_GIVEN);
	give("y"); /* not to a's second message */
	expect(b, PLACE_GIVEN);
	give("a");
	expect(c, PLACE_GIVEN);
	ck_assert(waits(a2) && waits(a3));
	give("b");
	expect(a2, PLACE_GIVEN);
	give("c"); /* free, but a has one */
	ck_assert(waits(a3));
	ck_assert_int_eq(try("d"), PLACE_GIVEN);
	give("a");
	expect(a3, PLACE_GIVEN);
	give("a");
	give("d");
}
END_TEST

START_TEST(who_comes_when_a_place_becomes_free_does_not_overtake)
{
	struct who *a, *b;

	hold_both();
	a = stand("a", 0);
	b = stand("b", 0);
	give("x"); /* a's, whether its thread has run or not */
	ck_assert_int_eq(try("x"), PLACE_NONE);
	expect(a, PLACE_GIVEN);
	give("y");
	ck_assert_int_eq(try("y"), PLACE_NONE);
	expect(b, PLACE_GIVEN);
	give("a");
	ck_assert_int_eq(try("x"), PLACE_GIVEN);
	give("x");
	give("b");
}
END_TEST

START_TEST(who_gave_up_is_in_nobodys_way)
{
	struct who *b;

	hold_both();
	ck_assert_int_eq(try("a"), PLACE_NONE);
	ck_assert_int_eq(try("x"), PLACE_NONE);
	b = stand("b", 0);
	ck_assert_int_eq(try("b"), PLACE_NONE); /* its second */
	give("x");
	expect(b, PLACE_GIVEN);
	give("b");
	give("y");
}
END_TEST

START_TEST(memory_that_is_given_back_wakes_whom_it_is_enough_for)
{
	struct who *a, *b, *c;

	room_charge(&room, 1000 * KIB);
	hold_both();
	a = stand("a", 200 * KIB);
	b = stand("b", 20 * KIB);
	c = stand("c", 0);
	room_give(&room, 200 * KIB); /* 800 of the 768 that are for what is not small */
	ck_assert(waits(a) && waits(b));
	room_give(&room, 100 * KIB); /* 700 */
	expect(b, PLACE_ROOM);
	ck_assert(waits(a) && waits(c));
	room_set_max(&room, 2048 * KIB);
	expect(a, PLACE_ROOM);
	ck_assert_int_eq(atomic_load(&room.waiting), 0);
	give("x");
	expect(c, PLACE_GIVEN);
	give("c");
	give("y");
	room_give(&room, 700 * KIB);
}
END_TEST

START_TEST(all_of_a_tenants_are_woken_where_there_is_room_for_all)
{
	struct who *a1, *a2, *b;

	room_charge(&room, 1000 * KIB);
	hold_both();
	a1 = stand("a", 100 * KIB);
	a2 = stand("a", 100 * KIB);
	b = stand("b", 100 * KIB);
	room_give(&room, 400 * KIB); /* 168 below the bound: the first of all */
	expect(a1, PLACE_ROOM);
	ck_assert(waits(a2) && waits(b));
	room_charge(&room, 100 * KIB); /* which it takes */
	room_give(&room, 100 * KIB);
	expect(b, PLACE_ROOM); /* a has had its turn */
	ck_assert(waits(a2));
	a1 = stand("a", 100 * KIB);
	room_give(&room, 500 * KIB);
	expect(a2, PLACE_ROOM);
	expect(a1, PLACE_ROOM);
	room_give(&room, 100 * KIB);
	give("x");
	give("y");
}
END_TEST

/* Somebody else took the memory: it is where it was, before those that came after it. */
START_TEST(who_was_woken_for_nothing_has_its_turn_back)
{
	struct who *a, *b;

	room_charge(&room, 1000 * KIB);
	hold_both();
	a = stand("a", 20 * KIB);
	b = stand("b", 0);
	room_give(&room, 300 * KIB);
	expect(a, PLACE_ROOM);
	room_charge(&room, 300 * KIB);
	start(a);
	give("x");
	expect(a, PLACE_GIVEN);
	ck_assert(waits(b));
	give("y");
	expect(b, PLACE_GIVEN);
	give("a");
	give("b");
	room_give(&room, 1000 * KIB);
}
END_TEST

/* Where there is no other way a large one would never have its turn if small ones went on. */
START_TEST(who_waits_for_nothing_but_memory_is_not_overtaken)
{
	struct who *large, *small, *last, *elsewhere;

	room_charge(&room, 1000 * KIB);
	room_claim(&room, 400 * KIB);
	hold_both();
	large = stand_for(SPOOL_NOTHING, "a", 400 * KIB);
	small = stand_for(SPOOL_NOTHING, "b", 20 * KIB);
	elsewhere = stand("c", 20 * KIB);
	room_give(&room, 500 * KIB); /* 268 below the bound: enough for all but the first */
	last = stand_for(SPOOL_NOTHING, "d", 20 * KIB);
	ck_assert(waits(large) && waits(small) && waits(last));
	ck_assert(waits(elsewhere)); /* what is claimed is none of its */
	room_give(&room, 150 * KIB); /* 418 below it */
	expect(large, PLACE_ROOM);
	ck_assert(waits(small) && waits(last) && waits(elsewhere));
	room_charge(&room, 400 * KIB); /* which it takes */
	room_give(&room, 50 * KIB);
	expect(small, PLACE_ROOM);
	expect(last, PLACE_ROOM);
	ck_assert(waits(elsewhere));
	room_unclaim(&room, 400 * KIB);
	expect(elsewhere, PLACE_ROOM);
	/* one that gave up is in nobody's way */
	room_charge(&room, 224 * KIB);
	large = &all[begun++];
	large->wait = (struct place_wait){ .kind = SPOOL_NOTHING, .tenant = "a", .bytes = 300 * KIB };
	ck_assert_int_eq(places_wait(&places, &large->wait, deadline_after_ms(1)), PLACE_NONE);
	last = stand_for(SPOOL_NOTHING, "d", 20 * KIB);
	room_give(&room, 224 * KIB);
	expect(last, PLACE_ROOM);
	give("x");
	give("y");
	room_give(&room, 700 * KIB);
}
END_TEST

#define CROWD  8
#define ROUNDS 500

static _Atomic int holding[3], in_use, broken;

static void *one_of_many(void *context)
{
	static const char *const tenants[] = { "a", "b", "c" };
	size_t number = *(size_t *)context, tenant = number % 3;

	for (int i = 0; i < ROUNDS && broken == 0; i++) {
		struct place_wait wait = { .kind = SPOOL_SPILL,
			                   .tenant = tenants[tenant],
			                   .bytes = i % 2 ? 100 : 0 };

		switch (places_wait(&places, &wait, deadline_after_ms(PATIENCE))) {
		case PLACE_GIVEN:
			broken += atomic_fetch_add(&holding[tenant], 1) != 0;
			broken += atomic_fetch_add(&in_use, 1) >= 2;
			atomic_fetch_sub(&holding[tenant], 1);
			atomic_fetch_sub(&in_use, 1);
			give(tenants[tenant]);
			break;
		case PLACE_ROOM:
			if (room_take(&room, 100, false))
				room_give(&room, 100);
			break;
		case PLACE_NONE: broken++; break;
		}
	}
	return NULL;
}

START_TEST(of_a_crowd_each_gets_its_turn)
{
	pthread_t threads[CROWD];
	size_t numbers[CROWD];

	room_set_max(&room, 200);
	for (size_t i = 0; i < CROWD; i++) {
		numbers[i] = i;
		ck_assert_int_eq(pthread_create(&threads[i], NULL, one_of_many, &numbers[i]), 0);
	}
	for (size_t i = 0; i < CROWD; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(atomic_load(&broken), 0);
	ck_assert_int_eq(atomic_load(&room.waiting), 0);
	ck_assert_int_eq(atomic_load(&room.used_bytes), 0);
}
END_TEST

void sqlite_places_tests(Suite *suite)
{
	TCase *tests = tcase_create("places");

	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_set_timeout(tests, 120);
	tcase_add_test(tests, a_tenant_has_one_place_at_a_time_and_goes_behind_after_its_turn);
	tcase_add_test(tests, who_comes_when_a_place_becomes_free_does_not_overtake);
	tcase_add_test(tests, who_gave_up_is_in_nobodys_way);
	tcase_add_test(tests, memory_that_is_given_back_wakes_whom_it_is_enough_for);
	tcase_add_test(tests, all_of_a_tenants_are_woken_where_there_is_room_for_all);
	tcase_add_test(tests, who_was_woken_for_nothing_has_its_turn_back);
	tcase_add_test(tests, who_waits_for_nothing_but_memory_is_not_overtaken);
	tcase_add_test(tests, of_a_crowd_each_gets_its_turn);
	suite_add_tcase(suite, tests);
}
