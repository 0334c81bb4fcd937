/*
 * schema_attachment.c - rows of outbox_attachment, and how the last one queues its message.
 */
#include <stdio.h>

#include "tests/unit/schema_bed.h"

#define INSERT   "INSERT@@ INTO outbox_attachment "
#define NO_DRAFT "outbox_id: a message that is no longer a draft takes no attachments"
#define FROZEN   "outbox_id: the attachments of a message that is no longer a draft cannot be changed"

/* 7 is a draft with one attachment, 8 waits for the second of two; both have position 1. */
static const struct refusal refusals[] = {
	{ INSERT "(content) VALUES (x'00')", "outbox_id is missing" },
	{ INSERT "(outbox_id, content) VALUES ('', x'00')", "outbox_id is missing" },
	{ INSERT "(outbox_id, content) VALUES (99, x'00')", "outbox_id: no message has this id" },
	{ INSERT "(outbox_id, content) VALUES ('seven', x'00')", "outbox_id: no message has this id" },
	{ INSERT "(outbox_id, content) VALUES (1, x'00')",
	  "outbox_id: this message announced no attachments: say their number in its column attachments" },
	{ INSERT "(outbox_id, content) VALUES (3, x'00')",
	  "outbox_id: this message announced no attachments: say their number in its column attachments" },
	{ INSERT "(outbox_id, position, content) VALUES (8, 2, x'00'), (8, 3, x'00')",
	  "outbox_id: this message has all the attachments that it announced" },
	{ INSERT "(outbox_id, position, content) VALUES (7, 1, x'00')",
	  "position: this message has an attachment at this position already" },
	{ INSERT "(outbox_id, position, content) VALUES (7, '1', x'00')",
	  "position: this message has an attachment at this position already" },
	{ INSERT "(outbox_id, position, content) VALUES (7, -1, x'00')",
	  "position must be a whole number from 0 to 1000000" },
	{ INSERT "(outbox_id, position, content) VALUES (7, 'first', x'00')",
	  "position must be a whole number from 0 to 1000000" },
	{ INSERT "(outbox_id) VALUES (7)", "content is missing: an empty file is x''" },
	{ INSERT "(outbox_id, content) VALUES (7, '')", "content is missing: an empty file is x''" },
	{ INSERT "(outbox_id, content) VALUES (7, 5)", "content must be a BLOB or text" },
	{ INSERT "(outbox_id, content, content_type) VALUES (7, x'00', 'pdf')",
	  "content_type must be type/subtype, as in application/pdf" },
	{ INSERT "(outbox_id, content, content_type) VALUES (7, x'00', '/pdf')",
	  "content_type must be type/subtype, as in application/pdf" },
	{ INSERT "(outbox_id, content, content_id) VALUES (7, x'00', '<logo@acme>')",
	  "content_id must be without spaces, < and >" },
	{ INSERT "(rowid, outbox_id, content) VALUES (1, 7, x'00')",
	  "rowid is given by the database: leave it out" },
	{ INSERT "(rowid, outbox_id, content) VALUES (-1, 7, x'00')",
	  "rowid is given by the database: leave it out" },
	{ "UPDATE@@ outbox_attachment SET outbox_id = 8 WHERE outbox_id = 7", "outbox_id cannot be changed" },
	{ "UPDATE@@ outbox_attachment SET rowid = 1 WHERE outbox_id = 7",
	  "rowid is given by the database and cannot be changed" },
	{ "UPDATE@@ outbox_attachment SET content = NULL WHERE outbox_id = 7",
	  "content is missing: an empty file is x''" },
};

