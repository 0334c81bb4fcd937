/*
 * test_retain.c - finished messages go when their time is over, and nothing else does; what a
 * tenant has sent is kept for a day.
 */
#include <stdlib.h>

#include "common/clock.h"
#include "tests/contract/bed.h"
#include "tests/contract/suites.h"

static struct storage_retention retention_of(enum message_state state, int64_t before_ms)
{
	return (struct storage_retention){ .state = state, .before_ms = before_ms };
}

/* A round to its end; how many are gone. */
static int64_t retain_all(enum message_state state, int64_t before_ms)
{
	struct storage_retention retention = retention_of(state, before_ms);

	do
		ck_ok(storage_retain(bed.storage, &retention, deadline_after_ms(5000), &bed.words));
	while (retention.more);
	ck_assert_int_eq(retention.kept, 0);
	return retention.removed;
}

static int64_t finished(const struct contract_message *wanted, enum message_state state)
{
	int64_t id = bed_insert(wanted);
	struct message *message = bed_due_one();

	bed_outcome(message, "bob@example.net", state == MESSAGE_SENT ? VERDICT_SENT : VERDICT_REFUSED,
	            state == MESSAGE_SENT ? 250 : 550,
	            state == MESSAGE_SENT ? DELIVERY_SENT : DELIVERY_FAILED);
	bed_judge(message, state, "said");
	bed_settle(message);
	message_destroy(&message);
	return id;
}

static bool exists(int64_t id)
{
	return APP->status(bed.outbox, id).exists;
}

START_TEST(each_state_goes_by_its_own_time)
{
	struct contract_message plain = { 0 };
	int64_t sent = finished(&plain, MESSAGE_SENT), failed = finished(&plain, MESSAGE_FAILED);
	int64_t later = clock_wall_ms() + 1000, cancelled = bed_insert(&plain);

	APP->set_state(bed.outbox, cancelled, "cancelled");
	ck_assert_int_eq(retain_all(MESSAGE_SENT, APP->status(bed.outbox, sent).finished_at_ms), 0);
	ck_assert_int_eq(retain_all(MESSAGE_SENT, later), 1);
	ck_assert(!exists(sent));
	ck_assert(!APP->delivery(bed.outbox, sent, "bob@example.net").exists);
	ck_assert(exists(failed) && exists(cancelled));
	ck_assert_int_eq(retain_all(MESSAGE_FAILED, later), 1);
	ck_assert(!exists(failed) && exists(cancelled));
	ck_assert_int_eq(retain_all(MESSAGE_CANCELLED, later), 1);
	ck_assert(!exists(cancelled));
}
END_TEST

START_TEST(what_is_not_finished_stays_however_old)
{
	struct contract_message draft = { .attachments = 1 },
				future = { .not_before = clock_wall_s() + 1000 };
	int64_t later = clock_wall_ms() + INT64_C(1000) * 86400 * 1000;
	int64_t drafted = bed_insert(&draft), waiting = bed_insert(&future), queued, deferred, uncertain;
	struct message *message;

	deferred = bed_insert_plain();
	message = bed_due_one();
	bed_outcome(message, "bob@example.net", VERDICT_RETRY, 450, DELIVERY_DEFERRED);
	bed_judge(message, MESSAGE_DEFERRED, "later");
	message->due_at = clock_wall_s() + 1000;
	bed_settle(message);
	message_destroy(&message);
	uncertain = bed_insert_plain();
	message = bed_due_one();
	bed_outcome(message, "bob@example.net", VERDICT_UNCERTAIN, 0, DELIVERY_UNCERTAIN);
	bed_judge(message, MESSAGE_UNCERTAIN, "who knows");
	bed_settle(message);
	message_destroy(&message);
	queued = bed_insert_plain();
	for (int state = MESSAGE_DRAFT; state <= MESSAGE_CANCELLED; state++)
		ck_assert_int_eq(retain_all((enum message_state)state, later), 0);
	ck_assert(exists(drafted) && exists(waiting) && exists(deferred) && exists(uncertain) &&
	          exists(queued));
}
END_TEST

