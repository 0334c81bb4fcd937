/*
 * test_take.c - the last read before MAIL: what it demands, copies and leaves behind.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "tests/contract/bed.h"
#include "tests/contract/suites.h"

#define IN_MEMORY_BYTES (256 * 1024)

/* A try that is refused: what the words say is the caller's to look at. */
START_TEST(a_take_copies_the_row)
{
	struct message *message;
	struct mail *mail;

	bed_insert(&(struct contract_message){
		.to = "Bob <bob@example.net>", .subject = "", .text = "h\303\251llo" });
	message = bed_due_one();
	mail = bed_take(message);
	ck_assert_int_eq(mail->id, message->id);
	ck_assert_str_eq(mail->to_addresses, "Bob <bob@example.net>");
	ck_assert_str_eq(mail->from_address, "pbx@acme.example");
	ck_assert_ptr_null(mail->subject);
	ck_assert_ptr_null(mail->cc_addresses);
	ck_assert_int_gt(mail->first_queued_at_ms, 0);
	ck_assert(mail->body_text.present);
	ck_assert_int_eq(mail->body_text.size, 6);
	ck_assert_mem_eq(mail->body_text.memory, "h\303\251llo", 6);
	ck_assert(!mail->body_html.present);
	ck_assert(!mail->message.present);
	ck_assert_uint_eq(mail->known_count, 0);
	storage_give_back(bed.storage, &mail);
	ck_assert_ptr_null(mail);
	message_destroy(&message);
}
END_TEST

START_TEST(a_take_knows_the_recipients_of_earlier_tries)
{
	struct message *message;
	struct mail *mail;

	bed_insert_plain();
	message = bed_due_one();
	bed_outcome(message, "a@example.net", VERDICT_SENT, 250, DELIVERY_SENT);
	bed_outcome(message, "b@example.net", VERDICT_RETRY, 450, DELIVERY_DEFERRED);
	bed_judge(message, MESSAGE_DEFERRED, "450 later");
	bed_settle(message);
	message_destroy(&message);
	message = bed_due_one();
	ck_assert_int_eq(message->state, MESSAGE_DEFERRED);
	mail = bed_take(message);
	ck_assert_uint_eq(mail->known_count, 2);
	ck_assert_str_eq(mail->known[0].address, "a@example.net");
	ck_assert_int_eq(mail->known[0].state, DELIVERY_SENT);
	ck_assert_str_eq(mail->known[1].address, "b@example.net");
	ck_assert_int_eq(mail->known[1].state, DELIVERY_DEFERRED);
	ck_assert_int_eq(mail->known[1].attempts, 1);
	storage_give_back(bed.storage, &mail);
	message_destroy(&message);
}
END_TEST

START_TEST(a_take_has_what_is_asked_of_notifications)
{
	struct message *message;
	struct mail *mail;

	bed_insert(&(struct contract_message){ .dsn_notify = "success, delay", .dsn_return = "headers" });
	message = bed_due_one();
	mail = bed_take(message);
	ck_assert_str_eq(mail->dsn_notify, "success, delay");
	ck_assert_str_eq(mail->dsn_return, "headers");
	storage_give_back(bed.storage, &mail);
	bed_outcome(message, "bob@example.net", VERDICT_SENT, 250, DELIVERY_SENT);
	bed_judge(message, MESSAGE_SENT, "250 ok");
	bed_settle(message);
	message_destroy(&message);
	bed_insert(&(struct contract_message){ .dsn_notify = "" });
	message = bed_due_one();
	mail = bed_take(message);
	ck_assert_ptr_null(mail->dsn_notify);
	ck_assert_ptr_null(mail->dsn_return);
	storage_give_back(bed.storage, &mail);
	message_destroy(&message);
}
END_TEST

