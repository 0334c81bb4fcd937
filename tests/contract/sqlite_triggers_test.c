/*
 * sqlite_triggers_test.c - results are written without our triggers, and never past those of the file's
 * owner.
 */
#include "common/buffer.h"
#include "common/clock.h"
#include "storage/sqlite_settle.h"
#include "tests/contract/bed.h"
#include "tests/contract/sqlite_backend.h"

#define THEIRS "SELECT count(*) FROM theirs"

/* One recipient of one message was told by 250, its tenant's status with it. */
static struct message *settle_one(void)
{
	char name[] = "acme";
	struct tenant_status status = { .tenant = name, .state = "idle" };
	struct message *message;
	struct storage_batch batch;

	bed_insert_plain();
	message = bed_due_one();
	bed_outcome(message, "bob@example.net", VERDICT_SENT, 250, DELIVERY_SENT);
	bed_judge(message, MESSAGE_SENT, "250 ok");
	message->usage = 1;
	batch = (struct storage_batch){ .messages = &message->link, .statuses = &status.link };
	ck_ok(storage_settle(bed.storage, &batch, deadline_after_ms(5000), &bed.words));
	ck_assert_int_eq(message->settled, SETTLED);
	return message;
}

static void settle_and_forget(void)
{
	struct message *message = settle_one();

	message_destroy(&message);
}

START_TEST(no_trigger_of_ours_is_taken_for_the_owners)
{
	ck_assert_int_eq(sqlite_backend_ask(bed.outbox, storage_triggers_foreign_sql), 0);
	sqlite_backend_run(bed.outbox, "CREATE TRIGGER theirs AFTER DELETE ON outbox BEGIN SELECT 1; END");
	ck_assert_int_eq(sqlite_backend_ask(bed.outbox, storage_triggers_foreign_sql), 0);
	sqlite_backend_run(bed.outbox,
	                   "CREATE TRIGGER also AFTER DELETE ON Outbox_Usage BEGIN SELECT 1; END");
	ck_assert_int_eq(sqlite_backend_ask(bed.outbox, storage_triggers_foreign_sql), 1);
}
END_TEST

/* What it costs hangs on it: nothing of a result goes through outbox_meta, as it does between the marks. */
START_TEST(results_are_written_without_our_triggers)
{
	settle_and_forget();
	sqlite_backend_run(bed.outbox, "CREATE TABLE theirs (mark);"
	                               "CREATE TRIGGER marks AFTER UPDATE ON outbox_meta"
	                               " BEGIN INSERT INTO theirs VALUES (NEW.value); END");
	settle_and_forget(); /* its INSERT marks 'trigger' */
	ck_assert_int_eq(sqlite_backend_ask(bed.outbox, THEIRS), 2);
}
END_TEST

static const char *const events[] = {
	"UPDATE OF state ON OUTBOX_STATUS", "INSERT ON outbox_delivery", "UPDATE ON outbox_tenant_status",
	"UPDATE ON outbox_usage",           "DELETE ON outbox_change",
};

START_TEST(a_trigger_of_the_owner_runs_for_the_next_result)
{
	struct storage_changes changes;
	long long seen;

	settle_and_forget();
	sqlite_backend_run(bed.outbox,
	                   "CREATE TABLE theirs (mark);"
	                   "CREATE TRIGGER watching AFTER %s WHEN (SELECT value FROM outbox_meta WHERE key = "
	                   "'daemon') = 1 BEGIN INSERT INTO theirs VALUES ('x'); END",
	                   events[_i]);
	/* a change that outboxd reads of, and takes out of outbox_change with the next result */
	sqlite_backend_run(bed.outbox, "UPDATE outbox_tenant SET host = 'other' WHERE name = 'acme'");
	ck_ok(storage_changes(bed.storage, &changes, &bed.words));
	storage_changes_fini(&changes);
	settle_and_forget();
	seen = sqlite_backend_ask(bed.outbox, THEIRS);
	ck_assert_int_gt(seen, 0);
	ck_assert_int_eq(sqlite_backend_ask(bed.outbox, "SELECT sum(value) FROM outbox_meta WHERE key IN"
	                                                " ('daemon', 'trigger')"),
	                 0);
	sqlite_backend_run(bed.outbox, "DROP TRIGGER watching");
	settle_and_forget();
	ck_assert_int_eq(sqlite_backend_ask(bed.outbox, THEIRS), seen);
}
END_TEST

/* The same connection removes: what hangs on a message goes by triggers. */
START_TEST(what_is_removed_after_a_result_goes_whole)
{
	struct storage_retention retention = { .state = MESSAGE_SENT, .before_ms = INT64_MAX };

	settle_and_forget();
	ck_ok(storage_retain(bed.storage, &retention, deadline_after_ms(5000), &bed.words));
	ck_assert_int_eq(retention.removed, 1);
	ck_assert_int_eq(sqlite_backend_ask(bed.outbox, "SELECT (SELECT count(*) FROM outbox_status)"
	                                                " + (SELECT count(*) FROM outbox_delivery)"),
	                 0);
	settle_and_forget();
}
END_TEST

START_TEST(what_a_tenant_sent_that_is_gone_is_not_anothers)
{
	struct message *message;

	bed_insert_plain();
	message = bed_due_one();
	bed_outcome(message, "bob@example.net", VERDICT_SENT, 250, DELIVERY_SENT);
	bed_judge(message, MESSAGE_SENT, "250 ok");
	message->usage = 1;
	APP->set_state(bed.outbox, message->id, "cancelled");
	APP->remove(bed.outbox, message->id);
	APP->remove_tenant(bed.outbox, "acme");
	bed_settle(message);
	ck_assert_int_eq(message->settled, SETTLED_GONE);
	ck_assert_int_eq(sqlite_backend_ask(bed.outbox, "SELECT count(*) FROM outbox_usage"), 0);
	message_destroy(&message);
}
END_TEST

void sqlite_triggers_tests(Suite *suite)
{
	TCase *tests = tcase_create("SQLite's triggers and results");

	tcase_add_checked_fixture(tests, bed_set_up, bed_tear_down);
	tcase_add_test(tests, no_trigger_of_ours_is_taken_for_the_owners);
	tcase_add_test(tests, results_are_written_without_our_triggers);
	tcase_add_loop_test(tests, a_trigger_of_the_owner_runs_for_the_next_result, 0,
	                    (int)(sizeof events / sizeof *events));
	tcase_add_test(tests, what_is_removed_after_a_result_goes_whole);
	tcase_add_test(tests, what_a_tenant_sent_that_is_gone_is_not_anothers);
	suite_add_tcase(suite, tests);
}
