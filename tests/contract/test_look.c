/*
 * test_look.c - the supervisor's verbs: what changed, who has mail, what is due.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "tests/contract/bed.h"
#include "tests/contract/suites.h"

/* A scan's answers as "tenant:offset from now" in order. */
struct scanned {
	int64_t now;
	char text[400];
};

static void note_tenant(void *context, const char *tenant, int64_t earliest)
{
	struct scanned *scanned = context;
	size_t used = strlen(scanned->text);

	(void)snprintf(scanned->text + used, sizeof scanned->text - used, "%s:%lld ", tenant,
	               (long long)(earliest - scanned->now));
}

START_TEST(scan_gives_each_tenant_its_earliest_due_time)
{
	struct scanned scanned = { .now = clock_wall_s() + 1000 };

	ck_ok(storage_scan(bed.storage, note_tenant, &scanned, &bed.words));
	ck_assert_str_eq(scanned.text, "");
	APP->add_tenant(bed.outbox, "zeta");
	APP->add_tenant(bed.outbox, "empty");
	bed_insert(&(struct contract_message){ .not_before = scanned.now + 50, .priority = 9 });
	bed_insert(&(struct contract_message){ .not_before = scanned.now + 20, .priority = -3 });
	bed_insert(&(struct contract_message){ .tenant = "zeta", .not_before = scanned.now + 7 });
	bed_insert(&(struct contract_message){ .tenant = "empty", .attachments = 1 });
	ck_ok(storage_scan(bed.storage, note_tenant, &scanned, &bed.words));
	ck_assert_str_eq(scanned.text, "acme:20 zeta:7 ");
}
END_TEST

static void assert_order(struct message **messages, const int64_t *ids, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		ck_assert_ptr_nonnull(messages[i]);
		ck_assert_int_eq(messages[i]->id, ids[i]);
	}
	ck_assert_ptr_null(messages[count]);
	bed_release(messages);
}

START_TEST(due_is_by_priority_then_time)
{
	int64_t plain = bed_insert_plain();
	int64_t five = bed_insert(&(struct contract_message){ .priority = 5 });
	int64_t nine = bed_insert(&(struct contract_message){ .priority = 9 });
	int64_t last = bed_insert(&(struct contract_message){ .priority = -9 });
	int64_t again = bed_insert(&(struct contract_message){ .priority = 5 });
	int64_t now = clock_wall_s();

	assert_order(bed_look(now, 10, NULL, NULL), (int64_t[]){ nine, five, again, plain, last }, 5);
	assert_order(bed_look(now, 3, NULL, NULL), (int64_t[]){ nine, five, again }, 3);
	assert_order(bed_look(now - 1000, 3, NULL, NULL), NULL, 0);
}
END_TEST

START_TEST(ten_minutes_after_its_time_a_message_competes_as_a_nine)
{
	int64_t now = clock_wall_s();
	int64_t aged = bed_insert(&(struct contract_message){ .priority = -9, .not_before = now + 1000 });
	int64_t five = bed_insert(&(struct contract_message){ .priority = 5, .not_before = now + 1500 });
	int64_t nine = bed_insert(&(struct contract_message){ .priority = 9, .not_before = now + 1550 });
	int64_t young = bed_insert(&(struct contract_message){ .priority = 0, .not_before = now + 1001 });

	assert_order(bed_look(now + 1600, 10, NULL, NULL), (int64_t[]){ aged, nine, five, young }, 4);
	assert_order(bed_look(now + 1599, 10, NULL, NULL), (int64_t[]){ nine, five, young, aged }, 4);
	assert_order(bed_look(now + 1601, 2, NULL, NULL), (int64_t[]){ aged, young }, 2);
}
END_TEST

