/*
 * daemon_writer_test.c - what is recorded before what, whatever comes in between.
 *
 * writer.c alone: the storage below it is the test's own, as are retention and rules.
 */
#include <check.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/wait.h"
#include "daemon/batch.h"
#include "daemon/checkpoints.h"
#include "daemon/retention.h"
#include "daemon/rules.h"
#include "daemon/service_internal.h"
#include "daemon/writer.h"
#include "storage/checkpoint.h"

#define TAKES    3 /* queues that the storage thread looks into in one round */
#define GRACE_MS 60000

static struct service service;
static struct outbox outbox;
static struct writer *writer;

/* What storage was asked for, in its order: S for a commit with messages, J for a clock that was set. */
static char asked[16];
static int64_t jumped_ms;            /* in sum, of those that were followed */
static int settle_fails, jump_fails; /* so often first */
static bool settle_waits;            /* until the storage thread is told to end, or released */
static sem_t entered, released, rest, happened, followed;
static size_t settle_most;            /* that one commit has time for, 0 = all */
static bool shared;                   /* others commit too */
static size_t committed[16], commits; /* messages of each commit */
static sem_t commit_done;
static int hurries;               /* of the checkpoint thread */
static _Atomic int64_t frozen_ms; /* the clock stands there; 0 = it goes */

/* What happens at the so manieth look into a queue from now on, before or after it; -1 = nothing. */
static atomic_int takes_left;
static bool after_take;

static void did(char what)
{
	size_t length = strlen(asked);

	ck_assert_uint_lt(length, sizeof(asked) - 1);
	asked[length] = what;
}

enum error storage_settle(struct storage *storage, const struct storage_batch *taken, int64_t deadline_ms,
                          struct words *words)
{
	ck_assert_ptr_eq(storage, outbox.storage);
	(void)deadline_ms;
	did('S');
	if (settle_waits) {
		settle_waits = false;
		sem_post(&entered);
		sem_wait(&released);
	}
	if (settle_fails > 0) {
		settle_fails--;
		words_set(words, "not now");
		return ERROR_UNAVAILABLE;
	}
	ck_assert_uint_lt(commits, sizeof(committed) / sizeof(committed[0]));
	for (struct queue_link *link = taken->messages; link; link = link->next) {
		if (settle_most > 0 && committed[commits] == settle_most)
			break;
		committed[commits]++;
		QUEUE_ITEM(link, struct message, link)->settled = SETTLED_GONE;
	}
	for (struct queue_link *link = taken->uncertain; link; link = link->next)
		QUEUE_ITEM(link, struct message, link)->settled = SETTLED;
	commits++;
	sem_post(&commit_done);
	return OK;
}

enum error storage_clock_jumped(struct storage *storage, int64_t by_ms, int64_t deadline_ms,
                                struct words *words)
{
	ck_assert_ptr_eq(storage, outbox.storage);
	(void)deadline_ms;
	did('J');
	if (jump_fails > 0) {
		jump_fails--;
		words_set(words, "not now");
		return ERROR_UNAVAILABLE;
	}
	jumped_ms += by_ms;
	sem_post(&followed);
	return OK;
}

int64_t storage_commit_us(const struct storage *storage)
{
	(void)storage;
	return 0;
}

void storage_rest(struct storage *storage)
{
	(void)storage;
}

enum error storage_checkpoint(struct storage *storage, int64_t *held_bytes, struct words *words)
{
	(void)storage;
	(void)words;
	*held_bytes = 0;
	return OK;
}

void storage_checkpoint_keep(struct storage *storage)
{
	(void)storage;
}

void storage_checkpoint_leave(struct storage *storage)
{
	(void)storage;
}

bool storage_is_shared(const struct storage *storage)
{
	(void)storage;
	return shared;
}

void retention_init(struct retention *retention, struct outbox *whose, struct log_batch *log)
{
	(void)retention;
	(void)whose;
	(void)log;
}

