/*
 * sqlite_file_test.c - the file: who may open it, what it must be, what becomes of it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "storage/schema_sql.h"
#include "storage/sqlite_file.h"
#include "tests/contract/contract.h"
#include "tests/contract/sqlite_backend.h"

static struct outbox *place;
static struct storage *storage;
static struct words words;

static void set_up(void)
{
	place = sqlite_backend_place();
}

static void tear_down(void)
{
	storage_close(&storage);
	sqlite_backend_remove(place);
}

static enum error open_path(const char *path, bool create, struct storage **opened)
{
	struct storage_settings settings = { .path = path, .create = create };

	return storage_open(&settings, opened, &words);
}

static void assert_opens(void)
{
	ck_assert_msg(open_path(place->path, true, &storage) == OK, "%s", words.text);
}

/* Refused with an error and words that say this. */
static void assert_refused(enum error expected, const char *say)
{
	ck_assert_int_eq(open_path(place->path, true, &storage), expected);
	ck_assert_ptr_null(storage);
	ck_assert_msg(strstr(words.text, say) != NULL, "%s", words.text);
}

static void close_app(void)
{
	sqlite3_close(place->app);
	place->app = NULL;
}

static mode_t mode_of(const char *suffix)
{
	char path[128];
	struct stat st;

	(void)snprintf(path, sizeof path, "%s%s", place->path, suffix);
	ck_assert_msg(stat(path, &st) == 0, "%s is not there", path);
	return st.st_mode & 07777;
}

START_TEST(a_new_file_is_for_owner_and_group_whatever_the_umask)
{
	umask(0077);
	assert_opens();
	ck_assert_uint_eq(mode_of(""), 0660);
	ck_assert_uint_eq(mode_of("-wal"), 0660);
	ck_assert_uint_eq(mode_of("-shm"), 0660);
}
END_TEST

START_TEST(the_wal_stays_when_we_are_the_last_to_close)
{
	assert_opens();
	sqlite_backend_run(place, "INSERT INTO outbox_tenant (name, host) VALUES ('acme', 'h')");
	close_app();
	storage_close(&storage);
	ck_assert_uint_eq(mode_of("-wal"), 0660);
	ck_assert_uint_eq(mode_of("-shm"), 0660);
	ck_assert_int_eq(sqlite_backend_ask(place, "SELECT count(*) FROM outbox_tenant"), 1);
}
END_TEST

START_TEST(an_empty_file_becomes_an_outbox_and_keeps_its_mode)
{
	int fd = open(place->path, O_CREAT | O_EXCL | O_WRONLY, 0640);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fchmod(fd, 0640), 0);
	close(fd);
	assert_opens();
	ck_assert_uint_eq(mode_of(""), 0640);
}
END_TEST

START_TEST(what_is_absent_is_created_only_if_that_is_wanted)
{
	ck_assert_int_eq(open_path(place->path, false, &storage), ERROR_REFUSED);
	ck_assert_ptr_nonnull(strstr(words.text, "outboxctl init"));
	ck_assert_int_eq(access(place->path, F_OK), -1);
	ck_assert_int_eq(open_path("/nonexistent/outbox.db", true, &storage), ERROR_EXISTS);
}
END_TEST

START_TEST(an_outbox_is_created_once)
{
	ck_assert_msg(storage_create_file(place->path, &words) == OK, "%s", words.text);
	ck_assert_int_eq(storage_create_file(place->path, &words), ERROR_EXISTS);
	ck_assert_uint_eq(mode_of(""), 0660);
	assert_opens();
}
END_TEST

START_TEST(a_file_without_our_tables_is_refused_and_not_touched)
{
	sqlite_backend_run(place, "PRAGMA journal_mode = WAL; CREATE TABLE theirs (x)");
	close_app();
	assert_refused(ERROR_REFUSED, "outboxctl init");
	ck_assert_int_eq(sqlite_backend_ask(place, "SELECT count(*) FROM sqlite_master"), 1);
}
END_TEST

