/*
 * sqlite_clock.c - what a wall clock that was set leaves behind in the table.
 *
 * Promises: nothing waits for a clock that was set back to come round again: what was
 * last written in the future is due as long after now as it was after then.  Nothing
 * grows old by a clock that was set forward: that time counts as if every tenant had
 * been suspended.  What was used of a day (recipients_per_day) was used as long before
 * now as it was before then: a day is 24 hours, whatever the clock says, and until the
 * table follows it is counted by the clock of before.  What was decided by the clock of
 * before and is recorded by the new one is found too (sqlite_settle.c).  not_before and
 * expires_at are the application's own words and stay.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "common/clock.h"
#include "storage/sqlite_settle.h"

#define USAGE_PART_S 900 /* recipients are counted by quarters of an hour */

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
	               now_ms + CLOCK_SLACK_MS, (now_ms + CLOCK_SLACK_MS) / 1000);
	rc = connection_ask_int(writer, sql, &found);
	*back = found != 0;
	return rc;
}

static int64_t usage_s(int64_t ahead_ms)
{
	return (clock_boot_ms() + ahead_ms) / 1000;
}

int64_t storage_usage_s(const struct storage *storage)
{
	return usage_s(atomic_load(&storage->usage_ahead_ms));
}

static int64_t part_of(int64_t now_s)
{
	return now_s - now_s % USAGE_PART_S;
}

int64_t storage_usage_part_s(const struct storage *storage)
{
	return part_of(storage_usage_s(storage));
}

/*
 * How many parts outbox_usage is behind the wall clock, rounded up from what a clock is kept right by: after
 * a restart, when the two are the same, nothing is older than it is. The rest does not add up over several
 * jumps, since its clock is moved with it.
 */
static int64_t usage_parts_behind(const struct storage *storage)
{
	const int64_t part_ms = USAGE_PART_S * 1000;
	int64_t behind_ms = clock_wall_ahead_ms() - atomic_load(&storage->usage_ahead_ms) - CLOCK_SLACK_MS;
	int64_t parts = behind_ms / part_ms;

	return behind_ms > parts * part_ms ? parts + 1 : parts;
}

/* By way of numbers that no part has, since one row may come where another still is. */
static int move_usage(struct connection *writer, int64_t parts)
{
	char sql[256];

	if (parts == 0)
		return SQLITE_OK;
	(void)snprintf(sql, sizeof sql,
	               "UPDATE outbox_usage SET since = -(since + %" PRId64 ");"
	               "UPDATE outbox_usage SET since = -since",
	               parts * USAGE_PART_S);
	return connection_run(writer, sql);
}

/* What was used in the future was used now: not forgotten, and over in a day, however often we start till
 * then.
 */
static int bring_usage_near(struct connection *writer, int64_t now_s)
{
	const int64_t part = part_of(now_s);
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

	(void)snprintf(sql, sizeof sql,
	               "UPDATE outbox_status SET updated_at_ms = %" PRId64 ", due_at ="
	               " max(coalesce((SELECT not_before FROM outbox WHERE id = outbox_id), 0),"
	               " %" PRId64 " + max(0, due_at - updated_at_ms / 1000))"
	               " WHERE state IN ('queued', 'deferred') AND updated_at_ms > %" PRId64
	               " AND due_at > %" PRId64,
	               now_ms, now_ms / 1000, now_ms + CLOCK_SLACK_MS, now_ms / 1000);
	return connection_run(writer, sql);
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

static int mark(struct connection *writer, int value)
{
	static const char sql[] = "UPDATE outbox_meta SET value = %d WHERE key IN ('daemon', 'trigger')";
	char text[sizeof sql];

	(void)snprintf(text, sizeof text, sql, value);
	return connection_run(writer, text);
}

/* Between the marks by which triggers know us. */
static int mend(struct connection *writer, int64_t jumped_ms, int64_t usage_parts, int64_t usage_ahead_ms)
{
	int64_t now_ms = clock_wall_ms();
	int rc = mark(writer, 1);

	if (rc == SQLITE_OK)
		rc = move_usage(writer, usage_parts);
	/* Also where it was set forward in the end: it may have been further ahead before. */
	if (rc == SQLITE_OK)
		rc = bring_usage_near(writer, usage_s(usage_ahead_ms));
	if (rc == SQLITE_OK)
		rc = bring_near(writer, now_ms);
	if (rc == SQLITE_OK && jumped_ms > 0)
		rc = age_stood_still(writer, now_ms, jumped_ms);
	return rc == SQLITE_OK ? mark(writer, 0) : rc;
}

int storage_mend_times(struct storage *storage)
{
	int64_t ahead_ms = clock_wall_ahead_ms();
	bool back = false;
	int rc = was_set_back(&storage->writer, clock_wall_ms(), &back);

	atomic_store(&storage->usage_ahead_ms, ahead_ms);
	return rc == SQLITE_OK && back ? mend(&storage->writer, 0, 0, ahead_ms) : rc;
}

enum error storage_clock_jumped(struct storage *storage, int64_t jumped_ms, int64_t deadline_ms,
                                struct words *words)
{
	struct connection *writer = &storage->writer;
	bool busy = atomic_flag_test_and_set(&storage->settling);
	int64_t parts = usage_parts_behind(storage);
	int64_t ahead_ms = atomic_load(&storage->usage_ahead_ms) + parts * USAGE_PART_S * 1000;
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
		rc = mend(writer, jumped_ms, parts, ahead_ms);
	if (rc == SQLITE_OK)
		rc = connection_run(writer, "COMMIT");
	if (rc == SQLITE_OK)
		atomic_store(&storage->usage_ahead_ms, ahead_ms);
	error = connection_error(writer, rc, "cannot follow the clock, which was set", words);
	if (!sqlite3_get_autocommit(writer->db))
		(void)connection_run(writer, "ROLLBACK");
out:
	atomic_flag_clear(&storage->settling);
	return error == OK ? OK : ERROR_UNAVAILABLE;
}
