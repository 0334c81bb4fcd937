/*
 * daemon_batch.c - what is committed together: so many, in order, a suspect alone.
 */
#include <string.h>

#include "common/message.h"
#include "daemon/batch.h"
#include "tests/unit/daemon_test.h"

#define MOST (2 * BATCH_MESSAGES + 10)

static struct message messages[2][MOST];

/* A chain of as many messages as kinds has letters, or of plain ones: s is a suspect. */
static struct queue_link *chain(int number, int count, const char *kinds)
{
	struct queue_link *first = NULL, **last = &first;

	memset(messages[number], 0, sizeof(messages[number]));
	for (int i = 0; i < count; i++) {
		messages[number][i].id = i + 1;
		messages[number][i].suspect = kinds && kinds[i] == 's';
		*last = &messages[number][i].link;
		last = &messages[number][i].link.next;
	}
	return first;
}

static int count(const struct queue_link *link, int64_t first_id)
{
	int found = 0;

	for (; link; link = link->next)
		ck_assert_int_eq(QUEUE_ITEM(link, struct message, link)->id, first_id + found++);
	return found;
}

START_TEST(all_that_waits_up_to_the_limit)
{
	struct queue_link *settle = chain(0, MOST, NULL), *hold = chain(1, 3, NULL);
	struct storage_batch batch = { 0 };

	batch_cut(&batch, &settle, &hold);
	ck_assert_int_eq(count(batch.messages, 1), BATCH_MESSAGES);
	ck_assert_int_eq(count(batch.uncertain, 1), 3);
	ck_assert_ptr_null(hold);
	memset(&batch, 0, sizeof(batch));
	batch_cut(&batch, &settle, &hold);
	ck_assert_int_eq(count(batch.messages, BATCH_MESSAGES + 1), BATCH_MESSAGES);
	ck_assert_ptr_null(batch.uncertain);
	memset(&batch, 0, sizeof(batch));
	batch_cut(&batch, &settle, &hold);
	ck_assert_int_eq(count(batch.messages, 2 * BATCH_MESSAGES + 1), 10);
	ck_assert_ptr_null(settle);
	memset(&batch, 0, sizeof(batch));
	batch_cut(&batch, &settle, &hold);
	ck_assert_ptr_null(batch.messages);
	ck_assert_ptr_null(batch.uncertain);
}
END_TEST

/* Whatever the order is: with a suspect there is nobody else, and all of them go in the end. */
START_TEST(a_suspect_is_a_commit_of_its_own)
{
	static const char *const kinds[][2] = {
		{ "s", "" },      { "", "s" },    { "ss", "ss" },    { ".s.", "..." },
		{ "...", ".s." }, { "s..", "s" }, { "s..s", "..s" }, { "..", "s." },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		int all[2] = { (int)strlen(kinds[i][0]), (int)strlen(kinds[i][1]) }, seen[2] = { 0, 0 };
		struct queue_link *settle = chain(0, all[0], kinds[i][0]);
		struct queue_link *hold = chain(1, all[1], kinds[i][1]);

		for (int round = 0; round < 10 && (settle || hold); round++) {
			struct storage_batch batch = { 0 };
			int settled, held;
			bool suspects = false;

			batch_cut(&batch, &settle, &hold);
			settled = count(batch.messages, seen[0] + 1);
			held = count(batch.uncertain, seen[1] + 1);
			for (int k = 0; k < settled; k++)
				suspects = suspects || kinds[i][0][seen[0] + k] == 's';
			for (int k = 0; k < held; k++)
				suspects = suspects || kinds[i][1][seen[1] + k] == 's';
			ck_assert_int_gt(settled + held, 0);
			ck_assert(!suspects || settled + held == 1);
			seen[0] += settled;
			seen[1] += held;
		}
		ck_assert_int_eq(seen[0], all[0]);
		ck_assert_int_eq(seen[1], all[1]);
	}
}
END_TEST

/* Nothing is lost or changes its place, wherever the commit stopped. */
START_TEST(what_a_commit_left_is_the_first_of_the_next)
{
	for (int done = 0; done <= 5; done++) {
		struct queue_link *rest = chain(0, 9, NULL);
		struct storage_batch batch = { .messages = rest };

		rest = messages[0][4].link.next;
		messages[0][4].link.next = NULL;
		for (int i = 0; i < done; i++)
			messages[0][i].settled = i % 2 ? SETTLED_SUPERSEDED : SETTLED;
		batch_put_back(&batch.messages, &rest);
		ck_assert_int_eq(count(batch.messages, 1), done);
		ck_assert_int_eq(count(rest, done + 1), 9 - done);
	}
}
END_TEST

