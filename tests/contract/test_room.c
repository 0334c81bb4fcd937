/*
 * test_room.c - memory for what is in hand: what finds none goes to the file, waits for nobody,
 * arrives whole; what was taken is given back, whatever becomes of the message.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/room.h"
#include "tests/contract/bed.h"
#include "tests/contract/suites.h"

#define KIB  1024
#define STEP ROOM_SMALL_BYTES

static struct room room;

static int64_t used(void)
{
	return atomic_load(&room.used_bytes);
}

static void open_with(int64_t max_bytes, const char *spool_dir)
{
	room_init(&room, max_bytes);
	bed_open_anew(&(struct storage_settings){ .room = &room, .spool_dir = spool_dir });
}

static void close_and_see_all_given_back(void)
{
	storage_close(&bed.storage);
	ck_assert_int_eq(used(), 0);
	ck_ok(APP->open(bed.outbox, NULL, &bed.storage, &bed.words));
}

static struct message *insert_of(const char *tenant, const struct contract_message *message)
{
	struct contract_message of_tenant = *message;

	if (strcmp(tenant, "acme") != 0)
		APP->add_tenant(bed.outbox, tenant);
	of_tenant.tenant = tenant;
	bed_insert(&of_tenant);
	return bed_due_of(tenant);
}

START_TEST(what_finds_no_room_goes_to_the_file)
{
	enum { HELD = 6, IN_MEMORY = 3, BYTES = 200000 };
	struct message *messages[HELD], *small;
	struct mail *mails[HELD], *mail;
	char name[16];

	open_with(1024 * KIB, NULL);
	for (int i = 0; i < HELD; i++) {
		(void)snprintf(name, sizeof name, "t%d", i);
		messages[i] = insert_of(name, &(struct contract_message){ .message_bytes = BYTES });
		mails[i] = bed_take(messages[i]);
		ck_assert_int_eq(mails[i]->message.memory != NULL, i < IN_MEMORY);
		ck_assert_int_eq(mails[i]->message.fd >= 0, i >= IN_MEMORY);
	}
	ck_assert_uint_eq(atomic_load(&room.spilled), HELD - IN_MEMORY);
	ck_assert_int_ge(used(), (int64_t)IN_MEMORY * BYTES);
	ck_assert_int_le(used(), 1024 * KIB * 3 / 4);
	/* what is small has the last quarter */
	small = insert_of("acme", &(struct contract_message){ .message_bytes = STEP });
	mail = bed_take(small);
	bed_assert_pattern(&mail->message, 0, STEP);
	ck_assert_ptr_nonnull(mail->message.memory);
	storage_give_back(bed.storage, &mail);
	message_destroy(&small);
	for (int i = 0; i < HELD; i++)
		bed_assert_pattern(&mails[i]->message, 0, BYTES);
	/* one goes, and its room is another's */
	storage_give_back(bed.storage, &mails[1]);
	storage_give_back(bed.storage, &mails[HELD - 1]);
	mails[HELD - 1] = bed_take(messages[HELD - 1]);
	ck_assert_ptr_nonnull(mails[HELD - 1]->message.memory);
	for (int i = 0; i < HELD; i++) {
		storage_give_back(bed.storage, &mails[i]);
		message_destroy(&messages[i]);
	}
	close_and_see_all_given_back();
}
END_TEST

START_TEST(a_block_costs_what_of_it_is_used)
{
	/* four times the columns, and what one recipient takes */
	int64_t columns = 4 * (int64_t)strlen("bob@example.netpbx@acme.example") + 320;
	struct message *message;
	struct mail *mail;
	int64_t id;

	open_with(1024 * KIB, NULL);
	message = insert_of("t0", &(struct contract_message){ .text = "x" });
	mail = bed_take(message);
	ck_assert_int_eq(used(), columns + STEP);
	storage_give_back(bed.storage, &mail);
	message_destroy(&message);
	message = insert_of("t1", &(struct contract_message){ .message_bytes = 5 * STEP + 1 });
	mail = bed_take(message);
	ck_assert_int_eq(used(), columns + 6 * STEP);
	storage_give_back(bed.storage, &mail);
	message_destroy(&message);
	/* a second body has a block of its own, attachments share the last one */
	id = bed_insert(&(struct contract_message){ .text = "x", .message_bytes = 0, .attachments = 2 });
	for (int i = 0; i < 2; i++)
		APP->attach(bed.outbox, id,
		            &(struct contract_attachment){ .position = i, .bytes = STEP - 1 });
	message = bed_due_of("acme");
	mail = bed_take(message);
	ck_assert_int_gt(used(), columns + 2 * STEP); /* and what an attachment has beside its content */
	ck_assert_int_lt(used(), columns + 2 * STEP + 2 * 512);
	ck_assert_ptr_nonnull(mail->attachments[1].content.memory);
	storage_give_back(bed.storage, &mail);
	message_destroy(&message);
	close_and_see_all_given_back();
}
END_TEST

