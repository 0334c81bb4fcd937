/*
 * test_trouble.c - busy locks, several threads, and what each leaves to the others.
 */
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#include "storage/checkpoint.h"
#include "common/clock.h"
#include "tests/contract/bed.h"
#include "tests/contract/suites.h"

START_TEST(a_lock_held_by_an_application_makes_settling_wait_and_lose_nothing)
{
	struct message *message;

	bed_insert_plain();
	message = bed_due_one();
	bed_judge(message, MESSAGE_SENT, "250 ok");
	APP->lock(bed.outbox);
	ck_assert_int_eq(bed_settle_by(message, deadline_after_ms(100)), ERROR_UNAVAILABLE);
	ck_assert_str_ne(bed.words.text, "");
	ck_assert_int_eq(message->settled, SETTLED_NOT_YET);
	APP->unlock(bed.outbox);
	bed_settle(message);
	ck_assert_int_eq(message->settled, SETTLED);
	message_destroy(&message);
}
END_TEST

START_TEST(a_lock_held_by_an_application_stops_no_reader)
{
	struct message *message;
	struct mail *mail;

	bed_insert_plain();
	APP->lock(bed.outbox);
	message = bed_due_one();
	mail = bed_take(message);
	storage_give_back(bed.storage, &mail);
	APP->unlock(bed.outbox);
	message_destroy(&message);
}
END_TEST

static void pause_30_ms(void *context)
{
	(void)context;
	(void)poll(NULL, 0, 30);
}

/* From before the commit that makes the gap: it is over no sooner than that, however slow a machine is. */
START_TEST(the_write_lock_stays_free_between_two_commits)
{
	struct tenant_status status = { .tenant = (char[]){ "acme" }, .state = "idle" };
	struct storage_batch batch = { .statuses = &status.link };
	int64_t began = clock_monotonic_ms();
	enum error error;

	ck_ok(storage_settle(bed.storage, &batch, deadline_after_ms(5000), &bed.words));
	ck_ok(storage_settle(bed.storage, &batch, deadline_after_ms(5000), &bed.words));
	ck_assert_int_ge(clock_monotonic_ms() - began, 1); /* 2 ms, of which one may fall to rounding */
	/* as long as the last one held it */
	APP->interpose(bed.outbox, "outbox_tenant_status", pause_30_ms, NULL);
	began = clock_monotonic_ms();
	ck_ok(storage_settle(bed.storage, &batch, deadline_after_ms(5000), &bed.words));
	error = storage_settle(bed.storage, &batch, deadline_after_ms(5), &bed.words);
	ck_assert(error == ERROR_UNAVAILABLE || clock_monotonic_ms() - began >= 59);
	ck_ok(storage_settle(bed.storage, &batch, deadline_after_ms(5000), &bed.words));
	ck_assert_int_ge(clock_monotonic_ms() - began, 59);
}
END_TEST

START_TEST(where_an_application_commits_too_it_stays_free_for_longer)
{
	struct tenant_status status = { .tenant = (char[]){ "acme" }, .state = "idle" };
	struct storage_batch batch = { .statuses = &status.link };
	int64_t began;

	ck_ok(storage_settle(bed.storage, &batch, deadline_after_ms(5000), &bed.words));
	ck_assert(!storage_is_shared(bed.storage)); /* nothing is known of what was before */
	ck_ok(storage_settle(bed.storage, &batch, deadline_after_ms(5000), &bed.words));
	ck_assert(!storage_is_shared(bed.storage)); /* our own commits are no others' */
	bed_insert(&(struct contract_message){ 0 });
	began = clock_monotonic_ms();
	ck_ok(storage_settle(bed.storage, &batch, deadline_after_ms(5000), &bed.words));
	ck_assert(storage_is_shared(bed.storage));
	ck_ok(storage_settle(bed.storage, &batch, deadline_after_ms(5000), &bed.words));
	ck_assert_int_ge(clock_monotonic_ms() - began, 4); /* 5 ms, of which one may fall to rounding */
	ck_assert(!storage_is_shared(bed.storage));
	/* and twice as long as the last one held it, up to 25 ms more than that */
	bed_insert(&(struct contract_message){ 0 });
	APP->interpose(bed.outbox, "outbox_tenant_status", pause_30_ms, NULL);
	began = clock_monotonic_ms();
	ck_ok(storage_settle(bed.storage, &batch, deadline_after_ms(5000), &bed.words));
	ck_ok(storage_settle(bed.storage, &batch, deadline_after_ms(5000), &bed.words));
	ck_assert_int_ge(clock_monotonic_ms() - began, 84);
}
END_TEST

