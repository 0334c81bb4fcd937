/*
 * test_attachments.c - attachments are taken by position, with what they hold.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "tests/contract/bed.h"
#include "tests/contract/suites.h"

#define IN_MEMORY_BYTES (256 * 1024)
#define MOST            1000

static int64_t insert_announced(int count)
{
	return bed_insert(&(struct contract_message){
		.text = "see attached", .attachments = count, .reference = "case 7" });
}

static void attach(int64_t id, int position, size_t first, size_t bytes)
{
	APP->attach(bed.outbox, id,
	            &(struct contract_attachment){ .position = position, .first = first, .bytes = bytes });
}

static void assert_row(const struct attachment *attachment, const char *filename, const char *type,
                       const char *content_id)
{
	ck_assert_pstr_eq(attachment->filename, filename);
	ck_assert_pstr_eq(attachment->content_type, type);
	ck_assert_pstr_eq(attachment->content_id, content_id);
	ck_assert(attachment->content.present);
}

START_TEST(attachments_come_by_position_with_their_columns)
{
	int64_t id = insert_announced(4);
	struct message *message;
	struct mail *mail;

	APP->attach(
		bed.outbox, id,
		&(struct contract_attachment){ .position = 900, .filename = "", .text = "gr\303\274n\n" });
	APP->attach(bed.outbox, id,
	            &(struct contract_attachment){ .position = 0,
	                                           .filename = "fax \303\274.pdf",
	                                           .content_type = "application/pdf",
	                                           .first = 3,
	                                           .bytes = 1000 });
	APP->attach(bed.outbox, id,
	            &(struct contract_attachment){ .position = -1, .filename = "empty.bin", .bytes = 0 });
	APP->attach(bed.outbox, id,
	            &(struct contract_attachment){ .position = 17, .content_id = "logo@acme", .bytes = 1 });
	message = bed_due_one();
	mail = bed_take(message);
	ck_assert_uint_eq(mail->attachment_count, 4);
	assert_row(&mail->attachments[0], "fax \303\274.pdf", "application/pdf", NULL);
	bed_assert_pattern(&mail->attachments[0].content, 3, 1000);
	assert_row(&mail->attachments[1], NULL, NULL, "logo@acme");
	bed_assert_pattern(&mail->attachments[1].content, 0, 1);
	assert_row(&mail->attachments[2], NULL, NULL, NULL);
	ck_assert_int_eq(mail->attachments[2].content.size, 6);
	ck_assert_mem_eq(mail->attachments[2].content.memory, "gr\303\274n\n", 6);
	assert_row(&mail->attachments[3], "empty.bin", NULL, NULL);
	bed_assert_pattern(&mail->attachments[3].content, 0, 0);
	ck_assert_int_lt(mail->attachments[3].content.fd, 0);
	storage_give_back(bed.storage, &mail);
	message_destroy(&message);
}
END_TEST

START_TEST(a_drafts_attachments_come_however_many_were_announced)
{
	int64_t id = bed_insert(&(struct contract_message){ .text = "x", .draft = true });
	struct message *message;
	struct mail *mail;

	for (size_t i = 0; i < 3; i++)
		attach(id, -1, i, 10 + i);
	APP->set_state(bed.outbox, id, "queued");
	message = bed_due_one();
	mail = bed_take(message);
	ck_assert_uint_eq(mail->attachment_count, 3);
	for (size_t i = 0; i < 3; i++)
		bed_assert_pattern(&mail->attachments[i].content, i, 10 + i);
	storage_give_back(bed.storage, &mail);
	message_destroy(&message);
}
END_TEST

START_TEST(attachments_share_a_block_and_the_rest_is_in_one_file)
{
	enum { COUNT = 12, BYTES = 100000 };
	int64_t id = insert_announced(COUNT + 1), in_memory = 0, in_file = 0;
	struct message *message;
	struct mail *mail;
	struct stat st;
	int fd = -1;

	for (int i = 0; i < COUNT; i++)
		attach(id, i, (size_t)i, BYTES);
	attach(id, COUNT, 5, 2000000);
	message = bed_due_one();
	mail = bed_take(message);
	for (size_t i = 0; i < mail->attachment_count; i++) {
		const struct body *content = &mail->attachments[i].content;

		bed_assert_pattern(content, i < COUNT ? i : 5, i < COUNT ? BYTES : 2000000);
		ck_assert_int_eq(content->memory != NULL, content->fd < 0);
		in_memory += content->memory ? content->size : 0;
		in_file += content->memory ? 0 : content->size;
		ck_assert(fd < 0 || content->fd < 0 || content->fd == fd);
		fd = content->fd >= 0 ? content->fd : fd;
	}
	ck_assert_int_gt(in_memory, BYTES);
	ck_assert_int_le(in_memory, IN_MEMORY_BYTES);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(st.st_size, in_file);
	ck_assert_uint_eq(st.st_nlink, 0);
	ck_assert(APP->unpinned(bed.outbox));
	storage_give_back(bed.storage, &mail);
	message_destroy(&message);
}
END_TEST

/* Bodies have their places first: attachments go behind them, or to the file. */
START_TEST(attachments_take_no_memory_beyond_the_bodies)
{
	int64_t id = bed_insert(&(struct contract_message){ .text = "short", .attachments = 2 });
	struct message *message;
	struct mail *mail;

	attach(id, 1, 0, IN_MEMORY_BYTES - 5);
	attach(id, 2, 1, 1);
	message = bed_due_one();
	mail = bed_take(message);
	ck_assert_ptr_nonnull(mail->attachments[0].content.memory);
	ck_assert_ptr_null(mail->attachments[1].content.memory);
	ck_assert_mem_eq(mail->body_text.memory, "short", 5);
	bed_assert_pattern(&mail->attachments[0].content, 0, IN_MEMORY_BYTES - 5);
	bed_assert_pattern(&mail->attachments[1].content, 1, 1);
	storage_give_back(bed.storage, &mail);
	message_destroy(&message);
}
END_TEST