static void refuse_lines(struct bed *bed)
{
	static const char *const columns[] = { "filename", "content_type", "content_id" };
	static const char *const bad[] = { "x'61'", "'a/a' || char(0)", "'a/a' || char(10)",
		                           "char(13) || 'a/a'" };

	for (size_t i = 0; i < COUNT(columns); i++) {
		char sentence[128];

		(void)snprintf(sentence, sizeof sentence,
		               "%s must be one line of text, without CR, LF or NUL", columns[i]);
		for (size_t b = 0; b < COUNT(bad); b++) {
			bed_refused(bed, sentence, INSERT "(outbox_id, content, %s) VALUES (7, x'00', %s)",
			            columns[i], bad[b]);
			bed_refused(bed, sentence,
			            "UPDATE@@ outbox_attachment SET %s = %s WHERE outbox_id = 7", columns[i],
			            bad[b]);
		}
		(void)snprintf(sentence, sizeof sentence, "%s is longer than 255 characters", columns[i]);
		bed_refused(bed, sentence,
		            INSERT
		            "(outbox_id, content, %s) VALUES (7, x'00', 'a/' || printf('%%.*c', 254, 'x'))",
		            columns[i]);
	}
}

/* Once it is no draft, whatever its state. */
static void refuse_frozen(struct bed *bed)
{
	static const char *const states[] = { "queued", "cancelled" };

	bed_run(bed, "SAVEPOINT frozen; " INSERT "(outbox_id, position, content) VALUES (7, 2, x'02')");
	for (size_t i = 0; i < COUNT(states); i++) {
		bed_run(bed, "UPDATE outbox_status SET state = '%s' WHERE outbox_id IN (7, 8 * %d)",
		        states[i], (int)i);
		bed_refused(bed, NO_DRAFT, INSERT "(outbox_id, content) VALUES (7, x'00')");
		bed_refused(bed, FROZEN, "UPDATE@@ outbox_attachment SET filename = 'x' WHERE outbox_id = 7");
		bed_refused(bed,
		            "outbox_id: the attachments of a message that is no longer a draft go with it",
		            "DELETE FROM outbox_attachment WHERE outbox_id = 7");
	}
	/* cancelled before all were there: nothing more comes */
	bed_refused(bed, NO_DRAFT, INSERT "(outbox_id, content) VALUES (8, x'00')");
	bed_run(bed, "ROLLBACK TO frozen; RELEASE frozen");
	bed_run(bed, "SAVEPOINT moved; " INSERT "(outbox_id, position, content) VALUES (7, 2, x'02')");
	bed_refused(bed, "position: this message has an attachment at this position already",
	            "UPDATE@@ outbox_attachment SET position = 1 WHERE position = 2");
	bed_run(bed, "ROLLBACK TO moved; RELEASE moved");
}

void schema_refuse_attachments(struct bed *bed)
{
	bed_refuse_all(bed, refusals, COUNT(refusals));
	refuse_lines(bed);
	refuse_frozen(bed);
}

START_TEST(a_bad_attachment_is_refused_with_its_sentence)
{
	struct bed bed;

	bed_open(&bed, _i);
	schema_refuse_attachments(&bed);
	bed_close(&bed);
}
END_TEST

START_TEST(the_last_announced_one_queues_its_message)
{
	struct bed bed;

	bed_open(&bed, _i);
	/* in several transactions: 8 has one of two */
	bed_pass(&bed, 100);
	bed_run(&bed,
	        INSERT "(outbox_id, filename, content_type, content) VALUES (8, 'a.txt', '', 'as text')");
	ck_assert_str_eq(
		bed_ask(&bed,
	                "SELECT state, due_at, queued_at_ms, first_queued_at_ms, created_at_ms, from_address,"
	                " requeues FROM outbox_status WHERE outbox_id = 8"),
		"queued|1800000100|1800000100000|1800000100000|1800000000000|pbx@acme.example|0");
	ck_assert_str_eq(
		bed_ask(&bed,
	                "SELECT position, filename, content_type, typeof(content) FROM outbox_attachment"
	                " WHERE outbox_id = 8"),
		"1|NULL|NULL|blob\n2|a.txt|NULL|text");
	/* outboxd saw it as a draft: it must be told */
	ck_assert_str_eq(bed_feed(&bed), "message 8");
	bed_refused(&bed, "outbox_id: this message has all the attachments that it announced",
	            INSERT "(outbox_id, content) VALUES (8, x'00')");
	/* in one, and in one statement */
	bed_run(&bed,
	        "BEGIN; INSERT@@ INTO outbox (tenant, to_addresses, attachments) VALUES ('acme', 'b@c.example', 3)");
	ck_assert_str_eq(bed_ask(&bed, "SELECT last_insert_rowid(), state FROM outbox_all WHERE id = 9"),
	                 "9|draft");
	bed_run(&bed, INSERT "(outbox_id, content) VALUES (9, x'01'), (9, x'02'), (9, x'')");
	bed_run(&bed, "COMMIT");
	ck_assert_str_eq(bed_ask(&bed, "SELECT state FROM outbox_all WHERE id = 9"), "queued");
	ck_assert_str_eq(
		bed_ask(&bed, "SELECT position, length(content) FROM outbox_attachment WHERE outbox_id = 9"),
		"1|1\n2|1\n3|0");
	bed_close(&bed);
}
END_TEST

