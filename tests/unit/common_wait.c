/*
 * common_wait.c - no wake-up is lost, no deadline is stretched.
 */
#include "common/wait.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/unit/common_test.h"

#define LONG_MS 50000

static int pipe_fds[2];

static void setup(void)
{
	wait_setup();
	ck_assert_int_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
}

START_TEST(a_ready_descriptor_is_ok)
{
	ck_assert_int_eq(wait_for(pipe_fds[1], POLLOUT, deadline_after_ms(LONG_MS), NULL), OK);
	ck_assert_int_eq(write(pipe_fds[1], "x", 1), 1);
	ck_assert_int_eq(wait_for(pipe_fds[0], POLLIN, DEADLINE_NEVER, NULL), OK);
}
END_TEST

START_TEST(a_closed_peer_counts_as_ready)
{
	close(pipe_fds[1]);
	ck_assert_int_eq(wait_for(pipe_fds[0], POLLIN, deadline_after_ms(LONG_MS), NULL), OK);
}
END_TEST

START_TEST(what_is_no_descriptor_is_an_error)
{
	close(pipe_fds[0]);
	ck_assert_int_eq(wait_for(pipe_fds[0], POLLIN, deadline_after_ms(LONG_MS), NULL), ERROR_SYSTEM);
}
END_TEST

START_TEST(the_deadline_ends_a_wait)
{
	int64_t deadline_ms = deadline_after_ms(30);

	ck_assert_int_eq(wait_for(pipe_fds[0], POLLIN, deadline_ms, NULL), ERROR_TIMEOUT);
	ck_assert_int_ge(clock_monotonic_ms(), deadline_ms);
	deadline_ms = deadline_after_ms(30);
	ck_assert_int_eq(wait_for(-1, 0, deadline_ms, NULL), ERROR_TIMEOUT);
	ck_assert_int_ge(clock_monotonic_ms(), deadline_ms);
	deadline_ms = deadline_after_ms(LONG_MS);
	clock_move_ms(LONG_MS);
	ck_assert_int_eq(wait_for(-1, 0, deadline_ms, NULL), ERROR_TIMEOUT);
}
END_TEST

START_TEST(a_peer_that_trickles_cannot_stretch_a_deadline)
{
	ck_assert_int_eq(write(pipe_fds[1], "x", 1), 1);
	ck_assert_int_eq(wait_for(pipe_fds[0], POLLIN, clock_monotonic_ms() - 1, NULL), ERROR_TIMEOUT);
}
END_TEST

START_TEST(a_wake_up_before_the_wait_is_not_lost)
{
	for (int i = 0; i < 100; i++) {
		wait_wake(pthread_self());
		ck_assert_int_eq(wait_for(-1, 0, deadline_after_ms(LONG_MS), NULL), ERROR_UNAVAILABLE);
	}
	/* and it is let in nowhere else */
	wait_wake(pthread_self());
	sigset_t pending;
	sigpending(&pending);
	ck_assert_int_eq(sigismember(&pending, WAKE_SIGNAL), 1);
}
END_TEST

START_TEST(a_wake_up_that_calls_nothing_off_does_not_end_a_wait_for_a_descriptor)
{
	wait_wake(pthread_self());
	ck_assert_int_eq(wait_for(pipe_fds[0], POLLIN, deadline_after_ms(30), NULL), ERROR_TIMEOUT);
}
END_TEST

START_TEST(only_a_level_of_the_threshold_calls_off)
{
	atomic_int level = 0;
	struct interrupt interrupt = { &level, 2 };

	atomic_store(&level, 1);
	ck_assert_int_eq(wait_for(pipe_fds[1], POLLOUT, deadline_after_ms(LONG_MS), &interrupt), OK);
	atomic_store(&level, 2);
	ck_assert_int_eq(wait_for(pipe_fds[1], POLLOUT, deadline_after_ms(LONG_MS), &interrupt),
	                 ERROR_INTERRUPTED);
	interrupt.threshold = 3;
	ck_assert_int_eq(wait_for(pipe_fds[1], POLLOUT, deadline_after_ms(LONG_MS), &interrupt), OK);
}
END_TEST

struct caller {
	atomic_int level;
	pthread_t waiter;
	int to;
	atomic_int rounds;
};