START_TEST(due_tells_when_the_next_one_is)
{
	int64_t now = clock_wall_s();
	int64_t next;

	assert_order(bed_look(now, 5, NULL, &next), NULL, 0);
	ck_assert_int_eq(next, INT64_MAX);
	bed_insert(&(struct contract_message){ .not_before = now + 900, .priority = 9 });
	bed_insert(&(struct contract_message){ .not_before = now + 300, .priority = -9 });
	assert_order(bed_look(now, 5, NULL, &next), NULL, 0);
	ck_assert_int_eq(next, now + 300);
	bed_release(bed_look(now + 300, 5, NULL, &next));
	ck_assert_int_eq(next, now + 900);
}
END_TEST

START_TEST(due_messages_carry_what_names_the_try)
{
	int64_t now = clock_wall_s();
	int64_t id = bed_insert(&(struct contract_message){
		.priority = 3, .not_before = now + 100, .expires_at = now + 5000 });
	struct message **messages = bed_look(now + 100, 5, NULL, NULL);
	struct message *message = messages[0];

	ck_assert_int_eq(message->id, id);
	ck_assert_str_eq(message->tenant_name, "acme");
	ck_assert_int_eq(message->priority, 3);
	ck_assert_int_eq(message->attempts, 0);
	ck_assert_int_eq(message->requeue, 0);
	ck_assert_int_eq(message->due_at, now + 100);
	ck_assert_int_eq(message->age_from_s, now + 100);
	ck_assert_int_eq(message->expires_at, now + 5000);
	ck_assert_int_ge(message->queued_at_ms, (now - 5) * 1000);
	ck_assert_int_eq(message->state, MESSAGE_QUEUED);
	bed_release(messages);
	APP->set_state(bed.outbox, id, "cancelled");
	APP->set_state(bed.outbox, id, "queued");
	messages = bed_look(now + 100, 5, NULL, NULL);
	ck_assert_int_eq(messages[0]->requeue, 1);
	bed_release(messages);
}
END_TEST

START_TEST(age_stands_still_while_the_tenant_is_suspended)
{
	int64_t now = clock_wall_s();
	struct message **messages;

	bed_insert_plain();
	APP->set_tenant(bed.outbox, "acme", "enabled", "0");
	messages = bed_look(now + 1000, 5, NULL, NULL);
	ck_assert_int_ge(messages[0]->age_from_s, now + 998);
	ck_assert_int_le(messages[0]->age_from_s, now + 1000);
	bed_release(messages);
	APP->set_tenant(bed.outbox, "acme", "enabled", "1");
	messages = bed_look(now + 1000, 5, NULL, NULL);
	ck_assert_int_lt(messages[0]->age_from_s, now + 100);
	bed_release(messages);
}
END_TEST

static struct storage_changes changes(void)
{
	struct storage_changes found;

	ck_ok(storage_changes(bed.storage, &found, &bed.words));
	return found;
}

static void assert_no_changes(void)
{
	struct storage_changes found = changes();

	ck_assert_uint_eq(found.tenants_due_count, 0);
	ck_assert_uint_eq(found.tenants_changed_count, 0);
	ck_assert_uint_eq(found.messages_count, 0);
	ck_assert(!found.all);
	storage_changes_fini(&found);
}

START_TEST(changes_list_new_mail_once)
{
	struct storage_changes found = changes();

	storage_changes_fini(&found); /* the set-up's own tenant */
	assert_no_changes();
	APP->add_tenant(bed.outbox, "zeta");
	bed_insert_plain();
	bed_insert_plain();
	bed_insert(&(struct contract_message){ .tenant = "zeta" });
	found = changes();
	ck_assert_uint_eq(found.tenants_due_count, 2);
	ck_assert_str_eq(found.tenants_due[0], "acme");
	ck_assert_str_eq(found.tenants_due[1], "zeta");
	ck_assert_uint_eq(found.tenants_changed_count, 1);
	ck_assert_str_eq(found.tenants_changed[0], "zeta");
	ck_assert_uint_eq(found.messages_count, 0);
	storage_changes_fini(&found);
	assert_no_changes();
}
END_TEST

