/*
 * schema_message.c - what a row of outbox may hold, by INSERT and by UPDATE of a draft.
 */
#include <stdio.h>
#include <string.h>

#include "tests/unit/schema_bed.h"

#define ONE_LINE " must be one line of text, without CR, LF or NUL"
#define NOTIFY_WORDS                                                                                         \
	"dsn_notify must be 'never' or a list of 'success', 'failure' and 'delay' with commas between them"
#define INSERT "INSERT@@ INTO outbox "

/* Rules that are the same for an INSERT and for an UPDATE of the draft 7. */
static const struct refusal columns[] = {
	{ "tenant = NULL", "tenant is missing" },
	{ "tenant = ''", "tenant is missing" },
	{ "tenant = 'nobody'", "tenant: no tenant has this name" },
	{ "tenant = 'ACME'", "tenant: no tenant has this name" },
	{ "tenant = x'61636d65'", "tenant: no tenant has this name" },
	{ "priority = 10", "priority must be a whole number from -9 to 9" },
	{ "priority = -10", "priority must be a whole number from -9 to 9" },
	{ "priority = 1.5", "priority must be a whole number from -9 to 9" },
	{ "priority = 'high'", "priority must be a whole number from -9 to 9" },
	{ "priority = x'35'", "priority must be a whole number from -9 to 9" },
	{ "draft = 2", "draft must be 0 or 1" },
	{ "draft = 'yes'", "draft must be 0 or 1" },
	{ "attachments = -1", "attachments must be a whole number from 0 to 1000" },
	{ "attachments = 1001", "attachments must be a whole number from 0 to 1000" },
	{ "attachments = 'two'", "attachments must be a whole number from 0 to 1000" },
	{ "not_before = 1800000000000",
	  "not_before must be in seconds since 1970: seconds, not milliseconds" },
	{ "not_before = '1800000000000'",
	  "not_before must be in seconds since 1970: seconds, not milliseconds" },
	{ "not_before = 1800000000000.5",
	  "not_before must be in seconds since 1970: seconds, not milliseconds" },
	{ "not_before = 100000000001",
	  "not_before must be in seconds since 1970: seconds, not milliseconds" },
	{ "not_before = -1", "not_before must be a whole number of seconds since 1970" },
	{ "not_before = 1.5", "not_before must be a whole number of seconds since 1970" },
	{ "not_before = 'tomorrow'", "not_before must be a whole number of seconds since 1970" },
	{ "expires_at = 1800000000000",
	  "expires_at must be in seconds since 1970: seconds, not milliseconds" },
	{ "expires_at = -1", "expires_at must be a whole number of seconds since 1970" },
	{ "expires_at = x'00'", "expires_at must be a whole number of seconds since 1970" },
	{ "dsn_notify = 'always'", NOTIFY_WORDS },
	{ "dsn_notify = 'Never'", NOTIFY_WORDS },
	{ "dsn_notify = 'never,failure'", NOTIFY_WORDS },
	{ "dsn_notify = 'success,'", NOTIFY_WORDS },
	{ "dsn_notify = ',success'", NOTIFY_WORDS },
	{ "dsn_notify = 'success,,delay'", NOTIFY_WORDS },
	{ "dsn_notify = 'success failure'", NOTIFY_WORDS },
	{ "dsn_notify = 'success ,failure'", NOTIFY_WORDS },
	{ "dsn_notify = 'suc,successcess'", NOTIFY_WORDS },
	{ "dsn_notify = 'fail,successure'", NOTIFY_WORDS },
	{ "dsn_notify = '#'", NOTIFY_WORDS },
	{ "dsn_notify = 'success#'", NOTIFY_WORDS },
	{ "dsn_notify = x'73756363657373'", NOTIFY_WORDS },
	{ "dsn_notify = 'never' || char(0)", NOTIFY_WORDS },
	{ "dsn_notify = 5", NOTIFY_WORDS },
	{ "dsn_notify = 'success' || char(0)", NOTIFY_WORDS },
	{ "dsn_notify = 'success' || char(13, 10) || 'DATA'", NOTIFY_WORDS },
	{ "dsn_notify = 'success,failure,delay,success,failure,delay'", NOTIFY_WORDS },
	{ "dsn_return = 'hdrs'", "dsn_return must be 'full' or 'headers'" },
	{ "dsn_return = 'FULL'", "dsn_return must be 'full' or 'headers'" },
	{ "dsn_return = 'full,headers'", "dsn_return must be 'full' or 'headers'" },
	{ "dsn_return = x'66756c6c'", "dsn_return must be 'full' or 'headers'" },
	{ "dsn_return = 1", "dsn_return must be 'full' or 'headers'" },
	{ "dsn_return = 'full' || char(0)", "dsn_return must be 'full' or 'headers'" },
	{ "dsn_return = 'full ' || char(10)", "dsn_return must be 'full' or 'headers'" },
	{ "headers = x'00'", "headers must be text without NUL" },
	{ "headers = 'A: b' || char(0)", "headers must be text without NUL" },
	{ "headers = 'A: b' || char(13) || 'C: d'",
	  "headers must have LF or CRLF at the end of a line, not CR alone" },
	{ "headers = 'A: b' || char(13, 13, 10)",
	  "headers must have LF or CRLF at the end of a line, not CR alone" },
	{ "headers = printf('A: %.*c', 99998, 'x')", "headers is longer than 100000 characters" },
	{ "body_text = x'61'", "body_text must be text without NUL" },
	{ "body_text = 'a' || char(0)", "body_text must be text without NUL" },
	{ "body_html = x'61'", "body_html must be text without NUL" },
	{ "body_html = '<p>' || char(0)", "body_html must be text without NUL" },
	{ "message = 5", "message must be a BLOB or text" },
	{ "message = 5.5", "message must be a BLOB or text" },
	{ "idempotency_key = 'first'", "idempotency_key: this tenant has a message with this key already" },
};

