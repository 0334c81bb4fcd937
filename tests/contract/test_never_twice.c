/*
 * test_never_twice.c - the rules (a) to (e) of "Never twice" (doc/ARCHITECTURE.md),
 * each by what an application could do at the one moment that matters.
 */
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "tests/contract/bed.h"
#include "tests/contract/suites.h"

/* A deferred message of priority 5 whose time was 700 s before now. */
static int64_t insert_aged(int64_t now)
{
	int64_t id = bed_insert(&(struct contract_message){ .priority = 5 });
	struct message *message = bed_due_one();

	bed_judge(message, MESSAGE_DEFERRED, "450 later");
	message->due_at = now - 700;
	bed_settle(message);
	message_destroy(&message);
	return id;
}

static void queue_now(void *context)
{
	APP->set_state(bed.outbox, *(int64_t *)context, "queued");
}

START_TEST(a_one_look_is_one_moment)
{
	int64_t now = clock_wall_s() + 5;
	int64_t id = insert_aged(now);
	struct hand hand = { .hook = queue_now, .context = &id };
	struct message **messages = bed_look(now, 10, &hand, NULL);

	/* found where the aged ones are; meanwhile the application moved it to where the look goes next */
	ck_assert_ptr_nonnull(messages[0]);
	ck_assert_int_eq(messages[0]->id, id);
	ck_assert_ptr_null(messages[1]);
	bed_release(messages);
}
END_TEST

START_TEST(a_a_look_is_over_when_it_returns)
{
	int64_t next;

	for (int i = 0; i < 5; i++)
		bed_insert_plain();
	bed_release(bed_look(clock_wall_s(), 3, NULL, &next)); /* stops before the end of its rows */
	bed_insert_plain();
	ck_assert(APP->unpinned(bed.outbox));
}
END_TEST

START_TEST(a_what_is_in_hand_is_left_out_and_hides_nothing_behind_it)
{
	struct hand hand = { .count = 0 };
	struct message **messages;
	int64_t last = 0;

	for (int i = 0; i < 6; i++) {
		last = bed_insert_plain();
		if (i < 4)
			hand.ids[hand.count++] = last;
	}
	messages = bed_look(clock_wall_s(), 2, &hand, NULL);
	ck_assert_int_eq(messages[0]->id, last - 1);
	ck_assert_int_eq(messages[1]->id, last);
	bed_release(messages);
}
END_TEST

START_TEST(b_a_commit_that_failed_settles_nothing_wherever_it_failed)
{
	struct message *message;
	int failures = 0;

	bed_insert_plain();
	message = bed_due_one();
	bed_outcome(message, "bob@example.net", VERDICT_SENT, 250, DELIVERY_SENT);
	bed_judge(message, MESSAGE_SENT, "250 ok");
	for (int pages = 0;; pages++) {
		enum error error;

		ck_assert_int_lt(pages, 50);
		APP->fail_writes(bed.outbox, pages);
		message->settled = SETTLED; /* an earlier answer counts no more */
		error = bed_settle_by(message, deadline_after_ms(5000));
		APP->fail_writes(bed.outbox, -1);
		if (error == OK)
			break;
		failures++;
		ck_assert_int_eq(error, ERROR_UNAVAILABLE);
		ck_assert_str_ne(bed.words.text, "");
		ck_assert_int_eq(message->settled, SETTLED_NOT_YET);
		ck_assert_str_eq(APP->status(bed.outbox, message->id).state, "queued");
		ck_assert(!APP->delivery(bed.outbox, message->id, "bob@example.net").exists);
	}
	ck_assert_int_ge(failures, 3);
	ck_assert_int_eq(message->settled, SETTLED);
	ck_assert_str_eq(APP->status(bed.outbox, message->id).state, "sent");
	message_destroy(&message);
}
END_TEST

/* A commit that was done and whose answer was lost is repeated: the same rows, and settled. */
static void settle_twice(enum verdict verdict, int code, enum delivery_state delivery,
                         enum message_state state)
{
	struct contract_status before, after;
	struct message *message;

	bed_insert_plain();
	message = bed_due_one();
	bed_outcome(message, "bob@example.net", verdict, code, delivery);
	bed_judge(message, state, "the words");
	message->due_at += 3600;
	bed_settle(message);
	before = APP->status(bed.outbox, message->id);
	bed_settle(message);
	ck_assert_int_eq(message->settled, SETTLED);
	after = APP->status(bed.outbox, message->id);
	ck_assert_str_eq(after.state, before.state);
	ck_assert_str_eq(after.result, before.result);
	ck_assert_int_eq(after.attempts, before.attempts);
	ck_assert_int_eq(after.due_at, before.due_at);
	ck_assert_int_eq(after.requeues, before.requeues);
	ck_assert_int_eq(APP->delivery(bed.outbox, message->id, "bob@example.net").attempts, 1);
	message_destroy(&message);
}

