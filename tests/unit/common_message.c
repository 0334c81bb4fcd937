/*
 * common_message.c - messages own what is in them; names are those of the tables.
 */
#include "common/message.h"

#include "common/room.h"

#include <stdio.h>

#include "common/buffer.h"
#include "tests/unit/common_test.h"

START_TEST(names_are_those_of_the_tables)
{
	static const char *const deliveries[] = { "deferred", "sent", "failed", "uncertain", "cancelled" };
	static const char *const messages[] = {
		"draft", "queued", "sent", "failed", "deferred", "uncertain", "cancelled",
	};
	enum delivery_state delivery;
	enum message_state message;

	ck_assert_ptr_null(delivery_state_name(DELIVERY_NONE));
	for (size_t i = 0; i < COUNT(deliveries); i++) {
		ck_assert(delivery_state_parse(deliveries[i], &delivery));
		ck_assert_str_eq(delivery_state_name(delivery), deliveries[i]);
	}
	for (size_t i = 0; i < COUNT(messages); i++) {
		ck_assert(message_state_parse(messages[i], &message));
		ck_assert_str_eq(message_state_name(message), messages[i]);
	}
	ck_assert(delivery_state_parse("sent", &delivery));
	ck_assert_int_eq(delivery, DELIVERY_SENT);
	ck_assert(message_state_parse("deferred", &message));
	ck_assert_int_eq(message, MESSAGE_DEFERRED);
	ck_assert(!delivery_state_parse("queued", &delivery));
	ck_assert(!message_state_parse("", &message));
	ck_assert(!message_state_parse("Sent", &message));
	ck_assert_str_eq(stage_name(STAGE_STARTTLS), "starttls");
	ck_assert_str_eq(stage_name(STAGE_END), "end");
	for (int stage = 0; stage < STAGE_COUNT; stage++)
		ck_assert_ptr_nonnull(stage_name((enum stage)stage));
	ck_assert_str_eq(stage_name(STAGE_COUNT), "none");
	for (int stage = STAGE_NONE; stage < STAGE_COUNT; stage++)
		ck_assert_ptr_nonnull(stage_place((enum stage)stage));
	ck_assert_str_eq(stage_place(STAGE_RCPT), "at RCPT");
	ck_assert_str_eq(stage_place(STAGE_COUNT), "at the start");
}
END_TEST

START_TEST(outcomes_are_copied_deeply)
{
	struct outcome a = { .verdict = VERDICT_REFUSED,
		             .scope = SCOPE_RECIPIENT,
		             .stage = STAGE_RCPT,
		             .code = 550,
		             .enhanced = "5.1.1" };
	struct outcome b = { 0 };

	outcome_say(&a, "no %s here", "bob");
	outcome_copy(&b, &a);
	outcome_say(&a, "%s, again", a.text); /* made of its own old text */
	ck_assert_str_eq(a.text, "no bob here, again");
	ck_assert_str_eq(b.text, "no bob here");
	ck_assert_int_eq(b.code, 550);
	ck_assert_str_eq(b.enhanced, "5.1.1");
	outcome_copy(&b, &b);
	ck_assert_str_eq(b.text, "no bob here");
	outcome_clear(&a);
	ck_assert_ptr_null(a.text);
	ck_assert_int_eq(a.verdict, VERDICT_NONE);
	outcome_copy(&b, &a);
	ck_assert_ptr_null(b.text);
	outcome_clear(&b);
}
END_TEST

START_TEST(an_attempt_is_forgotten_and_the_row_kept)
{
	struct message *message = message_create(42, "acme");

	message->priority = 3;
	message->attempts = 7;
	message->requeue = 2;
	message->due_at = 11;
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 100; i++) {
			char address[32];
			struct recipient *recipient;

			snprintf(address, sizeof(address), "r%d@example.net", i);
			recipient = message_add_recipient(message, address);
			ck_assert(recipient->wanted);
			ck_assert_int_eq(recipient->outcome.verdict, VERDICT_NONE);
			outcome_say(&recipient->outcome, "%d", i);
		}
		ck_assert_uint_eq(message->recipient_count, 100);
		ck_assert_str_eq(message->recipients[0].address, "r0@example.net");
		ck_assert_str_eq(message->recipients[99].outcome.text, "99");
		outcome_say(&message->outcome, "all well");
		message->from = memory_strdup("a@example.org");
		message->message_id = memory_strdup("1@example.org");
		message->reference = memory_strdup("ref");
		message->server = memory_strdup("mx:25");
		message->tls = memory_strdup("TLS1.3");
		message->session = memory_strdup("s1");
		message->result = memory_strdup("250 ok");
		message->size = 5;
		message->ended_ms = 6;
		message->settled = SETTLED;
		message_reset_attempt(message);
		ck_assert_uint_eq(message->recipient_count, 0);
		ck_assert_ptr_null(message->recipients);
		ck_assert_ptr_null(message->outcome.text);
		ck_assert_ptr_null(message->from);
		ck_assert_ptr_null(message->result);
		ck_assert_int_eq(message->size, 0);
		ck_assert_int_eq(message->ended_ms, 0);
		ck_assert_int_eq(message->settled, SETTLED_NOT_YET);
	}
	ck_assert_int_eq(message->id, 42);
	ck_assert_str_eq(message->tenant_name, "acme");
	ck_assert_int_eq(message->priority, 3);
	ck_assert_int_eq(message->attempts, 7);
	ck_assert_int_eq(message->requeue, 2);
	ck_assert_int_eq(message->due_at, 11);
	message_add_recipient(message, "left@example.net");
	message_destroy(&message);
	ck_assert_ptr_null(message);
	message_destroy(&message);
}
END_TEST

