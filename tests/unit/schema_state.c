/*
 * schema_state.c - who may change which state into which, and what follows from it.
 */
#include <stdio.h>
#include <string.h>

#include "tests/unit/schema_bed.h"

enum { DRAFT, QUEUED, DEFERRED, SENT, FAILED, UNCERTAIN, CANCELLED, STATES };

static const char *const words[STATES] = { "draft",  "queued",    "deferred", "sent",
	                                   "failed", "uncertain", "cancelled" };
static const int message_in[STATES] = { 7, 1, 2, 3, 4, 5, 6 };

#define SENT_ALREADY "state: already sent"
#define NO_DRAFT     "state: nothing becomes a draft again"
#define NOT_YOURS    "state: only outboxd says deferred or uncertain"
#define NO_VERDICT   "state: only outboxd says sent or failed, unless the state is uncertain"
#define NOT_EVEN_WE  "state: outboxd itself may not make this change"

/* The contract's table for applications, [from][to]: NULL = allowed. */
static const char *const application[STATES][STATES] = {
	[DRAFT] = { [DEFERRED] = NOT_YOURS,
	            [SENT] = NO_VERDICT,
	            [FAILED] = NO_VERDICT,
	            [UNCERTAIN] = NOT_YOURS },
	[QUEUED] = { [DRAFT] = NO_DRAFT,
	             [DEFERRED] = NOT_YOURS,
	             [SENT] = NO_VERDICT,
	             [FAILED] = NO_VERDICT,
	             [UNCERTAIN] = NOT_YOURS },
	[DEFERRED] = { [DRAFT] = NO_DRAFT,
	               [SENT] = NO_VERDICT,
	               [FAILED] = NO_VERDICT,
	               [UNCERTAIN] = NOT_YOURS },
	[SENT] = { [DRAFT] = SENT_ALREADY,
	           [QUEUED] = SENT_ALREADY,
	           [DEFERRED] = SENT_ALREADY,
	           [FAILED] = SENT_ALREADY,
	           [UNCERTAIN] = SENT_ALREADY,
	           [CANCELLED] = SENT_ALREADY },
	[FAILED] = { [DRAFT] = NO_DRAFT,
	             [DEFERRED] = NOT_YOURS,
	             [SENT] = NO_VERDICT,
	             [UNCERTAIN] = NOT_YOURS,
	             [CANCELLED] = "state: already failed, nothing is left to cancel" },
	[UNCERTAIN] = { [DRAFT] = NO_DRAFT, [DEFERRED] = NOT_YOURS },
	[CANCELLED] = { [DRAFT] = NO_DRAFT,
	                [DEFERRED] = NOT_YOURS,
	                [SENT] = NO_VERDICT,
	                [FAILED] = NO_VERDICT,
	                [UNCERTAIN] = NOT_YOURS },
};

/* For outboxd: a verdict on what waits, and one that comes after a cancel. */
static const bool daemons[STATES][STATES] = {
	[QUEUED] = { [SENT] = true, [FAILED] = true, [DEFERRED] = true, [UNCERTAIN] = true },
	[DEFERRED] = { [SENT] = true, [FAILED] = true, [UNCERTAIN] = true },
	[CANCELLED] = { [SENT] = true, [FAILED] = true, [UNCERTAIN] = true },
};

static const struct refusal refusals[] = {
	{ "UPDATE@@ outbox_status SET state = NULL WHERE outbox_id = 1", "state is missing" },
	{ "UPDATE@@ outbox_status SET state = '' WHERE outbox_id = 1", "state is missing" },
	{ "UPDATE@@ outbox_status SET state = 'gone' WHERE outbox_id = 1",
	  "state must be one of the words draft, queued, deferred, sent, failed, uncertain, cancelled" },
	{ "UPDATE@@ outbox_status SET state = 'Cancelled' WHERE outbox_id = 1",
	  "state must be one of the words draft, queued, deferred, sent, failed, uncertain, cancelled" },
	{ "UPDATE@@ outbox_status SET state = x'63616e63656c6c6564' WHERE outbox_id = 1",
	  "state must be one of the words draft, queued, deferred, sent, failed, uncertain, cancelled" },
	/* the good rows of a statement go with the bad one */
	{ "UPDATE@@ outbox_status SET state = 'cancelled' WHERE outbox_id IN (1, 2, 3)", SENT_ALREADY },
	{ "UPDATE@@ outbox_status SET state = 'queued' WHERE outbox_id = 8",
	  "state cannot become queued: some of the announced attachments are not there" },
};