START_TEST(a_draft_takes_any_number_and_is_never_queued_by_itself)
{
	struct bed bed;

	bed_open(&bed, _i);
	bed_run(&bed,
	        "INSERT@@ INTO outbox (tenant, to_addresses, attachments, draft) VALUES ('acme', 'b@c.example', '2', '1')");
	bed_run(&bed, INSERT "(outbox_id, position, content) VALUES (9, 10, x'00')");
	bed_refused(&bed, "state cannot become queued: some of the announced attachments are not there",
	            "UPDATE@@ outbox_status SET state = 'queued' WHERE outbox_id = 9");
	bed_run(&bed, INSERT "(outbox_id, content) VALUES (9, x'00'), (9, x'00'), (9, x'00')");
	ck_assert_str_eq(bed_ask(&bed, "SELECT state FROM outbox_status WHERE outbox_id = 9"), "draft");
	bed_run(&bed,
	        "DELETE FROM outbox_attachment WHERE outbox_id = 9 AND position = 11;"
	        "UPDATE@@ outbox_attachment SET position = 1, filename = '' WHERE outbox_id = 9 AND position = 10");
	ck_assert_str_eq(
		bed_ask(&bed, "SELECT group_concat(position) FROM outbox_attachment WHERE outbox_id = 9"),
		"1,12,13");
	bed_run(&bed, "UPDATE@@ outbox_status SET state = 'queued' WHERE outbox_id = 9");
	ck_assert_str_eq(bed_feed(&bed), "message 9");
	bed_close(&bed);
}
END_TEST

START_TEST(fewer_announced_may_be_all_that_was_missing)
{
	struct bed bed;

	bed_open(&bed, _i);
	bed_run(&bed, "UPDATE@@ outbox SET subject = 'still two' WHERE id = 8");
	ck_assert_str_eq(bed_ask(&bed, "SELECT state FROM outbox_status WHERE outbox_id = 8"), "draft");
	bed_run(&bed, "UPDATE@@ outbox SET attachments = 1 WHERE id = 8");
	ck_assert_str_eq(bed_ask(&bed, "SELECT state FROM outbox_status WHERE outbox_id = 8"), "queued");
	ck_assert_str_eq(bed_feed(&bed), "message 8");
	/* of a draft the number says only what must be there */
	bed_run(&bed,
	        "UPDATE@@ outbox SET attachments = 1 WHERE id = 7; UPDATE@@ outbox SET attachments = 0 WHERE id = 7");
	ck_assert_str_eq(bed_ask(&bed, "SELECT state FROM outbox_status WHERE outbox_id = 7"), "draft");
	bed_close(&bed);
}
END_TEST

TCase *schema_attachment_cases(void)
{
	TCase *cases = tcase_create("attachments");

	tcase_add_loop_test(cases, a_bad_attachment_is_refused_with_its_sentence, 0, BED_WAYS);
	tcase_add_loop_test(cases, the_last_announced_one_queues_its_message, 0, BED_WAYS);
	tcase_add_loop_test(cases, a_draft_takes_any_number_and_is_never_queued_by_itself, 0, BED_WAYS);
	tcase_add_loop_test(cases, fewer_announced_may_be_all_that_was_missing, 0, BED_WAYS);
	return cases;
}