/* What was uncertain once is known for ever, whatever was said since and however often it is queued anew. */
START_TEST(a_take_knows_who_was_uncertain_once)
{
	static const struct {
		enum verdict verdict;
		int code;
		enum delivery_state state;
		enum message_state whole;
	} tries[] = {
		{ VERDICT_RETRY, 450, DELIVERY_UNCERTAIN, MESSAGE_DEFERRED },
		{ VERDICT_REFUSED, 550, DELIVERY_FAILED, MESSAGE_FAILED },
		{ VERDICT_UNCERTAIN, 0, DELIVERY_UNCERTAIN, MESSAGE_UNCERTAIN },
		{ VERDICT_REFUSED, 0, DELIVERY_FAILED, MESSAGE_FAILED },
	};
	int64_t id = bed_insert_plain();
	struct message *message = bed_due_one();
	struct mail *mail;

	bed_outcome(message, "a@example.net", VERDICT_UNCERTAIN, 0, DELIVERY_UNCERTAIN);
	bed_outcome(message, "b@example.net", VERDICT_RETRY, 450, DELIVERY_DEFERRED);
	bed_judge(message, MESSAGE_DEFERRED, "lost");
	bed_settle(message);
	message_destroy(&message);
	for (size_t i = 0; i <= sizeof tries / sizeof tries[0]; i++) {
		message = bed_due_one();
		mail = bed_take(message);
		ck_assert_uint_eq(mail->known_count, 2);
		ck_assert(mail->known[0].once_uncertain);
		ck_assert(!mail->known[1].once_uncertain);
		storage_give_back(bed.storage, &mail);
		if (i < sizeof tries / sizeof tries[0]) {
			bed_outcome(message, "a@example.net", tries[i].verdict, tries[i].code,
			            tries[i].state);
			bed_judge(message, tries[i].whole, "said");
			bed_settle(message);
			APP->set_state(bed.outbox, id, "queued");
		}
		message_destroy(&message);
	}
}
END_TEST

START_TEST(small_bodies_are_in_memory_and_large_ones_in_a_file)
{
	static const size_t sizes[] = { 1, IN_MEMORY_BYTES, IN_MEMORY_BYTES + 1, 1500000 };

	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		int64_t id = bed_insert(&(struct contract_message){ .message_bytes = sizes[i] });
		struct message *message = bed_due_one();
		struct mail *mail = bed_take(message);

		bed_assert_pattern(&mail->message, 0, sizes[i]);
		ck_assert_int_eq(mail->message.fd < 0, sizes[i] <= IN_MEMORY_BYTES);
		ck_assert_int_eq(mail->message.memory != NULL, sizes[i] <= IN_MEMORY_BYTES);
		storage_give_back(bed.storage, &mail);
		message_destroy(&message);
		APP->set_state(bed.outbox, id, "cancelled");
	}
}
END_TEST

START_TEST(a_large_body_has_no_name_and_pins_nothing_while_it_is_held)
{
	struct message *message;
	struct mail *mail;
	struct stat st;

	bed_insert(&(struct contract_message){ .message_bytes = 1000000 });
	message = bed_due_one();
	mail = bed_take(message);
	ck_assert_int_eq(fstat(mail->message.fd, &st), 0);
	ck_assert_uint_eq(st.st_nlink, 0);
	ck_assert_uint_eq(st.st_mode & 0077, 0);
	bed_insert_plain();
	ck_assert(APP->unpinned(bed.outbox));
	APP->set_state(bed.outbox, message->id, "cancelled");
	APP->remove(bed.outbox, message->id);
	bed_assert_pattern(&mail->message, 0, 1000000);
	storage_give_back(bed.storage, &mail);
	message_destroy(&message);
}
END_TEST

START_TEST(mail_is_held_without_a_connection)
{
	struct message **messages;
	struct mail *mails[20];

	for (int i = 0; i < 20; i++)
		bed_insert_plain();
	messages = bed_look(clock_wall_s(), 20, NULL, NULL);
	for (int i = 0; i < 20; i++)
		mails[i] = bed_take(messages[i]);
	ck_assert(APP->unpinned(bed.outbox));
	for (int i = 0; i < 20; i++)
		storage_give_back(bed.storage, &mails[i]);
	bed_release(messages);
}
END_TEST