static const struct refusal inserts[] = {
	{ INSERT "(id, tenant, to_addresses) VALUES (77, 'acme', 'b@c.example')",
	  "id is given by the database: leave it out" },
	{ INSERT "(id, tenant, to_addresses) VALUES (1, 'acme', 'b@c.example')",
	  "id is given by the database: leave it out" },
	{ INSERT "(id, tenant, to_addresses) VALUES (-1, 'acme', 'b@c.example')",
	  "id is given by the database: leave it out" },
	{ INSERT "(id, tenant, to_addresses) VALUES (0, 'acme', 'b@c.example')",
	  "id is given by the database: leave it out" },
	{ INSERT "(rowid, tenant, to_addresses) VALUES ('5', 'acme', 'b@c.example')",
	  "id is given by the database: leave it out" },
	{ INSERT "DEFAULT VALUES", "tenant is missing" },
	{ INSERT "(to_addresses) VALUES ('b@c.example')", "tenant is missing" },
	{ INSERT "(tenant) VALUES ('acme')",
	  "to_addresses is missing, and so are cc_addresses and bcc_addresses" },
	{ INSERT "(tenant, to_addresses, cc_addresses, bcc_addresses) VALUES ('acme', '', '', '')",
	  "to_addresses is missing, and so are cc_addresses and bcc_addresses" },
	{ INSERT "(tenant, message) VALUES ('acme', '')",
	  "to_addresses is missing, and so are cc_addresses and bcc_addresses" },
	{ INSERT "(tenant, message) VALUES ('acme', x'')",
	  "to_addresses is missing, and so are cc_addresses and bcc_addresses" },
	{ INSERT "(tenant, to_addresses) VALUES ('bare', 'b@c.example')",
	  "from_address is missing, and the tenant has none either" },
	{ INSERT "(tenant, to_addresses, from_address) VALUES ('bare', 'b@c.example', '')",
	  "from_address is missing, and the tenant has none either" },
	{ INSERT
	  "(tenant, to_addresses, not_before, expires_at) VALUES ('acme', 'b@c.example', 1900000000, 1900000000)",
	  "expires_at must be later than not_before" },
	{ INSERT "(tenant, message, subject) VALUES ('acme', 'To: a@b', 's')",
	  "subject must be NULL beside message, which is complete in itself" },
	{ INSERT "(tenant, message, reply_to) VALUES ('acme', 'To: a@b', 's')",
	  "reply_to must be NULL beside message, which is complete in itself" },
	{ INSERT "(tenant, message, headers) VALUES ('acme', 'To: a@b', 'A: b')",
	  "headers must be NULL beside message, which is complete in itself" },
	{ INSERT "(tenant, message, body_text) VALUES ('acme', 'To: a@b', 's')",
	  "body_text must be NULL beside message, which is complete in itself" },
	{ INSERT "(tenant, message, body_html) VALUES ('acme', x'41', 's')",
	  "body_html must be NULL beside message, which is complete in itself" },
	{ INSERT "(tenant, message, attachments) VALUES ('acme', x'41', 1)",
	  "attachments must be 0 beside message, which is complete in itself" },
	/* the good rows of a statement go with the bad one */
	{ INSERT "(tenant, to_addresses) VALUES ('acme', 'b@c.example'), ('nobody', 'b@c.example')",
	  "tenant: no tenant has this name" },
	{ INSERT
	  "(tenant, to_addresses, idempotency_key) VALUES ('acme', 'b@c.example', 'x'), ('acme', 'b@c.example', 'x')",
	  "idempotency_key: this tenant has a message with this key already" },
};