/* Taken, and refused for good with these words; the row's columns are there. */
static void refuse(struct message *message, const char *what)
{
	struct mail *mail;

	ck_assert_int_eq(storage_take(bed.storage, message, deadline_after_ms(5000), &mail, &bed.words),
	                 ERROR_INVALID);
	ck_assert_str_eq(bed.words.text, what);
	ck_assert_str_eq(mail->reference, "case 7");
	ck_assert(APP->unpinned(bed.outbox));
	storage_give_back(bed.storage, &mail);
	ck_assert_ptr_null(mail);
}

START_TEST(a_thousand_attachments_are_taken_and_one_more_is_refused)
{
	int64_t id = bed_insert(
		&(struct contract_message){ .text = "x", .draft = true, .reference = "case 7" });
	struct message *message;
	struct mail *mail;

	for (int i = 0; i < MOST; i++)
		attach(id, 2 * (MOST - i), (size_t)i, 1 + (size_t)i);
	APP->set_state(bed.outbox, id, "queued");
	message = bed_due_one();
	mail = bed_take(message);
	ck_assert_uint_eq(mail->attachment_count, MOST);
	for (size_t i = 0; i < MOST; i++)
		bed_assert_pattern(&mail->attachments[i].content, MOST - 1 - i, MOST - i);
	storage_give_back(bed.storage, &mail);
	message_destroy(&message);
	APP->set_state(bed.outbox, id, "cancelled");

	id = bed_insert(&(struct contract_message){ .text = "x", .draft = true, .reference = "case 7" });
	for (int i = 0; i < MOST + 1; i++)
		attach(id, i, 0, 1);
	APP->set_state(bed.outbox, id, "queued");
	message = bed_due_one();
	refuse(message, "attachments: there are more than 1000");
	message_destroy(&message);
}
END_TEST

START_TEST(a_content_that_is_none_is_refused_with_its_position)
{
	int64_t id = insert_announced(2);
	struct message *message;

	attach(id, 4, 0, 10);
	attach(id, 9, 0, 10);
	APP->spoil(bed.outbox, id, 9);
	message = bed_due_one();
	refuse(message, "attachment at position 9: content is null, not a BLOB or text");
	message_destroy(&message);
}
END_TEST

START_TEST(what_is_longer_than_a_message_may_be_is_refused)
{
	int64_t id = insert_announced(2);
	struct message *message;
	struct mail *mail;

	attach(id, 1, 0, 500000);
	attach(id, 2, 0, 500000);
	message = bed_due_one();
	bed_open_anew(&(struct storage_settings){ .largest_bytes = 1000012 });
	mail = bed_take(message);
	storage_give_back(bed.storage, &mail);
	bed_open_anew(&(struct storage_settings){ .largest_bytes = 1000011 });
	refuse(message, "its bodies and attachments are together longer than 1000011 octets");
	message_destroy(&message);
}
END_TEST

