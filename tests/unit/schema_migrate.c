/*
 * schema_migrate.c - files without a schema, with ours, older, newer, half ours; a
 * migration that fails at each of its statements in turn.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/error.h"
#include "storage/migrate.h"
#include "storage/schema_sql.h"
#include "tests/unit/schema_bed.h"

/*
 * Version 0 lives in this test alone: no suspensions, no requeues, the priority
 * called urgency in the status, another rule, a rule that is gone since.
 */
static const char undo[] =
	"DROP VIEW outbox_all; DROP TRIGGER outbox_suspension_insert; DROP TRIGGER outbox_suspension_update;"
	"DROP TRIGGER outbox_suspension_delete; DROP TABLE outbox_suspension; DROP INDEX outbox_status_due;"
	"DROP TRIGGER outbox_status_updated; DROP TRIGGER outbox_delete; DROP TRIGGER outbox_rule_status_check;"
	"DROP TRIGGER outbox_status_update; DROP VIEW outbox_rule_status; DROP TRIGGER outbox_rule_state_follow;"
	"DROP TRIGGER outbox_inserted; DROP TRIGGER outbox_updated; DROP INDEX outbox_status_waiting;"
	"DROP TRIGGER outbox_tenant_inserted; DROP TRIGGER outbox_tenant_updated; DROP TRIGGER outbox_tenant_deleted;"
	"ALTER TABLE outbox_status DROP COLUMN requeues;"
	"ALTER TABLE outbox_status RENAME COLUMN priority TO urgency;"
	"CREATE TRIGGER outbox_delete BEFORE DELETE ON outbox BEGIN SELECT RAISE(ABORT, 'version 0'); END;"
	"CREATE TRIGGER outbox_old_rule BEFORE DELETE ON outbox BEGIN SELECT RAISE(ABORT, 'version 0'); END;"
	"UPDATE outbox_meta SET value = '0' WHERE key = 'schema_version'";

static const char to_version_1[] =
	"DROP TRIGGER outbox_old_rule;"
	"CREATE TABLE outbox_suspension (tenant TEXT, since_ms INTEGER, until_ms INTEGER);"
	"CREATE INDEX outbox_suspension_tenant ON outbox_suspension (tenant, since_ms);"
	"ALTER TABLE outbox_status ADD COLUMN requeues INTEGER;"
	"UPDATE outbox_status SET requeues = 0;"
	"ALTER TABLE outbox_status RENAME COLUMN urgency TO priority;"
	"CREATE INDEX outbox_status_waiting ON outbox_status (tenant, priority DESC, due_at)"
	" WHERE state IN ('queued', 'deferred');"
	"CREATE INDEX outbox_status_due ON outbox_status (tenant, due_at) WHERE state IN ('queued', 'deferred')";

static const struct migration_step steps[] = { { .from = 0, .sql = to_version_1 },
	                                       { .from = 1, .sql = storage_migration_1_to_2_sql },
	                                       { .from = 2, .sql = storage_migration_2_to_3_sql } };

static char path[64];

static sqlite3 *open_file(void)
{
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	return db;
}

static void must(sqlite3 *db, const char *sql)
{
	char *message = NULL;

	if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
		ck_abort_msg("%s: %s", sql, message);
}

static void expect_refusal(struct bed *bed, const char *sentence, const char *sql)
{
	ck_assert_int_eq(sqlite3_exec(bed->db, sql, NULL, NULL, NULL), SQLITE_CONSTRAINT);
	ck_assert_str_eq(sqlite3_errmsg(bed->db), sentence);
}