static void refuse_transitions(struct bed *bed)
{
	for (int from = 0; from < STATES; from++) {
		for (int to = 0; to < STATES; to++) {
			if (application[from][to])
				bed_refused(bed, application[from][to],
				            "UPDATE@@ outbox_status SET state = '%s' WHERE outbox_id = %d",
				            words[to], message_in[from]);
			if (from == to || daemons[from][to])
				continue;
			bed_run(bed, "UPDATE outbox_meta SET value = 1 WHERE key = 'daemon'");
			bed_refused(bed, NOT_EVEN_WE,
			            "UPDATE@@ outbox_status SET state = '%s' WHERE outbox_id = %d", words[to],
			            message_in[from]);
			bed_run(bed, "UPDATE outbox_meta SET value = 0 WHERE key = 'daemon'");
		}
	}
}

static void refuse_other_columns(struct bed *bed)
{
	static const char *const columns[] = { "outbox_id",     "tenant",         "priority",
		                               "attempts",      "due_at",         "created_at_ms",
		                               "queued_at_ms",  "finished_at_ms", "message_id",
		                               "from_address",  "result",         "first_queued_at_ms",
		                               "updated_at_ms", "requeues" };

	for (size_t i = 0; i < COUNT(columns); i++) {
		char sentence[128];

		(void)snprintf(sentence, sizeof sentence,
		               "%s is written by outboxd: applications may change state alone", columns[i]);
		/* 3 is the id of another message: REPLACE would put this one in its place */
		bed_refused(bed, sentence, "UPDATE@@ outbox_status SET %s = 3 WHERE outbox_id = 1",
		            columns[i]);
		bed_refused(bed, sentence,
		            "UPDATE@@ outbox_status SET state = 'cancelled', %s = 99 WHERE outbox_id = 1",
		            columns[i]);
	}
}

static void refuse_late_and_incomplete(struct bed *bed)
{
	bed_run(bed,
	        "SAVEPOINT more;"
	        "INSERT INTO outbox (tenant, draft) VALUES ('acme', 1), ('bare', 1);"
	        "INSERT INTO outbox (tenant, to_addresses, expires_at) VALUES ('acme', 'b@c.example', 1800000060);"
	        "UPDATE outbox SET to_addresses = 'b@c.example' WHERE tenant = 'bare';"
	        "UPDATE outbox_status SET state = 'cancelled' WHERE outbox_id IN (8, 11)");
	bed_pass(bed, 60);
	bed_refused(bed,
	            "state cannot become queued: to_addresses, cc_addresses and bcc_addresses are missing",
	            "UPDATE@@ outbox_status SET state = 'queued' WHERE outbox_id = 9");
	bed_refused(bed,
	            "state cannot become queued: from_address is missing, and the tenant has none either",
	            "UPDATE@@ outbox_status SET state = 'queued' WHERE outbox_id = 10");
	bed_refused(bed, "state cannot become queued: expires_at has passed",
	            "UPDATE@@ outbox_status SET state = 'queued' WHERE outbox_id = 11");
	bed_refused(bed, "state cannot become queued: some of the announced attachments are not there",
	            "UPDATE@@ outbox_status SET state = 'queued' WHERE outbox_id = 8");
	bed_run(bed, "ROLLBACK TO more; RELEASE more");
}

void schema_refuse_states(struct bed *bed)
{
	refuse_transitions(bed);
	refuse_other_columns(bed);
	bed_refuse_all(bed, refusals, COUNT(refusals));
	refuse_late_and_incomplete(bed);
}

START_TEST(a_change_outside_the_table_is_refused)
{
	struct bed bed;

	bed_open(&bed, _i);
	schema_refuse_states(&bed);
	bed_close(&bed);
}
END_TEST

