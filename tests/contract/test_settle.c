/*
 * test_settle.c - what became of a message, and what applications did meanwhile.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "tests/contract/bed.h"
#include "tests/contract/suites.h"

/* A message in hand, taken once and given back: its conversation is over. */
static struct message *in_hand(void)
{
	struct message *message;
	struct mail *mail;

	bed_insert_plain();
	message = bed_due_one();
	mail = bed_take(message);
	storage_give_back(bed.storage, &mail);
	return message;
}

static void assert_status(int64_t id, const char *state, int64_t attempts, const char *result)
{
	struct contract_status status = APP->status(bed.outbox, id);

	ck_assert(status.exists);
	ck_assert_str_eq(status.state, state);
	ck_assert_int_eq(status.attempts, attempts);
	ck_assert_str_eq(status.result, result);
}

static void assert_delivery(int64_t id, const char *recipient, const char *state, int64_t code)
{
	struct contract_delivery delivery = APP->delivery(bed.outbox, id, recipient);

	ck_assert_msg(delivery.exists, "no row of %s", recipient);
	ck_assert_str_eq(delivery.state, state);
	ck_assert_int_eq(delivery.code, code);
}

START_TEST(a_sent_message_is_recorded_whole)
{
	struct message *message = in_hand();
	struct contract_delivery delivery;
	struct contract_status status;

	bed_outcome(message, "bob@example.net", VERDICT_SENT, 250, DELIVERY_SENT);
	(void)snprintf(message->recipients[0].outcome.enhanced,
	               sizeof message->recipients[0].outcome.enhanced, "2.0.0");
	message->server = memory_strdup("mail.example:587");
	message->tls = memory_strdup("TLS1.3 AES");
	message->message_id = memory_strdup("1.abc@acme.example");
	bed_judge(message, MESSAGE_SENT, "250 ok");
	bed_settle(message);
	ck_assert_int_eq(message->settled, SETTLED);
	assert_status(message->id, "sent", 1, "250 ok");
	status = APP->status(bed.outbox, message->id);
	ck_assert_str_eq(status.message_id, "1.abc@acme.example");
	ck_assert_int_gt(status.finished_at_ms, 0);
	delivery = APP->delivery(bed.outbox, message->id, "bob@example.net");
	ck_assert_str_eq(delivery.enhanced_code, "2.0.0");
	ck_assert_str_eq(delivery.response, "250 said of bob@example.net");
	ck_assert_str_eq(delivery.server, "mail.example:587");
	ck_assert_str_eq(delivery.tls, "TLS1.3 AES");
	ck_assert_int_eq(delivery.attempts, 1);
	message_destroy(&message);
}
END_TEST

START_TEST(partly_accepted_messages_keep_what_was_accepted)
{
	struct message *message = in_hand();
	int64_t id = message->id;

	bed_outcome(message, "a@example.net", VERDICT_SENT, 250, DELIVERY_SENT);
	bed_outcome(message, "b@example.net", VERDICT_RETRY, 451, DELIVERY_DEFERRED);
	bed_outcome(message, "c@example.net", VERDICT_REFUSED, 550, DELIVERY_FAILED);
	bed_outcome(message, "d@example.net", VERDICT_UNTRIED, 0, DELIVERY_NONE);
	bed_judge(message, MESSAGE_DEFERRED, "451 later");
	message->due_at += 60;
	bed_settle(message);
	ck_assert_int_eq(APP->status(bed.outbox, id).due_at, message->due_at);
	ck_assert_int_eq(APP->status(bed.outbox, id).finished_at_ms, 0);
	assert_status(id, "deferred", 1, "451 later");
	assert_delivery(id, "a@example.net", "sent", 250);
	assert_delivery(id, "b@example.net", "deferred", 451);
	assert_delivery(id, "c@example.net", "failed", 550);
	ck_assert(!APP->delivery(bed.outbox, id, "d@example.net").exists);
	/* the second try: an accepted recipient is final, whatever is said of it later */
	message_reset_attempt(message);
	bed_outcome(message, "a@example.net", VERDICT_RETRY, 450, DELIVERY_DEFERRED);
	bed_outcome(message, "b@example.net", VERDICT_SENT, 250, DELIVERY_SENT);
	bed_judge(message, MESSAGE_FAILED, "550 no such user");
	bed_settle(message);
	assert_status(id, "failed", 2, "550 no such user");
	assert_delivery(id, "a@example.net", "sent", 250);
	assert_delivery(id, "b@example.net", "sent", 250);
	assert_delivery(id, "c@example.net", "failed", 550);
	message_destroy(&message);
}
END_TEST

