/*
 * daemon_limit.c - tenants with one credential: whose start it is while it waits for a place, what was sent
 * before, and that the smallest limit is that of all.
 *
 * What earlier processes sent is said here, in place of the table; the wall clock is never set.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "daemon/limit.h"
#include "daemon/service_internal.h"
#include "daemon/supervisor_credential.h"
#include "daemon/supervisor_limit.h"
#include "daemon/supervisor_turn.h"
#include "tests/unit/daemon_test.h"

#define TENANTS 4

static struct service service;
static struct outbox outbox;
static struct supervisor supervisor;
static struct tenant *tenants[TENANTS];
static struct worker worker;
static struct message message;
static int64_t sent[TENANTS]; /* in the day before; below 0: cannot be read */
static int reads;

/* The linker puts it in the place of storage's (--wrap). */
enum error __wrap_storage_usage(struct storage *storage, const char *tenant, storage_usage_each *each,
                                void *context, struct words *words);

enum error __wrap_storage_usage(struct storage *storage, const char *tenant, storage_usage_each *each,
                                void *context, struct words *words)
{
	int64_t recipients = sent[tenant[1] - '0'];

	(void)storage;
	(void)words;
	reads++;
	if (recipients < 0)
		return ERROR_UNAVAILABLE;
	each(context, 3600, recipients - recipients / 2);
	each(context, 60, recipients / 2);
	return OK;
}

/* 0: as it is by itself, without a limit */
static void set(int who, const char *column, int number)
{
	char value[16];
	struct words words;

	(void)snprintf(value, sizeof(value), "%d", number);
	if (number > 0)
		ck_assert_int_eq(tenant_settings_set(tenants[who]->settings, column, value, &words), OK);
}

static void adopt(int who)
{
	limit_adopt(&supervisor, tenants[who]);
	credentials_settle(&supervisor);
}

/* NULL: it shares with nobody. */
static void name_user(int who, const char *name)
{
	struct words words;

	ck_assert_int_eq(tenant_settings_set(tenants[who]->settings, "username", name, &words), OK);
}

/* Its row with other limits: none. */
static void set_anew(int who, const char *user)
{
	struct words words;

	tenant_settings_release(&tenants[who]->settings);
	tenants[who]->settings = tenant_settings_create(tenants[who]->name);
	ck_assert_int_eq(tenant_settings_set(tenants[who]->settings, "host", "mail.example", &words), OK);
	name_user(who, user);
}

static void setup(void)
{
	memset(&service, 0, sizeof(service));
	memset(&outbox, 0, sizeof(outbox));
	memset(&supervisor, 0, sizeof(supervisor));
	memset(&worker, 0, sizeof(worker));
	memset(&message, 0, sizeof(message));
	memset(sent, 0, sizeof(sent));
	reads = 0;
	outbox.service = &service;
	supervisor.outbox = &outbox;
	supervisor.dirty_last = &supervisor.dirty;
	supervisor.waiting_last = &supervisor.waiting_first;
	supervisor.wall_ahead_ms = clock_wall_ahead_ms();
	log_batch_init(&supervisor.log, NULL);
	timers_init(&supervisor.timers);
	for (int i = 0; i < TENANTS; i++) {
		tenants[i] = memory_alloc(sizeof(*tenants[i]) + 8);
		(void)snprintf(tenants[i]->name, 8, "t%d", i);
		set_anew(i, "me");
		breaker_init(&tenants[i]->breaker);
	}
}

static void teardown(void)
{
	credentials_free_all(&supervisor);
	for (int i = 0; i < TENANTS; i++) {
		quota_release(&tenants[i]->quota);
		tenant_settings_release(&tenants[i]->settings);
		free(tenants[i]->rare);
		free(tenants[i]);
	}
	quota_release(&worker.quota);
	timers_fini(&supervisor.timers);
	log_batch_fini(&supervisor.log);
}

/* All of them, with so many messages a minute (0: no limit) and nothing sent before. */
static void make(int a_minute)
{
	for (int i = 0; i < TENANTS; i++) {
		set(i, "messages_per_minute", a_minute);
		limit_adopt(&supervisor, tenants[i]);
	}
	credentials_settle(&supervisor);
	if (tenants[0]->credential->unread > 0)
		credential_read_usage(&supervisor, tenants[0]->credential);
}

static int room(void)
{
	const struct quota_moment now = limit_now();
	struct quota_wait wait;

	return quota_room(tenants[0]->credential->quota, &now, 1000, &wait);
}