START_TEST(a_spool_that_is_missing_makes_large_mail_wait)
{
	char spool[] = "/tmp/outbox-spool-XXXXXX";
	struct message **messages;
	struct mail *mail;

	ck_assert_ptr_nonnull(mkdtemp(spool));
	ck_assert_int_eq(rmdir(spool), 0);
	bed_open_anew(&(struct storage_settings){ .spool_dir = spool });
	bed_insert(&(struct contract_message){ .message_bytes = 1000000, .priority = 9 });
	bed_insert_plain();
	messages = bed_look(clock_wall_s(), 2, NULL, NULL);
	ck_assert_int_eq(bed_try(messages[0], deadline_after_ms(5000), &mail), ERROR_UNAVAILABLE);
	ck_assert_ptr_null(mail);
	ck_assert_ptr_nonnull(strstr(bed.words.text, spool));
	ck_assert(APP->unpinned(bed.outbox));
	mail = bed_take(messages[1]);
	storage_give_back(bed.storage, &mail);
	ck_assert_int_eq(mkdir(spool, 0700), 0);
	mail = bed_take(messages[0]);
	bed_assert_pattern(&mail->message, 0, 1000000);
	ck_assert_int_eq(rmdir(spool), 0); /* nothing with a name is in it */
	storage_give_back(bed.storage, &mail);
	bed_release(messages);
}
END_TEST

START_TEST(a_spool_that_is_full_makes_large_mail_wait)
{
	struct rlimit limit;
	struct message *message;
	struct mail *mail;
	rlim_t before;

	bed_insert(&(struct contract_message){ .message_bytes = 1000000 });
	message = bed_due_one();
	(void)signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	before = limit.rlim_cur;
	limit.rlim_cur = 700000;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_int_eq(bed_try(message, deadline_after_ms(5000), &mail), ERROR_UNAVAILABLE);
	limit.rlim_cur = before;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_ptr_null(mail);
	ck_assert_ptr_nonnull(strstr(bed.words.text, "spool_dir"));
	ck_assert(APP->unpinned(bed.outbox));
	mail = bed_take(message);
	bed_assert_pattern(&mail->message, 0, 1000000);
	storage_give_back(bed.storage, &mail);
	message_destroy(&message);
}
END_TEST

static void insert_large(int from, int count)
{
	char name[8];

	for (int i = from; i < from + count; i++) {
		(void)snprintf(name, sizeof name, "t%d", i);
		APP->add_tenant(bed.outbox, name);
		bed_insert(&(struct contract_message){ .tenant = name, .message_bytes = 300000 });
	}
}

START_TEST(one_large_copy_a_tenant_and_half_of_the_readers_in_all)
{
	struct message *messages[6] = { NULL };
	struct bed_nested nested = { .messages = messages, .most = 5 };
	char name[8];

	insert_large(0, 5);
	for (int i = 0; i < 5; i++) {
		(void)snprintf(name, sizeof name, "t%d", i);
		messages[i] = bed_due_of(name);
	}
	bed_insert_plain();
	nested.meanwhile = bed_due_one();
	bed_take_nested(&nested);
	ck_assert_int_eq(nested.innermost, ERROR_UNAVAILABLE); /* the fifth large one */
	ck_assert_int_eq(nested.meanwhile_error, OK);          /* a small one has room */
	message_destroy(&nested.meanwhile);
	/* a second large one of the same tenant, and of another */
	bed_insert(&(struct contract_message){ .tenant = "t0", .message_bytes = 300000 });
	nested = (struct bed_nested){ .messages = (struct message *[]){ messages[0], messages[0] },
		                      .most = 2,
		                      .meanwhile = messages[1] };
	bed_take_nested(&nested);
	ck_assert_int_eq(nested.innermost, ERROR_UNAVAILABLE);
	ck_assert_int_eq(nested.meanwhile_error, OK);
	for (int i = 0; i < 5; i++)
		message_destroy(&messages[i]);
}
END_TEST

