/*
 * bed.c - set-up of the storage contract's tests, and their program.
 */
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "tests/contract/bed.h"
#include "tests/contract/suites.h"

struct bed bed;

unsigned char contract_octet(size_t position)
{
	return (unsigned char)('!' + (position * 31 + position / 251) % 90);
}

void bed_set_up(void)
{
	bed.outbox = APP->make();
	APP->add_tenant(bed.outbox, "acme");
	ck_ok(APP->open(bed.outbox, NULL, &bed.storage, &bed.words));
}

void bed_open_anew(const struct storage_settings *settings)
{
	storage_close(&bed.storage);
	ck_ok(APP->open(bed.outbox, settings, &bed.storage, &bed.words));
}

void bed_tear_down(void)
{
	storage_close(&bed.storage);
	APP->unmake(bed.outbox);
}

int64_t bed_insert(const struct contract_message *message)
{
	return APP->insert(bed.outbox, message);
}

int64_t bed_insert_plain(void)
{
	return bed_insert(&(struct contract_message){ .text = "hello" });
}

bool hand_holds(void *context, const struct storage_try *row)
{
	struct hand *hand = context;

	if (hand->hook && hand->asked_count == 0)
		hand->hook(hand->context);
	ck_assert_uint_lt(hand->asked_count, sizeof hand->asked / sizeof hand->asked[0]);
	hand->last = *row;
	hand->asked[hand->asked_count++] = row->id;
	for (size_t i = 0; i < hand->count; i++)
		if (hand->ids[i] == row->id)
			return true;
	return false;
}

struct message **bed_look(int64_t now, int limit, struct hand *hand, int64_t *next_due)
{
	struct hand empty = { .count = 0 };
	struct storage_due_query query = { .tenant = "acme",
		                           .now = now,
		                           .limit = limit,
		                           .in_hand = hand_holds,
		                           .context = hand ? hand : &empty };
	struct message **messages = memory_alloc(((size_t)limit + 1) * sizeof *messages);
	struct queue_link *first;
	int64_t next;
	int count = 0;

	ck_ok(storage_due(bed.storage, &query, &first, next_due ? next_due : &next, &bed.words));
	for (; first; count++) {
		ck_assert_int_lt(count, limit);
		messages[count] = QUEUE_ITEM(first, struct message, link);
		first = first->next;
		messages[count]->link.next = NULL;
	}
	return messages;
}

void bed_release(struct message **messages)
{
	for (size_t i = 0; messages[i]; i++)
		message_destroy(&messages[i]);
	free(messages);
}

struct message *bed_due_one(void)
{
	struct message **messages = bed_look(clock_wall_s(), 2, NULL, NULL);
	struct message *message = messages[0];

	ck_assert_ptr_nonnull(message);
	ck_assert_ptr_null(messages[1]);
	free(messages);
	return message;
}

struct mail *bed_take(const struct message *message)
{
	struct mail *mail;

	ck_ok(storage_take(bed.storage, message, deadline_after_ms(5000), &mail, &bed.words));
	return mail;
}

enum error bed_try(const struct message *message, int64_t deadline_ms, struct mail **mail)
{
	return storage_take(bed.storage, message, deadline_ms, mail, &bed.words);
}

void bed_take_nested(void *context)
{
	struct bed_nested *nested = context;
	int index = nested->depth++;
	bool last = index + 1 == nested->most;
	struct mail *mail;
	enum error error;

	if (!last)
		APP->interpose(bed.outbox, "outbox_delivery", bed_take_nested, nested);
	error = bed_try(nested->messages[index], deadline_after_ms(last ? 200 : 20000), &mail);
	storage_give_back(bed.storage, &mail);
	if (!last) {
		ck_ok(error);
		return;
	}
	nested->innermost = error;
	if (!nested->meanwhile)
		return;
	nested->meanwhile_error = bed_try(nested->meanwhile, deadline_after_ms(5000), &mail);
	storage_give_back(bed.storage, &mail);
}