/* Also between the search and the lock. */
static void queue_again(void *context)
{
	APP->set_state(bed.outbox, *(int64_t *)context, "queued");
}

START_TEST(a_message_that_is_queued_anew_meanwhile_stays)
{
	struct contract_message plain = { 0 };
	int64_t id = finished(&plain, MESSAGE_FAILED);
	struct storage_retention retention = retention_of(MESSAGE_FAILED, clock_wall_ms() + 1000);

	APP->interpose(bed.outbox, "outbox_attachment", queue_again, &id);
	ck_ok(storage_retain(bed.storage, &retention, deadline_after_ms(5000), &bed.words));
	ck_assert_int_eq(retention.removed, 0);
	ck_assert_str_eq(APP->status(bed.outbox, id).state, "queued");
}
END_TEST

/* However many, and however large: one commit takes a few. */
START_TEST(a_few_rows_and_a_few_octets_at_a_time)
{
	struct contract_message large = { .message_bytes = 3 * 1024 * 1024 }, plain = { 0 };
	struct storage_retention retention = retention_of(MESSAGE_SENT, clock_wall_ms() + 100000);
	int64_t rounds = 0;

	for (int i = 0; i < 3; i++)
		finished(&large, MESSAGE_SENT);
	for (int i = 0; i < 70; i++)
		finished(&plain, MESSAGE_SENT);
	for (;; rounds++) {
		int64_t before = retention.removed;

		ck_ok(storage_retain(bed.storage, &retention, deadline_after_ms(5000), &bed.words));
		if (rounds < 2)
			ck_assert_int_eq(retention.removed - before, 1);
		ck_assert_int_le(retention.removed - before, 64);
		if (!retention.more)
			break;
	}
	ck_assert_int_eq(retention.removed, 73);
	ck_assert_int_ge(rounds, 3);
}
END_TEST

/* An application that has the lock is not waited for longer than was said, and not disturbed. */
START_TEST(a_lock_that_somebody_has_is_left_to_them)
{
	struct contract_message plain = { 0 };
	struct storage_retention retention = retention_of(MESSAGE_SENT, clock_wall_ms() + 100000);

	finished(&plain, MESSAGE_SENT);
	APP->lock(bed.outbox);
	ck_assert_int_eq(storage_retain(bed.storage, &retention, deadline_after_ms(50), &bed.words),
	                 ERROR_UNAVAILABLE);
	ck_assert_int_eq(retention.removed, 0);
	APP->unlock(bed.outbox);
	ck_assert_int_eq(retain_all(MESSAGE_SENT, retention.before_ms), 1);
}
END_TEST

START_TEST(where_there_is_nothing_nothing_is_locked)
{
	struct storage_retention retention = retention_of(MESSAGE_SENT, clock_wall_ms() + 100000);

	bed_insert_plain();
	APP->lock(bed.outbox);
	ck_ok(storage_retain(bed.storage, &retention, deadline_after_ms(50), &bed.words));
	APP->unlock(bed.outbox);
	ck_assert(!retention.more);
}
END_TEST

START_TEST(a_failed_commit_removes_nothing)
{
	struct contract_message plain = { 0 };
	struct storage_retention retention = retention_of(MESSAGE_SENT, clock_wall_ms() + 100000);
	int64_t id = finished(&plain, MESSAGE_SENT);

	APP->fail_writes(bed.outbox, 0);
	ck_assert_int_eq(storage_retain(bed.storage, &retention, deadline_after_ms(1000), &bed.words),
	                 ERROR_UNAVAILABLE);
	APP->fail_writes(bed.outbox, -1);
	ck_assert(exists(id));
	ck_assert_int_eq(retention.removed, 0);
	ck_assert_int_eq(retain_all(MESSAGE_SENT, retention.before_ms), 1);
}
END_TEST

