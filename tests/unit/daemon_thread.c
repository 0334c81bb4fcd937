/*
 * daemon_thread.c - what a thread that rests gives back, and one that is preferred.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/wait.h"
#include "daemon/thread.h"
#include "tests/unit/daemon_test.h"

#define DEEP  (96 * 1024) /* of the stack that was used once */
#define PAGES 64

struct seen {
	size_t before, after; /* pages that are in memory */
	int kept;             /* what the caller of the deep one had */
};

static __attribute__((noinline)) uintptr_t use_much(void)
{
	volatile char deep[DEEP];

	for (size_t i = 0; i < sizeof(deep); i += 512)
		deep[i] = 1;
	return (uintptr_t)&deep[0];
}

/* Of the pages from there on, up to where somebody stands. */
static size_t in_memory(uintptr_t from)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), low = (from + page - 1) & ~(page - 1);
	unsigned char which[PAGES];
	size_t pages = DEEP / 2 / page, count = 0;

	ck_assert_uint_le(pages, PAGES);
	ck_assert_int_eq(mincore((void *)low, pages * page, which), 0);
	for (size_t i = 0; i < pages; i++)
		count += which[i] & 1;
	return count;
}

static void *rest(void *argument)
{
	struct seen *seen = argument;
	volatile int mine = 42;
	uintptr_t deepest = use_much();

	seen->before = in_memory(deepest);
	thread_rest();
	seen->after = in_memory(deepest);
	seen->kept = mine;
	return NULL;
}

START_TEST(what_was_used_of_the_stack_once_is_given_back)
{
	struct seen seen = { 0 };
	pthread_t thread;

	ck_assert_int_eq(thread_start(&thread, "rests", rest, &seen), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_uint_gt(seen.before, 4);
	ck_assert_int_eq(seen.kept, 42);
#ifndef WITH_SANITIZER /* which has its own idea of a stack: nothing is given back */
	ck_assert_uint_eq(seen.after, 0);
#endif
}
END_TEST

struct long_wait {
	atomic_uintptr_t deepest;
	int pipe[2];
	enum error answer;
};

static void *wait_long(void *argument)
{
	struct long_wait *wait = argument;

	atomic_store(&wait->deepest, use_much());
	wait->answer = wait_for(wait->pipe[0], POLLIN, deadline_after_ms(120000), NULL);
	return NULL;
}

START_TEST(who_waits_for_long_gives_it_back_and_goes_on_waiting)
{
	struct long_wait wait = { .answer = ERROR_SYSTEM };
	int64_t limit = clock_monotonic_ms() + 60000;
	uintptr_t deepest;
	pthread_t thread;
	size_t left = 1;

	ck_assert_int_eq(pipe(wait.pipe), 0);
	ck_assert_int_eq(thread_start(&thread, "waits", wait_long, &wait), 0);
	while (left > 0 && clock_monotonic_ms() < limit) {
		deepest = atomic_load(&wait.deepest);
		left = deepest ? in_memory(deepest) : 1;
		(void)poll(NULL, 0, 1);
#ifdef WITH_SANITIZER
		left = 0;
#endif
	}
	ck_assert_uint_eq(left, 0);
	ck_assert_int_eq(write(wait.pipe[1], "x", 1), 1);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(wait.answer, OK);
	close(wait.pipe[0]);
	close(wait.pipe[1]);
}
END_TEST

struct preferred {
	int before, after, other; /* nice */
	bool allowed;
};

static int nice_now(void)
{
	return getpriority(PRIO_PROCESS, (id_t)gettid());
}

static void *prefer(void *argument)
{
	struct preferred *seen = argument;

	seen->before = nice_now();
	thread_prefer();
	seen->after = nice_now();
	/* whether it may: the same by hand */
	seen->allowed = setpriority(PRIO_PROCESS, (id_t)gettid(), seen->before - 10) == 0;
	return NULL;
}

START_TEST(a_thread_is_preferred_to_the_others_where_that_is_permitted)
{
	struct preferred seen = { .other = nice_now() };
	pthread_t thread;

	ck_assert_int_eq(thread_start(&thread, "preferred", prefer, &seen), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(seen.before, seen.other);
	ck_assert_int_eq(nice_now(), seen.other); /* it alone */
	if (!seen.allowed)
		ck_assert_int_eq(seen.after, seen.before);
	else
		ck_assert_int_eq(seen.after, seen.before - 10 < -20 ? -20 : seen.before - 10);
}
END_TEST

TCase *thread_tests(void)
{
	TCase *tests = tcase_create("thread");

	tcase_add_test(tests, what_was_used_of_the_stack_once_is_given_back);
	tcase_add_test(tests, who_waits_for_long_gives_it_back_and_goes_on_waiting);
	tcase_add_test(tests, a_thread_is_preferred_to_the_others_where_that_is_permitted);
	tcase_set_timeout(tests, 120);
	return tests;
}
