/*
 * daemon_turn.c - tenants with one credential: who is called when a session is free, and who is not.
 *
 * The supervisor's attempts are here in short: who has mail and no session asks, and takes what it gets, if
 * there is a place.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "daemon/service_internal.h"
#include "daemon/supervisor_connection.h"
#include "daemon/supervisor_credential.h"
#include "daemon/supervisor_turn.h"
#include "tests/unit/daemon_test.h"

#define TENANTS 100

static struct service service;
static struct outbox outbox;
static struct supervisor supervisor;
static struct tenant *tenants[TENANTS];
static struct worker workers[TENANTS];
static bool mail[TENANTS], disk_trouble;
static int count, places, called, last;

static void set(struct tenant *tenant, const char *column, const char *value)
{
	struct words words;

	ck_assert_int_eq(tenant_settings_set(tenant->settings, column, value, &words), OK);
}

static void adopt(struct tenant *tenant)
{
	credential_adopt(&supervisor, tenant);
	credentials_settle(&supervisor);
}

/* With mail, of one credential, which may have so many sessions. */
static void make(int wanted, const char *sessions)
{
	for (count = 0; count < wanted; count++) {
		struct tenant *tenant = memory_alloc(sizeof(*tenant) + 8);

		(void)snprintf(tenant->name, 8, "t%d", count);
		tenant->settings = tenant_settings_create(tenant->name);
		set(tenant, "host", "mail.example");
		set(tenant, "username", "me");
		set(tenant, "max_connections", sessions);
		breaker_init(&tenant->breaker);
		tenants[count] = tenant;
		workers[count].tenant = tenant;
		mail[count] = true;
		credential_adopt(&supervisor, tenant);
	}
	credentials_settle(&supervisor);
	for (int i = 0; i < count; i++)
		timers_clear(&supervisor.timers, &tenants[i]->timer);
}

static void setup(void)
{
	memset(&service, 0, sizeof(service));
	memset(&outbox, 0, sizeof(outbox));
	memset(&supervisor, 0, sizeof(supervisor));
	memset(workers, 0, sizeof(workers));
	outbox.service = &service;
	supervisor.outbox = &outbox;
	supervisor.dirty_last = &supervisor.dirty;
	supervisor.waiting_last = &supervisor.waiting_first;
	log_batch_init(&supervisor.log, NULL);
	timers_init(&supervisor.timers);
	disk_trouble = false;
	count = called = 0;
	last = -1;
	places = TENANTS;
}

static void teardown(void)
{
	credentials_free_all(&supervisor);
	for (int i = 0; i < count; i++) {
		tenant_settings_release(&tenants[i]->settings);
		free(tenants[i]);
	}
	timers_fini(&supervisor.timers);
	log_batch_fini(&supervisor.log);
}

static void ask(int who)
{
	struct tenant *tenant = tenants[who];

	if (!mail[who] || !tenant->settings || !connection_is_allowed(&supervisor, tenant))
		return;
	if (places == 0) {
		tenant->waiting = true;
		connection_hold(tenant);
		return;
	}
	places--;
	connection_take(tenant, &workers[who]);
	ck_assert(!tenant->session_held); /* from that moment on, not from the end of the attempt */
	tenant->workers = &workers[who];
	tenant->worker_count = 1;
	last = who;
}

static void attempt(int who)
{
	called++;
	turn_begin(tenants[who]);
	if (disk_trouble)
		turn_keep(tenants[who]);
	else
		ask(who);
	turn_end(&supervisor, tenants[who]);
}

/* In the order of their numbers. */
static void all_ask(void)
{
	for (int i = 0; i < count; i++)
		attempt(i);
	called = 0;
	ck_assert_int_eq(timers_next(&supervisor.timers), INT64_MAX);
}

/* Those who are called; returns how many. */
static int run(void)
{
	struct timer *timer;

	called = 0;
	while ((timer = timers_take(&supervisor.timers, clock_monotonic_ms())) != NULL) {
		for (int i = 0; i < count; i++) {
			if (timer == &tenants[i]->timer)
				attempt(i);
		}
	}
	return called;
}

static void end_session(int who)
{
	ck_assert_ptr_nonnull(workers[who].credential);
	tenants[who]->workers = NULL;
	tenants[who]->worker_count = 0;
	mail[who] = false;
	places++;
	connection_give(&supervisor, &workers[who]);
}

static void gets_a_place(int who)
{
	places++;
	tenants[who]->waiting = false;
	attempt(who);
}