START_TEST(changes_list_what_an_application_did)
{
	int64_t id = bed_insert_plain();
	struct storage_changes found = changes();

	storage_changes_fini(&found);
	APP->set_state(bed.outbox, id, "cancelled");
	found = changes();
	ck_assert_uint_eq(found.messages_count, 1);
	ck_assert_int_eq(found.messages[0], id);
	ck_assert_uint_eq(found.tenants_due_count, 1);
	ck_assert_str_eq(found.tenants_due[0], "acme");
	storage_changes_fini(&found);
	APP->set_tenant(bed.outbox, "acme", "host", "other.example");
	found = changes();
	ck_assert_uint_eq(found.tenants_changed_count, 1);
	ck_assert_str_eq(found.tenants_changed[0], "acme");
	ck_assert_uint_eq(found.messages_count, 0);
	storage_changes_fini(&found);
	assert_no_changes();
}
END_TEST

START_TEST(what_was_told_is_emptied_by_the_next_commit_and_nothing_else_is)
{
	struct storage_batch batch = { 0 };
	int64_t id = bed_insert_plain();
	struct storage_changes found = changes();

	storage_changes_fini(&found);
	APP->set_state(bed.outbox, id, "cancelled"); /* not told yet */
	ck_ok(storage_settle(bed.storage, &batch, deadline_after_ms(5000), &bed.words));
	ck_assert_int_eq(APP->changes_left(bed.outbox), 1);
	found = changes();
	ck_assert_uint_eq(found.messages_count, 1);
	storage_changes_fini(&found);
	assert_no_changes(); /* told, though it is there still */
	ck_ok(storage_settle(bed.storage, &batch, deadline_after_ms(5000), &bed.words));
	ck_assert_int_eq(APP->changes_left(bed.outbox), 0);
	assert_no_changes();
}
END_TEST

START_TEST(changes_do_not_wait_for_a_writer)
{
	struct storage_changes found;
	int64_t began = clock_monotonic_ms();

	bed_insert_plain();
	APP->lock(bed.outbox);
	found = changes();
	APP->unlock(bed.outbox);
	ck_assert_uint_eq(found.tenants_due_count, 1);
	storage_changes_fini(&found);
	ck_assert_int_lt(clock_monotonic_ms() - began, 4000); /* an application's lock is waited for 5 s */
}
END_TEST

START_TEST(a_commit_of_another_process_wakes_and_shows)
{
	struct pollfd wake = { .fd = storage_wake_fd(bed.storage), .events = POLLIN };
	int64_t deadline;
	bool changed = false;

	while (storage_changed(bed.storage))
		;
	ck_assert_int_eq(poll(&wake, 1, 0), 0);
	APP->insert_elsewhere(bed.outbox, "acme");
	ck_assert_int_eq(poll(&wake, 1, 1000), 1);
	deadline = deadline_after_ms(1000);
	while (!changed && deadline_left_ms(deadline) > 0) {
		changed = storage_changed(bed.storage);
		(void)poll(NULL, 0, changed ? 0 : 1);
	}
	ck_assert(changed);
	message_destroy(&(struct message *){ bed_due_one() });
	ck_assert(!storage_changed(bed.storage));
	ck_assert_int_eq(poll(&wake, 1, 0), 0);
}
END_TEST

START_TEST(that_nobody_has_committed_is_seen_without_asking)
{
	while (storage_changed(bed.storage))
		;
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(storage_stirred(bed.storage), STIRRED_NOT);
		APP->insert_elsewhere(bed.outbox, "acme"); /* its process has ended: the commit can be seen */
		ck_assert_int_eq(storage_stirred(bed.storage), STIRRED);
		ck_assert_int_eq(storage_stirred(bed.storage), STIRRED); /* until the table is asked */
		ck_assert(storage_changed(bed.storage));
		ck_assert_int_eq(storage_stirred(bed.storage), STIRRED_NOT);
		ck_assert(!storage_changed(bed.storage));
	}
}
END_TEST

