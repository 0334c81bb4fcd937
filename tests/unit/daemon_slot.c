/*
 * daemon_slot.c - the in-flight journal's slots: how many each tenant gets, and who comes when.
 */
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "daemon/journal.h"
#include "daemon/service_internal.h"
#include "daemon/supervisor.h"
#include "daemon/supervisor_slot.h"
#include "tests/unit/daemon_test.h"

#define TENANTS 5

static struct service service;
static struct outbox outbox;
static struct supervisor supervisor;
static struct tenant *tenants[TENANTS];

static void setup(void)
{
	memset(&service, 0, sizeof(service));
	memset(&outbox, 0, sizeof(outbox));
	memset(&supervisor, 0, sizeof(supervisor));
	outbox.service = &service;
	supervisor.outbox = &outbox; /* accept_work is false: a dispatch gives nothing */
	timers_init(&supervisor.timers);
	for (int i = 0; i < TENANTS; i++) {
		tenants[i] = memory_alloc(sizeof(*tenants[i]) + 1);
		breaker_init(&tenants[i]->breaker);
	}
}

static void teardown(void)
{
	for (int i = 0; i < TENANTS; i++) {
		free(tenants[i]->rare);
		free(tenants[i]);
	}
	timers_fini(&supervisor.timers);
}

static bool waits(int who)
{
	return tenant_rare(tenants[who])->waits_for_slot;
}

/* Whose turn it is. */
static int share_of(int who)
{
	int share;

	supervisor.slots_served = tenants[who];
	share = slots_share(&supervisor, tenants[who]);
	supervisor.slots_served = NULL;
	return share;
}

START_TEST(all_there_are_while_nobody_waits)
{
	int all = slots_share(&supervisor, tenants[0]);

	ck_assert_int_gt(all, JOURNAL_SLOTS / 2);
	ck_assert_int_lt(all, JOURNAL_SLOTS);
	slots_take(&supervisor, all - 1);
	ck_assert_int_eq(slots_share(&supervisor, tenants[1]), 1);
	slots_take(&supervisor, 1);
	ck_assert_int_eq(slots_share(&supervisor, tenants[1]), 0);
	ck_assert(waits(1) && !waits(0));
	slots_give(&supervisor);
	ck_assert_int_eq(slots_share(&supervisor, tenants[0]), 0); /* it comes behind who waits */
	ck_assert(waits(0));
	ck_assert_int_eq(share_of(1), 1);
}
END_TEST

START_TEST(who_waits_gets_them_in_order_and_once)
{
	int all = slots_share(&supervisor, tenants[0]);

	slots_take(&supervisor, all);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(slots_share(&supervisor, tenants[i]), 0);
		ck_assert_int_eq(slots_share(&supervisor, tenants[i]), 0); /* twice asked is once in line */
	}
	ck_assert_ptr_eq(supervisor.slots_first, tenants[0]);
	tenant_rare_rest(tenants[0]); /* its place in the line is something of it */
	ck_assert(waits(0));
	slots_share_out(&supervisor); /* nothing has come back */
	ck_assert(waits(0) && waits(1) && waits(2));
	ck_assert_uint_eq(supervisor.dispatches, 0);
	slots_give(&supervisor);
	slots_share_out(&supervisor); /* who can use none leaves it to the next */
	ck_assert(!waits(0) && !waits(1) && !waits(2));
	ck_assert_uint_eq(supervisor.dispatches, 3);
	ck_assert_ptr_null(supervisor.slots_served);
	ck_assert_int_eq(slots_share(&supervisor, tenants[3]), 1);
	slots_take(&supervisor, 1);
	ck_assert_int_eq(slots_share(&supervisor, tenants[4]), 0);
	ck_assert_ptr_eq(supervisor.slots_first, tenants[4]); /* the line begins anew */
}
END_TEST

START_TEST(an_equal_share_or_a_few)
{
	int all = slots_share(&supervisor, tenants[0]);

	slots_take(&supervisor, all);
	for (int i = 1; i < TENANTS; i++)
		ck_assert_int_eq(slots_share(&supervisor, tenants[i]), 0);
	ck_assert_int_eq(share_of(0), 0); /* not even whose turn it is */
	for (int i = 0; i < 100; i++)
		slots_give(&supervisor);
	ck_assert_int_eq(share_of(0), 100 / (TENANTS + 1));
	for (int i = 0; i < 90; i++)
		slots_take(&supervisor, 1);
	ck_assert_int_eq(share_of(0), 4);
	slots_take(&supervisor, 8);
	ck_assert_int_eq(share_of(0), 2);
}
END_TEST

TCase *slot_tests(void)
{
	TCase *tests = tcase_create("slot");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, all_there_are_while_nobody_waits);
	tcase_add_test(tests, who_waits_gets_them_in_order_and_once);
	tcase_add_test(tests, an_equal_share_or_a_few);
	return tests;
}
