/*
 * sqlite_clock.c - what a wall clock that was set leaves behind in the table.
 *
 * Promises: nothing waits for a clock that was set back to come round again: what was
 * last written in the future is due as long after now as it was after then.  Nothing
 * grows old by a clock that was set forward: that time counts as if every tenant had
 * been suspended.  not_before and expires_at are the application's own words and stay.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "common/clock.h"
#include "storage/sqlite_settle.h"

#define SLACK_MS     60000 /* clocks that are kept right are set by less */
#define USAGE_PART_S 900   /* recipients are counted by quarters of an hour */

/* Whether the last message, or the last status of a tenant, is from the future: a seek and a few rows. */
static int was_set_back(struct connection *writer, int64_t now_ms, bool *back)
{
	char sql[512];
	int64_t found = 0;
	int rc;

	(void)snprintf(sql, sizeof sql,
	               "SELECT EXISTS (SELECT 1 FROM outbox_status WHERE outbox_id ="
	               " (SELECT max(outbox_id) FROM outbox_status) AND updated_at_ms > %" PRId64 ")"
	               " OR EXISTS (SELECT 1 FROM outbox_tenant_status WHERE updated_at > %" PRId64 ")",
	               now_ms + SLACK_MS, (now_ms + SLACK_MS) / 1000);
	rc = connection_ask_int(writer, sql, &found);
	*back = found != 0;
	return rc;
}

/* What was used in the future was used now: not forgotten, and over in a day, however often we start till
 * then.
 */
static int bring_usage_near(struct connection *writer, int64_t now_s)
{
	const int64_t part = now_s - now_s % USAGE_PART_S;
	char sql[512];

	(void)snprintf(
		sql, sizeof sql,
		"INSERT INTO outbox_usage (tenant, since, recipients)"
		" SELECT tenant, %" PRId64 ", sum(recipients) FROM outbox_usage WHERE since > %" PRId64
		" GROUP BY tenant"
		" ON CONFLICT (tenant, since) DO UPDATE SET recipients = recipients + excluded.recipients;"
		"DELETE FROM outbox_usage WHERE since > %" PRId64,
		part, part, part);
	return connection_run(writer, sql);
}

static int bring_near(struct connection *writer, int64_t now_ms)
{
	char sql[768];
	int rc = bring_usage_near(writer, now_ms / 1000);

	(void)snprintf(sql, sizeof sql,
	               "UPDATE outbox_status SET updated_at_ms = %" PRId64 ", due_at ="
	               " max(coalesce((SELECT not_before FROM outbox WHERE id = outbox_id), 0),"
	               " %" PRId64 " + max(0, due_at - updated_at_ms / 1000))"
	               " WHERE state IN ('queued', 'deferred') AND updated_at_ms > %" PRId64
	               " AND due_at > %" PRId64,
	               now_ms, now_ms / 1000, now_ms + SLACK_MS, now_ms / 1000);
	return rc == SQLITE_OK ? connection_run(writer, sql) : rc;
}

static int age_stood_still(struct connection *writer, int64_t now_ms, int64_t jumped_ms)
{
	char sql[256];

	(void)snprintf(sql, sizeof sql,
	               "INSERT INTO outbox_suspension (tenant, since_ms, until_ms)"
	               " SELECT name, %" PRId64 ", %" PRId64 " FROM outbox_tenant WHERE enabled = 1",
	               now_ms - jumped_ms, now_ms);
	return connection_run(writer, sql);
}

int storage_mend_times(struct storage *storage, int64_t jumped_ms)
{
	static const char mark[] = "UPDATE outbox_meta SET value = %d WHERE key IN ('daemon', 'trigger')";
	struct connection *writer = &storage->writer;
	int64_t now_ms = clock_wall_ms();
	bool back = jumped_ms < 0;
	char sql[sizeof mark];
	int rc = jumped_ms ? SQLITE_OK : was_set_back(writer, now_ms, &back);

	if (rc != SQLITE_OK || (!back && jumped_ms == 0))
		return rc;
	(void)snprintf(sql, sizeof sql, mark, 1);
	rc = connection_run(writer, sql);
	if (rc == SQLITE_OK)
		rc = back ? bring_near(writer, now_ms) : age_stood_still(writer, now_ms, jumped_ms);
	(void)snprintf(sql, sizeof sql, mark, 0);
	return rc == SQLITE_OK ? connection_run(writer, sql) : rc;
}

enum error storage_clock_jumped(struct storage *storage, int64_t jumped_ms, int64_t deadline_ms,
                                struct words *words)
{
	struct connection *writer = &storage->writer;
	bool busy = atomic_flag_test_and_set(&storage->settling);
	enum error error = OK;
	int rc;

	assert(!busy); /* one thread owns the writing connection */
	error = storage_open_writer(storage, deadline_ms, words);
	if (error != OK)
		goto out;
	rc = connection_run(writer, "BEGIN IMMEDIATE");
	if (rc == SQLITE_OK)
		rc = storage_triggers_run(writer);
	if (rc == SQLITE_OK)
		rc = storage_mend_times(storage, jumped_ms);
	if (rc == SQLITE_OK)
		rc = connection_run(writer, "COMMIT");
	error = connection_error(writer, rc, "cannot follow the clock, which was set", words);
	if (!sqlite3_get_autocommit(writer->db))
		(void)connection_run(writer, "ROLLBACK");
out:
	atomic_flag_clear(&storage->settling);
	return error == OK ? OK : ERROR_UNAVAILABLE;
}