/* What was said of its recipients is in memory until it is recorded, and so long in the figures. */
START_TEST(what_is_kept_of_an_attempt_is_charged_until_it_is_freed)
{
	struct message *message = message_create(42, "acme");
	struct room room;
	int64_t used;

	room_init(&room, 1000);
	message_charge(message, &room);
	ck_assert_int_eq(atomic_load(&room.used_bytes), 0);
	message_reset_attempt(message);
	for (int i = 0; i < 100; i++)
		outcome_say(&message_add_recipient(message, "bob@example.net")->outcome, "250 ok");
	message_charge(message, &room);
	used = atomic_load(&room.used_bytes);
	ck_assert_int_ge(used, 100 * (int64_t)(sizeof(struct recipient) + 16 + 7));
	ck_assert_int_le(used, 100 * 400);
	message_reset_attempt(message);
	ck_assert_int_eq(atomic_load(&room.used_bytes), 0);
	message_add_recipient(message, "bob@example.net");
	message_charge(message, &room);
	ck_assert_int_gt(atomic_load(&room.used_bytes), 0);
	message_destroy(&message);
	ck_assert_int_eq(atomic_load(&room.used_bytes), 0);
	room_fini(&room);
}
END_TEST

START_TEST(domains_are_compared_without_case_and_local_parts_with)
{
	static const struct {
		const char *a, *b;
		bool same;
	} cases[] = {
		{ "bob@example.net", "bob@example.net", true },
		{ "bob@example.net", "bob@EXAMPLE.Net", true },
		{ "bob@example.net", "Bob@example.net", false },
		{ "bob@example.net", "bo@example.net", false },
		{ "bob@example.net", "bobb@example.net", false },
		{ "bob@example.net", "bob@example.org", false },
		{ "\"a@B\"@x.net", "\"a@B\"@X.net", true },
		{ "\"a@B\"@x.net", "\"a@b\"@x.net", false },
		{ "postmaster", "postmaster", true },
		{ "postmaster", "Postmaster", false },
		{ "postmaster", "postmaster@x", false },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		ck_assert_msg(recipient_same_address(cases[i].a, cases[i].b) == cases[i].same, "%s %s",
		              cases[i].a, cases[i].b);
		ck_assert(recipient_same_address(cases[i].b, cases[i].a) == cases[i].same);
	}
}
END_TEST

/* Each against each: who is below, is below all that are above; the same stand together. */
START_TEST(recipients_have_an_order)
{
	static const char *const ordered[] = {
		"",    "Postmaster", "postmaster", "@b",    "@B",    "a@a",
		"b@A", "b@a",        "b@B",        "b@b.c", "B.b@x", "aa@x",
	};
	static const int rank[COUNT(ordered)] = { 0, 1, 2, 3, 3, 4, 5, 5, 6, 7, 9, 8 };

	for (size_t i = 0; i < COUNT(ordered); i++) {
		for (size_t k = 0; k < COUNT(ordered); k++) {
			int order = recipient_address_order(ordered[i], ordered[k]);

			ck_assert_msg((order > 0) - (order < 0) == (rank[i] > rank[k]) - (rank[i] < rank[k]),
			              "'%s' and '%s': %d", ordered[i], ordered[k], order);
		}
	}
}
END_TEST

TCase *common_message_cases(void)
{
	TCase *cases = tcase_create("message");

	tcase_add_test(cases, names_are_those_of_the_tables);
	tcase_add_test(cases, outcomes_are_copied_deeply);
	tcase_add_test(cases, an_attempt_is_forgotten_and_the_row_kept);
	tcase_add_test(cases, what_is_kept_of_an_attempt_is_charged_until_it_is_freed);
	tcase_add_test(cases, domains_are_compared_without_case_and_local_parts_with);
	tcase_add_test(cases, recipients_have_an_order);
	return cases;
}