int64_t retention_next_ms(const struct retention *retention)
{
	(void)retention;
	return DEADLINE_NEVER;
}

bool retention_step(struct retention *retention)
{
	(void)retention;
	return false;
}

void retention_tell(struct retention *retention, bool last)
{
	(void)retention;
	(void)last;
}

void rules_init(struct rules *rules, struct outbox *whose, struct log_batch *log)
{
	(void)rules;
	(void)whose;
	(void)log;
}

void rules_ask(struct rules *rules)
{
	(void)rules;
}

int64_t rules_next_ms(const struct rules *rules)
{
	(void)rules;
	return DEADLINE_NEVER;
}

bool rules_step(struct rules *rules)
{
	(void)rules;
	return false;
}

static void settle(int count)
{
	struct queue_link *first = NULL, **last = &first;

	for (int i = 0; i < count; i++) {
		struct message *message = message_create(i + 1, "acme");

		message->journal_slot = -1;
		message->link.next = NULL;
		*last = &message->link;
		last = &message->link.next;
	}
	writer_settle(writer, first);
}

/* As the supervisor does: what was judged by the clock of before is given first. */
static void judge_and_jump(void)
{
	settle(1);
	ck_assert_uint_eq(writer_clock_jumped(writer, 5000), 1);
	sem_post(&happened);
}

struct queue_link *__real_queue_take_all(struct queue *queue);
struct queue_link *__wrap_queue_take_all(struct queue *queue);
struct queue_link *__wrap_queue_take_all(struct queue *queue)
{
	bool now = atomic_load(&takes_left) > 0 && atomic_fetch_sub(&takes_left, 1) == 1;
	struct queue_link *first;

	if (now && !after_take)
		judge_and_jump();
	first = __real_queue_take_all(queue);
	if (now && after_take)
		judge_and_jump();
	sem_post(&rest);
	return first;
}

/* Told to end: what is under way is over after that, not before. */
void __real_wait_wake(pthread_t thread);
void __wrap_wait_wake(pthread_t thread);
void __wrap_wait_wake(pthread_t thread)
{
	__real_wait_wake(thread);
	sem_post(&released);
}

void __real_checkpoints_hurry(struct checkpoints *checkpoints);
void __wrap_checkpoints_hurry(struct checkpoints *checkpoints);
void __wrap_checkpoints_hurry(struct checkpoints *checkpoints)
{
	hurries++;
	__real_checkpoints_hurry(checkpoints);
}

int64_t __real_clock_monotonic_ms(void);
int64_t __wrap_clock_monotonic_ms(void);
int64_t __wrap_clock_monotonic_ms(void)
{
	int64_t at_ms = atomic_load(&frozen_ms);

	return at_ms ? at_ms : __real_clock_monotonic_ms();
}

static void setup(void)
{
	struct words words;

	memset(&service, 0, sizeof(service));
	memset(&outbox, 0, sizeof(outbox));
	memset(asked, 0, sizeof(asked));
	jumped_ms = settle_fails = jump_fails = 0;
	settle_waits = after_take = shared = false;
	settle_most = commits = 0;
	hurries = 0;
	memset(committed, 0, sizeof(committed));
	atomic_store(&frozen_ms, 0);
	sem_init(&commit_done, 0, 0);
	atomic_store(&takes_left, -1);
	sem_init(&entered, 0, 0);
	sem_init(&released, 0, 0);
	sem_init(&rest, 0, 0);
	sem_init(&happened, 0, 0);
	sem_init(&followed, 0, 0);
	outbox.service = &service;
	outbox.storage = (struct storage *)&outbox;
	ck_assert_int_eq(queue_init(&outbox.settled, true), OK);
	ck_assert_int_eq(writer_start(&outbox, &writer, &words), OK);
	for (int i = 0; i < TAKES; i++)
		sem_wait(&rest); /* now it waits for work */
}