START_TEST(b_an_unknown_commit_is_repeated_without_harm)
{
	settle_twice(VERDICT_SENT, 250, DELIVERY_SENT, MESSAGE_SENT);
	settle_twice(VERDICT_REFUSED, 550, DELIVERY_FAILED, MESSAGE_FAILED);
	settle_twice(VERDICT_RETRY, 450, DELIVERY_DEFERRED, MESSAGE_DEFERRED);
	settle_twice(VERDICT_UNCERTAIN, 0, DELIVERY_UNCERTAIN, MESSAGE_UNCERTAIN);
}
END_TEST

START_TEST(b_a_repeated_commit_that_came_after_a_cancel_is_settled)
{
	struct message *message;

	bed_insert_plain();
	message = bed_due_one();
	APP->set_state(bed.outbox, message->id, "cancelled");
	bed_judge(message, MESSAGE_SENT, "250 ok");
	bed_settle(message);
	bed_settle(message);
	ck_assert_int_eq(message->settled, SETTLED);
	ck_assert_str_eq(APP->status(bed.outbox, message->id).result, "cancel came too late: 250 ok");
	message_destroy(&message);
}
END_TEST

START_TEST(c_every_due_id_in_hand_is_asked_for_so_that_it_can_be_marked)
{
	struct hand hand = { .count = 0 };

	for (int i = 0; i < 4; i++)
		hand.ids[hand.count++] = bed_insert(&(struct contract_message){ .priority = i - 1 });
	bed_release(bed_look(clock_wall_s(), 1, &hand, NULL));
	for (size_t i = 0; i < hand.count; i++) {
		bool asked = false;

		for (size_t j = 0; j < hand.asked_count; j++)
			asked |= hand.asked[j] == hand.ids[i];
		ck_assert_msg(asked, "%lld was dropped in silence", (long long)hand.ids[i]);
	}
}
END_TEST

/* So that another try of it can be told from the one in hand. */
START_TEST(c_what_is_asked_for_is_told_with_the_words_of_its_try)
{
	struct hand hand = { .count = 1 };
	int64_t id = hand.ids[0] = bed_insert(&(struct contract_message){ .priority = 3 });
	struct storage_try first;

	bed_release(bed_look(clock_wall_s(), 1, &hand, NULL));
	first = hand.last;
	ck_assert_int_eq(first.id, id);
	ck_assert_int_eq(first.attempts, 0);
	ck_assert_int_le(first.due_at, clock_wall_s());
	APP->set_state(bed.outbox, id, "cancelled");
	APP->set_state(bed.outbox, id, "queued");
	bed_release(bed_look(clock_wall_s(), 1, &hand, NULL));
	ck_assert_int_eq(hand.last.id, id);
	ck_assert_int_eq(hand.last.requeue, first.requeue + 1);
	ck_assert_int_ge(hand.last.due_at, first.due_at);
}
END_TEST

START_TEST(c_a_change_of_what_is_in_hand_is_told)
{
	struct storage_changes changes;
	struct message *message;

	bed_insert_plain();
	message = bed_due_one();
	ck_ok(storage_changes(bed.storage, &changes, &bed.words));
	storage_changes_fini(&changes);
	APP->set_state(bed.outbox, message->id, "cancelled");
	APP->set_state(bed.outbox, message->id, "queued");
	ck_ok(storage_changes(bed.storage, &changes, &bed.words));
	ck_assert_uint_ge(changes.messages_count, 1);
	ck_assert_int_eq(changes.messages[0], message->id);
	storage_changes_fini(&changes);
	message_destroy(&message);
}
END_TEST

/* (d): what was handed over and then changed is not sent. */
static void assert_not_taken(const struct message *message)
{
	struct mail *mail;

	ck_assert_int_eq(storage_take(bed.storage, message, deadline_after_ms(5000), &mail, &bed.words),
	                 ERROR_NOT_FOUND);
	ck_assert_ptr_null(mail);
	ck_assert(APP->unpinned(bed.outbox));
}

START_TEST(d_a_message_cancelled_after_the_look_is_not_taken)
{
	struct message *message;

	bed_insert_plain();
	message = bed_due_one();
	APP->set_state(bed.outbox, message->id, "cancelled");
	assert_not_taken(message);
	APP->remove(bed.outbox, message->id);
	assert_not_taken(message);
	message_destroy(&message);
}
END_TEST

START_TEST(d_an_older_try_is_not_taken)
{
	struct message *message, *newer;
	struct mail *mail;

	bed_insert_plain();
	message = bed_due_one();
	APP->set_state(bed.outbox, message->id, "cancelled");
	APP->set_state(bed.outbox, message->id, "queued");
	newer = bed_due_one();
	message->due_at = newer->due_at; /* nothing but the number of requeues tells them apart */
	assert_not_taken(message);
	mail = bed_take(newer);
	storage_give_back(bed.storage, &mail);
	message_destroy(&message);
	message_destroy(&newer);
}
END_TEST