START_TEST(a_file_that_is_no_database_is_refused)
{
	FILE *file = fopen(place->path, "w");

	ck_assert_ptr_nonnull(file);
	for (int i = 0; i < 1000; i++)
		(void)fprintf(file, "This is a letter, not a database.\n");
	ck_assert_int_eq(fclose(file), 0);
	assert_refused(ERROR_REFUSED, "not a database");
	ck_assert_int_eq(unlink(place->path), 0);
	ck_assert_int_eq(mkdir(place->path, 0700), 0);
	assert_refused(ERROR_REFUSED, "regular file");
	ck_assert_int_eq(rmdir(place->path), 0);
}
END_TEST

START_TEST(a_file_outside_wal_is_refused)
{
	ck_assert_msg(storage_create_file(place->path, &words) == OK, "%s", words.text);
	sqlite_backend_run(place, "PRAGMA journal_mode = DELETE");
	close_app();
	assert_refused(ERROR_REFUSED, "WAL");
	sqlite_backend_run(place, "PRAGMA journal_mode = WAL");
	assert_opens();
}
END_TEST

START_TEST(a_newer_schema_is_refused)
{
	ck_assert_msg(storage_create_file(place->path, &words) == OK, "%s", words.text);
	sqlite_backend_run(place, "UPDATE outbox_meta SET value = 99 WHERE key = 'schema_version'");
	assert_refused(ERROR_REFUSED, "newer");
}
END_TEST

START_TEST(another_encoding_is_refused)
{
	sqlite_backend_run(
		place, "PRAGMA encoding = 'UTF-16le'; PRAGMA journal_mode = WAL; CREATE TABLE theirs (x)");
	sqlite_backend_run(place, "%s", storage_schema_sql);
	close_app();
	assert_refused(ERROR_REFUSED, "UTF-16le");
}
END_TEST

START_TEST(an_applications_own_file_stays_its_own)
{
	sqlite_backend_run(
		place, "PRAGMA user_version = 42; PRAGMA application_id = 4711; PRAGMA journal_mode = WAL;"
		       "CREATE TABLE theirs (x); INSERT INTO theirs VALUES (5)");
	sqlite_backend_run(place, "%s", storage_schema_sql);
	ck_assert_int_eq(chmod(place->path, 0600), 0);
	assert_opens();
	ck_assert_int_eq(sqlite_backend_ask(place, "PRAGMA user_version"), 42);
	ck_assert_int_eq(sqlite_backend_ask(place, "PRAGMA application_id"), 4711);
	sqlite_backend_run(place,
	                   "BEGIN IMMEDIATE; UPDATE theirs SET x = 6;"
	                   "INSERT INTO outbox_tenant (name, host, from_address) VALUES ('a', 'h', 'a@b.c');"
	                   "INSERT INTO outbox (tenant, to_addresses) VALUES ('a', 'b@c.d'); COMMIT");
	ck_assert_int_eq(sqlite_backend_ask(place, "SELECT x FROM theirs"), 6);
	ck_assert_uint_eq(mode_of(""), 0600);
}
END_TEST

START_TEST(marks_that_a_crash_left_are_cleared)
{
	ck_assert_msg(storage_create_file(place->path, &words) == OK, "%s", words.text);
	sqlite_backend_run(place, "UPDATE outbox_meta SET value = 1 WHERE key IN ('daemon', 'trigger')");
	assert_opens();
	ck_assert_int_eq(sqlite_backend_ask(place, "SELECT sum(value) FROM outbox_meta WHERE key IN"
	                                           " ('daemon', 'trigger')"),
	                 0);
}
END_TEST

START_TEST(one_outboxd_serves_a_file)
{
	int ready[2], done[2], status;
	char byte = 0;
	pid_t pid;

	ck_assert_int_eq(pipe(ready), 0);
	ck_assert_int_eq(pipe(done), 0);
	pid = fork(); /* nothing is open yet */
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		close(done[1]);
		byte = open_path(place->path, true, &storage) == OK ? 'y' : 'n';
		if (write(ready[1], &byte, 1) != 1 || read(done[0], &byte, 1) != 0)
			_exit(1);
		_exit(0);
	}
	close(done[0]);
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	ck_assert_int_eq(byte, 'y');
	assert_refused(ERROR_BUSY, "another outboxd");
	close(done[1]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	assert_opens(); /* the lock ends with its process */
}
END_TEST