struct message *bed_due_of(const char *tenant)
{
	struct hand empty = { .count = 0 };
	struct storage_due_query query = {
		.tenant = tenant, .now = clock_wall_s(), .limit = 1, .in_hand = hand_holds, .context = &empty
	};
	struct queue_link *first;
	int64_t next;

	ck_ok(storage_due(bed.storage, &query, &first, &next, &bed.words));
	ck_assert_ptr_nonnull(first);
	return QUEUE_ITEM(first, struct message, link);
}

void bed_assert_pattern(const struct body *body, size_t first, size_t size)
{
	char slice[5000];
	size_t length, wrong = 0;
	int64_t at = 0;

	ck_assert(body->present);
	ck_assert_int_eq(body->size, (int64_t)size);
	do {
		ck_assert_int_eq(body_read(body, at, slice, sizeof slice, &length), OK);
		for (size_t i = 0; i < length; i++)
			wrong += (unsigned char)slice[i] != contract_octet(first + (size_t)at + i);
		at += (int64_t)length;
	} while (length > 0);
	ck_assert_int_eq(at, (int64_t)size);
	ck_assert_uint_eq(wrong, 0);
}

void bed_outcome(struct message *message, const char *address, enum verdict verdict, int code,
                 enum delivery_state state)
{
	struct recipient *recipient = message_add_recipient(message, address);

	recipient->state = state;
	recipient->attempts++;
	recipient->outcome.verdict = verdict;
	recipient->outcome.code = code;
	outcome_say(&recipient->outcome, "%d said of %s", code, address);
}

void bed_judge(struct message *message, enum message_state state, const char *result)
{
	message->state = state;
	message->attempts++;
	free(message->result);
	message->result = memory_strdup(result);
}

enum error bed_settle_by(struct message *message, int64_t deadline_ms)
{
	struct storage_batch batch = { .messages = &message->link };

	return storage_settle(bed.storage, &batch, deadline_ms, &bed.words);
}

void bed_settle(struct message *message)
{
	ck_ok(bed_settle_by(message, deadline_after_ms(5000)));
}

static void see_usage(void *context, int64_t ago_s, int64_t recipients)
{
	struct bed_usage *usage = context;

	if (usage->rows == 0 || ago_s < usage->youngest_s)
		usage->youngest_s = ago_s;
	if (usage->rows++ == 0 || ago_s > usage->oldest_s)
		usage->oldest_s = ago_s;
	usage->recipients += recipients;
}

struct bed_usage bed_usage_of(const char *tenant)
{
	struct bed_usage usage = { 0 };

	ck_ok(storage_usage(bed.storage, tenant, see_usage, &usage, &bed.words));
	return usage;
}

struct message *bed_used(int64_t recipients)
{
	struct message *message;

	bed_insert_plain();
	message = bed_due_one();
	bed_outcome(message, "bob@example.net", VERDICT_SENT, 250, DELIVERY_SENT);
	bed_judge(message, MESSAGE_SENT, "said");
	message->usage = recipients;
	return message;
}

static void add_case(Suite *suite, const char *name, void (*add)(TCase *))
{
	TCase *tests = tcase_create(name);

	tcase_add_checked_fixture(tests, bed_set_up, bed_tear_down);
	tcase_set_timeout(tests, 60);
	add(tests);
	suite_add_tcase(suite, tests);
}

int main(int count, char **arguments)
{
	Suite *suite;
	SRunner *runner;
	int failed;

	if (count > 1)
		return contract_backend_elsewhere(count, arguments);
	suite = suite_create(contract_backend.name);
	add_case(suite, "look", contract_look);
	add_case(suite, "take", contract_take);
	add_case(suite, "room", contract_room);
	add_case(suite, "attachments", contract_attachments);
	add_case(suite, "settle", contract_settle);
	add_case(suite, "retain", contract_retain);
	add_case(suite, "never twice", contract_never_twice);
	add_case(suite, "trouble", contract_trouble);
	contract_backend_tests(suite);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
