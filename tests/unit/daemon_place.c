/*
 * daemon_place.c - the line of tenants that wait for a place.
 */
#include <string.h>

#include "daemon/service_internal.h"
#include "daemon/supervisor_place.h"
#include "tests/unit/daemon_test.h"

#define TENANTS 4

static struct service service;
static struct outbox outbox;
static struct supervisor supervisor;
static struct tenant tenants[TENANTS];
static struct worker leaves;
static struct queue wake;

static void setup(void)
{
	memset(&service, 0, sizeof(service));
	memset(&outbox, 0, sizeof(outbox));
	memset(&supervisor, 0, sizeof(supervisor));
	memset(tenants, 0, sizeof(tenants));
	memset(&leaves, 0, sizeof(leaves));
	budget_init(&service.budget);
	atomic_store(&service.budget.max_workers, 1);
	ck_assert_int_eq(queue_init(&wake, true), OK);
	outbox.service = &service;
	budget_join(&service.budget, &outbox.places, &wake);
	supervisor.outbox = &outbox;
	supervisor.waiting_last = &supervisor.waiting_first;
}

static void teardown(void)
{
	queue_fini(&wake);
}

/* The first has the only place, and its worker was told to leave for others. */
static void first_is_leaving(void)
{
	ck_assert(place_take(&supervisor, &tenants[0], false));
	leaves.makes_room = leaves.retired = true;
	tenants[0].workers = &leaves;
}

static void is_gone(void)
{
	tenants[0].workers = NULL;
	place_return(&supervisor, false);
}

static bool asks(int who)
{
	return place_take(&supervisor, &tenants[who], false);
}

/* The line, as the numbers of its tenants; tickets in the same order. */
static void assert_line(const int *who, int count)
{
	const struct tenant *at = supervisor.waiting_first;
	int64_t ticket = 0;

	for (int i = 0; i < count; i++, at = at->next_waiting) {
		ck_assert_ptr_eq(at, &tenants[who[i]]);
		ck_assert_int_gt(at->ticket, ticket);
		ticket = at->ticket;
	}
	ck_assert_ptr_null(at);
}

/* Whoever comes while it leaves is before it: it has had its turn. */
START_TEST(who_leaves_comes_behind)
{
	first_is_leaving();
	ck_assert(!asks(1));
	ck_assert(!asks(0)); /* it has more, and still its place: it is not in the line */
	assert_line((const int[]){ 1 }, 1);
	ck_assert(!asks(2));
	ck_assert(!asks(0));
	is_gone();
	ck_assert(!asks(3)); /* a place is free, and others wait for it */
	ck_assert(!asks(0));
	assert_line((const int[]){ 1, 2, 3, 0 }, 4);
}
END_TEST

/* A further session is nobody's turn: it takes what nobody waits for, and is in no line. */
START_TEST(a_further_session_is_in_no_line)
{
	atomic_store(&service.budget.max_workers, 3);
	ck_assert(asks(0));
	tenants[0].worker_count = 1;
	ck_assert(asks(0));
	tenants[0].worker_count = 2;
	ck_assert(asks(1));
	ck_assert(!asks(0));
	assert_line(NULL, 0);
	ck_assert(!asks(2));
	place_return(&supervisor, false);
	ck_assert(!asks(0));
	assert_line((const int[]){ 2 }, 1);
}
END_TEST

/* Asked again and again, each keeps the turn that it has. */
START_TEST(who_waits_keeps_its_turn)
{
	int64_t ticket;

	ck_assert(asks(0));
	for (int round = 0; round < 3; round++) {
		for (int i = 3; i > 0; i--)
			ck_assert(!asks(i));
	}
	assert_line((const int[]){ 3, 2, 1 }, 3);
	/* a place is free: the first has it at the next sharing out, whoever asks before */
	place_return(&supervisor, false);
	ck_assert(!asks(1));
	ck_assert(!asks(3));
	assert_line((const int[]){ 3, 2, 1 }, 3);
	/* and who was taken out of the line to be given one, and found none, is still as early */
	ticket = tenants[3].ticket;
	tenants[3].waiting = false;
	supervisor.waiting_first = NULL;
	supervisor.waiting_last = &supervisor.waiting_first;
	place_wait(&supervisor, &tenants[3], false);
	ck_assert_int_eq(tenants[3].ticket, ticket);
}
END_TEST

TCase *place_tests(void)
{
	TCase *tests = tcase_create("place");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, who_leaves_comes_behind);
	tcase_add_test(tests, a_further_session_is_in_no_line);
	tcase_add_test(tests, who_waits_keeps_its_turn);
	return tests;
}