/* What an attempt does of it; all the starts that it may have, at most `most`. */
static int ask(int who, int most, bool place)
{
	struct tenant *tenant = tenants[who];
	int allowance;

	turn_begin(tenant);
	tenant->waiting = false;
	allowance = limit_allowance(&supervisor, tenant, most);
	if (allowance > 0 && place) {
		quota_release(&worker.quota);
		worker.tenant = tenant;
		worker.quota = quota_hold(tenant->quota);
		limit_give(&worker, &message);
	} else if (allowance > 0) {
		limit_hold_start(tenant);
		tenant->waiting = true;
	}
	turn_end(&supervisor, tenant);
	return allowance;
}

static void clear_timers(void)
{
	for (int i = 0; i < TENANTS; i++)
		timers_clear(&supervisor.timers, &tenants[i]->timer);
}

static void comes_back(void)
{
	limit_called_off(&worker, &message);
	limit_returned(worker.quota, &message);
}

START_TEST(who_waits_for_a_place_keeps_one_start)
{
	make(2);
	ck_assert_int_eq(ask(0, 1, false), 1);
	ck_assert_int_eq(room(), 1);
	ck_assert_int_eq(ask(0, 1, false), 1); /* asked again: it is the same one */
	ck_assert_int_eq(room(), 1);
	ck_assert_int_eq(ask(1, 1, false), 1);
	ck_assert_int_eq(room(), 0);
	ck_assert_int_eq(ask(2, 1, true), 0); /* and it has a place: both are kept for others */
	ck_assert_int_eq(ask(1, 1, true), 1);
	ck_assert_int_eq(room(), 0);
	comes_back(); /* it had not started */
	ck_assert_int_eq(room(), 1);
	ck_assert_int_eq(ask(0, 1, true), 1);
	ck_assert_int_eq(room(), 1);
}
END_TEST

/* Cancelled, suspended or moved meanwhile: the next one has it. */
START_TEST(a_start_that_is_kept_goes_on_to_the_next)
{
	make(1);
	ck_assert_int_eq(ask(0, 1, false), 1);
	ck_assert_int_eq(ask(1, 1, true), 0);
	switch (_i) {
	case 0:
		turn_begin(tenants[0]);
		tenants[0]->waiting = false;
		turn_end(&supervisor, tenants[0]);
		break;
	case 1: turn_leave(&supervisor, tenants[0]); break;
	case 2:
		name_user(0, "somebody else");
		adopt(0);
		break;
	default: tenant_settings_release(&tenants[0]->settings); adopt(0);
	}
	ck_assert(!tenants[0]->start_held);
	ck_assert_int_eq(ask(1, 1, true), 1);
	comes_back();
}
END_TEST

/* Its worker was told to leave for others before it said MAIL: its turn is not over. */
START_TEST(a_start_that_is_called_off_stays_its_tenants)
{
	make(1);
	ck_assert_int_eq(ask(0, 1, true), 1);
	ck_assert_int_eq(ask(1, 1, true), 0);
	worker.retired = true;
	comes_back();
	ck_assert_int_eq(room(), 0);
	ck_assert_int_eq(ask(1, 1, true), 0);
	ck_assert_int_eq(ask(0, 1, true), 1);
	worker.retired = false;
	comes_back();
	ck_assert_int_eq(room(), 1);
}
END_TEST

/* It has one already, it had begun, it came back for another reason, or went by another limit. */
enum { HAS_ONE, HAD_BEGUN, NOT_CALLED_OFF, OTHER_LIMIT, WAYS };

START_TEST(only_a_start_of_its_own_is_kept)
{
	make(3);
	ck_assert_int_eq(ask(0, 1, true), 1);
	worker.retired = _i != NOT_CALLED_OFF;
	switch (_i) {
	case HAS_ONE: limit_hold_start(tenants[0]); break;
	case HAD_BEGUN: {
		struct recipient recipient = { .wanted = true };

		message.recipients = &recipient;
		message.recipient_count = 1;
		ck_assert(limit_begin(worker.quota, &message));
		recipient.outcome.verdict = VERDICT_SENT;
		limit_end(worker.quota, &message);
		break;
	}
	case OTHER_LIMIT:
		name_user(0, "somebody else");
		adopt(0);
		break;
	default: break;
	}
	comes_back();
	ck_assert(!message.start_reserved);
	ck_assert(tenants[0]->start_held == (_i == HAS_ONE));
	ck_assert_int_eq(ask(1, 3, false), _i == HAS_ONE || _i == HAD_BEGUN ? 2 : 3);
	message.recipients = NULL;
}
END_TEST