START_TEST(it_is_given_back_on_every_path)
{
	struct message *message;
	struct mail *mail;
	int64_t id;

	open_with(1024 * KIB, "/nowhere/at/all");
	/* small in memory, then a large one that has no spool */
	id = bed_insert(&(struct contract_message){ .text = "x", .attachments = 1 });
	APP->attach(bed.outbox, id, &(struct contract_attachment){ .position = 1, .bytes = 300000 });
	message = bed_due_one();
	ck_assert_int_eq(bed_try(message, deadline_after_ms(5000), &mail), ERROR_UNAVAILABLE);
	ck_assert_ptr_null(mail);
	ck_assert_int_eq(used(), 0);
	/* no longer to be sent */
	APP->set_state(bed.outbox, id, "cancelled");
	ck_assert_int_eq(bed_try(message, deadline_after_ms(5000), &mail), ERROR_NOT_FOUND);
	ck_assert_int_eq(used(), 0);
	message_destroy(&message);
	/* never to be sent: what was read comes along, and goes back with it */
	id = bed_insert(&(struct contract_message){ .text = "x", .attachments = 1 });
	APP->attach(bed.outbox, id, &(struct contract_attachment){ .position = 1, .bytes = 10 });
	APP->spoil(bed.outbox, id, 1);
	message = bed_due_one();
	ck_assert_int_eq(bed_try(message, deadline_after_ms(5000), &mail), ERROR_INVALID);
	ck_assert_int_gt(used(), 0);
	storage_give_back(bed.storage, &mail);
	ck_assert_int_eq(used(), 0);
	APP->set_state(bed.outbox, id, "cancelled");
	message_destroy(&message);
	/* small, but there is no room and no spool */
	id = bed_insert(&(struct contract_message){ .message_bytes = 2 * STEP });
	message = bed_due_one();
	room_charge(&room, 1000 * KIB);
	ck_assert_int_eq(bed_try(message, deadline_after_ms(5000), &mail), ERROR_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(bed.words.text, "spool_dir /nowhere/at/all"));
	ck_assert_int_eq(used(), 1000 * KIB);
	ck_assert(APP->unpinned(bed.outbox));
	/* room comes back: no spool is needed */
	room_give(&room, 1000 * KIB);
	mail = bed_take(message);
	bed_assert_pattern(&mail->message, 0, 2 * STEP);
	storage_give_back(bed.storage, &mail);
	message_destroy(&message);
	close_and_see_all_given_back();
}
END_TEST

START_TEST(two_outboxes_share_it)
{
	struct message *message;
	struct mail *mail;
	struct bed first;

	open_with(1024 * KIB, NULL);
	message = insert_of("acme", &(struct contract_message){ .message_bytes = 250000 });
	first = bed;
	bed_set_up();
	bed_open_anew(&(struct storage_settings){ .room = &room });
	room_charge(&room, 600 * KIB); /* of some others */
	{
		struct message *other = insert_of("acme",
		                                  &(struct contract_message){ .message_bytes = 150000 });
		struct mail *others = bed_take(other);

		ck_assert_ptr_nonnull(others->message.memory);
		ck_ok(storage_take(first.storage, message, deadline_after_ms(5000), &mail, &bed.words));
		ck_assert_ptr_null(mail->message.memory);
		bed_assert_pattern(&mail->message, 0, 250000);
		storage_give_back(first.storage, &mail);
		storage_give_back(bed.storage, &others);
		message_destroy(&other);
	}
	bed_tear_down();
	bed = first;
	room_give(&room, 600 * KIB);
	message_destroy(&message);
	close_and_see_all_given_back();
}
END_TEST