START_TEST(a_spool_that_is_full_makes_attachments_wait)
{
	int64_t id = insert_announced(3);
	struct rlimit limit;
	struct message *message;
	struct mail *mail;
	rlim_t before;

	for (int i = 0; i < 3; i++)
		attach(id, i, (size_t)i, 400000);
	message = bed_due_one();
	(void)signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	before = limit.rlim_cur;
	limit.rlim_cur = 1000000; /* the third does not fit */
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_int_eq(storage_take(bed.storage, message, deadline_after_ms(5000), &mail, &bed.words),
	                 ERROR_UNAVAILABLE);
	limit.rlim_cur = before;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_ptr_null(mail);
	ck_assert_ptr_nonnull(strstr(bed.words.text, "spool_dir"));
	ck_assert(APP->unpinned(bed.outbox));
	mail = bed_take(message);
	for (size_t i = 0; i < 3; i++)
		bed_assert_pattern(&mail->attachments[i].content, i, 400000);
	storage_give_back(bed.storage, &mail);
	message_destroy(&message);
}
END_TEST

/* Runs while the copy of another large message of the same tenant is under way. */
static void take_meanwhile(void *context)
{
	struct message *message = context;
	struct mail *mail;

	ck_assert_int_eq(storage_take(bed.storage, message, deadline_after_ms(200), &mail, &bed.words),
	                 ERROR_UNAVAILABLE);
	ck_assert_str_eq(bed.words.text, "other large messages are being copied");
}

START_TEST(attachments_that_go_to_a_file_need_the_tenants_one_place)
{
	struct message **messages;
	struct mail *mail;

	for (int i = 0; i < 2; i++) {
		int64_t id = insert_announced(3);

		for (int k = 0; k < 3; k++)
			attach(id, k, 0, 200000);
	}
	messages = bed_look(clock_wall_s(), 2, NULL, NULL);
	APP->interpose(bed.outbox, "outbox_delivery", take_meanwhile, messages[1]);
	mail = bed_take(messages[0]);
	storage_give_back(bed.storage, &mail);
	mail = bed_take(messages[1]);
	storage_give_back(bed.storage, &mail);
	bed_release(messages);
}
END_TEST

/* 1 ms a KiB beyond the deadline, which is for what is waited for. */
START_TEST(a_large_copy_has_time_by_its_size)
{
	int64_t id = insert_announced(1);
	struct message *message;
	struct mail *mail;

	attach(id, 1, 0, 30 * 1024 * 1024);
	message = bed_due_one();
	ck_ok(storage_take(bed.storage, message, deadline_after_ms(0), &mail, &bed.words));
	bed_assert_pattern(&mail->attachments[0].content, 0, 30 * 1024 * 1024);
	storage_give_back(bed.storage, &mail);
	message_destroy(&message);
}
END_TEST

START_TEST(what_has_no_session_is_read_without_attachments)
{
	int64_t id = insert_announced(1);
	struct message *message;
	struct mail *mail;

	attach(id, 0, 0, 1000000);
	message = bed_due_one();
	/* it can be finished though the spool is gone */
	bed_open_anew(&(struct storage_settings){ .spool_dir = "/nowhere/at/all" });
	message->offline = true;
	mail = bed_take(message);
	ck_assert_uint_eq(mail->attachment_count, 0);
	ck_assert_str_eq(mail->to_addresses, "bob@example.net");
	storage_give_back(bed.storage, &mail);
	message_destroy(&message);
}
END_TEST

void contract_attachments(TCase *tests)
{
	tcase_add_test(tests, attachments_come_by_position_with_their_columns);
	tcase_add_test(tests, a_drafts_attachments_come_however_many_were_announced);
	tcase_add_test(tests, attachments_share_a_block_and_the_rest_is_in_one_file);
	tcase_add_test(tests, attachments_take_no_memory_beyond_the_bodies);
	tcase_add_test(tests, a_thousand_attachments_are_taken_and_one_more_is_refused);
	tcase_add_test(tests, a_content_that_is_none_is_refused_with_its_position);
	tcase_add_test(tests, what_is_longer_than_a_message_may_be_is_refused);
	tcase_add_test(tests, a_spool_that_is_full_makes_attachments_wait);
	tcase_add_test(tests, attachments_that_go_to_a_file_need_the_tenants_one_place);
	tcase_add_test(tests, a_large_copy_has_time_by_its_size);
	tcase_add_test(tests, what_has_no_session_is_read_without_attachments);
}