START_TEST(a_checkpoint_moves_what_was_committed)
{
	bed_insert(&(struct contract_message){ .message_bytes = 20 * 1024 * 1024 });
	ck_ok(storage_checkpoint(bed.storage, NULL, &bed.words));
	APP->lock(bed.outbox);
	ck_ok(storage_checkpoint(bed.storage, NULL, &bed.words)); /* what cannot be now is no failure */
	APP->unlock(bed.outbox);
	ck_ok(storage_checkpoint(bed.storage, NULL, &bed.words));
	ck_assert(APP->unpinned(bed.outbox));
}
END_TEST

/* What is to be begun anew is that by the next commit, whoever's: no lock is needed. Above 32 MiB it is. */
START_TEST(a_long_log_is_moved_without_the_write_lock)
{
	int64_t held_bytes = -1;

	bed_insert(&(struct contract_message){ .message_bytes = 20 * 1024 * 1024 });
	APP->lock(bed.outbox);
	ck_ok(storage_checkpoint(bed.storage, &held_bytes, &bed.words));
	APP->unlock(bed.outbox);
	ck_assert_int_eq(held_bytes, 0);
	bed_insert(&(struct contract_message){ .message_bytes = 36 * 1024 * 1024 });
	APP->lock(bed.outbox);
	ck_ok(storage_checkpoint(bed.storage, &held_bytes, &bed.words));
	APP->unlock(bed.outbox);
	ck_assert_int_gt(held_bytes, 32 * 1024 * 1024);
	ck_assert(APP->unpinned(bed.outbox));
	ck_ok(storage_checkpoint(bed.storage, &held_bytes, &bed.words));
	ck_assert_int_eq(held_bytes, 0);
}
END_TEST

START_TEST(while_much_is_written_an_application_moves_nothing)
{
	const struct contract_message large = { .message_bytes = 3 * 1024 * 1024 };

	bed_insert(&large);
	ck_ok(storage_checkpoint(bed.storage, NULL, &bed.words));
	storage_checkpoint_keep(bed.storage);
	storage_checkpoint_keep(bed.storage); /* once is enough */
	ck_assert(!APP->unpinned(bed.outbox));
	bed_insert(&large);
	/* ours goes on, and lets it go */
	ck_ok(storage_checkpoint(bed.storage, NULL, &bed.words));
	ck_assert(APP->unpinned(bed.outbox));
	bed_insert(&large);
	ck_ok(storage_checkpoint(bed.storage, NULL, &bed.words));
	storage_checkpoint_keep(bed.storage);
	ck_assert(!APP->unpinned(bed.outbox));
	storage_checkpoint_leave(bed.storage);
	ck_assert(APP->unpinned(bed.outbox));
	/* a short log is left to everybody */
	bed_insert(&(struct contract_message){ 0 });
	ck_ok(storage_checkpoint(bed.storage, NULL, &bed.words));
	storage_checkpoint_keep(bed.storage);
	ck_assert(APP->unpinned(bed.outbox));
	bed_insert(&large); /* kept at the end: closing lets it go */
	ck_ok(storage_checkpoint(bed.storage, NULL, &bed.words));
	storage_checkpoint_keep(bed.storage);
	storage_close(&bed.storage);
	ck_assert(APP->unpinned(bed.outbox));
}
END_TEST