START_TEST(what_finds_no_room_waits_for_no_large_copy)
{
	enum { LARGE = 4, SPILLED = 2 };
	struct message *messages[LARGE + SPILLED + 1];
	struct bed_nested nested = { .messages = messages, .most = LARGE + SPILLED + 1 };
	char name[16];

	open_with(1024 * KIB, NULL);
	room_charge(&room, 900 * KIB);
	for (int i = 0; i < nested.most; i++) {
		(void)snprintf(name, sizeof name, "t%d", i);
		messages[i] = insert_of(
			name, &(struct contract_message){ .message_bytes = i < LARGE ? 300000 : 2 * STEP });
	}
	nested.meanwhile = insert_of("acme", &(struct contract_message){ .text = "x" });
	bed_take_nested(&nested);
	ck_assert_int_eq(nested.innermost, ERROR_UNAVAILABLE); /* the third at a time */
	ck_assert_ptr_nonnull(strstr(bed.words.text, "memory_max"));
	ck_assert_int_eq(nested.meanwhile_error, OK); /* connections are left for what is in memory */
	ck_assert_uint_eq(atomic_load(&room.spilled), SPILLED);
	for (int i = 0; i < nested.most; i++)
		message_destroy(&messages[i]);
	message_destroy(&nested.meanwhile);
	room_give(&room, 900 * KIB);
	close_and_see_all_given_back();
}
END_TEST

static void *give_room_to_who_waits(void *context)
{
	(void)context;
	while (atomic_load(&room.waiting) == 0)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	room_give(&room, 900 * KIB);
	return NULL;
}

/* Inside the takes of two others that have the places. */
static void take_while_room_comes(void *context)
{
	struct message *message = context;
	struct mail *mail;
	pthread_t giver;

	ck_assert_int_eq(pthread_create(&giver, NULL, give_room_to_who_waits, NULL), 0);
	ck_ok(bed_try(message, deadline_after_ms(60000), &mail));
	pthread_join(giver, NULL);
	ck_assert_ptr_nonnull(mail->message.memory);
	bed_assert_pattern(&mail->message, 0, 2 * STEP);
	storage_give_back(bed.storage, &mail);
}

struct outer {
	struct message *message;
	contract_hook *hook;
	void *context;
};

static void take_outer(void *context)
{
	struct outer *outer = context;
	struct mail *mail;

	APP->interpose(bed.outbox, "outbox_delivery", outer->hook, outer->context);
	mail = bed_take(outer->message);
	ck_assert_int_ge(mail->message.fd, 0);
	storage_give_back(bed.storage, &mail);
}

START_TEST(who_waits_for_a_place_takes_memory_that_is_given_back)
{
	struct outer first, second;
	struct message *third;

	open_with(1024 * KIB, NULL);
	room_charge(&room, 900 * KIB);
	first.message = insert_of("t0", &(struct contract_message){ .message_bytes = 2 * STEP });
	second.message = insert_of("t1", &(struct contract_message){ .message_bytes = 2 * STEP });
	third = insert_of("t2", &(struct contract_message){ .message_bytes = 2 * STEP });
	first.hook = take_outer;
	first.context = &second;
	second.hook = take_while_room_comes;
	second.context = third;
	take_outer(&first);
	ck_assert_uint_eq(atomic_load(&room.spilled), 2);
	message_destroy(&first.message);
	message_destroy(&second.message);
	message_destroy(&third);
	close_and_see_all_given_back();
}
END_TEST

static struct message *insert_in_company(const char *tenant, size_t bytes)
{
	struct message *message = insert_of(tenant, &(struct contract_message){ .message_bytes = bytes });

	message->in_company = true;
	return message;
}

