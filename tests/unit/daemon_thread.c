/*
 * daemon_thread.c - what a thread that rests gives back, one that is preferred, and stacks that are used
 * again.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/wait.h"
#include "daemon/crash.h"
#include "daemon/signals.h"
#include "daemon/thread.h"
#include "daemon/thread_stack.h"
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

static void *take_turns(void *argument)
{
	int *policies = argument;

	policies[0] = sched_getscheduler(0);
	thread_take_turns();
	policies[1] = sched_getscheduler(0);
	return NULL;
}

START_TEST(a_thread_that_takes_turns_is_a_batch_by_itself)
{
	int policies[2] = { -1, -1 };
	pthread_t thread;

	ck_assert_int_eq(thread_start(&thread, "turns", take_turns, policies), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(policies[0], sched_getscheduler(0));
	ck_assert_int_eq(policies[1], SCHED_BATCH);
	ck_assert_int_eq(sched_getscheduler(0), SCHED_OTHER);
}
END_TEST

static bool is_readable(int fd)
{
	struct pollfd one = { .fd = fd, .events = POLLIN };

	return poll(&one, 1, 0) == 1;
}

static void *be_woken(void *argument)
{
	atomic_bool *waits = argument;

	atomic_store(waits, true);
	(void)wait_for(-1, 0, deadline_after_ms(60000), NULL);
	return NULL;
}

START_TEST(signals_of_the_process_are_heard_and_no_others)
{
	atomic_bool waits = false;
	int fd = signals_open();
	pthread_t thread;

	ck_assert_int_ge(fd, 0);
	wait_setup();
	ck_assert(!is_readable(fd));
	ck_assert_int_eq(signals_next(fd), 0);
	kill(getpid(), SIGHUP);
	kill(getpid(), SIGTERM);
	ck_assert(is_readable(fd));
	ck_assert_int_eq(signals_next(fd) + signals_next(fd), SIGHUP + SIGTERM);
	ck_assert_int_eq(signals_next(fd), 0);
	/* a worker that is woken wakes nobody else */
	ck_assert_int_eq(thread_start(&thread, "woken", be_woken, &waits), 0);
	while (!atomic_load(&waits))
		(void)poll(NULL, 0, 1);
	kill(getpid(), SIGUSR1);
	ck_assert_int_eq(signals_next(fd),
	                 SIGUSR1); /* not that thread's, which waits with a mask of its own */
	wait_wake(thread);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert(!is_readable(fd));
	close(fd);
}
END_TEST

struct stood {
	uintptr_t at;
	stack_t alternate;
};

static void *stand(void *argument)
{
	struct stood *stood = argument;

	stood->at = (uintptr_t)__builtin_frame_address(0);
	ck_assert_int_eq(sigaltstack(NULL, &stood->alternate), 0);
	return NULL;
}

static struct stood stand_on(struct thread_stack *stack)
{
	struct stood stood = { 0 };
	pthread_t thread;

	ck_assert_int_eq(thread_start_on(stack, &thread, "stands", stand, &stood), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_uint_ne(stood.at, 0);
	return stood;
}

#ifndef WITH_SANITIZER
START_TEST(a_thread_stands_on_the_stack_that_it_was_given)
{
	struct thread_stack *stack = thread_stack_take();
	size_t bytes;
	uintptr_t low;

	crash_setup(NULL); /* from then on threads have alternate stacks */
	ck_assert_ptr_nonnull(stack);
	low = (uintptr_t)thread_stack_memory(stack, &bytes);
	for (int i = 0; i < 3; i++) { /* one after another */
		struct stood stood = stand_on(stack);

		ck_assert_uint_gt(stood.at, low);
		ck_assert_uint_lt(stood.at, low + bytes);
		ck_assert_ptr_eq(stood.alternate.ss_sp, thread_stack_alternate(stack));
		ck_assert_uint_eq(stood.alternate.ss_size, crash_stack_bytes());
		ck_assert_uint_lt((uintptr_t)stood.alternate.ss_sp + stood.alternate.ss_size, low);
	}
	thread_stack_give(stack);
}
END_TEST

START_TEST(what_overflows_a_stack_ends_at_its_guard)
{
	size_t bytes;
	volatile char *low = thread_stack_memory(thread_stack_take(), &bytes);

	low[0] = low[bytes - 1] = 1; /* all of it is there … */
	low[-1] = 1;                 /* … and no more */
}
END_TEST

static bool is_mapped(void *page)
{
	unsigned char there;

	return mincore(page, 1, &there) == 0;
}

START_TEST(stacks_are_used_again_and_by_one_thread_at_a_time)
{
	struct thread_stack *stacks[64];
	size_t bytes;
	int kept = 0;

	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 64; i++) {
			stacks[i] = thread_stack_take();
			ck_assert_ptr_nonnull(stacks[i]);
			for (int k = 0; k < i; k++)
				ck_assert_ptr_ne(stacks[k], stacks[i]);
		}
		for (int i = 0; i < 64; i++)
			thread_stack_give(stacks[i]);
	}
	for (int i = 0; i < 64; i++)
		kept += is_mapped(thread_stack_memory(stacks[i], &bytes));
	ck_assert_int_ge(kept, 1);
	ck_assert_int_le(kept, 16); /* what nobody uses is given back, but for a few */
}
END_TEST

START_TEST(nothing_is_left_in_a_stack_of_what_was_there)
{
	struct thread_stack *stack = thread_stack_take();
	size_t bytes;
	char *low = thread_stack_memory(stack, &bytes);

	memset(low, 'x', bytes);
	thread_stack_give(stack);
	ck_assert_ptr_eq(thread_stack_take(), stack);
	for (size_t i = 0; i < bytes; i++)
		ck_assert_int_eq(low[i], 0);
	thread_stack_give(stack);
}
END_TEST
#endif

START_TEST(without_a_stack_of_ours_it_has_the_c_librarys)
{
	(void)stand_on(NULL);
	thread_stack_give(NULL);
}
END_TEST

TCase *thread_tests(void)
{
	TCase *tests = tcase_create("thread");

	tcase_add_test(tests, what_was_used_of_the_stack_once_is_given_back);
	tcase_add_test(tests, who_waits_for_long_gives_it_back_and_goes_on_waiting);
	tcase_add_test(tests, a_thread_is_preferred_to_the_others_where_that_is_permitted);
	tcase_add_test(tests, signals_of_the_process_are_heard_and_no_others);
	tcase_add_test(tests, a_thread_that_takes_turns_is_a_batch_by_itself);
#ifndef WITH_SANITIZER /* they have stacks of their own */
	tcase_add_test(tests, a_thread_stands_on_the_stack_that_it_was_given);
	tcase_add_test_raise_signal(tests, what_overflows_a_stack_ends_at_its_guard, SIGSEGV);
	tcase_add_test(tests, stacks_are_used_again_and_by_one_thread_at_a_time);
	tcase_add_test(tests, nothing_is_left_in_a_stack_of_what_was_there);
#endif
	tcase_add_test(tests, without_a_stack_of_ours_it_has_the_c_librarys);
	tcase_set_timeout(tests, 120);
	return tests;
}