START_TEST(a_recipient_that_is_given_up_keeps_the_servers_last_words)
{
	struct message *message = in_hand();
	struct recipient *recipient;

	bed_outcome(message, "a@example.net", VERDICT_RETRY, 451, DELIVERY_DEFERRED);
	bed_judge(message, MESSAGE_DEFERRED, "451 later");
	bed_settle(message);
	message_reset_attempt(message);
	for (int i = 0; i < 2; i++) {
		recipient = message_add_recipient(message, i ? "a@example.net" : "never@example.net");
		recipient->state = DELIVERY_FAILED;
	}
	bed_judge(message, MESSAGE_FAILED, "expired");
	bed_settle(message);
	assert_delivery(message->id, "a@example.net", "failed", 451);
	ck_assert_str_eq(APP->delivery(bed.outbox, message->id, "a@example.net").response,
	                 "451 said of a@example.net");
	assert_delivery(message->id, "never@example.net", "failed", 0);
	ck_assert_str_eq(APP->delivery(bed.outbox, message->id, "never@example.net").response, "expired");
	message_destroy(&message);
}
END_TEST

START_TEST(one_transaction_settles_all_that_waits)
{
	struct message **messages;
	struct storage_batch batch = { 0 };

	for (int i = 0; i < 5; i++)
		bed_insert_plain();
	messages = bed_look(clock_wall_s(), 5, NULL, NULL);
	for (int i = 0; i < 5; i++) {
		bed_outcome(messages[i], "bob@example.net", VERDICT_SENT, 250, DELIVERY_SENT);
		bed_judge(messages[i], MESSAGE_SENT, "250 ok");
		messages[i]->link.next = i < 4 ? &messages[i + 1]->link : NULL;
	}
	batch.messages = &messages[0]->link;
	while (storage_changed(bed.storage))
		;
	ck_ok(storage_settle(bed.storage, &batch, deadline_after_ms(5000), &bed.words));
	ck_assert(storage_changed(bed.storage));
	ck_assert(!storage_changed(bed.storage));
	for (int i = 0; i < 5; i++) {
		ck_assert_int_eq(messages[i]->settled, SETTLED);
		assert_status(messages[i]->id, "sent", 1, "250 ok");
	}
	bed_release(messages);
}
END_TEST

/* A commit that has held the lock long enough ends; what is left is the next one's, in its order. */
START_TEST(a_commit_that_has_held_the_lock_long_leaves_the_rest)
{
	struct storage_batch batch = { .hold_us = 1, .hold_least = 2 };
	struct message **messages;

	for (int i = 0; i < 5; i++)
		bed_insert_plain();
	messages = bed_look(clock_wall_s(), 5, NULL, NULL);
	for (int i = 0; i < 5; i++) {
		bed_outcome(messages[i], "bob@example.net", VERDICT_SENT, 250, DELIVERY_SENT);
		bed_judge(messages[i], MESSAGE_SENT, "250 ok");
		messages[i]->link.next = i < 4 ? &messages[i + 1]->link : NULL;
	}
	for (int i = 0; i < 5; i += 2) {
		batch.messages = &messages[i]->link;
		ck_ok(storage_settle(bed.storage, &batch, deadline_after_ms(5000), &bed.words));
		for (int k = i; k < 5; k++) {
			bool done = k < i + 2;

			ck_assert_int_eq(messages[k]->settled, done ? SETTLED : SETTLED_NOT_YET);
			assert_status(messages[k]->id, done ? "sent" : "queued", done, done ? "250 ok" : "");
		}
	}
	bed_release(messages);
}
END_TEST