START_TEST(one_file_under_two_names_is_found)
{
	struct storage *second;
	char other[128];

	assert_opens();
	ck_assert_int_eq(open_path(place->path, true, &second), ERROR_REFUSED);
	(void)snprintf(other, sizeof other, "%s/symbolic.db", place->folder);
	ck_assert_int_eq(symlink(place->path, other), 0);
	ck_assert_int_eq(open_path(other, true, &second), ERROR_REFUSED);
	ck_assert_int_eq(unlink(other), 0);
	ck_assert_int_eq(link(place->path, other), 0);
	ck_assert_int_eq(open_path(other, true, &second), ERROR_REFUSED);
	ck_assert_ptr_nonnull(strstr(words.text, "served already"));
	ck_assert_int_eq(unlink(other), 0);
}
END_TEST

START_TEST(no_refusal_and_no_look_at_the_file_drops_sqlites_locks)
{
	struct storage *second;

	assert_opens();
	ck_assert_int_eq(open_path(place->path, true, &second), ERROR_REFUSED);
	ck_assert_int_eq(storage_create_file(place->path, &words), ERROR_REFUSED);
	ck_assert_msg(storage_inspect(storage, &words) == OK, "%s", words.text);
	/* only a process that is alone may leave WAL */
	ck_assert(!sqlite_backend_elsewhere(place, "PRAGMA journal_mode = DELETE; CREATE TABLE dropped (x)"));
	ck_assert(sqlite_backend_elsewhere(place, "CREATE TABLE kept (x)"));
	ck_assert_int_eq(sqlite_backend_ask(place, "SELECT count(*) FROM kept"), 0);
}
END_TEST