/* ---- what a tenant has sent within a day ---------------------------------------- */

START_TEST(usage_is_counted_with_the_results_and_the_last_day_is_kept)
{
	/* how much later; rows, recipients, and how long ago the first and the last part began */
	static const struct {
		int64_t later_s;
		struct bed_usage usage;
	} steps[] = { { 0, { 1, 3, 0, 0 } },
		      { 0, { 1, 6, 0, 0 } },
		      { 900, { 2, 9, 900, 0 } },
		      { 26 * 3600, { 1, 3, 0, 0 } } };

	APP->add_tenant(bed.outbox, "other");
	ck_assert_int_eq(bed_usage_of("acme").rows, 0);
	/* just after a part's beginning: no part ends while this goes on */
	clock_move_ms((900 - clock_wall_s() % 900) * 1000);
	for (int i = 0; i < 4; i++) {
		struct message *message;
		struct bed_usage usage;

		clock_move_ms(steps[i].later_s * 1000);
		message = bed_used(3);
		bed_settle(message);
		usage = bed_usage_of("acme");
		ck_assert_int_eq(usage.rows, steps[i].usage.rows);
		ck_assert_int_eq(usage.recipients, steps[i].usage.recipients);
		ck_assert_int_eq(usage.oldest_s / 900 * 900, steps[i].usage.oldest_s);
		ck_assert_int_eq(usage.youngest_s / 900 * 900, steps[i].usage.youngest_s);
		message_destroy(&message);
	}
	ck_assert_int_eq(bed_usage_of("other").rows, 0);
}
END_TEST

START_TEST(a_commit_that_is_repeated_counts_its_usage_once)
{
	struct message *message = bed_used(3);

	bed_settle(message);
	bed_settle(message);
	ck_assert_int_eq(message->settled, SETTLED);
	ck_assert_int_eq(bed_usage_of("acme").recipients, 3);
	message_destroy(&message);
}
END_TEST

START_TEST(a_commit_that_fails_counts_no_usage)
{
	struct message *message = bed_used(3);

	APP->fail_writes(bed.outbox, 0);
	ck_assert_int_eq(bed_settle_by(message, deadline_after_ms(1000)), ERROR_UNAVAILABLE);
	APP->fail_writes(bed.outbox, -1);
	ck_assert_int_eq(bed_usage_of("acme").rows, 0);
	bed_settle(message);
	ck_assert_int_eq(bed_usage_of("acme").recipients, 3);
	message_destroy(&message);
}
END_TEST

/* Whatever became of the row meanwhile: the recipients were named. */
START_TEST(usage_of_a_message_that_is_gone_counts)
{
	struct message *message = bed_used(3);

	APP->set_state(bed.outbox, message->id, "cancelled");
	APP->remove(bed.outbox, message->id);
	bed_settle(message);
	ck_assert_int_eq(message->settled, SETTLED_GONE);
	ck_assert_int_eq(bed_usage_of("acme").recipients, 3);
	message_destroy(&message);
}
END_TEST

void contract_retain(TCase *tests)
{
	tcase_add_test(tests, each_state_goes_by_its_own_time);
	tcase_add_test(tests, what_is_not_finished_stays_however_old);
	tcase_add_test(tests, a_message_that_is_queued_anew_meanwhile_stays);
	tcase_add_test(tests, a_few_rows_and_a_few_octets_at_a_time);
	tcase_add_test(tests, a_lock_that_somebody_has_is_left_to_them);
	tcase_add_test(tests, where_there_is_nothing_nothing_is_locked);
	tcase_add_test(tests, a_failed_commit_removes_nothing);
	tcase_add_test(tests, usage_is_counted_with_the_results_and_the_last_day_is_kept);
	tcase_add_test(tests, a_commit_that_is_repeated_counts_its_usage_once);
	tcase_add_test(tests, a_commit_that_fails_counts_no_usage);
	tcase_add_test(tests, usage_of_a_message_that_is_gone_counts);
}