static void note_settings(void *context, struct tenant_settings *settings)
{
	char *text = context;
	size_t used = strlen(text);

	(void)snprintf(text + used, 200 - used, "%s@%s:%d%s ", settings->name, settings->host, settings->port,
	               settings->enabled ? "" : "(off)");
	tenant_settings_release(&settings);
}

START_TEST(tenants_are_given_as_settings)
{
	char text[200] = "";

	APP->add_tenant(bed.outbox, "zeta");
	APP->set_tenant(bed.outbox, "zeta", "enabled", "0");
	APP->set_tenant(bed.outbox, "acme", "port", "2525");
	ck_ok(storage_tenants(bed.storage, NULL, note_settings, text, &bed.words));
	ck_assert_str_eq(text, "acme@mail.example:2525 zeta@mail.example:587(off) ");
	text[0] = '\0';
	ck_ok(storage_tenants(bed.storage, "zeta", note_settings, text, &bed.words));
	ck_assert_str_eq(text, "zeta@mail.example:587(off) ");
	ck_assert_int_eq(storage_tenants(bed.storage, "nobody", note_settings, text, &bed.words),
	                 ERROR_NOT_FOUND);
	ck_assert_ptr_nonnull(strstr(bed.words.text, "nobody"));
}
END_TEST

START_TEST(count_counts_what_waits)
{
	struct storage_counts counts;
	int64_t now = clock_wall_s();
	struct message *message;

	bed_insert_plain();
	message = bed_due_one();
	bed_judge(message, MESSAGE_DEFERRED, "450 later");
	message->due_at = now + 77;
	bed_settle(message);
	message_destroy(&message);
	bed_insert(&(struct contract_message){ .not_before = now + 50 });
	bed_insert(&(struct contract_message){ .not_before = now + 60 });
	ck_ok(storage_count(bed.storage, "acme", &counts, &bed.words));
	ck_assert_int_eq(counts.queued, 2);
	ck_assert_int_eq(counts.deferred, 1);
	ck_assert_int_eq(counts.oldest_due_at, now + 50);
	ck_ok(storage_count(bed.storage, "nobody", &counts, &bed.words));
	ck_assert_int_eq(counts.queued + counts.deferred + counts.oldest_due_at, 0);
}
END_TEST

START_TEST(an_operators_wish_to_try_again_is_told)
{
	struct storage_changes found = changes();

	storage_changes_fini(&found);
	APP->ask_retry(bed.outbox, "acme");
	found = changes();
	ck_assert_uint_eq(found.tenants_retry_count, 1);
	ck_assert_str_eq(found.tenants_retry[0], "acme");
	ck_assert_uint_eq(found.messages_count + found.tenants_due_count + found.tenants_changed_count, 0);
	storage_changes_fini(&found);
	assert_no_changes();
}
END_TEST

START_TEST(a_message_is_found_by_its_id_while_it_waits)
{
	int64_t now = clock_wall_s();
	int64_t id = bed_insert(&(struct contract_message){ .not_before = now + 500, .priority = 4 });
	struct message *message;

	ck_ok(storage_find(bed.storage, id, false, &message, &bed.words));
	ck_assert_int_eq(message->id, id);
	ck_assert_str_eq(message->tenant_name, "acme");
	ck_assert_int_eq(message->priority, 4);
	ck_assert_int_eq(message->due_at, now + 500);
	message_destroy(&message);
	APP->set_state(bed.outbox, id, "cancelled");
	ck_assert_int_eq(storage_find(bed.storage, id, false, &message, &bed.words), ERROR_NOT_FOUND);
	ck_assert_ptr_null(message);
	ck_ok(storage_find(bed.storage, id, true, &message, &bed.words));
	ck_assert_int_eq(message->state, MESSAGE_CANCELLED);
	message_destroy(&message);
}
END_TEST