START_TEST(a_file_that_we_may_not_write_is_a_matter_of_permission)
{
	int status;
	pid_t pid;

	ck_assert_msg(storage_create_file(place->path, &words) == OK, "%s", words.text);
	ck_assert_int_eq(chmod(place->path, 0400), 0);
	ck_assert_int_eq(chmod(place->folder, 0555), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		char other[128];

		(void)snprintf(other, sizeof other, "%s/new.db", place->folder);
		if (getuid() == 0 && setresuid(65534, 65534, 65534) != 0)
			_exit(1);
		if (open_path(place->path, true, &storage) != ERROR_PERMISSION)
			_exit(2);
		_exit(open_path(other, true, &storage) == ERROR_PERMISSION ? 0 : 3);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(chmod(place->folder, 0700), 0);
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(an_inspection_finds_what_is_wrong)
{
	char aside[128], other[128];

	assert_opens();
	ck_assert_msg(storage_inspect(storage, &words) == OK, "%s", words.text);
	ck_assert_int_eq(chmod(place->path, 0664), 0);
	ck_assert_int_eq(storage_inspect(storage, &words), ERROR_PERMISSION);
	ck_assert_ptr_nonnull(strstr(words.text, "0664"));
	ck_assert_int_eq(chmod(place->path, 0660), 0);
	(void)snprintf(aside, sizeof aside, "%s-wal", place->path);
	ck_assert_int_eq(chmod(aside, 0600), 0);
	ck_assert_int_eq(storage_inspect(storage, &words), ERROR_PERMISSION);
	ck_assert_ptr_nonnull(strstr(words.text, "-wal"));
	ck_assert_int_eq(chmod(aside, 0660), 0);
	(void)snprintf(other, sizeof other, "%s/aside-wal", place->folder);
	ck_assert_int_eq(rename(aside, other), 0);
	ck_assert_int_eq(storage_inspect(storage, &words), ERROR_NOT_FOUND);
	ck_assert_ptr_nonnull(strstr(words.text, "-wal was deleted"));
	ck_assert_int_eq(rename(other, aside), 0);
	ck_assert_msg(storage_inspect(storage, &words) == OK, "%s", words.text);
	(void)snprintf(aside, sizeof aside, "%s/aside", place->folder);
	ck_assert_int_eq(rename(place->path, aside), 0);
	ck_assert_int_eq(storage_inspect(storage, &words), ERROR_NOT_FOUND);
	ck_assert_int_eq(symlink("aside", place->path), 0);
	ck_assert_msg(storage_inspect(storage, &words) == OK, "%s", words.text);
	ck_assert_int_eq(unlink(place->path), 0);
	ck_assert_int_eq(mkdir(place->path, 0700), 0);
	ck_assert_int_eq(storage_inspect(storage, &words), ERROR_NOT_FOUND);
	ck_assert_ptr_nonnull(strstr(words.text, "replaced"));
	ck_assert_int_eq(rmdir(place->path), 0);
	ck_assert_int_eq(rename(aside, place->path), 0);
	ck_assert_msg(storage_inspect(storage, &words) == OK, "%s", words.text);
}
END_TEST

START_TEST(a_replaced_file_is_served_and_locked_anew)
{
	char aside[128];

	assert_opens();
	(void)snprintf(aside, sizeof aside, "%s/aside", place->folder);
	ck_assert_int_eq(rename(place->path, aside), 0);
	ck_assert_int_eq(storage_inspect(storage, &words), ERROR_NOT_FOUND);
	storage_close(&storage);
	assert_opens();
	ck_assert_msg(storage_inspect(storage, &words) == OK, "%s", words.text);
	ck_assert_int_eq(unlink(aside), 0);
}
END_TEST

/* Writes the header's two version octets from another process: closing a descriptor here would drop locks. */
static void set_header(char version)
{
	char versions[2] = { version, version };
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		int fd = open(place->path, O_WRONLY);

		_exit(pwrite(fd, versions, 2, 18) == 2 && fsync(fd) == 0 ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}

static void nobody(void *context, const char *tenant, int64_t earliest)
{
	(void)context;
	(void)tenant;
	(void)earliest;
}

START_TEST(a_file_that_leaves_wal_later_is_noticed_and_served_again_when_mended)
{
	struct tenant_status status = { .tenant = (char[]){ "acme" }, .state = "idle" };
	struct storage_batch batch = { .statuses = &status.link };

	assert_opens();
	sqlite_backend_run(place, "PRAGMA wal_checkpoint(TRUNCATE)");
	set_header(1);
	ck_assert_int_eq(storage_inspect(storage, &words), ERROR_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(words.text, "WAL"));
	ck_assert_int_eq(storage_settle(storage, &batch, deadline_after_ms(1000), &words), ERROR_UNAVAILABLE);
	ck_assert_int_eq(storage_scan(storage, nobody, NULL, &words), ERROR_UNAVAILABLE);
	set_header(2);
	ck_assert_msg(storage_inspect(storage, &words) == OK, "%s", words.text);
	ck_assert_msg(storage_settle(storage, &batch, deadline_after_ms(5000), &words) == OK, "%s",
	              words.text);
	ck_assert_msg(storage_scan(storage, nobody, NULL, &words) == OK, "%s", words.text);
}
END_TEST

START_TEST(a_trigger_of_an_application_that_refuses_a_result_is_told_with_the_message)
{
	struct message *message = message_create(1, "acme");
	struct storage_batch batch = { .messages = &message->link };

	assert_opens();
	sqlite_backend_run(
		place, "INSERT INTO outbox_tenant (name, host, from_address) VALUES ('acme', 'h', 'a@b.c');"
		       "INSERT INTO outbox (tenant, to_addresses) VALUES ('acme', 'b@c.d');"
		       "CREATE TRIGGER theirs AFTER UPDATE OF state ON outbox_status WHEN NEW.state = 'sent'"
		       " BEGIN SELECT RAISE(ABORT, 'not on a Sunday'); END");
	message->state = MESSAGE_SENT;
	ck_assert_int_eq(storage_settle(storage, &batch, deadline_after_ms(1000), &words), ERROR_UNAVAILABLE);
	ck_assert_str_eq(words.text, "cannot record the result of message 1: not on a Sunday");
	ck_assert_int_eq(message->settled, SETTLED_NOT_YET);
	sqlite_backend_run(place, "DROP TRIGGER theirs");
	ck_assert_int_eq(storage_settle(storage, &batch, deadline_after_ms(5000), &words), OK);
	ck_assert_int_eq(message->settled, SETTLED);
	message_destroy(&message);
}
END_TEST

START_TEST(network_file_systems_are_known_by_name)
{
	ck_assert_str_eq(storage_file_system_refused(0x6969), "NFS");
	ck_assert_str_eq(storage_file_system_refused((long)0xff534d42), "CIFS");
	ck_assert_str_eq(storage_file_system_refused((int)0xff534d42), "CIFS"); /* sign-extended */
	ck_assert_str_eq(storage_file_system_refused(0x65735546), "FUSE");
	ck_assert_ptr_null(storage_file_system_refused(0xef53));     /* ext4 */
	ck_assert_ptr_null(storage_file_system_refused(0x58465342)); /* XFS */
	ck_assert_ptr_null(storage_file_system_refused(0x01021994)); /* tmpfs */
}
END_TEST

START_TEST(too_many_changes_to_list_are_all)
{
	struct storage_changes changes;
	struct storage_batch batch = { 0 };

	assert_opens();
	sqlite_backend_run(
		place, "INSERT INTO outbox_tenant (name, host, from_address) VALUES ('acme', 'h', 'a@b.c');"
		       "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 10001)"
		       "INSERT INTO outbox (tenant, to_addresses) SELECT 'acme', 'b@c.d' FROM n");
	ck_assert_int_eq(storage_changes(storage, &changes, &words), OK);
	ck_assert(changes.all);
	storage_changes_fini(&changes);
	sqlite_backend_run(place, "UPDATE outbox_status SET state = 'cancelled'");
	/* what an operator asks for is listed all the same: no scan would find it */
	sqlite_backend_run(place, "INSERT INTO outbox_change (kind, key) VALUES ('retry', 'acme')");
	ck_assert_int_eq(storage_changes(storage, &changes, &words), OK);
	ck_assert(changes.all);
	ck_assert_uint_eq(changes.tenants_retry_count, 1);
	ck_assert_str_eq(changes.tenants_retry[0], "acme");
	storage_changes_fini(&changes);
	/* once */
	ck_assert_int_eq(storage_changes(storage, &changes, &words), OK);
	ck_assert_uint_eq(changes.tenants_retry_count, 0);
	storage_changes_fini(&changes);
	ck_assert_int_eq(storage_settle(storage, &batch, deadline_after_ms(5000), &words), OK);
	ck_assert_int_eq(contract_backend.changes_left(place), 0);
	ck_assert_int_eq(storage_changes(storage, &changes, &words), OK);
	ck_assert(!changes.all);
	ck_assert_uint_eq(changes.messages_count, 0);
	storage_changes_fini(&changes);
}
END_TEST

void contract_backend_tests(Suite *suite)
{
	TCase *tests = tcase_create("SQLite's file");

	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, a_new_file_is_for_owner_and_group_whatever_the_umask);
	tcase_add_test(tests, the_wal_stays_when_we_are_the_last_to_close);
	tcase_add_test(tests, an_empty_file_becomes_an_outbox_and_keeps_its_mode);
	tcase_add_test(tests, what_is_absent_is_created_only_if_that_is_wanted);
	tcase_add_test(tests, an_outbox_is_created_once);
	tcase_add_test(tests, a_file_without_our_tables_is_refused_and_not_touched);
	tcase_add_test(tests, a_file_that_is_no_database_is_refused);
	tcase_add_test(tests, a_file_outside_wal_is_refused);
	tcase_add_test(tests, a_newer_schema_is_refused);
	tcase_add_test(tests, another_encoding_is_refused);
	tcase_add_test(tests, an_applications_own_file_stays_its_own);
	tcase_add_test(tests, marks_that_a_crash_left_are_cleared);
	tcase_add_test(tests, one_outboxd_serves_a_file);
	tcase_add_test(tests, one_file_under_two_names_is_found);
	tcase_add_test(tests, no_refusal_and_no_look_at_the_file_drops_sqlites_locks);
	tcase_add_test(tests, a_file_that_we_may_not_write_is_a_matter_of_permission);
	tcase_add_test(tests, an_inspection_finds_what_is_wrong);
	tcase_add_test(tests, a_replaced_file_is_served_and_locked_anew);
	tcase_add_test(tests, a_file_that_leaves_wal_later_is_noticed_and_served_again_when_mended);
	tcase_add_test(tests, a_trigger_of_an_application_that_refuses_a_result_is_told_with_the_message);
	tcase_add_test(tests, network_file_systems_are_known_by_name);
	tcase_add_test(tests, too_many_changes_to_list_are_all);
	suite_add_tcase(suite, tests);
	sqlite_checkpoint_tests(suite);
	sqlite_places_tests(suite);
	sqlite_retain_tests(suite);
	sqlite_secrets_tests(suite);
	sqlite_take_tests(suite);
	sqlite_rules_tests(suite);
	sqlite_clock_tests(suite);
	sqlite_triggers_tests(suite);
	sqlite_own_tests(suite);
}