START_TEST(a_reader_is_waited_for_until_the_deadline)
{
	struct bed_nested nested = { .most = 9 };

	for (int i = 0; i < 9; i++)
		bed_insert_plain();
	nested.messages = bed_look(clock_wall_s(), 9, NULL, NULL);
	bed_take_nested(&nested);
	ck_assert_int_eq(nested.innermost, ERROR_UNAVAILABLE);
	bed_release(nested.messages);
}
END_TEST

START_TEST(a_take_demands_an_enabled_tenant_and_a_message_that_has_not_expired)
{
	struct message *message;
	struct mail *mail;

	bed_insert(&(struct contract_message){ .text = "x", .expires_at = clock_wall_s() + 500 });
	message = bed_due_one();
	APP->set_tenant(bed.outbox, "acme", "enabled", "0");
	ck_assert_int_eq(bed_try(message, deadline_after_ms(5000), &mail), ERROR_NOT_FOUND);
	ck_assert_ptr_null(mail);
	APP->set_tenant(bed.outbox, "acme", "enabled", "1");
	mail = bed_take(message);
	storage_give_back(bed.storage, &mail);
	clock_move_ms(501000);
	ck_assert_int_eq(bed_try(message, deadline_after_ms(5000), &mail), ERROR_NOT_FOUND);
	message->offline = true; /* it is read only to say whom it did not reach */
	mail = bed_take(message);
	storage_give_back(bed.storage, &mail);
	message_destroy(&message);
}
END_TEST

static void take_settings(void *context, struct tenant_settings *settings)
{
	*(struct tenant_settings **)context = settings;
}

static enum error take_by(struct tenant_settings *settings, struct message *message)
{
	static struct tenant_basis basis;
	struct mail *mail;
	enum error error;

	if (basis.settings != settings)
		basis = (struct tenant_basis){ .settings = settings };
	basis.outdated = false;
	message->basis = &basis;
	error = bed_try(message, deadline_after_ms(5000), &mail);
	ck_assert_int_eq(error == OK, !basis.outdated);
	ck_assert_int_eq(error == OK, mail != NULL);
	if (mail)
		storage_give_back(bed.storage, &mail);
	return error;
}

/* Also when the change is no longer in the feed, and when nobody has read it there. */
START_TEST(a_take_goes_by_the_settings_that_are_in_force)
{
	struct storage_batch nothing = { .messages = NULL };
	struct storage_changes changes;
	struct tenant_settings *before, *after;
	struct message *message;

	bed_insert_plain();
	message = bed_due_one();
	ck_ok(storage_tenants(bed.storage, "acme", take_settings, &before, &bed.words));
	ck_assert_int_eq(take_by(before, message), OK);
	ck_assert_int_eq(take_by(before, message), OK);
	APP->add_tenant(bed.outbox, "beta");
	ck_assert_int_eq(take_by(before, message), OK);
	APP->set_tenant(bed.outbox, "acme", "password", "another");
	ck_assert_int_eq(take_by(before, message), ERROR_NOT_FOUND);
	ck_ok(storage_changes(bed.storage, &changes, &bed.words));
	storage_changes_fini(&changes);
	ck_ok(storage_settle(bed.storage, &nothing, deadline_after_ms(5000), &bed.words));
	ck_assert_int_eq(take_by(before, message), ERROR_NOT_FOUND);
	message->offline = true;
	ck_assert_int_eq(take_by(before, message), OK);
	message->offline = false;
	ck_ok(storage_tenants(bed.storage, "acme", take_settings, &after, &bed.words));
	ck_assert_int_eq(take_by(after, message), OK);
	APP->set_tenant(bed.outbox, "acme", "max_connections", "7");
	ck_assert_int_eq(take_by(after, message), ERROR_NOT_FOUND);
	APP->set_tenant(bed.outbox, "acme", "max_connections", "2");
	ck_assert_int_eq(take_by(after, message), OK);
	tenant_settings_release(&before);
	tenant_settings_release(&after);
	message_destroy(&message);
}
END_TEST