/* Those that are allowed stay as they were set, and only an application's are told to outboxd. */
START_TEST(a_change_along_the_table_is_made)
{
	struct bed bed;

	bed_open(&bed, _i);
	for (int from = 0; from < STATES; from++) {
		for (int to = 0; to < STATES; to++) {
			char feed[32];
			int id = message_in[from];

			(void)snprintf(feed, sizeof feed, "message %d", id);
			bed_run(&bed, "SAVEPOINT change");
			if (!application[from][to]) {
				bed_run(&bed, "UPDATE@@ outbox_status SET state = '%s' WHERE outbox_id = %d",
				        words[to], id);
				ck_assert_str_eq(bed_ask(&bed, "SELECT changes()"), "1");
				ck_assert_str_eq(
					bed_ask(&bed, "SELECT state FROM outbox_all WHERE id = %d", id),
					words[to]);
				ck_assert_str_eq(bed_feed(&bed), from == to ? "NULL" : feed);
			}
			bed_run(&bed, "ROLLBACK TO change");
			if (daemons[from][to]) {
				bed_run_as_daemon(
					&bed, "UPDATE@@ outbox_status SET state = '%s' WHERE outbox_id = %d",
					words[to], id);
				ck_assert_str_eq(
					bed_ask(&bed, "SELECT state FROM outbox_all WHERE id = %d", id),
					words[to]);
				ck_assert_str_eq(bed_feed(&bed), "NULL");
			}
			bed_run(&bed, "ROLLBACK TO change; RELEASE change");
		}
	}
	bed_close(&bed);
}
END_TEST

static const char *status_of(struct bed *bed, int id)
{
	return bed_ask(
		bed,
		"SELECT state, attempts, due_at, queued_at_ms - 1800000000000, first_queued_at_ms - 1800000000000,"
		" finished_at_ms - 1800000000000, requeues, (SELECT group_concat(state || ' ' || attempts)"
		" FROM (SELECT * FROM outbox_delivery WHERE outbox_id = s.outbox_id ORDER BY recipient))"
		" FROM outbox_status AS s WHERE outbox_id = %d",
		id);
}

static void set_state(struct bed *bed, int id, const char *state)
{
	bed_run(bed, "UPDATE@@ outbox_status SET state = '%s' WHERE outbox_id = %d", state, id);
}

START_TEST(try_now_keeps_age_and_attempts)
{
	struct bed bed;

	bed_open(&bed, _i);
	bed_pass(&bed, 100);
	set_state(&bed, 2, "queued");
	ck_assert_str_eq(status_of(&bed, 2), "queued|3|1800000100|0|0|NULL|0|deferred 3");
	bed_close(&bed);
}
END_TEST

START_TEST(send_again_starts_anew_and_spares_the_accepted)
{
	struct bed bed;

	bed_open(&bed, _i);
	bed_run_as_daemon(&bed, "INSERT INTO outbox_delivery (outbox_id, recipient, state, attempts) VALUES"
	                        " (4, 'ann@example.net', 'sent', 2), (4, 'cid@example.net', 'uncertain', 2)");
	bed_pass(&bed, 100);
	set_state(&bed, 4, "queued");
	ck_assert_str_eq(status_of(&bed, 4),
	                 "queued|0|1800000100|100000|0|NULL|1|sent 2,deferred 0,uncertain 0");
	set_state(&bed, 4, "cancelled");
	ck_assert_str_eq(status_of(&bed, 4),
	                 "cancelled|0|1800000100|100000|0|100000|1|sent 2,cancelled 0,uncertain 0");
	bed_pass(&bed, 100);
	set_state(&bed, 4, "queued");
	ck_assert_str_eq(status_of(&bed, 4),
	                 "queued|0|1800000200|200000|0|NULL|2|sent 2,deferred 0,uncertain 0");
	bed_close(&bed);
}
END_TEST

