/*
 * sqlite_look.c - who has something to send, and what: the supervisor's reading.
 *
 * Promises: each look is one read transaction that is over before the verb
 * returns ((a) of "Never twice": no message is seen in two places of one look);
 * costs seeks, not scans, however long a queue is; never writes and never
 * waits for a lock.  Fails with ERROR_UNAVAILABLE and words.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "storage/sqlite_look.h"
#include "storage/sqlite_settle.h"

#define WAITING            "state IN ('queued', 'deferred')"
#define AGED_S             600 /* so long after due_at a message competes as a 9 */
#define PRIORITY_HIGHEST   9
#define PRIORITIES         19

#define ROWS_BETWEEN_RESTS 64

/* Its age: from the later of queued and not_before, less the time for which its tenant was suspended. */
#define AGE_FROM_MS                                                                                          \
	"(max(s.queued_at_ms, coalesce(o.not_before, 0) * 1000) + coalesce(("                                \
	"  SELECT sum(max(0, coalesce(u.until_ms, ?5)"                                                       \
	"    - max(u.since_ms, s.queued_at_ms, coalesce(o.not_before, 0) * 1000)))"                          \
	"  FROM outbox_suspension AS u WHERE u.tenant = s.tenant), 0))"

/* What storage_message_of_row() reads; ?5 is the present moment in ms. */
#define MESSAGE_COLUMNS                                                                                      \
	"s.outbox_id, s.state, s.attempts, s.due_at, s.queued_at_ms, s.requeues,"                            \
	" o.expires_at, " AGE_FROM_MS ", s.priority, s.tenant"

/* INDEXED BY makes a plan that would read a whole queue an error instead. */
const char *const storage_look_sql[LOOK_STATEMENTS] = {
	[LOOK_BEGIN] = "BEGIN",
	[LOOK_COMMIT] = "COMMIT",
	[LOOK_DATA_VERSION] = "PRAGMA data_version",
	[LOOK_LAST_ID] = "SELECT coalesce(max(outbox_id), 0) FROM outbox_status",
	[LOOK_NEW_TENANTS] = "SELECT DISTINCT tenant FROM outbox_status WHERE outbox_id > ?1",
	[LOOK_LAST_SEQ] = "SELECT coalesce(max(seq), 0) FROM outbox_change",
	[LOOK_FEED] = "SELECT c.seq, c.kind, c.key, s.tenant FROM outbox_change AS c"
		      " LEFT JOIN outbox_status AS s ON c.kind = 'message' AND s.outbox_id = c.key"
		      " ORDER BY c.seq LIMIT 10001",
	[LOOK_RETRIES] = "SELECT DISTINCT key FROM outbox_change"
			 " WHERE kind = 'retry' AND seq > ?1 AND seq <= ?2",
	[LOOK_NEXT_TENANT] = "SELECT tenant, due_at FROM outbox_status INDEXED BY outbox_status_due"
			     " WHERE " WAITING " AND tenant > ?1 ORDER BY tenant, due_at LIMIT 1",
	[LOOK_NEXT_PRIORITY] = "SELECT priority FROM outbox_status INDEXED BY outbox_status_waiting"
			       " WHERE " WAITING " AND tenant = ?1 AND priority < ?2"
			       " ORDER BY priority DESC LIMIT 1",
	[LOOK_DUE] = "SELECT " MESSAGE_COLUMNS " FROM outbox_status AS s INDEXED BY outbox_status_waiting"
		     " CROSS JOIN outbox AS o ON o.id = s.outbox_id"
		     " WHERE s." WAITING " AND s.tenant = ?1 AND s.priority = ?2"
		     " AND s.due_at > ?3 AND s.due_at <= ?4"
		     /* asked before the message's own row, which has its text, is read */
		     " AND NOT in_hand(s.outbox_id, s.attempts, s.requeues, s.due_at)"
		     " ORDER BY s.due_at, s.outbox_id",
	[LOOK_NEXT_DUE] = "SELECT due_at FROM outbox_status INDEXED BY outbox_status_due"
			  " WHERE " WAITING " AND tenant = ?1 AND due_at > ?2 ORDER BY due_at LIMIT 1",
	[LOOK_TENANTS] = "SELECT * FROM outbox_tenant ORDER BY name",
	[LOOK_ONE_TENANT] = "SELECT * FROM outbox_tenant WHERE name = ?1",
	[LOOK_COUNT] = "SELECT count(*) FILTER (WHERE state = 'queued'),"
		       " count(*) FILTER (WHERE state = 'deferred'), coalesce(min(due_at), 0)"
		       " FROM outbox_status INDEXED BY outbox_status_due WHERE " WAITING " AND tenant = ?1",
	[LOOK_FIND] = "SELECT " MESSAGE_COLUMNS
		      " FROM outbox_status AS s CROSS JOIN outbox AS o ON o.id = s.outbox_id"
		      " WHERE s.outbox_id = ?1 AND (s." WAITING " OR (?2 AND s.state = 'cancelled'))",
	[LOOK_EXPIRED] = "SELECT " MESSAGE_COLUMNS " FROM outbox_status AS s INDEXED BY outbox_status_due"
			 " CROSS JOIN outbox AS o ON o.id = s.outbox_id WHERE s." WAITING " AND s.tenant = ?1"
			 " AND (o.expires_at <= ?2 OR (s.queued_at_ms <= ?3 AND " AGE_FROM_MS " <= ?3))",
	[LOOK_USAGE] = "SELECT since, recipients FROM outbox_usage WHERE tenant = ?1",
	[LOOK_SCHEMA] = "PRAGMA schema_version",
};

