/*
 * daemon_place.c - the line of tenants that wait for a place.
 */
#include <string.h>

#include "daemon/descriptors.h"
#include "daemon/loader_line.h"
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

/* Nobody is promised what the others may have taken: loaders that a mount holds up, each database's own. */
START_TEST(sessions_share_what_the_process_leaves)
{
	const int64_t loaders = 2 * (LOADER_THREADS + LOADER_LATE_MAX), databases = 2 * (2 * 11 + 5);
	struct descriptor_share share = descriptors_share(-1, 1, 1000, 200);

	ck_assert_int_eq(share.workers, 1000);
	ck_assert_int_eq(share.probes, 200);
	ck_assert_int_eq(share.files, INT32_MAX);
	for (int64_t limit = 1000; limit < 20000; limit += 7) {
		int64_t sessions;

		share = descriptors_share(limit, 2, 5000, 200);
		sessions = share.workers + 2 * share.probes; /* as many as probes are set aside */
		ck_assert_int_ge(share.workers, sessions / 2);
		ck_assert_int_ge(share.files, 0);
		ck_assert_int_le(2 * sessions + share.files + loaders + databases + 64 + 20, limit);
		ck_assert(share.workers == 5000 || share.files < 2);
	}
	ck_assert_int_eq(share.workers, 5000);
	ck_assert_int_eq(share.probes, 200);
	ck_assert_int_ge(share.files, 5000);
	/* too few for anything: half of them, and at least one place of each kind */
	share = descriptors_share(64, 1, 1000, 200);
	ck_assert_int_eq(share.workers, 16 - 2 * 2);
	share = descriptors_share(2, 1, 1000, 200);
	ck_assert_int_eq(share.workers, 1);
	ck_assert_int_eq(share.probes, 1);
	ck_assert_int_eq(descriptors_share(1000000, 1, 3, 1).workers, 3);
}
END_TEST

TCase *place_tests(void)
{
	TCase *tests = tcase_create("place");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, who_leaves_comes_behind);
	tcase_add_test(tests, a_further_session_is_in_no_line);
	tcase_add_test(tests, who_waits_keeps_its_turn);
	tcase_add_test(tests, sessions_share_what_the_process_leaves);
	return tests;
}