/* Ids of acme's mail that is past max_age_s at now, in order, as text. */
static void assert_expired(int64_t now, int max_age_s, int limit, struct hand *hand, const char *expected)
{
	struct storage_due_query query = {
		.tenant = "acme", .now = now, .limit = limit, .in_hand = hand_holds, .context = hand
	};
	struct queue_link *first;
	char text[100] = "";

	ck_ok(storage_expired(bed.storage, &query, max_age_s, &first, &bed.words));
	while (first) {
		struct message *message = QUEUE_ITEM(first, struct message, link);
		size_t used = strlen(text);

		(void)snprintf(text + used, sizeof text - used, "%lld ", (long long)message->id);
		first = first->next;
		message_destroy(&message);
	}
	ck_assert_str_eq(text, expected);
}

START_TEST(what_expires_is_found_due_or_not)
{
	struct hand hand = { .count = 0 };
	int64_t now = clock_wall_s();

	bed_insert(&(struct contract_message){ .expires_at = now + 100 });                          /* 1 */
	bed_insert(&(struct contract_message){ .not_before = now + 1000 });                         /* 2 */
	bed_insert(&(struct contract_message){ .not_before = now + 50, .expires_at = now + 9000 }); /* 3 */
	APP->add_tenant(bed.outbox, "zeta");
	bed_insert(&(struct contract_message){ .tenant = "zeta", .expires_at = now + 100 });
	assert_expired(now + 99, 5000, 9, &hand, "");
	assert_expired(now + 100, 5000, 9, &hand, "1 ");
	assert_expired(now + 300, 200, 9, &hand, "1 3 ");
	assert_expired(now + 1300, 200, 9, &hand, "1 3 2 ");
	assert_expired(now + 1300, 200, 1, &hand, "1 ");
	hand.ids[hand.count++] = 1;
	assert_expired(now + 1300, 200, 1, &hand, "3 ");
	/* its age stands still while the tenant is suspended; expires_at does not */
	APP->set_tenant(bed.outbox, "acme", "enabled", "0");
	assert_expired(now + 8000, 200, 9, &hand, "");
	assert_expired(now + 9000, 200, 9, &hand, "3 ");
}
END_TEST

START_TEST(the_instance_names_the_outbox_for_good)
{
	char *before = memory_strdup(storage_instance(bed.storage));

	ck_assert_uint_eq(strlen(before), 32);
	storage_close(&bed.storage);
	ck_ok(APP->open(bed.outbox, NULL, &bed.storage, &bed.words));
	ck_assert_str_eq(storage_instance(bed.storage), before);
	free(before);
}
END_TEST

void contract_look(TCase *tests)
{
	tcase_add_test(tests, scan_gives_each_tenant_its_earliest_due_time);
	tcase_add_test(tests, due_is_by_priority_then_time);
	tcase_add_test(tests, ten_minutes_after_its_time_a_message_competes_as_a_nine);
	tcase_add_test(tests, due_tells_when_the_next_one_is);
	tcase_add_test(tests, due_messages_carry_what_names_the_try);
	tcase_add_test(tests, age_stands_still_while_the_tenant_is_suspended);
	tcase_add_test(tests, changes_list_new_mail_once);
	tcase_add_test(tests, changes_list_what_an_application_did);
	tcase_add_test(tests, what_was_told_is_emptied_by_the_next_commit_and_nothing_else_is);
	tcase_add_test(tests, changes_do_not_wait_for_a_writer);
	tcase_add_test(tests, a_commit_of_another_process_wakes_and_shows);
	tcase_add_test(tests, that_nobody_has_committed_is_seen_without_asking);
	tcase_add_test(tests, tenants_are_given_as_settings);
	tcase_add_test(tests, count_counts_what_waits);
	tcase_add_test(tests, an_operators_wish_to_try_again_is_told);
	tcase_add_test(tests, a_message_is_found_by_its_id_while_it_waits);
	tcase_add_test(tests, what_expires_is_found_due_or_not);
	tcase_add_test(tests, the_instance_names_the_outbox_for_good);
}