START_TEST(d_each_thing_that_made_it_due_must_hold)
{
	struct message *message;
	char *tenant;

	bed_insert_plain();
	message = bed_due_one();
	message->attempts++;
	assert_not_taken(message);
	message->attempts--;
	message->due_at--;
	assert_not_taken(message);
	message->due_at++;
	message->state = MESSAGE_DEFERRED;
	assert_not_taken(message);
	message->state = MESSAGE_QUEUED;
	tenant = message->tenant_name;
	message->tenant_name = memory_strdup("other");
	assert_not_taken(message);
	free(message->tenant_name);
	message->tenant_name = tenant;
	storage_give_back(bed.storage, &(struct mail *){ bed_take(message) });
	message_destroy(&message);
}
END_TEST

/* A second process cannot be here (one outbox, one owner): but our own settling can. */
static void accept_meanwhile(void *context)
{
	struct message *message = context;

	bed_outcome(message, "bob@example.net", VERDICT_SENT, 250, DELIVERY_SENT);
	bed_judge(message, MESSAGE_SENT, "250 ok");
	bed_settle(message);
}

START_TEST(d_a_take_is_one_moment)
{
	struct message *message, *copy;
	struct mail *mail;

	bed_insert_plain();
	message = bed_due_one();
	copy = bed_due_one();
	APP->interpose(bed.outbox, "outbox_delivery", accept_meanwhile, copy);
	mail = bed_take(message);
	/* the row as it was, and the recipients of the same moment: none is known */
	ck_assert_uint_eq(mail->known_count, 0);
	ck_assert_str_eq(APP->status(bed.outbox, message->id).state, "sent");
	storage_give_back(bed.storage, &mail);
	assert_not_taken(message);
	message_destroy(&message);
	message_destroy(&copy);
}
END_TEST

START_TEST(e_only_what_waits_is_settled)
{
	static const struct {
		enum message_state state;
		const char *word;
	} finished[] = { { MESSAGE_SENT, "sent" },
		         { MESSAGE_FAILED, "failed" },
		         { MESSAGE_UNCERTAIN, "uncertain" } };

	for (size_t i = 0; i < sizeof finished / sizeof finished[0]; i++) {
		struct message *message;

		bed_insert_plain();
		message = bed_due_one();
		bed_judge(message, finished[i].state, "the first word");
		bed_settle(message);
		/* a second verdict on a message that is finished */
		bed_judge(message, MESSAGE_DEFERRED, "the second word");
		bed_settle(message);
		ck_assert_int_eq(message->settled, SETTLED_SUPERSEDED);
		ck_assert_str_eq(APP->status(bed.outbox, message->id).state, finished[i].word);
		ck_assert_str_eq(APP->status(bed.outbox, message->id).result, "the first word");
		message_destroy(&message);
	}
}
END_TEST

START_TEST(e_a_cancelled_message_is_not_brought_back)
{
	struct message *message;

	bed_insert_plain();
	message = bed_due_one();
	APP->set_state(bed.outbox, message->id, "cancelled");
	bed_judge(message, MESSAGE_DEFERRED, "450 later");
	bed_settle(message);
	ck_assert_int_eq(message->settled, SETTLED_SUPERSEDED);
	ck_assert_str_eq(APP->status(bed.outbox, message->id).state, "cancelled");
	message_destroy(&message);
}
END_TEST

void contract_never_twice(TCase *tests)
{
	tcase_add_test(tests, a_one_look_is_one_moment);
	tcase_add_test(tests, a_a_look_is_over_when_it_returns);
	tcase_add_test(tests, a_what_is_in_hand_is_left_out_and_hides_nothing_behind_it);
	tcase_add_test(tests, b_a_commit_that_failed_settles_nothing_wherever_it_failed);
	tcase_add_test(tests, b_an_unknown_commit_is_repeated_without_harm);
	tcase_add_test(tests, b_a_repeated_commit_that_came_after_a_cancel_is_settled);
	tcase_add_test(tests, c_every_due_id_in_hand_is_asked_for_so_that_it_can_be_marked);
	tcase_add_test(tests, c_what_is_asked_for_is_told_with_the_words_of_its_try);
	tcase_add_test(tests, c_a_change_of_what_is_in_hand_is_told);
	tcase_add_test(tests, d_a_message_cancelled_after_the_look_is_not_taken);
	tcase_add_test(tests, d_an_older_try_is_not_taken);
	tcase_add_test(tests, d_each_thing_that_made_it_due_must_hold);
	tcase_add_test(tests, d_a_take_is_one_moment);
	tcase_add_test(tests, e_only_what_waits_is_settled);
	tcase_add_test(tests, e_a_cancelled_message_is_not_brought_back);
}