static void settle_status(struct tenant_status *status)
{
	struct storage_batch batch = { .statuses = &status->link };

	ck_ok(storage_settle(bed.storage, &batch, deadline_after_ms(5000), &bed.words));
}

static void assert_tenant(const char *tenant, const char *column, const char *expected)
{
	char text[200];

	APP->tenant_status(bed.outbox, tenant, column, text);
	ck_assert_str_eq(text, expected);
}

START_TEST(a_tenants_status_is_written_and_its_last_success_is_kept)
{
	char name[] = "acme", error[] = "the certificate expired", token_error[] = "invalid_grant";
	struct tenant_status status = {
		.tenant = name, .state = "sending", .queued = 7, .last_sent_at = 1234
	};

	settle_status(&status);
	assert_tenant("acme", "state", "sending");
	assert_tenant("acme", "queued", "7");
	assert_tenant("acme", "oldest_due_at", "");
	assert_tenant("acme", "last_error", "");
	status = (struct tenant_status){
		.tenant = name, .state = "backoff", .retry_at = 99, .last_error = error, .oldest_due_at = 5
	};
	settle_status(&status);
	assert_tenant("acme", "state", "backoff");
	assert_tenant("acme", "queued", "0");
	assert_tenant("acme", "retry_at", "99");
	assert_tenant("acme", "oldest_due_at", "5");
	assert_tenant("acme", "last_error", error);
	assert_tenant("acme", "last_sent_at", "1234");
	assert_tenant("acme", "token_expires_at", "");
	assert_tenant("acme", "token_error", "");
	status.token_expires_at = 77;
	status.token_error = token_error;
	settle_status(&status);
	assert_tenant("acme", "token_expires_at", "77");
	assert_tenant("acme", "token_error", token_error);
	status.token_expires_at = 0;
	status.token_error = NULL;
	settle_status(&status);
	assert_tenant("acme", "token_expires_at", "");
	assert_tenant("acme", "token_error", "");
}
END_TEST

START_TEST(a_deleted_tenant_gets_no_status)
{
	char name[] = "zeta";
	struct tenant_status status = { .tenant = name, .state = "idle" };

	APP->add_tenant(bed.outbox, name);
	settle_status(&status);
	assert_tenant("zeta", "state", "idle");
	APP->remove_tenant(bed.outbox, name);
	settle_status(&status);
	assert_tenant("zeta", "state", "no row");
}
END_TEST

START_TEST(a_message_that_is_gone_is_called_gone)
{
	struct message *message = in_hand();

	APP->set_state(bed.outbox, message->id, "cancelled");
	APP->remove(bed.outbox, message->id);
	bed_outcome(message, "bob@example.net", VERDICT_SENT, 250, DELIVERY_SENT);
	bed_judge(message, MESSAGE_SENT, "250 ok");
	bed_settle(message);
	ck_assert_int_eq(message->settled, SETTLED_GONE);
	ck_assert(!APP->delivery(bed.outbox, message->id, "bob@example.net").exists);
	message_destroy(&message);
}
END_TEST

/* An application cancels while the message is in hand: what each verdict makes of it. */
static struct message *cancelled_in_hand(enum verdict verdict, int code, enum delivery_state delivery,
                                         enum message_state state, const char *result)
{
	struct message *message = in_hand();

	APP->set_state(bed.outbox, message->id, "cancelled");
	bed_outcome(message, "bob@example.net", verdict, code, delivery);
	bed_judge(message, state, result);
	bed_settle(message);
	return message;
}