static const struct refusal updates[] = {
	{ "UPDATE@@ outbox SET subject = 'x' WHERE id = 1",
	  "outbox: a message that is no longer a draft cannot be changed" },
	{ "UPDATE@@ outbox SET subject = subject WHERE id = 3",
	  "outbox: a message that is no longer a draft cannot be changed" },
	{ "UPDATE@@ outbox SET id = 1 WHERE id = 6",
	  "outbox: a message that is no longer a draft cannot be changed" },
	{ "UPDATE@@ outbox SET subject = 'x'",
	  "outbox: a message that is no longer a draft cannot be changed" },
	{ "UPDATE@@ outbox SET id = 70 WHERE id = 7", "id is given by the database and cannot be changed" },
	{ "UPDATE@@ outbox SET id = 1 WHERE id = 7", "id is given by the database and cannot be changed" },
	{ "UPDATE@@ outbox SET draft = 0 WHERE id = 7",
	  "draft cannot be changed: set state to 'queued' in outbox_status" },
	{ "UPDATE@@ outbox SET draft = NULL WHERE id = 7",
	  "draft cannot be changed: set state to 'queued' in outbox_status" },
	{ "UPDATE@@ outbox SET draft = 1 WHERE id = 8",
	  "draft cannot be changed: set state to 'queued' in outbox_status" },
	{ "UPDATE@@ outbox SET attachments = 0 WHERE id = 8",
	  "attachments: more than that are there already" },
	{ "DELETE FROM outbox WHERE id = 1", "state: this message is not finished, cancel it first" },
	{ "DELETE FROM outbox WHERE id = 2", "state: this message is not finished, cancel it first" },
	{ "DELETE FROM outbox WHERE id = 5", "state: this message is not finished, cancel it first" },
	{ "DELETE FROM outbox", "state: this message is not finished, cancel it first" },
};

struct one_line {
	const char *name;
	int longest;
};

static const struct one_line lines[] = {
	{ "from_address", 1000 },    { "envelope_from", 1000 },    { "to_addresses", 1000000 },
	{ "cc_addresses", 1000000 }, { "bcc_addresses", 1000000 }, { "reply_to", 2000 },
	{ "subject", 2000 },         { "idempotency_key", 255 },   { "reference", 255 },
};