/* Refused since: it may have arrived all the same, and a repeat has the same sender. */
START_TEST(what_was_uncertain_once_is_repeated_as_it_was)
{
	struct bed bed;

	bed_open(&bed, _i);
	bed_run_as_daemon(&bed, "UPDATE outbox_delivery SET uncertain = 1 WHERE outbox_id = 4");
	bed_run(&bed, "UPDATE outbox_tenant SET from_address = 'new@acme.example'");
	set_state(&bed, 4, "queued");
	set_state(&bed, 6, "queued");
	ck_assert_str_eq(
		bed_ask(&bed, "SELECT group_concat(from_address) FROM outbox_all WHERE id IN (4, 6)"),
		"pbx@acme.example,new@acme.example");
	ck_assert_str_eq(bed_ask(&bed, "SELECT state, uncertain FROM outbox_delivery WHERE outbox_id = 4"),
	                 "deferred|1");
	bed_close(&bed);
}
END_TEST

START_TEST(not_before_holds_when_queued_anew)
{
	struct bed bed;

	bed_open(&bed, _i);
	bed_run(&bed,
	        "INSERT INTO outbox (tenant, to_addresses, not_before, draft) VALUES ('acme', 'b@c.example', 1800000500, 1)");
	set_state(&bed, 9, "cancelled");
	ck_assert_str_eq(status_of(&bed, 9), "cancelled|0|NULL|NULL|NULL|0|0|NULL");
	bed_pass(&bed, 100);
	set_state(&bed, 9, "queued");
	/* the first time, whatever it was before */
	ck_assert_str_eq(status_of(&bed, 9), "queued|0|1800000500|100000|100000|NULL|0|NULL");
	bed_close(&bed);
}
END_TEST

/* An uncertain recipient stays so until it is said to be sent: a repeat may be a duplicate. */
START_TEST(an_uncertain_message_is_decided)
{
	static const struct {
		const char *state, *status;
	} decisions[] = {
		{ "queued", "queued|0|1800000100|100000|0|NULL|1|sent 1,uncertain 0" },
		{ "sent", "sent|2|1800000000|0|0|100000|0|sent 1,sent 2" },
		{ "failed", "failed|2|1800000000|0|0|100000|0|sent 1,uncertain 2" },
		{ "cancelled", "cancelled|2|1800000000|0|0|100000|0|sent 1,uncertain 2" },
	};
	struct bed bed;

	bed_open(&bed, _i);
	bed_run_as_daemon(&bed, "INSERT INTO outbox_delivery (outbox_id, recipient, state, attempts) VALUES"
	                        " (5, 'ann@example.net', 'sent', 1)");
	bed_pass(&bed, 100);
	for (size_t i = 0; i < COUNT(decisions); i++) {
		bed_run(&bed, "SAVEPOINT decision");
		set_state(&bed, 5, decisions[i].state);
		ck_assert_str_eq(status_of(&bed, 5), decisions[i].status);
		bed_run(&bed, "ROLLBACK TO decision; RELEASE decision");
	}
	bed_close(&bed);
}
END_TEST

/* "sent" decides the uncertain recipients: what is left to try is tried, what was refused stays refused. */
START_TEST(sent_forgets_no_other_recipient)
{
	struct bed bed;

	bed_open(&bed, _i);
	bed_run_as_daemon(&bed, "INSERT INTO outbox_delivery (outbox_id, recipient, state, attempts) VALUES"
	                        " (5, 'cid@example.net', 'failed', 1)");
	bed_pass(&bed, 100);
	bed_run(&bed, "SAVEPOINT refused");
	set_state(&bed, 5, "sent");
	ck_assert_str_eq(status_of(&bed, 5), "failed|2|1800000000|0|0|100000|0|sent 2,failed 1");
	bed_run(&bed, "ROLLBACK TO refused");
	bed_run_as_daemon(&bed, "INSERT INTO outbox_delivery (outbox_id, recipient, state, attempts) VALUES"
	                        " (5, 'dan@example.net', 'deferred', 0)");
	bed_run(&bed, "SAVEPOINT waiting");
	set_state(&bed, 5, "sent");
	ck_assert_str_eq(status_of(&bed, 5), "deferred|2|1800000100|0|0|NULL|0|sent 2,failed 1,deferred 0");
	bed_run(&bed, "ROLLBACK TO waiting");
	set_state(&bed, 5, "failed");
	ck_assert_str_eq(status_of(&bed, 5),
	                 "failed|2|1800000000|0|0|100000|0|uncertain 2,failed 1,failed 0");
	bed_run(&bed, "ROLLBACK TO waiting");
	set_state(&bed, 5, "queued");
	/* a recipient that was refused for good is not asked again */
	ck_assert_str_eq(status_of(&bed, 5),
	                 "queued|0|1800000100|100000|0|NULL|1|uncertain 0,failed 1,deferred 0");
	bed_run(&bed, "RELEASE refused");
	bed_close(&bed);
}
END_TEST