/* It is worth as much as one that is made now, until somebody commits anything. */
START_TEST(a_take_is_still_what_it_was_while_nobody_commits)
{
	struct message *message;
	struct mail *mail;

	bed_insert_plain();
	(void)storage_changed(bed.storage); /* from then on it can be told */
	message = bed_due_one();
	mail = bed_take(message);
	for (int i = 0; i < 5 && !storage_still_is(bed.storage, mail); i++) { /* the second may have ended */
		storage_give_back(bed.storage, &mail);
		mail = bed_take(message);
	}
	ck_assert(storage_still_is(bed.storage, mail));
	clock_jump_wall_ms(1000); /* it might have expired meanwhile */
	ck_assert(!storage_still_is(bed.storage, mail));
	clock_jump_wall_ms(-1000);
	APP->set_tenant(bed.outbox, "acme", "max_connections", "7");
	ck_assert(!storage_still_is(bed.storage, mail));
	storage_give_back(bed.storage, &mail);
	message_destroy(&message);
}
END_TEST

/* What waits for a server's greeting with its body would keep others from memory. */
START_TEST(a_take_at_once_waits_for_nothing_and_holds_little)
{
	const struct contract_message large = { .to = "a@example.net", .message_bytes = 16384 };
	struct message *message;
	struct mail *mail;

	bed_insert_plain();
	message = bed_due_one();
	/* there is no connection yet, and it opens none */
	ck_assert_int_eq(bed_try(message, STORAGE_AT_ONCE, &mail), ERROR_UNAVAILABLE);
	ck_assert_ptr_null(mail);
	mail = bed_take(message);
	storage_give_back(bed.storage, &mail);
	ck_ok(bed_try(message, STORAGE_AT_ONCE, &mail));
	storage_give_back(bed.storage, &mail);
	bed_judge(message, MESSAGE_SENT, "250 ok");
	bed_settle(message);
	message_destroy(&message);
	bed_insert(&large);
	message = bed_due_one();
	ck_assert_int_eq(bed_try(message, STORAGE_AT_ONCE, &mail), ERROR_UNAVAILABLE);
	ck_assert_ptr_null(mail);
	message_destroy(&message);
}
END_TEST

void contract_take(TCase *tests)
{
	tcase_add_test(tests, a_take_copies_the_row);
	tcase_add_test(tests, a_take_knows_the_recipients_of_earlier_tries);
	tcase_add_test(tests, a_take_has_what_is_asked_of_notifications);
	tcase_add_test(tests, a_take_knows_who_was_uncertain_once);
	tcase_add_test(tests, small_bodies_are_in_memory_and_large_ones_in_a_file);
	tcase_add_test(tests, a_large_body_has_no_name_and_pins_nothing_while_it_is_held);
	tcase_add_test(tests, mail_is_held_without_a_connection);
	tcase_add_test(tests, a_spool_that_is_missing_makes_large_mail_wait);
	tcase_add_test(tests, a_spool_that_is_full_makes_large_mail_wait);
	tcase_add_test(tests, one_large_copy_a_tenant_and_half_of_the_readers_in_all);
	tcase_add_test(tests, a_reader_is_waited_for_until_the_deadline);
	tcase_add_test(tests, a_take_demands_an_enabled_tenant_and_a_message_that_has_not_expired);
	tcase_add_test(tests, a_take_goes_by_the_settings_that_are_in_force);
	tcase_add_test(tests, a_take_is_still_what_it_was_while_nobody_commits);
	tcase_add_test(tests, a_take_at_once_waits_for_nothing_and_holds_little);
}
