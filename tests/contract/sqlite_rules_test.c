/*
 * sqlite_rules_test.c - our triggers, views and indexes, dropped by an application of the same file.
 */
#include <string.h>

#include "common/clock.h"
#include "storage/migrate.h"
#include "storage/rules.h"
#include "tests/contract/bed.h"
#include "tests/contract/sqlite_backend.h"

#define FORTY "WITH RECURSIVE n (i) AS (SELECT 1 UNION SELECT i + 1 FROM n WHERE i < 40)"
#define ROWS  "INSERT INTO outbox (tenant, from_address, to_addresses) " FORTY

static int64_t ask(const char *sql)
{
	return sqlite_backend_ask(bed.outbox, sql);
}

/* To its end; as many calls as it took. */
static int mend(struct storage_rules *rules)
{
	int calls = 0;

	memset(rules, 0, sizeof(*rules));
	do {
		ck_ok(storage_rules_mend(bed.storage, rules, deadline_after_ms(5000), &bed.words));
		ck_assert_int_lt(++calls, 100);
	} while (rules->more);
	return calls;
}

START_TEST(where_nobody_changed_the_schema_nothing_is_written)
{
	struct storage_rules rules;
	int64_t version;

	/* a new file is known to be well from the moment it is made */
	mend(&rules);
	ck_assert(!rules.begun);
	version = ask("PRAGMA data_version");
	ck_assert_int_eq(mend(&rules), 1);
	ck_assert(!rules.begun);
	ck_assert_int_eq(ask("PRAGMA data_version"), version);
	/* an application's own tables are its own, and are looked at once */
	sqlite_backend_run(bed.outbox, "CREATE TABLE mine (x); CREATE TRIGGER my_own AFTER INSERT ON outbox"
	                               " BEGIN INSERT INTO mine VALUES (NEW.id); END");
	mend(&rules);
	ck_assert(rules.begun);
	ck_assert_int_eq(rules.restored, 0);
	ck_assert_int_eq(ask("SELECT count(*) FROM sqlite_master WHERE name IN ('mine', 'my_own')"), 2);
	mend(&rules);
	ck_assert(!rules.begun);
}
END_TEST

START_TEST(what_was_dropped_or_replaced_is_made_again_as_it_was)
{
	static const char sum[] = "SELECT sum(length(sql)) FROM sqlite_master";
	int64_t before = ask(sum), count = ask("SELECT count(*) FROM sqlite_master");
	struct storage_rules rules;

	sqlite_backend_run(bed.outbox,
	                   "DROP TRIGGER outbox_tenant_updated; DROP VIEW outbox_now; DROP INDEX"
	                   " outbox_status_due; DROP VIEW outbox_rule_message;" /* and its trigger with it */
	                   "CREATE VIEW outbox_rule_message AS SELECT 1 AS id");
	mend(&rules);
	ck_assert_int_eq(rules.restored, 5);
	ck_assert_ptr_nonnull(strstr(rules.which.text, "index outbox_status_due was dropped"));
	ck_assert_ptr_nonnull(strstr(rules.which.text, "and others"));
	ck_assert_int_eq(ask(sum), before);
	ck_assert_int_eq(ask("SELECT count(*) FROM sqlite_master"), count);
	ck_assert_int_gt(bed_insert_plain(), 0);
}
END_TEST

START_TEST(all_that_went_astray_are_taken_up_a_few_at_a_time)
{
	struct storage_rules rules;

	mend(&rules);
	sqlite_backend_run(bed.outbox, "DROP TRIGGER outbox_inserted; DROP TRIGGER outbox_insert;" ROWS
	                               " SELECT 'acme', 'a@b', 'c@d' FROM n;" ROWS
	                               " SELECT iif(i & 1, 'acme', 'nobody'), 'a@b', 'c@d' FROM n");
	ck_assert_int_gt(mend(&rules), 2);
	ck_assert_int_eq(rules.adopted, 80);
	ck_assert_int_eq(rules.refused, 20);
	ck_assert_str_eq(rules.why.text, "message 42: tenant: no tenant has this name");
	ck_assert_int_eq(ask("SELECT count(*) FROM outbox_status WHERE state = 'queued'"), 60);
	ck_assert_int_eq(ask("SELECT count(*) FROM outbox_status WHERE state = 'failed' AND result ="
	                     " 'tenant: no tenant has this name' AND finished_at_ms > 0"),
	                 20);
	ck_assert_int_eq(ask("SELECT count(*) FROM outbox_change WHERE kind = 'message'"), 60);
	ck_assert_int_eq(ask("SELECT sum(value) FROM outbox_meta WHERE key IN ('daemon', 'trigger')"), 0);
}
END_TEST