static bool stop(int64_t grace_ms)
{
	bool complete = writer_stop(&writer, grace_ms);
	struct queue_link *link = __real_queue_take_all(&outbox.settled);

	while (link) {
		struct message *message = QUEUE_ITEM(link, struct message, link);

		link = link->next;
		message_destroy(&message);
	}
	queue_fini(&outbox.settled);
	return complete;
}

/* A commit that waits in the middle, so that all that comes by then is there for the next round. */
static void begin_a_commit(void)
{
	settle_waits = true;
	settle(1);
	sem_wait(&entered);
}

/* Wherever in a round it comes: the table has the results of before when it follows. */
START_TEST(what_was_judged_before_a_jump_is_recorded_before_it_is_followed)
{
	after_take = _i >= TAKES;
	atomic_store(&takes_left, _i % TAKES + 1);
	writer_rules_changed(writer); /* a round */
	sem_wait(&happened);
	ck_assert(stop(GRACE_MS));
	ck_assert_str_eq(asked, "SJ");
	ck_assert_int_eq(jumped_ms, 5000);
	ck_assert_uint_eq(atomic_load(&outbox.clock_followed), 1);
}
END_TEST

START_TEST(however_many_and_however_often_their_commit_fails)
{
	begin_a_commit();
	settle_fails = 2; /* of this one, and once more */
	settle(BATCH_MESSAGES + 1);
	writer_clock_jumped(writer, 5000);
	writer_clock_jumped(writer, -2000);
	sem_post(&released);
	ck_assert(stop(GRACE_MS));
	ck_assert_str_eq(asked, "SSSSSJ");
	ck_assert_int_eq(jumped_ms, 3000);
	ck_assert_uint_eq(atomic_load(&outbox.clock_followed), 2);
}
END_TEST

START_TEST(each_jump_is_followed_once)
{
	writer_clock_jumped(writer, 5000);
	sem_wait(&followed);
	settle(1);
	writer_clock_jumped(writer, -2000);
	ck_assert(stop(GRACE_MS));
	ck_assert_str_eq(asked, "JSJ");
	ck_assert_int_eq(jumped_ms, 3000);
}
END_TEST

/* The next start knows nothing of what was set forward: it would find mail that has grown old. */
START_TEST(a_jump_is_followed_before_the_end)
{
	begin_a_commit();
	writer_clock_jumped(writer, 5000);
	ck_assert(stop(GRACE_MS));
	ck_assert_str_eq(asked, "SJ");
	ck_assert_int_eq(jumped_ms, 5000);
}
END_TEST

START_TEST(and_though_it_cannot_be_at_once)
{
	jump_fails = 2;
	begin_a_commit();
	writer_clock_jumped(writer, 5000);
	ck_assert(stop(GRACE_MS));
	ck_assert_str_eq(asked, "SJJJ");
	ck_assert_int_eq(jumped_ms, 5000);
}
END_TEST

START_TEST(where_it_cannot_be_in_time_it_ends_all_the_same)
{
	jump_fails = 1000;
	begin_a_commit();
	writer_clock_jumped(writer, 5000);
	(void)stop(0);
	ck_assert_str_eq(asked, "SJ");
	ck_assert_uint_eq(atomic_load(&outbox.clock_followed), 0);
}
END_TEST

/* A commit has been, and the clock stands: who gathers does not stop because of the time. */
static void commit_beside_others(void)
{
	shared = true;
	atomic_store(&frozen_ms, __real_clock_monotonic_ms());
	settle(BATCH_GATHER_LEAST);
	sem_wait(&commit_done);
	/* and is over: it is told of last */
	ck_assert_int_eq(wait_for(outbox.settled.event_fd, POLLIN, DEADLINE_NEVER, NULL), OK);
}