#define WORKERS 6
#define TURNS   12

/* A worker's life: its own message is taken and given back again and again. */
struct worker {
	pthread_t thread;
	struct message *message;
	int taken;
};

static void *work(void *context)
{
	struct worker *worker = context;

	for (int i = 0; i < TURNS; i++) {
		struct words words;
		struct mail *mail;

		if (storage_take(bed.storage, worker->message, deadline_after_ms(30000), &mail, &words) != OK)
			continue;
		worker->taken++;
		storage_give_back(bed.storage, &mail);
	}
	return NULL;
}

static void *move_log(void *context)
{
	int *moved = context;

	for (int i = 0; i < TURNS; i++) {
		struct words words;

		if (storage_checkpoint(bed.storage, NULL, &words) == OK)
			(*moved)++;
	}
	return NULL;
}

/* The storage thread: a status again and again. */
static void *settle_all_day(void *context)
{
	int *settled = context;

	for (int i = 0; i < TURNS; i++) {
		struct tenant_status status = { .tenant = (char[]){ "acme" },
			                        .state = "sending",
			                        .queued = i };
		struct storage_batch batch = { .statuses = &status.link };
		struct words words;

		if (storage_settle(bed.storage, &batch, deadline_after_ms(30000), &words) == OK)
			(*settled)++;
	}
	return NULL;
}

START_TEST(each_thread_does_its_own_verbs_at_once)
{
	struct worker workers[WORKERS] = { { .taken = 0 } };
	struct message **messages;
	pthread_t settler, checkpointer;
	int settled = 0, moved = 0;

	for (int i = 0; i < WORKERS; i++)
		bed_insert(&(struct contract_message){ .message_bytes = i % 2 ? 400000 : 4000 });
	messages = bed_look(clock_wall_s(), WORKERS, NULL, NULL);
	for (int i = 0; i < WORKERS; i++) {
		workers[i].message = messages[i];
		ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	ck_assert_int_eq(pthread_create(&settler, NULL, settle_all_day, &settled), 0);
	ck_assert_int_eq(pthread_create(&checkpointer, NULL, move_log, &moved), 0);
	for (int i = 0; i < TURNS; i++) {
		struct storage_changes changes;

		APP->set_tenant(bed.outbox, "acme", "port", i % 2 ? "25" : "587");
		(void)storage_changed(bed.storage);
		ck_ok(storage_changes(bed.storage, &changes, &bed.words));
		ck_assert_uint_ge(changes.tenants_changed_count, 1);
		storage_changes_fini(&changes);
		bed_release(bed_look(clock_wall_s(), WORKERS, NULL, NULL));
	}
	for (int i = 0; i < WORKERS; i++) {
		ck_assert_int_eq(pthread_join(workers[i].thread, NULL), 0);
		ck_assert_int_eq(workers[i].taken, TURNS);
	}
	ck_assert_int_eq(pthread_join(settler, NULL), 0);
	ck_assert_int_eq(pthread_join(checkpointer, NULL), 0);
	ck_assert_int_eq(settled, TURNS);
	ck_assert_int_eq(moved, TURNS);
	bed_release(messages);
}
END_TEST

void contract_trouble(TCase *tests)
{
	tcase_add_test(tests, a_lock_held_by_an_application_makes_settling_wait_and_lose_nothing);
	tcase_add_test(tests, a_lock_held_by_an_application_stops_no_reader);
	tcase_add_test(tests, the_write_lock_stays_free_between_two_commits);
	tcase_add_test(tests, where_an_application_commits_too_it_stays_free_for_longer);
	tcase_add_test(tests, a_checkpoint_moves_what_was_committed);
	tcase_add_test(tests, a_long_log_is_moved_without_the_write_lock);
	tcase_add_test(tests, while_much_is_written_an_application_moves_nothing);
	tcase_add_test(tests, each_thread_does_its_own_verbs_at_once);
}
