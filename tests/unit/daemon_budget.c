/*
 * daemon_budget.c - places go to who has waited longest, of whatever outbox.
 */
#include <string.h>
#include <unistd.h>

#include "daemon/budget.h"
#include "tests/unit/daemon_test.h"

#define OUTBOXES 3

static struct budget budget;
static struct budget_line lines[OUTBOXES];
static struct queue queues[OUTBOXES];

static void setup(void)
{
	memset(&budget, 0, sizeof(budget));
	memset(lines, 0, sizeof(lines));
	budget_init(&budget);
	atomic_store(&budget.max_workers, 2);
	atomic_store(&budget.max_probes, 1);
	for (int i = 0; i < OUTBOXES; i++) {
		ck_assert_int_eq(queue_init(&queues[i], true), OK);
		budget_join(&budget, &lines[i], &queues[i]);
	}
}

static void teardown(void)
{
	for (int i = 0; i < OUTBOXES; i++)
		queue_fini(&queues[i]);
}

static bool was_woken(int outbox)
{
	uint64_t count;
	bool woken = read(queues[outbox].event_fd, &count, sizeof(count)) == (ssize_t)sizeof(count);

	(void)queue_take_all(&queues[outbox]); /* as its supervisor does: from now on it may be woken again */
	return woken;
}

static void wait_for(int outbox, int64_t worker, int64_t probe, int64_t now_ms)
{
	const int64_t first[2] = { worker, probe };

	budget_wait(&budget, &lines[outbox], first, now_ms);
}

static bool take(int outbox, bool probe, int64_t ticket)
{
	return budget_take(&budget, &lines[outbox], probe, ticket, 1000);
}

START_TEST(as_many_as_there_are)
{
	ck_assert(take(0, false, 0));
	ck_assert(take(1, false, 0));
	ck_assert(!take(2, false, 0));
	/* probes have places of their own */
	ck_assert(take(2, true, 0));
	ck_assert(!take(2, true, 0));
	budget_give(&budget, false, 1000);
	ck_assert(take(2, false, 0));
	ck_assert(!take(2, false, 0));
	budget_give(&budget, true, 1000);
	ck_assert(take(1, true, 0));
}
END_TEST

START_TEST(who_comes_is_behind_who_waits)
{
	int64_t ticket = budget_ticket(&budget);

	wait_for(1, ticket, 0, 1000);
	ck_assert(!take(0, false, 0));
	ck_assert(!take(1, false, 0));
	ck_assert(take(0, true, 0)); /* nobody waits for a probe's */
	ck_assert(take(1, false, ticket));
	wait_for(1, 0, 0, 1000);
	ck_assert(take(0, false, 0));
}
END_TEST

/* Twelve that wait, of three outboxes in turns; whichever asks, the longest waiting gets it. */
START_TEST(each_in_the_order_of_its_waiting)
{
	int64_t tickets[12];
	int next[OUTBOXES] = { 0, 1, 2 };

	ck_assert(take(0, false, 0) && take(0, false, 0));
	for (int i = 0; i < 12; i++)
		tickets[i] = budget_ticket(&budget);
	for (int i = 0; i < OUTBOXES; i++)
		wait_for(i, tickets[i], 0, 1000);
	for (int served = 0; served < 12; served++) {
		int who = served % OUTBOXES;

		for (int i = 0; i < OUTBOXES; i++)
			was_woken(i);
		budget_give(&budget, false, 1000);
		ck_assert(was_woken(who));
		for (int i = 0; i < OUTBOXES; i++) {
			if (i != who && next[i] < 12) {
				ck_assert(!was_woken(i));
				ck_assert(!take(i, false, tickets[next[i]]));
			}
		}
		ck_assert(take(who, false, tickets[served]));
		next[who] += OUTBOXES;
		wait_for(who, next[who] < 12 ? tickets[next[who]] : 0, 0, 1000);
	}
}
END_TEST

/* Its disk hangs: it does not come for its place, nor look at its line. */
START_TEST(who_does_not_come_holds_up_nobody)
{
	int64_t hangs = budget_ticket(&budget), waits = budget_ticket(&budget);

	wait_for(0, hangs, hangs, 0);
	wait_for(1, waits, waits, BUDGET_CLAIM_MS);
	ck_assert(!budget_take(&budget, &lines[1], false, waits, BUDGET_CLAIM_MS));
	ck_assert(budget_take(&budget, &lines[1], false, waits, BUDGET_CLAIM_MS + 1));
	ck_assert(budget_take(&budget, &lines[1], true, waits, BUDGET_CLAIM_MS + 1));
	/* and has its turn when it is back */
	wait_for(0, hangs, 0, BUDGET_CLAIM_MS + 1);
	ck_assert(!budget_take(&budget, &lines[1], false, budget_ticket(&budget), BUDGET_CLAIM_MS + 1));
	ck_assert(budget_take(&budget, &lines[0], false, hangs, BUDGET_CLAIM_MS + 1));
}
END_TEST

START_TEST(where_nothing_is_free_the_others_are_woken_to_make_room)
{
	int64_t ticket;

	ck_assert(take(0, false, 0) && take(2, false, 0));
	ticket = budget_ticket(&budget);
	wait_for(1, ticket, 0, 1000);
	ck_assert(was_woken(0) && was_woken(2) && !was_woken(1));
	/* once, not at each look at the line */
	wait_for(1, ticket, 0, 1100);
	ck_assert(!was_woken(0) && !was_woken(2));
	/* who finds that another has waited longer wakes it, and does not take its place */
	atomic_fetch_sub(&budget.workers, 1);
	wait_for(2, budget_ticket(&budget), 0, 1100);
	ck_assert(was_woken(1) && !was_woken(0));
}
END_TEST

TCase *budget_tests(void)
{
	TCase *tcase = tcase_create("budget");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, as_many_as_there_are);
	tcase_add_test(tcase, who_comes_is_behind_who_waits);
	tcase_add_test(tcase, each_in_the_order_of_its_waiting);
	tcase_add_test(tcase, who_does_not_come_holds_up_nobody);
	tcase_add_test(tcase, where_nothing_is_free_the_others_are_woken_to_make_room);
	return tcase;
}