static void refuse_columns(struct bed *bed)
{
	for (size_t i = 0; i < COUNT(columns); i++) {
		char name[32];

		(void)sscanf(columns[i].sql, "%31s", name);
		/* draft is the one that an UPDATE may not change at all */
		if (strcmp(name, "draft") != 0)
			bed_refused(bed, columns[i].sentence, "UPDATE@@ outbox SET %s WHERE id = 7",
			            columns[i].sql);
		bed_refused(bed, columns[i].sentence,
		            "INSERT@@ INTO outbox (%s, to_addresses%s) VALUES (%s, 'b@c.example'%s)", name,
		            strcmp(name, "tenant") == 0 ? "" : ", tenant", columns[i].sql + strlen(name) + 3,
		            strcmp(name, "tenant") == 0 ? "" : ", 'acme'");
	}
}

static void refuse_lines(struct bed *bed)
{
	static const char *const bad[] = { "x'61'",    "'a' || char(0)", "'a' || char(10) || 'Bcc: b'",
		                           "char(13)", "char(0) || 'a'", "'a' || char(0, 10)" };

	for (size_t i = 0; i < COUNT(lines); i++) {
		char sentence[128];

		(void)snprintf(sentence, sizeof sentence, "%s" ONE_LINE, lines[i].name);
		for (size_t b = 0; b < COUNT(bad); b++) {
			bed_refused(bed, sentence, "UPDATE@@ outbox SET %s = %s WHERE id = 7", lines[i].name,
			            bad[b]);
			bed_refused(bed, sentence,
			            "INSERT@@ INTO outbox (tenant, %s, draft) VALUES ('acme', %s, 1)",
			            lines[i].name, bad[b]);
		}
		(void)snprintf(sentence, sizeof sentence, "%s is longer than %d characters", lines[i].name,
		               lines[i].longest);
		bed_refused(
			bed, sentence,
			"INSERT@@ INTO outbox (tenant, %s, draft) VALUES ('acme', printf('%%.*c', %d, 'x'), 1)",
			lines[i].name, lines[i].longest + 1);
		bed_run(bed, "SAVEPOINT line; UPDATE@@ outbox SET %s = printf('%%.*c', %d, 'x') WHERE id = 7",
		        lines[i].name, lines[i].longest);
		bed_run(bed, "ROLLBACK TO line; RELEASE line");
	}
}

static void refuse_rows(struct bed *bed)
{
	bed_refuse_all(bed, inserts, COUNT(inserts));
	bed_refuse_all(bed, updates, COUNT(updates));
}

void schema_refuse_messages(struct bed *bed)
{
	refuse_columns(bed);
	refuse_lines(bed);
	refuse_rows(bed);
}

START_TEST(a_bad_column_of_a_message_is_refused_with_its_sentence)
{
	struct bed bed;

	bed_open(&bed, BED_FEW_WAY(_i));
	refuse_columns(&bed);
	refuse_lines(&bed);
	bed_close(&bed);
}
END_TEST

START_TEST(a_bad_message_is_refused_with_its_sentence)
{
	struct bed bed;

	bed_open(&bed, _i);
	refuse_rows(&bed);
	bed_close(&bed);
}
END_TEST

/* The least that a message needs; from_address of the row wins over the tenant's. */
START_TEST(a_good_message_is_queued)
{
	struct bed bed;

	bed_open(&bed, _i);
	bed_run(&bed, "INSERT@@ INTO outbox (tenant, to_addresses) VALUES ('acme', 'bob@example.net')");
	ck_assert_str_eq(bed_ask(&bed, "SELECT last_insert_rowid(), changes()"), "9|1");
	ck_assert_str_eq(
		bed_ask(&bed, "SELECT tenant, priority, state, attempts, due_at, created_at_ms, queued_at_ms,"
	                      " finished_at_ms, message_id, first_queued_at_ms, from_address, result,"
	                      " updated_at_ms, requeues FROM outbox_status WHERE outbox_id = 9"),
		"acme|0|queued|0|1800000000|1800000000000|1800000000000|NULL|NULL|1800000000000|"
		"pbx@acme.example|NULL|1800000000000|0");
	bed_run(&bed, "INSERT@@ INTO outbox (tenant, bcc_addresses, from_address, not_before, priority)"
	              " VALUES ('bare', 'bob@example.net', 'me@bare.example', 1800000060, -9)");
	bed_run(&bed, "INSERT@@ INTO outbox (tenant, message) VALUES ('bare', 'To: bob@example.net')");
	ck_assert_str_eq(bed_ask(&bed, "SELECT priority, state, due_at, from_address FROM outbox_status"
	                               " WHERE tenant = 'bare'"),
	                 "-9|queued|1800000060|me@bare.example\n0|queued|1800000000|NULL");
	/* found by their ids: the feed has none of them */
	ck_assert_str_eq(bed_feed(&bed), "NULL");
	bed_close(&bed);
}
END_TEST