/* in_hand(id, attempts, requeues, due_at) of the look that is under way. */
static void in_hand(sqlite3_context *context, int count, sqlite3_value **values)
{
	const struct storage *storage = sqlite3_user_data(context);
	const struct storage_due_query *query = storage->look_query;
	const struct storage_try row = { .id = sqlite3_value_int64(values[0]),
		                         .attempts = sqlite3_value_int(values[1]),
		                         .requeue = sqlite3_value_int(values[2]),
		                         .due_at = sqlite3_value_int64(values[3]) };

	assert(count == 4);
	(void)count;
	sqlite3_result_int(context, query->in_hand(query->context, &row));
}

enum error storage_look_init(struct storage *storage, struct words *words)
{
	int rc = sqlite3_create_function_v2(storage->look.db, "in_hand", 4, SQLITE_UTF8 | SQLITE_DIRECTONLY,
	                                    storage, in_hand, NULL, NULL, NULL);

	return connection_error(&storage->look, rc, "cannot prepare to look for mail", words);
}

struct connection *storage_look_begin(struct storage *storage, int *rc)
{
	storage_assert_home(storage);
	storage->look.deadline_ms = clock_monotonic_ms();
	*rc = connection_read_begin(&storage->look);
	return &storage->look;
}

/* What a scan found: told after its transaction is over. */
struct found {
	char *tenant;
	int64_t earliest;
};

enum error storage_scan(struct storage *storage, storage_due_each *each, void *context, struct words *words)
{
	struct found *found = NULL;
	size_t count = 0;
	int rc;
	struct connection *look = storage_look_begin(storage, &rc);
	bool more = rc == SQLITE_OK;

	while (more) {
		struct statement next = statement_begin(look, LOOK_NEXT_TENANT);

		/* '' is below every name; statement_text() would make it NULL */
		if (next.rc == SQLITE_OK)
			next.rc = sqlite3_bind_text(next.stmt, 1, count ? found[count - 1].tenant : "", -1,
			                            SQLITE_STATIC);
		more = statement_row(&next);
		if (more) {
			if ((count & (count - 1)) == 0)
				found = memory_resize(found, (count ? 2 * count : 1) * sizeof *found);
			found[count].tenant = statement_column(&next, 0);
			found[count++].earliest = sqlite3_column_int64(next.stmt, 1);
		}
		rc = statement_end(&next);
	}
	rc = connection_read_end(look, rc);
	for (size_t i = 0; i < count; i++) {
		if (rc == SQLITE_OK)
			each(context, found[i].tenant, found[i].earliest);
		free(found[i].tenant);
	}
	free(found);
	if (rc == SQLITE_OK && !storage_file_is_wal(storage->file)) {
		words_set(words, "%s is no longer in WAL mode: run outboxctl init --wal",
		          storage_file_path(storage->file));
		return ERROR_UNAVAILABLE;
	}
	return connection_error(look, rc, "cannot look for mail that is due", words);
}

/* A look at one tenant: messages in the order in which they shall go. */
struct due_look {
	struct connection *connection;
	const struct storage_due_query *query;
	int priorities[PRIORITIES]; /* those that the tenant's queue has, highest first */
	int priority_count;
	struct message **messages;
	size_t count;
};