/* While they are taken up: what is behind is looked at again. */
START_TEST(dropped_again_meanwhile)
{
	struct storage_rules rules;
	int64_t first;

	mend(&rules);
	first = bed_insert(&(struct contract_message){ .attachments = 1 });
	sqlite_backend_run(bed.outbox,
	                   "DROP TRIGGER outbox_inserted;" ROWS " SELECT 'acme', 'a@b', 'c@d' FROM n");
	memset(&rules, 0, sizeof(rules));
	ck_ok(storage_rules_mend(bed.storage, &rules, deadline_after_ms(5000), &bed.words));
	ck_assert(rules.more);
	sqlite_backend_run(bed.outbox,
	                   "DROP TRIGGER outbox_attachment_inserted; INSERT INTO outbox_attachment"
	                   " (outbox_id, position, filename, content_type, content)"
	                   " VALUES (%lld, 1, 'a.txt', 'text/plain', 'text')",
	                   (long long)first);
	for (int calls = 0; rules.more; calls++) {
		ck_assert_int_lt(calls, 10);
		ck_ok(storage_rules_mend(bed.storage, &rules, deadline_after_ms(5000), &bed.words));
	}
	ck_assert_int_eq(rules.restored, 2);
	ck_assert_int_eq(rules.adopted, 41);
	ck_assert_int_eq(ask("SELECT count(*) FROM outbox_status WHERE state = 'queued'"), 41);
}
END_TEST

START_TEST(a_newer_schema_is_another_program_s)
{
	struct storage_rules rules = { 0 };

	sqlite_backend_run(bed.outbox, "UPDATE outbox_meta SET value = '99' WHERE key = 'schema_version';"
	                               "DROP TRIGGER outbox_inserted");
	ck_assert_int_eq(storage_rules_mend(bed.storage, &rules, deadline_after_ms(5000), &bed.words),
	                 ERROR_REFUSED);
	ck_assert_ptr_nonnull(strstr(bed.words.text, "schema version 99"));
	ck_assert_int_eq(ask("SELECT count(*) FROM sqlite_master WHERE name = 'outbox_inserted'"), 0);
	sqlite_backend_run(bed.outbox, "UPDATE outbox_meta SET value = '%d' WHERE key = 'schema_version'",
	                   STORAGE_SCHEMA_VERSION);
	mend(&rules);
	ck_assert_int_eq(rules.restored, 1);
}
END_TEST

/* What cannot be made again undoes all of it, and is told; later it may do. */
START_TEST(what_cannot_be_made_again_changes_nothing)
{
	struct storage_rules rules = { 0 };

	sqlite_backend_run(bed.outbox, "DROP TRIGGER outbox_inserted; DROP VIEW outbox_all;"
	                               "CREATE TABLE outbox_all (x)");
	ck_assert_int_eq(storage_rules_mend(bed.storage, &rules, deadline_after_ms(5000), &bed.words),
	                 ERROR_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(bed.words.text, "outbox_all"));
	ck_assert_int_eq(rules.restored, 0);
	ck_assert_int_eq(ask("SELECT count(*) FROM sqlite_master WHERE name = 'outbox_inserted'"), 0);
	sqlite_backend_run(bed.outbox, "DROP TABLE outbox_all");
	mend(&rules);
	ck_assert_int_eq(rules.restored, 2);
}
END_TEST

void sqlite_rules_tests(Suite *suite)
{
	TCase *tests = tcase_create("SQLite's rules");

	tcase_add_checked_fixture(tests, bed_set_up, bed_tear_down);
	tcase_add_test(tests, where_nobody_changed_the_schema_nothing_is_written);
	tcase_add_test(tests, what_was_dropped_or_replaced_is_made_again_as_it_was);
	tcase_add_test(tests, all_that_went_astray_are_taken_up_a_few_at_a_time);
	tcase_add_test(tests, dropped_again_meanwhile);
	tcase_add_test(tests, a_newer_schema_is_another_program_s);
	tcase_add_test(tests, what_cannot_be_made_again_changes_nothing);
	suite_add_tcase(suite, tests);
}