START_TEST(notifications_are_stored_as_they_are_written)
{
	static const char *const good[] = { "never",           "success",
		                            "failure",         "delay",
		                            "success,failure", "delay, failure",
		                            "failure,success", "success, failure, delay" };
	struct bed bed;

	bed_open(&bed, _i);
	for (size_t i = 0; i < COUNT(good); i++) {
		bed_run(&bed,
		        "SAVEPOINT notify; UPDATE@@ outbox SET dsn_notify = '%s', dsn_return = 'headers'"
		        " WHERE id = 7",
		        good[i]);
		bed_run(&bed,
		        "INSERT@@ INTO outbox (tenant, to_addresses, dsn_notify, dsn_return)"
		        " VALUES ('acme', 'b@c.example', '%s', 'full')",
		        good[i]);
		ck_assert_str_eq(
			bed_ask(&bed,
		                "SELECT group_concat(dsn_notify = '%s'), group_concat(dsn_return) FROM"
		                " (SELECT * FROM outbox_all WHERE id IN (7, 9) ORDER BY id)",
		                good[i]),
			"1,1|headers,full");
		bed_run(&bed, "ROLLBACK TO notify; RELEASE notify");
	}
	bed_close(&bed);
}
END_TEST

START_TEST(a_key_is_unique_within_its_tenant_while_its_row_lives)
{
	struct bed bed;

	bed_open(&bed, _i);
	bed_run(&bed, "INSERT@@ INTO outbox (tenant, to_addresses, from_address, idempotency_key)"
	              " VALUES ('bare', 'b@c.example', 'a@b.example', 'first')");
	/* none and '' are no keys */
	for (int i = 0; i < 3; i++)
		bed_run(&bed, "INSERT@@ INTO outbox (tenant, to_addresses, idempotency_key) VALUES"
		              " ('acme', 'b@c.example', ''), ('acme', 'b@c.example', NULL)");
	bed_refused(
		&bed, "idempotency_key: this tenant has a message with this key already",
		"INSERT@@ INTO outbox (tenant, to_addresses, idempotency_key) VALUES ('acme', 'b@c.example', 'first')");
	/* a draft that moves to the tenant, or that takes the key */
	bed_run(&bed, "INSERT@@ INTO outbox (tenant, draft, idempotency_key) VALUES ('bare', 1, 'second'),"
	              " ('acme', 1, 'second')");
	bed_refused(
		&bed, "idempotency_key: this tenant has a message with this key already",
		"UPDATE@@ outbox SET tenant = 'bare' WHERE tenant = 'acme' AND idempotency_key = 'second'");
	bed_run(&bed, "UPDATE@@ outbox SET subject = 'itself' WHERE idempotency_key = 'second'");
	bed_run(&bed,
	        "UPDATE outbox_status SET state = 'cancelled' WHERE outbox_id = 1; DELETE FROM outbox WHERE id = 1");
	bed_run(&bed,
	        "INSERT@@ INTO outbox (tenant, to_addresses, idempotency_key) VALUES ('acme', 'b@c.example', 'first')");
	bed_close(&bed);
}
END_TEST

