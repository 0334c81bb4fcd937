/*
 * sqlite_own_test.c - commits that only record results are told from all others: they change nothing that is
 * looked for, nor mail that was read ahead.
 */
#include <stdlib.h>

#include "common/clock.h"
#include "storage/sqlite_internal.h"
#include "tests/contract/bed.h"
#include "tests/contract/sqlite_backend.h"

#define COUNT 6

/* Messages of acme's, all in hand. */
static struct message **all_due(void)
{
	struct message **messages;

	for (int i = 0; i < COUNT; i++)
		bed_insert_plain();
	messages = bed_look(clock_wall_s(), COUNT, NULL, NULL);
	for (int i = 0; i < COUNT; i++)
		ck_assert_ptr_nonnull(messages[i]);
	while (storage_changed(bed.storage))
		;
	ck_assert_int_eq(storage_stirred(bed.storage), STIRRED_NOT);
	return messages;
}

static void drop(struct message **messages)
{
	for (int i = 0; i < COUNT; i++)
		message_destroy(&messages[i]);
	free(messages);
}

static void settle(struct message *message)
{
	bed_outcome(message, "bob@example.net", VERDICT_SENT, 250, DELIVERY_SENT);
	bed_judge(message, MESSAGE_SENT, "250 ok");
	bed_settle(message);
	ck_assert_int_eq(message->settled, SETTLED);
}

static size_t new_mail(void)
{
	struct storage_changes changes;
	size_t count;

	ck_ok(storage_changes(bed.storage, &changes, &bed.words));
	count = changes.tenants_due_count;
	storage_changes_fini(&changes);
	return count;
}

START_TEST(results_alone_are_ours)
{
	struct message **messages = all_due();

	(void)new_mail();
	settle(messages[0]);
	ck_assert_int_eq(storage_stirred(bed.storage), STIRRED_BY_US);
	ck_assert_int_eq(storage_stirred(bed.storage), STIRRED_NOT); /* it was told */
	settle(messages[1]);
	ck_assert_int_eq(storage_stirred(bed.storage), STIRRED_BY_US);
	ck_assert(storage_changed(bed.storage)); /* SQLite's sign knows no difference */
	ck_assert_uint_eq(new_mail(), 0);
	drop(messages);
}
END_TEST

/* Before ours, between two of ours, behind them: nobody's commit is taken for one of ours. */
START_TEST(what_another_commits_beside_results_is_seen)
{
	struct message **messages = all_due();

	(void)new_mail();
	if (_i == 0)
		APP->insert_elsewhere(bed.outbox, "acme");
	settle(messages[0]);
	if (_i == 1)
		APP->insert_elsewhere(bed.outbox, "acme");
	settle(messages[1]);
	if (_i == 2)
		APP->insert_elsewhere(bed.outbox, "acme");
	ck_assert_int_eq(storage_stirred(bed.storage), STIRRED);
	ck_assert_int_eq(storage_stirred(bed.storage), STIRRED); /* until the table is asked */
	ck_assert_uint_eq(new_mail(), 1);
	ck_assert_int_eq(storage_stirred(bed.storage), STIRRED_NOT);
	ck_assert(!storage_changed(bed.storage)); /* it is known already */
	drop(messages);
}
END_TEST

/* In its second, since in the next one it might have expired: five tries. */
static struct mail *read_before_result_of(struct message **messages)
{
	for (int i = 0; i < COUNT - 1; i++) {
		struct mail *mail = bed_take(messages[COUNT - 1]);
		int64_t second_s = clock_wall_s();

		settle(messages[i]);
		if (clock_wall_s() == second_s)
			return mail;
		storage_give_back(bed.storage, &mail);
	}
	ck_abort_msg("no result is recorded within a second");
}