static void make_path(void)
{
	int fd;

	(void)snprintf(path, sizeof path, "%s/outbox-migrate-XXXXXX",
	               getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(close(fd), 0);
}

static void remove_path(void)
{
	ck_assert_int_eq(unlink(path), 0);
}

/* The whole database as SQL would tell it: the schema and every row. */
static char *contents(sqlite3 *db)
{
	struct bed bed = { .db = db, .conflict = "" };
	const char *tables = bed_ask(
		&bed, "SELECT group_concat('SELECT ' || quote(name) || ', * FROM ' || name, ';')"
		      " FROM sqlite_master WHERE type = 'table'");
	char *all = sqlite3_mprintf(
		"%s", bed_ask(&bed, "SELECT type, name, sql FROM sqlite_master ORDER BY type, name"));
	char *list = sqlite3_mprintf("%s", tables), *one, *rest = list;

	while ((one = strsep(&rest, ";")) != NULL) {
		char *more = sqlite3_mprintf("%z\n%s", all, bed_ask(&bed, "%s", one));

		ck_assert_ptr_nonnull(more);
		all = more;
	}
	sqlite3_free(list);
	return all;
}

static sqlite3 *make_version_0(void)
{
	sqlite3 *db = open_file();

	must(db, "PRAGMA user_version = 17; CREATE TABLE orders (x); INSERT INTO orders VALUES ('theirs');"
	         "CREATE VIEW outbox_orders AS SELECT x FROM orders");
	must(db, "DROP VIEW outbox_orders");
	must(db, schema_version_1_sql);
	must(db, "INSERT INTO outbox_tenant (name, host, from_address) VALUES ('acme', 'h', 'a@b');"
	         "INSERT INTO outbox (tenant, to_addresses, priority) VALUES ('acme', 'c@d', 5)");
	must(db, undo);
	/* names that begin with ours, beside an outbox that is there: theirs, and they stay */
	must(db,
	     "CREATE VIEW outbox_report AS SELECT x FROM orders; CREATE INDEX outbox_subjects ON outbox (subject)");
	return db;
}

static enum error migrate(sqlite3 *db, const struct migration_step *way, size_t count, enum migrated *done,
                          struct words *words)
{
	return storage_migrate_steps(db, "test.db", way, count, done, words);
}

START_TEST(an_empty_file_gets_the_schema_if_it_may)
{
	sqlite3 *db = open_file();
	struct bed bed = { .db = db, .conflict = "" };
	enum migrated done;
	struct words words;

	ck_assert_int_eq(storage_migrate(db, "test.db", false, &done, &words), ERROR_NOT_FOUND);
	ck_assert_str_eq(words.text, "test.db has no outbox tables: run outboxctl init");
	ck_assert_str_eq(bed_ask(&bed, "SELECT count(*) FROM sqlite_master"), "0");
	ck_assert_int_eq(storage_migrate(db, "test.db", true, &done, &words), OK);
	ck_assert_int_eq(done, MIGRATED_CREATED);
	ck_assert_int_eq(storage_migrate(db, "test.db", true, &done, &words), OK);
	ck_assert_int_eq(done, MIGRATED_NOTHING);
	ck_assert_int_eq(storage_migrate(db, "test.db", false, NULL, &words), OK);
	must(db, "INSERT INTO outbox_tenant (name, host) VALUES ('acme', 'h')");
	sqlite3_close(db);
}
END_TEST

START_TEST(names_that_are_not_ours_are_refused)
{
	static const struct {
		const char *sql, *words;
	} files[] = {
		{ "CREATE TABLE Outbox (x)",
		  "test.db has the table Outbox, which is not ours: names that begin with outbox must be free" },
		{ "CREATE TABLE t (x); CREATE INDEX outbox_t ON t (x)",
		  "test.db has the index outbox_t, which is not ours: names that begin with outbox must be free" },
		{ "CREATE TABLE outbox_meta (x)",
		  "test.db has the table outbox_meta, which is not ours: names that begin with outbox must be free" },
		{ "CREATE TABLE outbox_meta (key, value); INSERT INTO outbox_meta VALUES ('schema_version', 'one')",
		  "test.db has the table outbox_meta, which is not ours: names that begin with outbox must be free" },
		{ "CREATE TABLE outbox_meta (key, value)",
		  "test.db has the table outbox_meta, which is not ours: names that begin with outbox must be free" },
		{ "PRAGMA encoding = 'UTF-16le'; CREATE TABLE t (x)",
		  "test.db is encoded in UTF-16le: only UTF-8 is served" },
	};

	for (size_t i = 0; i < COUNT(files); i++) {
		sqlite3 *db;
		char *before, *after;
		struct words words;

		ck_assert_int_eq(sqlite3_open(":memory:", &db), SQLITE_OK);
		must(db, files[i].sql);
		before = contents(db);
		ck_assert_int_eq(storage_migrate(db, "test.db", true, NULL, &words), ERROR_REFUSED);
		ck_assert_str_eq(words.text, files[i].words);
		after = contents(db);
		ck_assert_str_eq(before, after);
		sqlite3_free(before);
		sqlite3_free(after);
		ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
	}
}
END_TEST

START_TEST(a_newer_schema_is_refused)
{
	sqlite3 *db = open_file();
	struct words words;

	must(db, storage_schema_sql);
	must(db, "UPDATE outbox_meta SET value = '4' WHERE key = 'schema_version'");
	ck_assert_int_eq(storage_migrate(db, "test.db", true, NULL, &words), ERROR_REFUSED);
	ck_assert_str_eq(words.text, "test.db has schema version 4, newer than this program's 3");
	must(db, "UPDATE outbox_meta SET value = 0 WHERE key = 'schema_version'");
	ck_assert_int_eq(storage_migrate(db, "test.db", true, NULL, &words), ERROR_REFUSED);
	ck_assert_str_eq(words.text,
	                 "test.db has schema version 0, older than any that this program can migrate");
	sqlite3_close(db);
}
END_TEST

START_TEST(an_older_schema_is_brought_to_the_present_one)
{
	sqlite3 *db = make_version_0();
	struct bed bed = { .db = db, .conflict = "" };
	enum migrated done;
	struct words words;

	ck_assert_msg(migrate(db, steps, COUNT(steps), &done, &words) == OK, "%s", words.text);
	ck_assert_int_eq(done, MIGRATED_UPGRADED);
	ck_assert_str_eq(bed_ask(&bed, "SELECT value FROM outbox_meta WHERE key = 'schema_version'"), "3");
	ck_assert_str_eq(bed_ask(&bed, "SELECT id, priority, state, requeues, to_addresses FROM outbox_all"),
	                 "1|5|queued|0|c@d");
	ck_assert_str_eq(bed_ask(&bed, "SELECT x FROM outbox_report"), "theirs");
	ck_assert_str_eq(
		bed_ask(&bed,
	                "SELECT count(*) FROM sqlite_master WHERE name IN ('outbox_subjects', 'outbox_old_rule')"),
		"1");
	ck_assert_str_eq(bed_ask(&bed, "PRAGMA user_version"), "17");
	/* the rules are the present ones */
	must(db,
	     "UPDATE outbox_status SET state = 'cancelled' WHERE outbox_id = 1; DELETE FROM outbox WHERE id = 1;"
	     "UPDATE outbox_tenant SET enabled = 0");
	ck_assert_str_eq(bed_ask(&bed, "SELECT tenant FROM outbox_suspension"), "acme");
	ck_assert_int_eq(migrate(db, steps, COUNT(steps), &done, &words), OK);
	ck_assert_int_eq(done, MIGRATED_NOTHING);
	sqlite3_close(db);
}
END_TEST

/* As version 1 was given away, with rows of ours and names of theirs. */
static sqlite3 *make_version_1(void)
{
	sqlite3 *db = open_file();

	must(db, "CREATE TABLE orders (x)");
	must(db, schema_version_1_sql);
	must(db,
	     "INSERT INTO outbox_tenant (name, host, from_address) VALUES ('acme', 'h', 'a@b');"
	     "INSERT INTO outbox (tenant, to_addresses, subject) VALUES ('acme', 'c@d', 'x'), ('acme', 'e@f', 'y');"
	     "INSERT INTO outbox (tenant, message, draft) VALUES ('acme', zeroblob(100000), 1);"
	     "UPDATE outbox_meta SET value = 1 WHERE key = 'daemon';"
	     "UPDATE outbox_status SET state = 'uncertain', attempts = 1 WHERE outbox_id = 2;"
	     "INSERT INTO outbox_delivery (outbox_id, recipient, state, attempts) VALUES (2, 'e@f', 'uncertain', 1),"
	     " (2, 'g@h', 'failed', 1);"
	     "INSERT INTO outbox_tenant_status (tenant, state, last_error) VALUES ('acme', 'backoff', 'x');"
	     "UPDATE outbox_meta SET value = 0 WHERE key = 'daemon';"
	     "CREATE TRIGGER theirs AFTER INSERT ON outbox BEGIN INSERT INTO orders VALUES (NEW.id); END;"
	     "CREATE INDEX outbox_subjects ON outbox (subject)");
	return db;
}

/* Rules, indexes and columns: but for the order of columns as a new file has them. */
static const char *shape(struct bed *bed)
{
	return bed_ask(
		bed,
		"SELECT type, name, sql FROM sqlite_master WHERE type <> 'table' AND name LIKE 'outbox%%'"
		" AND name <> 'outbox_subjects' UNION ALL"
		" SELECT * FROM (SELECT m.name, c.name, c.type || coalesce(c.dflt_value, '') || c.pk"
		" FROM sqlite_master AS m, pragma_table_info(m.name) AS c"
		" WHERE m.type = 'table' AND m.name LIKE 'outbox%%') ORDER BY 1, 2");
}

START_TEST(version_1_becomes_the_present_one)
{
	sqlite3 *db = make_version_1();
	struct bed bed = { .db = db, .conflict = "" }, fresh = { .conflict = "" };
	enum migrated done;
	struct words words;

	ck_assert_msg(storage_migrate(db, "test.db", false, &done, &words) == OK, "%s", words.text);
	ck_assert_int_eq(done, MIGRATED_UPGRADED);
	ck_assert_int_eq(sqlite3_open(":memory:", &fresh.db), SQLITE_OK);
	must(fresh.db, storage_schema_sql);
	ck_assert_str_eq(shape(&bed), shape(&fresh));
	ck_assert_str_eq(bed_ask(&bed, "SELECT value FROM outbox_meta WHERE key = 'schema_version'"), "3");
	ck_assert_str_eq(
		bed_ask(&bed, "SELECT id, state, to_addresses, dsn_notify, dsn_return FROM outbox_all"),
		"1|queued|c@d|NULL|NULL\n2|uncertain|e@f|NULL|NULL\n3|draft|NULL|NULL|NULL");
	ck_assert_str_eq(bed_ask(&bed, "SELECT recipient, state, uncertain FROM outbox_delivery"),
	                 "e@f|uncertain|1\ng@h|failed|0");
	ck_assert_str_eq(
		bed_ask(&bed,
	                "SELECT tenant, last_error, token_expires_at, token_error FROM outbox_tenant_status"),
		"acme|x|NULL|NULL");
	expect_refusal(&bed, "dsn_return must be 'full' or 'headers'",
	               "UPDATE outbox SET dsn_return = 'hdrs' WHERE id = 3");
	must(db, "UPDATE outbox SET dsn_notify = 'never' WHERE id = 3;"
	         "INSERT INTO outbox (tenant, to_addresses, dsn_notify) VALUES ('acme', 'c@d', 'delay')");
	ck_assert_str_eq(bed_ask(&bed, "SELECT dsn_notify, length(message) FROM outbox WHERE id > 2"),
	                 "never|100000\ndelay|NULL");
	ck_assert_str_eq(bed_ask(&bed, "SELECT group_concat(x) FROM orders"), "4");
	ck_assert_int_eq(storage_migrate(db, "test.db", false, &done, &words), OK);
	ck_assert_int_eq(done, MIGRATED_NOTHING);
	sqlite3_close(fresh.db);
	sqlite3_close(db);
}
END_TEST

/* Its statements one by one, each in turn replaced by one that fails: the file stays as it was, and can be
 * migrated. */
START_TEST(a_migration_that_fails_leaves_the_old_version)
{
	sqlite3 *db = make_version_0();
	char *before = contents(db), *after;
	struct words words;
	int statements = 1;

	for (const char *at = to_version_1; *at; at++)
		statements += *at == ';';
	for (int failing = 0; failing < statements; failing++) {
		const char *at = to_version_1;
		struct migration_step broken[COUNT(steps)] = { { .from = 0 }, steps[1], steps[2] };

		for (int i = 0; i < failing; i++)
			at = strchr(at, ';') + 1;
		broken[0].sql = sqlite3_mprintf("%.*s SELECT nonsense", (int)(at - to_version_1),
		                                to_version_1);
		ck_assert_int_eq(migrate(db, broken, COUNT(broken), NULL, &words), ERROR_REFUSED);
		ck_assert_str_eq(words.text, "test.db: migrating from version 0: no such column: nonsense");
		after = contents(db);
		ck_assert_str_eq(before, after);
		sqlite3_free(after);
		sqlite3_free((char *)(uintptr_t)broken[0].sql);
	}
	ck_assert_int_eq(migrate(db, steps, COUNT(steps), NULL, &words), OK);
	sqlite3_free(before);
	sqlite3_close(db);
}
END_TEST

/* A step that forgot something is no migration. */
START_TEST(a_migration_that_lacks_something_is_undone)
{
	static const struct {
		const char *more, *words;
	} lacks[] = {
		{ "; DROP INDEX outbox_status_due",
		  "test.db: the migrated schema lacks index outbox_status_due" },
		{ "; DELETE FROM outbox_meta WHERE key = 'trigger'",
		  "test.db: the migrated schema lacks key trigger in outbox_meta" },
		{ "; ALTER TABLE outbox ADD COLUMN x; ALTER TABLE outbox RENAME COLUMN reply_to TO reply",
		  "test.db: the migrated schema lacks column outbox.reply_to" },
	};
	sqlite3 *db = make_version_0();
	char *before = contents(db);

	for (size_t i = 0; i < COUNT(lacks); i++) {
		struct migration_step short_of[COUNT(steps)] = { { .from = 0 }, steps[1], steps[2] };
		struct words words;
		char *after;

		short_of[0].sql = sqlite3_mprintf("%s%s", to_version_1, lacks[i].more);
		ck_assert_int_eq(migrate(db, short_of, COUNT(short_of), NULL, &words), ERROR_REFUSED);
		ck_assert_str_eq(words.text, lacks[i].words);
		after = contents(db);
		ck_assert_str_eq(before, after);
		sqlite3_free(after);
		sqlite3_free((char *)(uintptr_t)short_of[0].sql);
	}
	sqlite3_free(before);
	sqlite3_close(db);
}
END_TEST

static int writes_left;

static int stop_after(void *context)
{
	(void)context;
	return writes_left-- <= 0;
}

/* Interrupted at ever later moments, until it gets through: all or nothing each time. */
START_TEST(an_interrupted_migration_leaves_the_old_version)
{
	sqlite3 *db = make_version_0();
	char *before = contents(db);
	struct words words;
	enum error error = ERROR_UNAVAILABLE;
	int interruptions = 0;

	for (int wait = 0; error != OK; wait += 1 + wait / 8) {
		char *after;

		writes_left = wait;
		sqlite3_progress_handler(db, 20, stop_after, NULL);
		error = migrate(db, steps, COUNT(steps), NULL, &words);
		sqlite3_progress_handler(db, 0, NULL, NULL);
		if (error == OK)
			break;
		ck_assert_int_eq(error, ERROR_UNAVAILABLE);
		after = contents(db);
		ck_assert_str_eq(before, after);
		sqlite3_free(after);
		interruptions++;
	}
	ck_assert_int_gt(interruptions, 20);
	sqlite3_free(before);
	sqlite3_close(db);
}
END_TEST

START_TEST(a_busy_file_is_told)
{
	sqlite3 *db = open_file(), *other = open_file();
	struct words words;

	must(other, "BEGIN IMMEDIATE");
	ck_assert_int_eq(storage_migrate(db, "test.db", true, NULL, &words), ERROR_UNAVAILABLE);
	ck_assert_str_eq(words.text, "test.db: taking the write lock: database is locked");
	must(other, "COMMIT");
	ck_assert_int_eq(storage_migrate(db, "test.db", true, NULL, &words), OK);
	sqlite3_close(other);
	sqlite3_close(db);
}
END_TEST

TCase *schema_migrate_cases(void)
{
	TCase *cases = tcase_create("migrate");

	tcase_add_checked_fixture(cases, make_path, remove_path);
	tcase_add_test(cases, an_empty_file_gets_the_schema_if_it_may);
	tcase_add_test(cases, names_that_are_not_ours_are_refused);
	tcase_add_test(cases, a_newer_schema_is_refused);
	tcase_add_test(cases, an_older_schema_is_brought_to_the_present_one);
	tcase_add_test(cases, version_1_becomes_the_present_one);
	tcase_add_test(cases, a_migration_that_fails_leaves_the_old_version);
	tcase_add_test(cases, a_migration_that_lacks_something_is_undone);
	tcase_add_test(cases, an_interrupted_migration_leaves_the_old_version);
	tcase_add_test(cases, a_busy_file_is_told);
	return cases;
}