static int find_priorities(struct due_look *look)
{
	int64_t below = PRIORITY_HIGHEST + 1;
	bool more = true;
	int rc = SQLITE_OK;

	while (more && rc == SQLITE_OK && look->priority_count < PRIORITIES) {
		struct statement next = statement_begin(look->connection, LOOK_NEXT_PRIORITY);

		statement_text(&next, 1, look->query->tenant);
		statement_int(&next, 2, below);
		more = statement_row(&next);
		if (more) {
			below = sqlite3_column_int64(next.stmt, 0);
			look->priorities[look->priority_count++] = (int)below;
		}
		rc = statement_end(&next);
	}
	return rc;
}

struct message *storage_message_of_row(struct statement *row)
{
	struct message *message = message_create(sqlite3_column_int64(row->stmt, 0),
	                                         (const char *)sqlite3_column_text(row->stmt, 9));
	bool known = message_state_parse((const char *)sqlite3_column_text(row->stmt, 1), &message->state);

	assert(known); /* the statements ask for some of them by name */
	(void)known;
	message->attempts = sqlite3_column_int(row->stmt, 2);
	message->due_at = sqlite3_column_int64(row->stmt, 3);
	message->queued_at_ms = sqlite3_column_int64(row->stmt, 4);
	message->requeue = sqlite3_column_int(row->stmt, 5);
	message->expires_at = sqlite3_column_int64(row->stmt, 6);
	message->age_from_s = sqlite3_column_int64(row->stmt, 7) / 1000;
	message->priority = sqlite3_column_int(row->stmt, 8);
	return message;
}

/* Up to limit messages of one priority that became due after one second and not after another. */
static int add_due(struct due_look *look, int priority, int64_t after, int64_t until, size_t limit)
{
	struct statement row = statement_begin(look->connection, LOOK_DUE);
	size_t most = look->count + limit;

	statement_text(&row, 1, look->query->tenant);
	statement_int(&row, 2, priority);
	statement_int(&row, 3, after);
	statement_int(&row, 4, until);
	statement_int(&row, 5, look->query->now * 1000);
	while (look->count < most && statement_row(&row))
		look->messages[look->count++] = storage_message_of_row(&row);
	return statement_end(&row);
}

static int compare_due(const void *a, const void *b)
{
	const struct message *left = *(struct message *const *)a;
	const struct message *right = *(struct message *const *)b;

	if (left->due_at != right->due_at)
		return left->due_at < right->due_at ? -1 : 1;
	return (left->id > right->id) - (left->id < right->id);
}

static void drop_beyond(struct due_look *look, size_t limit)
{
	while (look->count > limit)
		message_destroy(&look->messages[--look->count]);
}

/* First all that competes as a 9, aged ones among it, by due time; then the others, priority by priority. */
static int look_at_tenant(struct due_look *look)
{
	int64_t now = look->query->now;
	size_t limit = (size_t)look->query->limit;
	int rc = find_priorities(look);

	look->messages = memory_alloc(limit * (size_t)(look->priority_count + 1) * sizeof *look->messages);
	/* of one priority the aged ones come first by themselves */
	if (look->priority_count == 1 && rc == SQLITE_OK)
		return add_due(look, look->priorities[0], INT64_MIN, now, limit);
	for (int i = 0; i < look->priority_count && rc == SQLITE_OK; i++)
		rc = add_due(look, look->priorities[i], INT64_MIN,
		             look->priorities[i] == PRIORITY_HIGHEST ? now : now - AGED_S, limit);
	if (look->count > 0)
		qsort(look->messages, look->count, sizeof look->messages[0], compare_due);
	drop_beyond(look, limit);
	for (int i = 0; i < look->priority_count && rc == SQLITE_OK && look->count < limit; i++)
		if (look->priorities[i] != PRIORITY_HIGHEST)
			rc = add_due(look, look->priorities[i], now - AGED_S, now, limit - look->count);
	return rc;
}

static int find_next_due(struct due_look *look, int64_t *next_due)
{
	struct statement next = statement_begin(look->connection, LOOK_NEXT_DUE);

	statement_text(&next, 1, look->query->tenant);
	statement_int(&next, 2, look->query->now);
	*next_due = statement_row(&next) ? sqlite3_column_int64(next.stmt, 0) : INT64_MAX;
	return statement_end(&next);
}