/* It has one worker and waits for another: what the first had of the limit is not kept twice. */
START_TEST(a_start_that_was_given_is_not_kept_besides)
{
	make(3);
	ck_assert_int_eq(ask(0, 1, false), 1);
	ck_assert_int_eq(ask(0, 1, true), 1);
	turn_begin(tenants[0]);
	limit_hold_start(tenants[0]);
	limit_give(&worker, &message);
	tenants[0]->waiting = true;
	turn_end(&supervisor, tenants[0]);
	ck_assert_int_eq(room(), 1);
}
END_TEST

/* A worker goes by the limit of when it began; what goes to no server by none. */
START_TEST(only_what_goes_by_the_limit_takes_a_start_of_it)
{
	make(3);
	limit_hold_start(tenants[0]);
	worker.tenant = tenants[0];
	worker.quota = _i == 0 ? quota_create() : _i == 1 ? NULL : quota_hold(tenants[0]->quota);
	message.offline = _i == 2;
	limit_give(&worker, &message);
	ck_assert(tenants[0]->start_held);
	ck_assert_int_eq(room(), 2);
	ck_assert(message.start_reserved == (_i == 0));
	limit_returned(worker.quota, &message);
	ck_assert_int_eq(room(), 2);
	limit_drop_start(tenants[0]);
	ck_assert_int_eq(room(), 3);
}
END_TEST

/* One with a limit of its own comes to share another, or is gone. */
START_TEST(a_start_that_is_kept_goes_with_its_limit)
{
	name_user(0, NULL);
	set(0, "messages_per_minute", 1);
	adopt(0);
	limit_prepare(&supervisor, tenants[0]);
	ck_assert_int_eq(ask(0, 1, false), 1);
	if (_i == 0)
		set_anew(0, "me");
	else
		tenant_settings_release(&tenants[0]->settings);
	adopt(0);
	ck_assert(!tenants[0]->start_held);
	ck_assert_ptr_null(tenants[0]->quota); /* what it shares has no limit */
	turn_leave(&supervisor, tenants[0]);
}
END_TEST

/* Whichever of them has it, in whatever order they come; 0 is none. */
START_TEST(the_smallest_limit_is_that_of_all)
{
	static const int limits[TENANTS] = { 0, 7, 4, 9 };

	for (int i = 0; i < TENANTS; i++) {
		int limit = limits[(i + _i) % TENANTS];

		set(i, "messages_per_minute", limit);
		set(i, "recipients_per_day", limit * 100);
		limit_adopt(&supervisor, tenants[i]);
	}
	credentials_settle(&supervisor);
	ck_assert_int_eq(tenants[0]->credential->messages_per_minute, 4);
	ck_assert_int_eq(tenants[0]->credential->recipients_per_day, 400);
	limit_prepare(&supervisor, tenants[0]);
	ck_assert_int_eq(ask(0, 1000, false), 4);
	turn_leave(&supervisor, tenants[0]);
	/* whose limit it was leaves: the next one counts */
	for (int i = 0; i < TENANTS; i++) {
		if (tenants[i]->settings->messages_per_minute == 4) {
			set(i, "messages_per_minute", 100);
			adopt(i);
		}
	}
	ck_assert_int_eq(tenants[1]->credential->messages_per_minute, 7);
	ck_assert_int_eq(ask(1, 1000, false), 7);
}
END_TEST

static void make_a_day(int recipients)
{
	for (int i = 0; i < TENANTS; i++) {
		set(i, "recipients_per_day", recipients);
		limit_adopt(&supervisor, tenants[i]);
	}
	credentials_settle(&supervisor);
}

START_TEST(what_each_of_them_sent_before_is_used_of_the_day)
{
	sent[0] = 10;
	sent[2] = 20;
	sent[3] = 5;
	make_a_day(100);
	for (int i = 0; i < TENANTS; i++)
		limit_prepare(&supervisor, tenants[i]);
	ck_assert_int_eq(reads, TENANTS);
	ck_assert_int_eq(room(), 65);
	/* each of them once: it leaves and comes again */
	name_user(2, "somebody else");
	adopt(2);
	ck_assert_int_eq(room(), 65);
	name_user(2, "me");
	adopt(2);
	limit_prepare(&supervisor, tenants[2]);
	ck_assert_int_eq(room(), 65);
}
END_TEST