/* The number that it would have had is that of whoever commits next. */
START_TEST(a_result_of_which_nothing_is_written_is_no_commit)
{
	struct storage_retention retention = { .state = MESSAGE_SENT, .before_ms = INT64_MAX };
	struct message **messages = all_due();

	settle(messages[0]);
	ck_ok(storage_retain(bed.storage, &retention, deadline_after_ms(5000), &bed.words));
	ck_assert_int_eq(retention.removed, 1);
	(void)new_mail();
	settle(messages[1]); /* takes what the removal told out of the feed */
	ck_assert_int_eq(storage_stirred(bed.storage), STIRRED_BY_US);
	bed_judge(messages[0], MESSAGE_SENT, "250 ok");
	bed_settle(messages[0]);
	ck_assert_int_eq(messages[0]->settled, SETTLED_GONE);
	ck_assert_int_eq(storage_stirred(bed.storage), STIRRED_NOT);
	APP->insert_elsewhere(bed.outbox, "acme");
	ck_assert_int_eq(storage_stirred(bed.storage), STIRRED);
	drop(messages);
}
END_TEST

/* A WAL-index that was recovered, after a process ended in the middle of a commit: numbers are given once
 * more. */
START_TEST(what_was_noted_of_our_commits_ends_where_the_count_begins_anew)
{
	(void)storage_changed(bed.storage); /* from then on the header can be read */
	bed.storage->wal_header[WAL_HEADER_CHANGE] += 100;
	atomic_store(&bed.storage->own_commits, (uint64_t)UINT32_MAX); /* all there are */
	ck_assert_int_eq(storage_stirred(bed.storage), STIRRED);
	if (_i == 0)
		(void)storage_changed(bed.storage);
	else
		(void)new_mail();
	ck_assert_int_eq(storage_stirred(bed.storage), STIRRED_NOT);
	APP->insert_elsewhere(bed.outbox, "acme");
	ck_assert_int_eq(storage_stirred(bed.storage), STIRRED);
}
END_TEST

START_TEST(a_mail_read_ahead_is_what_it_was_after_results_of_others)
{
	struct message **messages = all_due();
	struct mail *mail = read_before_result_of(messages);

	ck_assert(storage_still_is(bed.storage, mail));
	APP->insert_elsewhere(bed.outbox, "acme");
	ck_assert(!storage_still_is(bed.storage, mail));
	storage_give_back(bed.storage, &mail);
	drop(messages);
}
END_TEST

/* It may change whatever there is, mail that was read ahead among it. */
START_TEST(a_result_for_which_a_trigger_of_the_owner_runs_is_not_ours_alone)
{
	struct message **messages = all_due();
	struct mail *mail;

	sqlite_backend_run(bed.outbox, "CREATE TABLE theirs (mark);"
	                               "CREATE TRIGGER theirs AFTER UPDATE OF state ON outbox_status"
	                               " BEGIN INSERT INTO theirs VALUES ('x'); END");
	while (storage_changed(bed.storage))
		;
	mail = read_before_result_of(messages);
	ck_assert_int_eq(storage_stirred(bed.storage), STIRRED);
	ck_assert(!storage_still_is(bed.storage, mail));
	storage_give_back(bed.storage, &mail);
	drop(messages);
}
END_TEST

START_TEST(what_retention_removes_is_not_a_result)
{
	struct storage_retention retention = { .state = MESSAGE_SENT, .before_ms = INT64_MAX };
	struct message **messages = all_due();

	settle(messages[0]);
	ck_ok(storage_retain(bed.storage, &retention, deadline_after_ms(5000), &bed.words));
	ck_assert_int_eq(retention.removed, 1);
	ck_assert_int_eq(storage_stirred(bed.storage), STIRRED);
	drop(messages);
}
END_TEST

void sqlite_own_tests(Suite *suite)
{
	TCase *tests = tcase_create("own");

	tcase_add_checked_fixture(tests, bed_set_up, bed_tear_down);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, results_alone_are_ours);
	tcase_add_loop_test(tests, what_another_commits_beside_results_is_seen, 0, 3);
	tcase_add_test(tests, a_result_of_which_nothing_is_written_is_no_commit);
	tcase_add_loop_test(tests, what_was_noted_of_our_commits_ends_where_the_count_begins_anew, 0, 2);
	tcase_add_test(tests, a_mail_read_ahead_is_what_it_was_after_results_of_others);
	tcase_add_test(tests, a_result_for_which_a_trigger_of_the_owner_runs_is_not_ours_alone);
	tcase_add_test(tests, what_retention_removes_is_not_a_result);
	suite_add_tcase(suite, tests);
}