START_TEST(beside_others_results_are_gathered_until_there_are_many)
{
	commit_beside_others();
	settle(BATCH_GATHER_MESSAGES - 1);
	settle(1);
	sem_wait(&commit_done);
	ck_assert(stop(GRACE_MS));
	ck_assert_str_eq(asked, "SS");
	ck_assert_uint_eq(committed[1], BATCH_GATHER_MESSAGES);
}
END_TEST

START_TEST(few_are_committed_at_once)
{
	shared = true;
	atomic_store(&frozen_ms, __real_clock_monotonic_ms());
	settle(1);
	sem_wait(&commit_done);
	settle(1);
	sem_wait(&commit_done);
	ck_assert(stop(GRACE_MS));
	ck_assert_str_eq(asked, "SS");
}
END_TEST

START_TEST(or_until_they_have_waited_for_long)
{
	commit_beside_others();
	settle(2);
	atomic_fetch_add(&frozen_ms, BATCH_GATHER_MS);
	sem_wait(&commit_done);
	ck_assert(stop(GRACE_MS));
	ck_assert_str_eq(asked, "SS");
}
END_TEST

/* Its transaction is open, past the data: the server waits. */
START_TEST(or_until_one_waits_with_its_data_open)
{
	struct message *message = message_create(1000, "acme");
	struct queue answers;

	ck_assert_int_eq(queue_init(&answers, true), OK);
	message->journal_slot = -1;
	commit_beside_others();
	settle(2);
	writer_hold(writer, message, &answers);
	sem_wait(&commit_done);
	ck_assert(stop(GRACE_MS));
	ck_assert_str_eq(asked, "SS");
	ck_assert_uint_eq(committed[1], 2);
	ck_assert_ptr_eq(__real_queue_take_all(&answers), &message->link);
	message_destroy(&message);
	queue_fini(&answers);
}
END_TEST

START_TEST(or_until_the_end)
{
	commit_beside_others();
	settle(2);
	ck_assert(stop(GRACE_MS));
	ck_assert_str_eq(asked, "SS");
	ck_assert_uint_eq(committed[1], 2);
}
END_TEST

START_TEST(where_much_is_committed_checkpoints_are_hurried)
{
	settle(BATCH_HOLD_LEAST - 1);
	ck_assert(stop(GRACE_MS));
	ck_assert_int_eq(hurries, 0);
	setup();
	settle(BATCH_HOLD_LEAST);
	ck_assert(stop(GRACE_MS));
	ck_assert_str_eq(asked, "S");
	ck_assert_int_eq(hurries, 1);
	setup();
	settle_most = 2; /* the rest of them is the next commits' */
	settle(5);
	ck_assert(stop(GRACE_MS));
	ck_assert_str_eq(asked, "SSS");
	ck_assert_int_eq(hurries, 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("daemon: the storage thread");
	TCase *tests = tcase_create("writer");
	SRunner *runner;
	int failed;

	wait_setup();
	tcase_set_timeout(tests, 360);
	tcase_add_checked_fixture(tests, setup, NULL);
	tcase_add_loop_test(tests, what_was_judged_before_a_jump_is_recorded_before_it_is_followed, 0,
	                    2 * TAKES);
	tcase_add_test(tests, however_many_and_however_often_their_commit_fails);
	tcase_add_test(tests, each_jump_is_followed_once);
	tcase_add_test(tests, a_jump_is_followed_before_the_end);
	tcase_add_test(tests, and_though_it_cannot_be_at_once);
	tcase_add_test(tests, where_it_cannot_be_in_time_it_ends_all_the_same);
	tcase_add_test(tests, few_are_committed_at_once);
	tcase_add_test(tests, beside_others_results_are_gathered_until_there_are_many);
	tcase_add_test(tests, or_until_they_have_waited_for_long);
	tcase_add_test(tests, or_until_one_waits_with_its_data_open);
	tcase_add_test(tests, or_until_the_end);
	tcase_add_test(tests, where_much_is_committed_checkpoints_are_hurried);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