/* Whosever cannot be read, nobody sends until it is; those that were read are not read again. */
START_TEST(while_it_is_not_known_what_one_sent_nobody_sends)
{
	for (int i = 0; i < TENANTS; i++)
		sent[i] = i == _i ? -1 : 10;
	make_a_day(100);
	for (int i = 0; i < TENANTS; i++) {
		limit_prepare(&supervisor, tenants[i]);
		clear_timers();
		ck_assert_int_eq(ask(i, 1, true), 0);
		ck_assert_int_ne(timers_next(&supervisor.timers), INT64_MAX); /* it asks again */
	}
	sent[_i] = 10;
	reads = 0;
	limit_prepare(&supervisor, tenants[3]);
	ck_assert_int_eq(reads, TENANTS - _i);
	ck_assert_int_eq(room(), 60);
	ck_assert_int_eq(ask(0, 1, true), 1);
}
END_TEST

/* Who was not read when it left takes nothing of it away, and is read when it comes again. */
START_TEST(who_leaves_before_it_is_read_is_not_waited_for)
{
	sent[1] = -1;
	make_a_day(100);
	limit_prepare(&supervisor, tenants[0]);
	ck_assert_int_eq(ask(0, 1, true), 0);
	name_user(1, "somebody else");
	adopt(1);
	limit_prepare(&supervisor, tenants[0]);
	ck_assert_int_eq(ask(0, 1, false), 1);
	name_user(1, "me");
	adopt(1);
	ck_assert_int_eq(ask(0, 1, false), 0);
	sent[1] = 70;
	limit_prepare(&supervisor, tenants[0]);
	turn_leave(&supervisor, tenants[0]);
	ck_assert_int_eq(room(), 30);
}
END_TEST

/* What was not read of its own limit is not waited for where there is none; nor the other way round. */
START_TEST(who_comes_unread_or_goes_unread_blocks_nobody)
{
	name_user(0, NULL);
	set(0, "messages_per_minute", 1);
	adopt(0);
	set_anew(0, "me");
	adopt(0);
	adopt(1);
	set_anew(0, NULL);
	adopt(0);
	set(1, "messages_per_minute", 5);
	adopt(1);
	adopt(2);
	ck_assert_int_eq(tenants[1]->credential->unread, 2);
	set_anew(2, NULL);
	adopt(2);
	limit_prepare(&supervisor, tenants[2]);
	ck_assert_int_eq(reads, 0);
	limit_prepare(&supervisor, tenants[1]);
	ck_assert_int_eq(reads, 1);
	ck_assert_int_eq(ask(1, 1, true), 1);
	comes_back();
}
END_TEST

START_TEST(another_limit_lets_all_ask_anew)
{
	make(5);
	clear_timers();
	for (int i = 0; i < TENANTS; i++)
		tenant_rare_use(tenants[i])->limited.limit = QUOTA_MINUTE;
	adopt(2);
	ck_assert_int_eq(timers_next(&supervisor.timers), INT64_MAX); /* nothing has changed */
	set(2, _i == 0 ? "messages_per_minute" : "recipients_per_day", 3);
	adopt(2);
	for (int i = 0; i < TENANTS; i++) {
		ck_assert_ptr_nonnull(timers_take(&supervisor.timers, clock_monotonic_ms()));
		ck_assert_int_eq(tenant_rare(tenants[i])->limited.limit, QUOTA_FREE);
	}
}
END_TEST

TCase *limit_tests(void)
{
	TCase *tests = tcase_create("limit");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, who_waits_for_a_place_keeps_one_start);
	tcase_add_loop_test(tests, a_start_that_is_kept_goes_on_to_the_next, 0, 4);
	tcase_add_test(tests, a_start_that_is_called_off_stays_its_tenants);
	tcase_add_loop_test(tests, only_a_start_of_its_own_is_kept, 0, WAYS);
	tcase_add_test(tests, a_start_that_was_given_is_not_kept_besides);
	tcase_add_loop_test(tests, only_what_goes_by_the_limit_takes_a_start_of_it, 0, 3);
	tcase_add_loop_test(tests, a_start_that_is_kept_goes_with_its_limit, 0, 2);
	tcase_add_loop_test(tests, the_smallest_limit_is_that_of_all, 0, TENANTS);
	tcase_add_test(tests, what_each_of_them_sent_before_is_used_of_the_day);
	tcase_add_loop_test(tests, while_it_is_not_known_what_one_sent_nobody_sends, 0, TENANTS);
	tcase_add_test(tests, who_leaves_before_it_is_read_is_not_waited_for);
	tcase_add_test(tests, who_comes_unread_or_goes_unread_blocks_nobody);
	tcase_add_loop_test(tests, another_limit_lets_all_ask_anew, 0, 2);
	return tests;
}