START_TEST(a_draft_can_be_changed_and_its_copies_follow)
{
	struct bed bed;

	bed_open(&bed, _i);
	bed_pass(&bed, 5);
	bed_run(&bed,
	        "UPDATE@@ outbox SET tenant = 'bare', priority = '7', subject = 'new', cc_addresses = '',"
	        " to_addresses = NULL WHERE id = 7");
	ck_assert_str_eq(bed_ask(&bed,
	                         "SELECT tenant, priority, state, updated_at_ms, changes() FROM outbox_status"
	                         " WHERE outbox_id = 7"),
	                 "bare|7|draft|1800000005000|1");
	ck_assert_str_eq(
		bed_ask(&bed, "SELECT tenant, priority, subject, cc_addresses, typeof(priority) FROM outbox"
	                      " WHERE id = 7"),
		"bare|7|new|NULL|integer");
	ck_assert_str_eq(bed_feed(&bed), "NULL");
	bed_close(&bed);
}
END_TEST

/* Retention and purge: what belongs to a finished message, or a draft, goes with it. */
START_TEST(a_deleted_message_leaves_nothing)
{
	struct bed bed;

	bed_open(&bed, _i);
	bed_run(&bed, "INSERT INTO outbox_attachment (outbox_id, content) VALUES (8, x'02')");
	bed_run_as_daemon(&bed, "UPDATE outbox_status SET state = 'sent' WHERE outbox_id = 8");
	bed_run(&bed, "DELETE FROM outbox_change");
	bed_run(&bed, "DELETE FROM outbox WHERE id IN (SELECT outbox_id FROM outbox_status"
	              " WHERE state IN ('sent', 'failed', 'cancelled', 'draft'))");
	ck_assert_str_eq(bed_ask(&bed, "SELECT changes()"), "5");
	ck_assert_str_eq(bed_ask(&bed, "SELECT group_concat(id) FROM outbox"), "1,2,5");
	ck_assert_str_eq(bed_ask(&bed, "SELECT group_concat(outbox_id) FROM outbox_status"), "1,2,5");
	ck_assert_str_eq(bed_ask(&bed, "SELECT group_concat(outbox_id) FROM outbox_delivery"), "2,5");
	ck_assert_str_eq(bed_ask(&bed, "SELECT count(*) FROM outbox_attachment"), "0");
	bed_run_as_daemon(&bed, "UPDATE outbox_status SET state = 'sent' WHERE outbox_id = 1;"
	                        "DELETE FROM outbox WHERE id = 1");
	ck_assert_str_eq(bed_ask(&bed, "SELECT group_concat(id) FROM outbox"), "2,5");
	ck_assert_str_eq(bed_feed(&bed), "NULL");
	/* an id is never given twice */
	bed_run(&bed, "INSERT INTO outbox (tenant, to_addresses) VALUES ('acme', 'b@c.example')");
	ck_assert_str_eq(bed_ask(&bed, "SELECT last_insert_rowid()"), "9");
	bed_close(&bed);
}
END_TEST

TCase *schema_message_cases(void)
{
	TCase *cases = tcase_create("messages");

	tcase_add_loop_test(cases, a_bad_column_of_a_message_is_refused_with_its_sentence, 0, BED_FEW_WAYS);
	tcase_add_loop_test(cases, a_bad_message_is_refused_with_its_sentence, 0, BED_WAYS);
	tcase_add_loop_test(cases, a_good_message_is_queued, 0, BED_WAYS);
	tcase_add_loop_test(cases, notifications_are_stored_as_they_are_written, 0, BED_WAYS);
	tcase_add_loop_test(cases, a_key_is_unique_within_its_tenant_while_its_row_lives, 0, BED_WAYS);
	tcase_add_loop_test(cases, a_draft_can_be_changed_and_its_copies_follow, 0, BED_WAYS);
	tcase_add_loop_test(cases, a_deleted_message_leaves_nothing, 0, BED_WAYS);
	return cases;
}