/* Calls off again and again, at whatever moment the waiter is. */
static void *call_off(void *argument)
{
	struct caller *caller = argument;

	for (int i = 1; i <= 2000; i++) {
		while (atomic_load(&caller->rounds) < i - 1)
			sched_yield();
		atomic_store(&caller->level, i);
		wait_wake(caller->waiter);
	}
	return NULL;
}

START_TEST(each_call_off_from_another_thread_arrives)
{
	struct caller caller = { .waiter = pthread_self() };
	struct interrupt interrupt = { &caller.level, 0 };
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, call_off, &caller), 0);
	for (int i = 1; i <= 2000; i++) {
		interrupt.threshold = i;
		ck_assert_int_eq(wait_for(pipe_fds[0], POLLIN, deadline_after_ms(LONG_MS), &interrupt),
		                 ERROR_INTERRUPTED);
		atomic_store(&caller.rounds, i);
	}
	pthread_join(thread, NULL);
}
END_TEST

START_TEST(several_descriptors)
{
	struct pollfd fds[2];
	int other[2];

	ck_assert_int_eq(pipe2(other, O_CLOEXEC), 0);
	fds[0] = (struct pollfd){ .fd = pipe_fds[0], .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = other[0], .events = POLLIN };
	ck_assert_int_eq(wait_for_any(fds, 2, deadline_after_ms(10), NULL), ERROR_TIMEOUT);
	ck_assert_int_eq(write(other[1], "x", 1), 1);
	ck_assert_int_eq(wait_for_any(fds, 2, deadline_after_ms(LONG_MS), NULL), OK);
	ck_assert_int_eq(fds[0].revents, 0);
	ck_assert_int_eq(fds[1].revents, POLLIN);
}
END_TEST

START_TEST(a_brief_wait_says_what_ended_it)
{
	struct pollfd fd = { .fd = pipe_fds[0], .events = POLLIN };
	int64_t before_ms = clock_monotonic_ms();

	ck_assert_int_eq(wait_briefly(&fd, 1, 0), ERROR_TIMEOUT);
	ck_assert_int_eq(wait_briefly(&fd, 1, 20500), ERROR_TIMEOUT);
	ck_assert_int_ge(clock_monotonic_ms(), before_ms + 20);
	wait_wake(pthread_self());
	ck_assert_int_eq(wait_briefly(&fd, 1, -1), ERROR_UNAVAILABLE);
	ck_assert_int_eq(write(pipe_fds[1], "x", 1), 1);
	ck_assert_int_eq(wait_briefly(&fd, 1, -1), OK);
}
END_TEST

/* What counting a queue may cost is told by it: a busy neighbour costs nothing. */
START_TEST(thread_time_is_work_and_not_waiting)
{
	int64_t began = clock_thread_us(), worked;

	poll(NULL, 0, 200);
	worked = clock_thread_us();
	ck_assert_int_ge(worked, began);
	ck_assert_int_lt(worked - began, 200000);
	while (clock_thread_us() - worked < 2000)
		;
}
END_TEST

TCase *common_wait_cases(void)
{
	TCase *cases = tcase_create("wait");

	tcase_add_checked_fixture(cases, setup, NULL);
	tcase_add_test(cases, thread_time_is_work_and_not_waiting);
	tcase_add_test(cases, a_ready_descriptor_is_ok);
	tcase_add_test(cases, a_closed_peer_counts_as_ready);
	tcase_add_test(cases, what_is_no_descriptor_is_an_error);
	tcase_add_test(cases, the_deadline_ends_a_wait);
	tcase_add_test(cases, a_peer_that_trickles_cannot_stretch_a_deadline);
	tcase_add_test(cases, a_wake_up_before_the_wait_is_not_lost);
	tcase_add_test(cases, a_wake_up_that_calls_nothing_off_does_not_end_a_wait_for_a_descriptor);
	tcase_add_test(cases, only_a_level_of_the_threshold_calls_off);
	tcase_add_test(cases, each_call_off_from_another_thread_arrives);
	tcase_add_test(cases, several_descriptors);
	tcase_add_test(cases, a_brief_wait_says_what_ended_it);
	return cases;
}