/* The From address of the first time, unless nobody can have seen it. */
START_TEST(from_address_is_the_one_in_force)
{
	static const struct {
		int id;
		const char *from;
	} messages[] = {
		{ 4, "new@acme.example" }, /* no recipient accepted */
		{ 5, "pbx@acme.example" }, /* one uncertain */
		{ 6, "new@acme.example" }, { 7, "new@acme.example" }, { 2, "pbx@acme.example" },
	};
	struct bed bed;

	bed_open(&bed, _i);
	bed_run(&bed, "UPDATE outbox_tenant SET from_address = 'new@acme.example' WHERE name = 'acme'");
	ck_assert_str_eq(
		bed_ask(&bed, "SELECT DISTINCT from_address FROM outbox_status WHERE state NOT IN ('draft')"),
		"pbx@acme.example");
	for (size_t i = 0; i < COUNT(messages); i++) {
		set_state(&bed, messages[i].id, "queued");
		ck_assert_str_eq(
			bed_ask(&bed, "SELECT from_address FROM outbox_all WHERE id = %d", messages[i].id),
			messages[i].from);
	}
	/* one accepted; and a tenant that has none any more */
	bed_run_as_daemon(
		&bed,
		"UPDATE outbox_status SET state = 'failed' WHERE outbox_id IN (4, 6);"
		"INSERT INTO outbox_delivery (outbox_id, recipient, state) VALUES (4, 'ann@example.net', 'sent')");
	bed_run(&bed, "UPDATE outbox_tenant SET from_address = 'newer@acme.example' WHERE name = 'acme'");
	set_state(&bed, 4, "queued");
	ck_assert_str_eq(bed_ask(&bed, "SELECT from_address FROM outbox_all WHERE id = 4"),
	                 "new@acme.example");
	bed_run(&bed, "UPDATE outbox_tenant SET from_address = '' WHERE name = 'acme'");
	set_state(&bed, 6, "queued");
	ck_assert_str_eq(bed_ask(&bed, "SELECT from_address FROM outbox_all WHERE id = 6"),
	                 "new@acme.example");
	bed_close(&bed);
}
END_TEST

/* A mapper that writes every column back changes nothing by it. */
START_TEST(the_same_values_may_be_written_back)
{
	struct bed bed;

	bed_open(&bed, _i);
	bed_run(&bed,
	        "UPDATE@@ outbox_status SET tenant = tenant, priority = priority || '', attempts = attempts,"
	        " due_at = due_at * 1.0, result = result, message_id = message_id, state = 'cancelled'"
	        " WHERE outbox_id = 2");
	ck_assert_str_eq(bed_ask(&bed, "SELECT state, result FROM outbox_status WHERE outbox_id = 2"),
	                 "cancelled|450 later");
	bed_close(&bed);
}
END_TEST