START_TEST(a_free_session_calls_who_has_waited_longest_alone)
{
	make(TENANTS, "2");
	all_ask();
	ck_assert_int_eq(last, 1);
	for (int i = 2; i < TENANTS; i++) {
		end_session(i - 2);
		ck_assert_int_eq(run(), 1);
		ck_assert_int_eq(last, i);
	}
}
END_TEST

/* Whatever becomes of the first one, before it is called (_i / 2 = 0) and after. */
enum { GONE, MOVED, DOWN, NO_MAIL, MANNERS };

static void vanish(int who, int manner)
{
	switch (manner) {
	case GONE:
		tenant_settings_release(&tenants[who]->settings);
		adopt(tenants[who]);
		break;
	case MOVED:
		set(tenants[who], "username", "somebody else");
		adopt(tenants[who]);
		mail[who] = false; /* where it is now it has none */
		break;
	case DOWN:
		turn_leave(&supervisor, tenants[who]);
		mail[who] = false;
		break;
	default: mail[who] = false; /* cancelled, suspended, or its settings refused: it does not ask */
	}
}

START_TEST(whatever_becomes_of_the_first_the_next_has_its_turn)
{
	make(5, "1");
	all_ask();
	if (_i % 2 == 0)
		vanish(1, _i / 2);
	end_session(0);
	if (_i % 2 == 1)
		vanish(1, _i / 2);
	ck_assert_int_le(run(), 2);
	ck_assert_int_eq(last, 2);
	end_session(2);
	ck_assert_int_eq(run(), 1);
	ck_assert_int_eq(last, 3);
}
END_TEST

/* Its worker failed: it had its turn. */
START_TEST(whose_worker_fails_has_had_its_turn)
{
	make(4, "1");
	all_ask();
	end_session(0);
	(void)run();
	ck_assert_int_eq(last, 1);
	end_session(1);
	mail[1] = true;
	attempt(1);
	ck_assert_int_eq(run(), 1);
	ck_assert_int_eq(last, 2);
	end_session(2);
	(void)run();
	end_session(3);
	(void)run();
	ck_assert_int_eq(last, 1);
}
END_TEST

/* A larger number of sessions calls all that have a use for it; a smaller one nobody. */
START_TEST(other_limits_call_as_many_as_they_allow)
{
	make(6, "1");
	all_ask();
	for (int i = 0; i < count; i++)
		set(tenants[i], "max_connections", "3");
	adopt(tenants[5]);
	(void)run();
	for (int i = 0; i < count; i++)
		ck_assert(!workers[i].credential == (i > 2));
	set(tenants[5], "max_connections", "2");
	adopt(tenants[5]);
	(void)run();
	end_session(0);
	ck_assert_int_eq(run(), 0); /* two are left */
	end_session(1);
	ck_assert_int_eq(run(), 1);
	ck_assert_int_eq(last, 3);
}
END_TEST

START_TEST(who_waits_for_a_place_keeps_its_session_and_calls_nobody)
{
	make(10, "2");
	all_ask();
	end_session(0);
	end_session(1);
	places = 0;
	ck_assert_int_eq(run(), 2);
	ck_assert_int_eq(run(), 0);
	attempt(2);
	attempt(9); /* has new mail, say */
	ck_assert_int_eq(run(), 0);
	gets_a_place(3);
	ck_assert_int_eq(last, 3);
	gets_a_place(2);
	ck_assert_int_eq(last, 2);
	ck_assert_int_eq(run(), 0);
	end_session(3);
	ck_assert_int_eq(run(), 1);
	ck_assert_int_eq(last, 4);
}
END_TEST

START_TEST(a_session_that_is_kept_goes_on_to_the_next)
{
	make(6, "1");
	all_ask();
	end_session(0);
	places = 0;
	ck_assert_int_eq(run(), 1);
	vanish(1, _i);
	if (_i == NO_MAIL)
		attempt(1);
	places = 1;
	(void)run();
	ck_assert_int_eq(last, 2);
	/* and none is lost or made */
	end_session(2);
	ck_assert_int_eq(run(), 1);
	ck_assert_int_eq(last, 3);
}
END_TEST

START_TEST(kept_sessions_are_no_more_than_a_new_limit_allows)
{
	make(5, "2");
	all_ask();
	end_session(0);
	end_session(1);
	places = 0;
	(void)run();
	set(tenants[4], "max_connections", "1");
	adopt(tenants[4]);
	(void)run();
	gets_a_place(2);
	gets_a_place(3);
	ck_assert_ptr_nonnull(workers[2].credential);
	ck_assert_ptr_null(workers[3].credential);
	places = 1;
	end_session(2);
	(void)run();
	ck_assert_int_eq(last, 4); /* 3 had its turn, and asked behind it */
	end_session(4);
	(void)run();
	ck_assert_int_eq(last, 3);
}
END_TEST

