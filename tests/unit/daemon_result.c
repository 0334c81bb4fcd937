/*
 * daemon_result.c - a result on its way to the table, while the wall clock is set.
 *
 * It is set between the two times that the clock is looked at (the linker puts that in, --wrap), by less than
 * what is noticed as a jump.
 */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "daemon/service_internal.h"
#include "daemon/supervisor_clock.h"
#include "daemon/supervisor_result.h"
#include "tests/unit/daemon_test.h"

static struct outbox outbox;
static struct supervisor supervisor;
static struct tenant *tenant;
static struct message *message;
static int64_t jump_ms, before_ms; /* the clock as it was just before the jump */
static int64_t jumped_ms;
static int settled;

void __real_clock_result(struct supervisor *whose, struct message *what);
void __wrap_clock_result(struct supervisor *whose, struct message *what);
void __wrap_writer_settle(struct writer *writer, struct queue_link *first);

void __wrap_clock_result(struct supervisor *whose, struct message *what)
{
	before_ms = clock_wall_ms();
	clock_jump_wall_ms(jump_ms);
	__real_clock_result(whose, what);
}

void __wrap_writer_settle(struct writer *writer, struct queue_link *first)
{
	(void)writer;
	ck_assert_ptr_eq(first, &message->link);
	ck_assert_ptr_null(first->next);
	settled++;
}

static void make_message(void)
{
	message = message_create(1, "acme");
	message->journal_slot = -1;
	message->age_from_s = clock_wall_s();
}

static void setup(void)
{
	memset(&outbox, 0, sizeof(outbox));
	memset(&supervisor, 0, sizeof(supervisor));
	supervisor.outbox = &outbox;
	supervisor.judged_last = &supervisor.judged;
	supervisor.wall_ahead_ms = clock_wall_ahead_ms();
	log_batch_init(&supervisor.log, NULL);
	tenant = calloc(1, sizeof(*tenant) + 8);
	tenant->settings = tenant_settings_create("acme");
	make_message();
	jumped_ms = settled = 0;
}

static void teardown(void)
{
	clock_jump_wall_ms(-jumped_ms);
	message_destroy(&message);
	tenant_settings_release(&tenant->settings);
	free(tenant);
	log_batch_fini(&supervisor.log);
}

static void comes(enum verdict verdict, int code, int64_t jump)
{
	struct recipient *recipient = message_add_recipient(message, "bob@example.net");

	recipient->outcome.verdict = verdict;
	recipient->outcome.stage = STAGE_RCPT;
	recipient->outcome.code = code;
	jump_ms = jump;
	jumped_ms += jump;
	message->settled = SETTLED; /* of an earlier attempt, and in another list */
	message->link.next = &message->link;
	settle_as_it_is(&supervisor, tenant, message);
	ck_assert_int_eq(settled, 1);
	ck_assert_int_eq(tenant->unsettled, 1);
	ck_assert_int_eq(message->settled, SETTLED_NOT_YET);
}

/* Else it were due later by as much, in a table that has followed. */
START_TEST(what_is_decided_while_the_clock_is_set_back_goes_by_the_new_one)
{
	comes(VERDICT_RETRY, 450, -50000);
	ck_assert_int_eq(message->state, MESSAGE_DEFERRED);
	ck_assert_int_ge(message->decided_wall_ms, before_ms + jump_ms);
	ck_assert_int_le(message->decided_wall_ms, clock_wall_ms());
	ck_assert_int_le(message->due_at,
	                 message->decided_wall_ms / 1000 + tenant->settings->retry_min * 6 / 5);
}
END_TEST

/* The table follows a jump forward, and with it what was decided before. */
START_TEST(what_is_decided_while_the_clock_is_set_forward_goes_by_the_old_one)
{
	comes(VERDICT_RETRY, 450, 50000);
	ck_assert_int_le(message->decided_wall_ms, before_ms);
	ck_assert_int_le(message->due_at,
	                 message->decided_wall_ms / 1000 + tenant->settings->retry_min * 6 / 5);
}
END_TEST

START_TEST(what_was_sent_is_the_tenants_last)
{
	comes(VERDICT_SENT, 250, -50000);
	ck_assert_int_eq(message->state, MESSAGE_SENT);
	ck_assert_int_eq(tenant->last_sent_at, message->decided_wall_ms / 1000);
	result_give_judged(&supervisor);
	ck_assert_int_eq(settled, 1);
	/* the next one */
	message_destroy(&message);
	make_message();
	tenant->unsettled = settled = 0;
	comes(VERDICT_SENT, 250, 0);
}
END_TEST

START_TEST(what_was_not_sent_is_not)
{
	comes(VERDICT_REFUSED, 550, 0);
	ck_assert_int_eq(message->state, MESSAGE_FAILED);
	ck_assert_int_eq(tenant->last_sent_at, 0);
}
END_TEST

TCase *result_tests(void)
{
	TCase *tests = tcase_create("result");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, what_is_decided_while_the_clock_is_set_back_goes_by_the_new_one);
	tcase_add_test(tests, what_is_decided_while_the_clock_is_set_forward_goes_by_the_old_one);
	tcase_add_test(tests, what_was_sent_is_the_tenants_last);
	tcase_add_test(tests, what_was_not_sent_is_not);
	return tests;
}