/*
 * With what COMMIT takes some 3 ms, for SQLite's busy handler asks after 1, 3 and 8; where COMMIT takes
 * longer, as long as it does, or it would be all that is done; and not less than 32 messages.
 */
START_TEST(others_wait_for_the_lock_no_longer_than_for_a_commit)
{
	static const int64_t commits_us[][2] = {
		{ 0, 2500 }, { 100, 2500 }, { 2500, 2500 }, { 2501, 2501 }, { 40000, 40000 },
	};

	for (size_t i = 0; i < sizeof(commits_us) / sizeof(commits_us[0]); i++) {
		struct storage_batch batch = { 0 };

		batch_hold(&batch, commits_us[i][0], false);
		ck_assert_int_eq(batch.hold_us, commits_us[i][1]);
		ck_assert_int_eq(batch.hold_least, 32);
	}
}
END_TEST

/* Shorter, so that one is let in at its third question; and there are fewer commits. */
START_TEST(beside_others_commits_are_short_and_few)
{
	static const int64_t commits_us[][2] = {
		{ 0, 1500 },    { 300, 1500 }, { 1300, 1500 },
		{ 1301, 1499 }, { 2300, 500 }, { 2301, 2301 }, /* too long in any case */
		{ 9000, 9000 },
	};
	struct storage_batch batch = { 0 };

	for (size_t i = 0; i < sizeof(commits_us) / sizeof(commits_us[0]); i++) {
		batch_hold(&batch, commits_us[i][0], true);
		ck_assert_int_eq(batch.hold_us, commits_us[i][1]);
		ck_assert_int_eq(batch.hold_least, 32);
	}

	ck_assert_int_eq(batch_gather(1, 3, 1000, 1000), 1005);
	ck_assert_int_eq(batch_gather(3, 1, 1000, 1000), 1005);
	ck_assert_int_eq(batch_gather(2, 1, 1000, 1000), 0); /* few come: each at once */
	ck_assert_int_eq(batch_gather(127, 0, 1000, 1024), 1029);
	ck_assert_int_eq(batch_gather(1, 9, 1000, 1028), 1030);
	ck_assert_int_eq(batch_gather(1, 9, 1000, 1030), 0);
	ck_assert_int_eq(batch_gather(1, 9, 1000, 90000), 0); /* the first after a while is not kept */
	ck_assert_int_eq(batch_gather(128, 9, 1000, 1000), 0);
	ck_assert_int_eq(batch_gather(0, 9, 1000, 1000), 0); /* nothing is there: not looked for every 5 ms */
}
END_TEST

START_TEST(statuses_come_a_few_at_a_time)
{
	static struct tenant_status statuses[2 * BATCH_STATUSES + 1];
	struct queue_link *rest = NULL;
	size_t total = sizeof(statuses) / sizeof(statuses[0]), seen = 0;

	for (size_t i = total; i-- > 0;) {
		statuses[i].link.next = rest;
		rest = &statuses[i].link;
	}
	for (int round = 0; round < 4; round++) {
		struct storage_batch batch = { 0 };
		int found = 0;

		batch_cut_statuses(&batch, &rest);
		for (struct queue_link *link = batch.statuses; link; link = link->next, found++)
			ck_assert_ptr_eq(link, &statuses[seen++].link);
		ck_assert_int_eq(found, round < 2 ? BATCH_STATUSES : round == 2);
	}
	ck_assert_uint_eq(seen, total);
}
END_TEST

TCase *batch_tests(void)
{
	TCase *tests = tcase_create("batch");

	tcase_add_test(tests, all_that_waits_up_to_the_limit);
	tcase_add_test(tests, a_suspect_is_a_commit_of_its_own);
	tcase_add_test(tests, what_a_commit_left_is_the_first_of_the_next);
	tcase_add_test(tests, others_wait_for_the_lock_no_longer_than_for_a_commit);
	tcase_add_test(tests, beside_others_commits_are_short_and_few);
	tcase_add_test(tests, statuses_come_a_few_at_a_time);
	return tests;
}