START_TEST(who_cannot_ask_keeps_its_turn)
{
	make(4, "1");
	all_ask();
	end_session(0);
	disk_trouble = true;
	ck_assert_int_eq(run(), 1);
	attempt(3);
	attempt(2);
	disk_trouble = false;
	attempt(3);
	(void)run();
	ck_assert_int_eq(last, 1);
	end_session(1);
	(void)run();
	ck_assert_int_eq(last, 2);
}
END_TEST

/* A held session is as good as one: for who waits behind it, one that is parked is ended. */
START_TEST(kept_sessions_count_where_room_is_made)
{
	struct credential *credential;

	make(3, "2");
	mail[2] = false;
	ck_assert_int_eq(queue_init(&workers[0].inbox, false), OK);
	attempt(0);
	places = 0;
	attempt(1);
	credential = tenants[0]->credential;
	ck_assert_int_eq(connections_staying(credential), 2);
	disk_trouble = true;
	attempt(1);
	ck_assert_int_eq(connections_staying(credential), 2);
	disk_trouble = false;
	connections_make_room(&supervisor);
	ck_assert(!workers[0].retired);
	mail[2] = true;
	attempt(2);
	connections_make_room(&supervisor);
	ck_assert(workers[0].retired);
	queue_fini(&workers[0].inbox);
	timers_clear(&supervisor.timers, &tenants[2]->timer);
}
END_TEST

START_TEST(a_further_session_stands_in_no_line)
{
	make(3, "2");
	mail[2] = false;
	all_ask();
	/* it has one, and asks for another */
	attempt(0);
	ck_assert_int_eq(tenants[0]->turn, TURN_NONE);
	mail[2] = true;
	attempt(2);
	end_session(1);
	attempt(0); /* there is room, and somebody waits for it */
	ck_assert_int_eq(last, 1);
	ck_assert_int_eq(run(), 1);
	ck_assert_int_eq(last, 2);
}
END_TEST

START_TEST(room_is_for_the_first_who_has_its_share)
{
	make(3, "2");
	ck_assert_int_eq(turn_share(tenants[1], 10), 10); /* nobody waits */
	for (int i = 0; i < 3; i++) {
		turn_begin(tenants[i]);
		ck_assert(turn_ask(&supervisor, tenants[i], TURN_LIMIT) == (i == 0));
		turn_end(&supervisor, tenants[i]);
	}
	ck_assert_int_eq(turn_share(tenants[0], 10), 3);
	ck_assert_int_eq(turn_share(tenants[0], 2), 1);
	ck_assert_int_eq(turn_share(tenants[0], 0), 0);
	ck_assert_int_eq(turn_share(tenants[1], 10), 0);
	ck_assert_int_eq(turn_share(tenants[2], 10), 0);
	turn_leave(&supervisor, tenants[1]);
	ck_assert_int_eq(run(), 0); /* it was not the first */
	ck_assert_int_eq(turn_share(tenants[0], 10), 5);
	turn_leave(&supervisor, tenants[0]);
	ck_assert_int_eq(turn_share(tenants[2], 10), 10);
	ck_assert_int_ne(timers_next(&supervisor.timers), INT64_MAX);
	(void)run();
}
END_TEST

TCase *turn_tests(void)
{
	TCase *tests = tcase_create("turn");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, a_free_session_calls_who_has_waited_longest_alone);
	tcase_add_loop_test(tests, whatever_becomes_of_the_first_the_next_has_its_turn, 0, 2 * MANNERS);
	tcase_add_test(tests, whose_worker_fails_has_had_its_turn);
	tcase_add_test(tests, other_limits_call_as_many_as_they_allow);
	tcase_add_test(tests, who_waits_for_a_place_keeps_its_session_and_calls_nobody);
	tcase_add_loop_test(tests, a_session_that_is_kept_goes_on_to_the_next, 0, MANNERS);
	tcase_add_test(tests, kept_sessions_are_no_more_than_a_new_limit_allows);
	tcase_add_test(tests, who_cannot_ask_keeps_its_turn);
	tcase_add_test(tests, kept_sessions_count_where_room_is_made);
	tcase_add_test(tests, a_further_session_stands_in_no_line);
	tcase_add_test(tests, room_is_for_the_first_who_has_its_share);
	return tests;
}
