/*
 * daemon_checkpoints_test.c - how often the write-ahead log is moved, and when others may.
 *
 * checkpoints.c alone: the storage below it is the test's own, and so are its waits. Each is over when the
 * test says so, and the clock stands.
 */
#include <check.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/wait.h"
#include "daemon/checkpoints.h"
#include "daemon/service_internal.h"
#include "storage/checkpoint.h"

#define NOW_MS 1000000

static struct service service;
static struct outbox outbox;
static struct checkpoints *checkpoints;

static sem_t waiting, over;
static int64_t pause_ms; /* of its wait */
static char did[16];     /* since the wait before: C checkpoint, K keep, L leave */
static int fails, wakes;

static void note(char what)
{
	size_t length = strlen(did);

	ck_assert_uint_lt(length, sizeof(did) - 1);
	did[length] = what;
}

enum error storage_checkpoint(struct storage *storage, int64_t *held_bytes, struct words *words)
{
	ck_assert_ptr_eq(storage, outbox.storage);
	note('C');
	*held_bytes = 0;
	if (fails == 0)
		return OK;
	fails--;
	words_set(words, "not now");
	return ERROR_UNAVAILABLE;
}

void storage_checkpoint_keep(struct storage *storage)
{
	ck_assert_ptr_eq(storage, outbox.storage);
	note('K');
}

void storage_checkpoint_leave(struct storage *storage)
{
	ck_assert_ptr_eq(storage, outbox.storage);
	note('L');
}

int64_t __wrap_clock_monotonic_ms(void);
int64_t __wrap_clock_monotonic_ms(void)
{
	return NOW_MS;
}

enum error __wrap_wait_for(int fd, short events, int64_t deadline_ms, const struct interrupt *interrupt);
enum error __wrap_wait_for(int fd, short events, int64_t deadline_ms, const struct interrupt *interrupt)
{
	(void)events;
	ck_assert_int_eq(fd, -1);
	pause_ms = deadline_ms - NOW_MS;
	sem_post(&waiting);
	sem_wait(&over);
	return atomic_load(interrupt->level) >= interrupt->threshold ? ERROR_INTERRUPTED : ERROR_TIMEOUT;
}

void __wrap_wait_wake(pthread_t thread);
void __wrap_wait_wake(pthread_t thread)
{
	(void)thread;
	wakes++;
	sem_post(&over);
}

static void setup(void)
{
	struct words words;

	sem_init(&waiting, 0, 0);
	sem_init(&over, 0, 0);
	outbox.service = &service;
	outbox.storage = (struct storage *)&outbox;
	ck_assert_int_eq(checkpoints_start(&outbox, &checkpoints, &words), OK);
	sem_wait(&waiting);
	ck_assert_int_eq(pause_ms, 1000);
}

static void stop(const char *expected)
{
	memset(did, 0, sizeof(did));
	checkpoints_stop(&checkpoints);
	ck_assert_str_eq(did, expected);
}

/* The wait is over, by itself or because it was told (over was posted): what is done, and how long the next
 * is. */
static void expect(const char *expected, int next_ms)
{
	sem_wait(&waiting);
	ck_assert_str_eq(did, expected);
	ck_assert_int_eq(pause_ms, next_ms);
}

static void turn(const char *expected, int next_ms)
{
	memset(did, 0, sizeof(did));
	sem_post(&over);
	expect(expected, next_ms);
}

/* As after each commit, a large one. */
static void commit_much(void)
{
	checkpoints_note(checkpoints);
	checkpoints_hurry(checkpoints);
}

/* From rest: it is woken at once. */
static void begin(void)
{
	memset(did, 0, sizeof(did));
	wakes = 0;
	commit_much();
	ck_assert_int_eq(wakes, 1);
	expect("LCK", 250);
}

START_TEST(once_a_second_where_something_was_committed)
{
	turn("L", 1000);
	checkpoints_note(checkpoints);
	turn("LC", 1000);
	turn("L", 1000);
	stop("L");
}
END_TEST

/* Eight times a quarter of a second after the last large commit. */
START_TEST(where_much_is_committed_the_lock_is_kept_for_two_seconds_more)
{
	for (int twice = 0; twice < 2; twice++) {
		begin();
		commit_much();
		ck_assert_int_eq(wakes, 1); /* it looks by itself, soon */
		turn("LCK", 250);
		for (int calm = 1; calm < 8; calm++) {
			checkpoints_note(checkpoints);
			turn("LCK", 250);
		}
		checkpoints_note(checkpoints);
		turn("LC", 1000);
		checkpoints_note(checkpoints);
		turn("LC", 1000);
	}
	stop("L");
}
END_TEST

START_TEST(they_begin_anew_with_each_large_commit)
{
	begin();
	for (int calm = 1; calm < 8; calm++)
		turn("L", 250);
	commit_much();
	turn("LCK", 250);
	for (int calm = 1; calm < 8; calm++)
		turn("L", calm == 3 ? 50 : 250); /* the twelfth, see below */
	turn("L", 1000);
	stop("L");
}
END_TEST

START_TEST(others_may_make_theirs_every_three_seconds)
{
	begin();
	for (int i = 2; i <= 36; i++) {
		commit_much();
		if (i % 12 == 0)
			turn("LC", 50);
		else
			turn("LCK", 250);
	}
	stop("L");
}
END_TEST

/* There may be something wrong with the log. */
START_TEST(where_a_checkpoint_failed_the_lock_is_left_and_it_is_repeated)
{
	fails = 2;
	checkpoints_note(checkpoints);
	turn("LC", 1000);
	memset(did, 0, sizeof(did));
	commit_much();
	expect("LC", 250);
	turn("LCK", 250);
	turn("L", 250); /* and only then */
	stop("L");
}
END_TEST

START_TEST(the_end_waits_for_no_pause_and_leaves_the_lock)
{
	begin();
	commit_much(); /* not asked for any more */
	stop("L");
	ck_assert_ptr_null(checkpoints);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("daemon: the checkpoint thread");
	TCase *tests = tcase_create("checkpoints");
	SRunner *runner;
	int failed;

	wait_setup();
	tcase_set_timeout(tests, 360);
	tcase_add_checked_fixture(tests, setup, NULL);
	tcase_add_test(tests, once_a_second_where_something_was_committed);
	tcase_add_test(tests, where_much_is_committed_the_lock_is_kept_for_two_seconds_more);
	tcase_add_test(tests, they_begin_anew_with_each_large_commit);
	tcase_add_test(tests, others_may_make_theirs_every_three_seconds);
	tcase_add_test(tests, where_a_checkpoint_failed_the_lock_is_left_and_it_is_repeated);
	tcase_add_test(tests, the_end_waits_for_no_pause_and_leaves_the_lock);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