enum error storage_due(struct storage *storage, const struct storage_due_query *query,
                       struct queue_link **first, int64_t *next_due, struct words *words)
{
	struct due_look look = { .query = query };
	int rc;

	assert(query->limit >= 0);
	*first = NULL;
	*next_due = INT64_MAX;
	look.connection = storage_look_begin(storage, &rc);
	storage->look_query = query;
	if (rc == SQLITE_OK)
		rc = look_at_tenant(&look);
	storage->look_query = NULL;
	if (rc == SQLITE_OK)
		rc = find_next_due(&look, next_due);
	rc = connection_read_end(look.connection, rc);
	if (rc != SQLITE_OK)
		drop_beyond(&look, 0);
	while (look.count > 0) {
		struct message *message = look.messages[--look.count];

		message->link.next = *first;
		*first = &message->link;
	}
	free(look.messages);
	return connection_error(look.connection, rc, "cannot look for a tenant's mail", words);
}

enum error storage_tenants(struct storage *storage, const char *name, storage_tenant_each *each,
                           void *context, struct words *words)
{
	struct tenant_settings **all = NULL;
	size_t count = 0, rows = 0;
	enum error invalid = OK;
	int rc;
	struct connection *look = storage_look_begin(storage, &rc);

	if (rc == SQLITE_OK) {
		struct statement row = statement_begin(look, name ? LOOK_ONE_TENANT : LOOK_TENANTS);

		if (name)
			statement_text(&row, 1, name);
		for (; statement_row(&row); rows++) {
			if ((count & (count - 1)) == 0)
				all = memory_resize(all, (count ? 2 * count : 1) *
				                                 sizeof(struct tenant_settings *));
			/* Between thousands of settings the pages that were read would leave as many holes.
			 */
			if (rows % ROWS_BETWEEN_RESTS == ROWS_BETWEEN_RESTS - 1)
				(void)sqlite3_db_release_memory(look->db);
			/* One bad row costs nobody else anything. */
			all[count] = storage_settings_of_row(&row, words);
			if (all[count]) {
				all[count] = tenant_settings_pack(all[count]);
				count++;
			} else {
				invalid = ERROR_INVALID;
			}
		}
		rc = statement_end(&row);
	}
	rc = connection_read_end(look, rc);
	for (size_t i = 0; i < count; i++) {
		if (rc == SQLITE_OK)
			each(context, all[i]);
		else
			tenant_settings_release(&all[i]);
	}
	free(all);
	if (rc != SQLITE_OK)
		return connection_error(look, rc, "cannot read the tenants", words);
	if (name && rows == 0) {
		words_set(words, "there is no tenant %s", name);
		return ERROR_NOT_FOUND;
	}
	return invalid;
}

enum error storage_count(struct storage *storage, const char *tenant, struct storage_counts *counts,
                         struct words *words)
{
	int rc;
	struct connection *look = storage_look_begin(storage, &rc);

	memset(counts, 0, sizeof *counts);
	if (rc == SQLITE_OK) {
		struct statement row = statement_begin(look, LOOK_COUNT);

		statement_text(&row, 1, tenant);
		if (statement_row(&row)) {
			counts->queued = sqlite3_column_int64(row.stmt, 0);
			counts->deferred = sqlite3_column_int64(row.stmt, 1);
			counts->oldest_due_at = sqlite3_column_int64(row.stmt, 2);
		}
		rc = statement_end(&row);
	}
	rc = connection_read_end(look, rc);
	return connection_error(look, rc, "cannot count a tenant's mail", words);
}

enum error storage_usage(struct storage *storage, const char *tenant, storage_usage_each *each, void *context,
                         struct words *words)
{
	int rc;
	struct connection *look = storage_look_begin(storage, &rc);
	const int64_t now_s = storage_usage_s(storage);

	if (rc == SQLITE_OK) {
		struct statement row = statement_begin(look, LOOK_USAGE);

		statement_text(&row, 1, tenant);
		while (statement_row(&row))
			each(context, now_s - sqlite3_column_int64(row.stmt, 0),
			     sqlite3_column_int64(row.stmt, 1));
		rc = statement_end(&row);
	}
	rc = connection_read_end(look, rc);
	return connection_error(look, rc, "cannot read what a tenant has sent within a day", words);
}

void storage_look_rest(struct storage *storage)
{
	storage_assert_home(storage);
	(void)sqlite3_db_release_memory(storage->look.db);
}