START_TEST(a_cancel_that_came_too_late_says_so)
{
	struct message *sent = cancelled_in_hand(VERDICT_SENT, 250, DELIVERY_SENT, MESSAGE_SENT, "250 ok");
	struct message *failed = cancelled_in_hand(VERDICT_REFUSED, 550, DELIVERY_FAILED, MESSAGE_FAILED,
	                                           "550 no");
	struct message *held = cancelled_in_hand(VERDICT_UNCERTAIN, 0, DELIVERY_UNCERTAIN, MESSAGE_UNCERTAIN,
	                                         NULL);

	ck_assert_int_eq(sent->settled, SETTLED);
	ck_assert(!sent->cancelled);
	assert_status(sent->id, "sent", 1, "cancel came too late: 250 ok");
	assert_delivery(sent->id, "bob@example.net", "sent", 250);
	ck_assert_int_eq(failed->settled, SETTLED);
	assert_status(failed->id, "failed", 1, "cancel came too late: 550 no");
	assert_delivery(failed->id, "bob@example.net", "failed", 550);
	ck_assert_int_eq(held->settled, SETTLED);
	assert_status(held->id, "uncertain", 1, "cancel came too late");
	message_destroy(&sent);
	message_destroy(&failed);
	message_destroy(&held);
}
END_TEST

START_TEST(after_a_temporary_refusal_a_cancelled_message_stays_cancelled)
{
	struct message *message = cancelled_in_hand(VERDICT_RETRY, 450, DELIVERY_DEFERRED, MESSAGE_DEFERRED,
	                                            "450 later");

	ck_assert_int_eq(message->settled, SETTLED_SUPERSEDED);
	ck_assert(message->cancelled);
	assert_status(message->id, "cancelled", 0, "");
	assert_delivery(message->id, "bob@example.net", "cancelled", 450);
	message_destroy(&message);
}
END_TEST

/* Cancelled and queued anew while the first try was under way. */
static struct message *requeued_in_hand(enum verdict verdict, int code, enum delivery_state delivery,
                                        enum message_state state)
{
	struct message *message = in_hand();

	APP->set_state(bed.outbox, message->id, "cancelled");
	APP->set_state(bed.outbox, message->id, "queued");
	bed_outcome(message, "bob@example.net", verdict, code, delivery);
	bed_judge(message, state, "of the first try");
	message->due_at += 3600;
	bed_settle(message);
	return message;
}

START_TEST(a_message_queued_anew_meanwhile_is_tried_again_unless_it_was_accepted)
{
	struct message *sent = requeued_in_hand(VERDICT_SENT, 250, DELIVERY_SENT, MESSAGE_SENT);
	struct message *failed = requeued_in_hand(VERDICT_REFUSED, 550, DELIVERY_FAILED, MESSAGE_FAILED);
	struct message *deferred;
	struct message *due = bed_due_one();

	ck_assert_int_eq(sent->settled, SETTLED);
	assert_status(sent->id, "sent", 1, "of the first try");
	ck_assert_int_eq(failed->settled, SETTLED_SUPERSEDED);
	assert_status(failed->id, "queued", 0, "");
	assert_delivery(failed->id, "bob@example.net", "deferred", 550);
	ck_assert_int_eq(due->id, failed->id);
	APP->set_state(bed.outbox, failed->id, "cancelled");
	deferred = requeued_in_hand(VERDICT_RETRY, 450, DELIVERY_DEFERRED, MESSAGE_DEFERRED);
	ck_assert_int_eq(deferred->settled, SETTLED_SUPERSEDED);
	assert_status(deferred->id, "queued", 0, "");
	message_destroy(&sent);
	message_destroy(&failed);
	message_destroy(&deferred);
	message_destroy(&due);
}
END_TEST

START_TEST(a_try_that_did_not_happen_changes_no_state)
{
	struct message *message = in_hand();

	bed_outcome(message, "bob@example.net", VERDICT_UNTRIED, 0, DELIVERY_NONE);
	message->state = MESSAGE_QUEUED;
	bed_settle(message);
	ck_assert_int_eq(message->settled, SETTLED);
	assert_status(message->id, "queued", 0, "");
	message_destroy(&message);
}
END_TEST