START_TEST(a_worker_has_one_file_and_further_ones_are_counted)
{
	enum { MESSAGES = 4, BYTES = 300000 };
	struct message *messages[MESSAGES];
	struct mail *mails[MESSAGES], *none;
	struct room files;
	char name[16];

	room_init(&room, 1024 * KIB);
	room_init(&files, 1);
	bed_open_anew(&(struct storage_settings){ .room = &room, .files = &files });
	for (int i = 0; i < MESSAGES; i++) {
		(void)snprintf(name, sizeof name, "t%d", i);
		messages[i] = insert_in_company(name, BYTES);
	}
	messages[0]->in_company = false;
	mails[0] = bed_take(messages[0]);
	ck_assert_int_eq(atomic_load(&files.used_bytes), 0);
	mails[1] = bed_take(messages[1]);
	ck_assert_int_eq(atomic_load(&files.used_bytes), 1);
	ck_assert_int_eq(bed_try(messages[2], deadline_after_ms(5000), &none), ERROR_BUSY);
	ck_assert_ptr_null(none);
	ck_assert(APP->unpinned(bed.outbox));
	messages[2]->in_company = false; /* of another worker: its first */
	mails[2] = bed_take(messages[2]);
	ck_assert_int_eq(bed_try(messages[3], deadline_after_ms(5000), &none), ERROR_BUSY);
	storage_give_back(bed.storage, &mails[1]);
	ck_assert_int_eq(atomic_load(&files.used_bytes), 0);
	mails[1] = bed_take(messages[3]);
	bed_assert_pattern(&mails[1]->message, 0, BYTES);
	for (int i = 0; i < MESSAGES; i++)
		message_destroy(&messages[i]);
	for (int i = 0; i < 3; i++)
		storage_give_back(bed.storage, &mails[i]);
	ck_assert_int_eq(atomic_load(&files.used_bytes), 0);
	close_and_see_all_given_back();
}
END_TEST

/* So many addresses, "a0@b.example, a1@b.example, …"; freed by the caller. */
static char *many_addresses(int count)
{
	struct buffer text;

	buffer_init(&text, SIZE_MAX);
	for (int i = 0; i < count; i++)
		buffer_printf(&text, "%sa%d@b.example", i ? ", " : "", i);
	return buffer_take(&text);
}

static struct message *insert_to_many(const char *tenant, const char *to)
{
	return insert_of(tenant, &(struct contract_message){ .to = to, .text = "x" });
}

static void *take_it(void *context)
{
	struct mail *mail;

	ck_ok(bed_try(context, deadline_after_ms(60000), &mail));
	return mail;
}

START_TEST(many_addresses_wait_for_room_and_few_do_not)
{
	char *to = many_addresses(1200); /* 320 a recipient, and 4 times its text: about 450 KiB */
	struct message *first, *second, *small, *body;
	struct mail *mail, *others, *none;
	pthread_t waits;
	void *taken;

	open_with(1024 * KIB, NULL);
	first = insert_to_many("t0", to);
	second = insert_to_many("t1", to);
	small = insert_of("t2", &(struct contract_message){ .text = "x" });
	body = insert_of("t3", &(struct contract_message){ .message_bytes = 100 * KIB });
	mail = bed_take(first);
	ck_assert_int_ge(used(), 320 * 1200 + 4 * (int64_t)strlen(to));
	ck_assert_int_le(used(), 512 * KIB);
	/* beside others of its worker's: not now; alone it waits */
	second->in_company = true;
	ck_assert_int_eq(bed_try(second, deadline_after_ms(60000), &none), ERROR_BUSY);
	second->in_company = false;
	ck_assert_int_eq(bed_try(second, deadline_after_ms(1), &none), ERROR_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(bed.words.text, "addresses and header fields (memory_max)"));
	ck_assert_int_eq(pthread_create(&waits, NULL, take_it, second), 0);
	while (atomic_load(&room.waiting) == 0)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	/* what is small waits for nobody */
	small->in_company = true;
	others = bed_take(small);
	storage_give_back(bed.storage, &others);
	/* nor for what is claimed, which what is not small leaves alone */
	ck_assert_int_le(used() + 100 * KIB, 768 * KIB);
	others = bed_take(body);
	ck_assert_int_ge(others->message.fd, 0);
	storage_give_back(bed.storage, &others);
	storage_give_back(bed.storage, &mail);
	pthread_join(waits, &taken);
	mail = taken;
	ck_assert_str_eq(mail->to_addresses, to);
	others = bed_take(body);
	ck_assert_ptr_nonnull(others->message.memory);
	storage_give_back(bed.storage, &others);
	storage_give_back(bed.storage, &mail);
	/* what its header names, as was found when it was read, waits likewise */
	room_charge(&room, 400 * KIB);
	mail = bed_take(small);
	storage_give_back(bed.storage, &mail);
	small->named_octets = 500 * KIB;
	ck_assert_int_eq(bed_try(small, deadline_after_ms(60000), &none), ERROR_BUSY);
	room_give(&room, 400 * KIB);
	mail = bed_take(small);
	ck_assert_int_gt(used(), 500 * KIB);
	storage_give_back(bed.storage, &mail);
	small->named_octets = 0;
	/* where more is in use than there is, what has company does not even begin */
	room_charge(&room, 1025 * KIB);
	ck_assert_int_eq(bed_try(small, deadline_after_ms(5000), &none), ERROR_BUSY);
	small->in_company = false;
	room_give(&room, 1025 * KIB);
	/* larger than all the room: beside little else */
	room_set_max(&room, 300 * KIB);
	mail = bed_take(first);
	storage_give_back(bed.storage, &mail);
	message_destroy(&first);
	message_destroy(&second);
	message_destroy(&small);
	message_destroy(&body);
	free(to);
	close_and_see_all_given_back();
}
END_TEST