/* What the daemon settles is left as it wrote it. */
START_TEST(a_settled_row_is_as_outboxd_wrote_it)
{
	struct bed bed;

	bed_open(&bed, _i);
	bed_run_as_daemon(
		&bed,
		"UPDATE outbox_status SET state = 'deferred', attempts = 1, due_at = 1800000060,"
		" result = '451 later', updated_at_ms = 7 WHERE outbox_id = 1 AND state IN ('queued', 'deferred');"
		"INSERT OR REPLACE INTO outbox_delivery (outbox_id, recipient, state, attempts, code)"
		" VALUES (1, 'bob@example.net', 'deferred', 1, 451);"
		"INSERT INTO outbox_delivery (outbox_id, recipient, state, attempts) VALUES (1, 'bob@example.net',"
		" 'failed', 2) ON CONFLICT (outbox_id, recipient) DO UPDATE SET state = excluded.state,"
		" attempts = excluded.attempts");
	ck_assert_str_eq(bed_ask(&bed, "SELECT state, attempts, due_at, result, updated_at_ms, finished_at_ms"
	                               " FROM outbox_status WHERE outbox_id = 1"),
	                 "deferred|1|1800000060|451 later|7|NULL");
	ck_assert_str_eq(
		bed_ask(&bed, "SELECT state, attempts, code FROM outbox_delivery WHERE outbox_id = 1"),
		"failed|2|451");
	bed_close(&bed);
}
END_TEST

/*
 * Whose programs open a table in memory for this statement, each once: an allocation of its own for each row,
 * of more than the row costs, and where malloc gives the memory back to the system each time a hundred times
 * that.
 */
static const char *opens_a_table(struct bed *bed, const char *sql)
{
	static char said[500];
	char *explain = sqlite3_mprintf("EXPLAIN %s", sql);
	const char *program = "itself";
	sqlite3_stmt *stmt;
	char name[100];

	said[0] = '\0';
	ck_assert_int_eq(sqlite3_prepare_v2(bed->db, explain, -1, &stmt, NULL), SQLITE_OK);
	while (sqlite3_step(stmt) == SQLITE_ROW) {
		const char *code = (const char *)sqlite3_column_text(stmt, 1);
		const char *comment = (const char *)sqlite3_column_text(stmt, 5);

		if (comment && sscanf(comment, "-- TRIGGER %99s", name) == 1)
			program = name;
		if (strcmp(code, "OpenEphemeral") == 0 && !strstr(said, program))
			snprintf(said + strlen(said), sizeof(said) - strlen(said), " %s", program);
	}
	ck_assert_int_eq(sqlite3_finalize(stmt), SQLITE_OK);
	sqlite3_free(explain);
	return said;
}

/* With recursive_triggers the programs of a trigger that calls itself are listed once too. */
START_TEST(what_runs_for_every_row_opens_no_table_in_memory)
{
	struct bed bed;

	bed_open(&bed, _i);
	ck_assert_str_eq(
		opens_a_table(&bed, "INSERT INTO outbox (tenant, to_addresses) VALUES ('acme', 'a@b')"),
		" outbox_rule_recipients_follow");
	ck_assert_str_eq(
		opens_a_table(&bed, "UPDATE outbox_status SET state = 'cancelled' WHERE outbox_id = 1"),
		" outbox_rule_recipients_follow");
	bed_close(&bed);
}
END_TEST

TCase *schema_state_cases(void)
{
	TCase *cases = tcase_create("states");

	tcase_add_loop_test(cases, a_change_outside_the_table_is_refused, 0, BED_WAYS);
	tcase_add_loop_test(cases, a_change_along_the_table_is_made, 0, BED_WAYS);
	tcase_add_loop_test(cases, try_now_keeps_age_and_attempts, 0, BED_WAYS);
	tcase_add_loop_test(cases, send_again_starts_anew_and_spares_the_accepted, 0, BED_WAYS);
	tcase_add_loop_test(cases, what_was_uncertain_once_is_repeated_as_it_was, 0, BED_WAYS);
	tcase_add_loop_test(cases, not_before_holds_when_queued_anew, 0, BED_WAYS);
	tcase_add_loop_test(cases, an_uncertain_message_is_decided, 0, BED_WAYS);
	tcase_add_loop_test(cases, sent_forgets_no_other_recipient, 0, BED_WAYS);
	tcase_add_loop_test(cases, from_address_is_the_one_in_force, 0, BED_WAYS);
	tcase_add_loop_test(cases, the_same_values_may_be_written_back, 0, BED_WAYS);
	tcase_add_loop_test(cases, a_settled_row_is_as_outboxd_wrote_it, 0, BED_WAYS);
	tcase_add_loop_test(cases, what_runs_for_every_row_opens_no_table_in_memory, 0, BED_WAYS);
	return cases;
}