static enum error hold(struct message *message)
{
	struct storage_batch batch = { .uncertain = &message->link };

	return storage_settle(bed.storage, &batch, deadline_after_ms(5000), &bed.words);
}

START_TEST(before_the_end_of_the_data_its_recipients_are_recorded_uncertain)
{
	struct message *message = in_hand();

	bed_outcome(message, "a@example.net", VERDICT_UNCERTAIN, 0, DELIVERY_NONE);
	bed_outcome(message, "b@example.net", VERDICT_REFUSED, 550, DELIVERY_FAILED);
	ck_ok(hold(message));
	ck_assert_int_eq(message->settled, SETTLED);
	assert_status(message->id, "queued", 0, "");
	assert_delivery(message->id, "a@example.net", "uncertain", 0);
	ck_assert(!APP->delivery(bed.outbox, message->id, "b@example.net").exists);
	/* the reply came: a temporary refusal is an answer */
	message_reset_attempt(message);
	bed_outcome(message, "a@example.net", VERDICT_RETRY, 450, DELIVERY_DEFERRED);
	bed_judge(message, MESSAGE_DEFERRED, "450 later");
	bed_settle(message);
	assert_delivery(message->id, "a@example.net", "deferred", 450);
	assert_status(message->id, "deferred", 1, "450 later");
	message_destroy(&message);
}
END_TEST

START_TEST(a_message_cancelled_before_the_end_of_the_data_is_told_so)
{
	struct message *message = in_hand();

	bed_outcome(message, "a@example.net", VERDICT_UNCERTAIN, 0, DELIVERY_NONE);
	APP->set_state(bed.outbox, message->id, "cancelled");
	ck_ok(hold(message));
	ck_assert_int_eq(message->settled, SETTLED_SUPERSEDED);
	ck_assert(!APP->delivery(bed.outbox, message->id, "a@example.net").exists);
	APP->remove(bed.outbox, message->id);
	ck_ok(hold(message));
	ck_assert_int_eq(message->settled, SETTLED_GONE);
	message_destroy(&message);
}
END_TEST

START_TEST(an_empty_batch_is_nothing)
{
	struct storage_batch batch = { 0 };
	struct storage_changes changes;

	ck_ok(storage_changes(bed.storage, &changes, &bed.words));
	storage_changes_fini(&changes);
	ck_ok(storage_settle(bed.storage, &batch, deadline_after_ms(5000), &bed.words));
	while (storage_changed(bed.storage))
		;
	ck_ok(storage_settle(bed.storage, &batch, deadline_after_ms(5000), &bed.words));
	ck_assert(!storage_changed(bed.storage));
}
END_TEST

void contract_settle(TCase *tests)
{
	tcase_add_test(tests, a_sent_message_is_recorded_whole);
	tcase_add_test(tests, partly_accepted_messages_keep_what_was_accepted);
	tcase_add_test(tests, a_recipient_that_is_given_up_keeps_the_servers_last_words);
	tcase_add_test(tests, one_transaction_settles_all_that_waits);
	tcase_add_test(tests, a_tenants_status_is_written_and_its_last_success_is_kept);
	tcase_add_test(tests, a_deleted_tenant_gets_no_status);
	tcase_add_test(tests, a_message_that_is_gone_is_called_gone);
	tcase_add_test(tests, a_cancel_that_came_too_late_says_so);
	tcase_add_test(tests, after_a_temporary_refusal_a_cancelled_message_stays_cancelled);
	tcase_add_test(tests, a_message_queued_anew_meanwhile_is_tried_again_unless_it_was_accepted);
	tcase_add_test(tests, a_try_that_did_not_happen_changes_no_state);
	tcase_add_test(tests, before_the_end_of_the_data_its_recipients_are_recorded_uncertain);
	tcase_add_test(tests, a_message_cancelled_before_the_end_of_the_data_is_told_so);
	tcase_add_test(tests, a_commit_that_has_held_the_lock_long_leaves_the_rest);
	tcase_add_test(tests, an_empty_batch_is_nothing);
}