/* Nobody can have others find no room by a column that is no list of addresses. */
START_TEST(no_more_addresses_count_than_a_message_may_have)
{
	enum { OCTETS = 900000 };
	char *to = malloc(OCTETS + 1);
	struct message *message;
	struct mail *mail;

	memset(to, '@', OCTETS);
	to[OCTETS] = '\0';
	open_with(1024 * KIB, NULL);
	message = insert_to_many("t0", to);
	mail = bed_take(message);
	ck_assert_int_le(used(), (int64_t)4 * (OCTETS + 100) + 30000 * 320);
	storage_give_back(bed.storage, &mail);
	message_destroy(&message);
	free(to);
	close_and_see_all_given_back();
}
END_TEST

START_TEST(small_attachments_that_are_many_count_as_large)
{
	struct message *messages[5];
	struct bed_nested nested = { .messages = messages, .most = 5 };
	char name[16];

	open_with(1024 * KIB, NULL);
	room_charge(&room, 900 * KIB);
	for (int i = 0; i < 4; i++) {
		(void)snprintf(name, sizeof name, "t%d", i);
		messages[i] = insert_of(name, &(struct contract_message){ .message_bytes = 300000 });
	}
	for (int i = 0; i < 2; i++) {
		int64_t id = bed_insert(&(struct contract_message){
			.text = "x", .attachments = i ? 4 : 3, .priority = i ? 0 : 1 });

		for (int k = 0; k < (i ? 4 : 3); k++)
			APP->attach(bed.outbox, id,
			            &(struct contract_attachment){
					    .position = k, .first = (size_t)k, .bytes = 250000 });
	}
	{
		struct message **due = bed_look(clock_wall_s(), 2, NULL, NULL);
		struct mail *mail = bed_take(due[1]);

		for (size_t k = 0; k < 4; k++)
			bed_assert_pattern(&mail->attachments[k].content, k, 250000);
		storage_give_back(bed.storage, &mail);
		messages[4] = due[1];      /* 1,000,000 octets: a large copy */
		nested.meanwhile = due[0]; /* 750,000: no more than memory might have held */
		bed_take_nested(&nested);
		ck_assert_int_eq(nested.innermost, ERROR_UNAVAILABLE);
		ck_assert_int_eq(nested.meanwhile_error, OK);
		bed_release(due);
	}
	for (int i = 0; i < 4; i++)
		message_destroy(&messages[i]);
	room_give(&room, 900 * KIB);
	close_and_see_all_given_back();
}
END_TEST

void contract_room(TCase *tests)
{
	tcase_add_test(tests, what_finds_no_room_goes_to_the_file);
	tcase_add_test(tests, a_block_costs_what_of_it_is_used);
	tcase_add_test(tests, it_is_given_back_on_every_path);
	tcase_add_test(tests, two_outboxes_share_it);
	tcase_add_test(tests, what_finds_no_room_waits_for_no_large_copy);
	tcase_add_test(tests, who_waits_for_a_place_takes_memory_that_is_given_back);
	tcase_add_test(tests, a_worker_has_one_file_and_further_ones_are_counted);
	tcase_add_test(tests, many_addresses_wait_for_room_and_few_do_not);
	tcase_add_test(tests, no_more_addresses_count_than_a_message_may_have);
	tcase_add_test(tests, small_attachments_that_are_many_count_as_large);
}
