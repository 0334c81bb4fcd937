/*
 * sqlite_rules.c - our triggers, views and indexes, should somebody have dropped one. See rules.h.
 *
 * Promises: what is found is compared with storage/schema.sql, word for word, and made again
 * before anything else; a message that was committed without a row in outbox_status gets one, and
 * then goes the way of each draft that is changed, so that its rules are asked as at the door: it is
 * queued, stays a draft, or fails with the rule's sentence. What an outbox is known to have been well
 * at is SQLite's count of the changes of its schema, in outbox_meta 'rules'.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "storage/migrate.h"
#include "storage/rules.h"
#include "storage/schema_sql.h"
#include "storage/sqlite_settle.h"

#define ADOPT_MOST 32    /* messages a commit */
#define LOOK_MOST  10000 /* rows of outbox that are looked at for them */

/* Views before triggers, which belong to them. Of the indexes those that have words of their own. */
#define OURS "SELECT type, name, sql FROM sqlite_master WHERE sql <> '' AND type IN "
static const char *const kinds[] = { OURS "('view', 'index')", OURS "('trigger')" };

/* Without a row; or with all its attachments, and still a draft. ?1: up to which one it was looked, ?2: to.
 */
#define ASTRAY                                                                                               \
	" FROM outbox AS o LEFT JOIN outbox_status AS s ON s.outbox_id = o.id"                               \
	" WHERE o.id > ?1 AND o.id <= ?2 AND (s.outbox_id IS NULL"                                           \
	" OR (s.state = 'draft' AND o.draft = 0"                                                             \
	" AND o.attachments = (SELECT count(*) FROM outbox_attachment WHERE outbox_id = o.id)))"
#define NOW_MS "(SELECT ms FROM outbox_now)"

enum adopting { ADOPT_MARK, ADOPT_DEFAULTS, ADOPT_ROW, ADOPT_RULES, ADOPT_FAILED, ADOPT_STATEMENTS };
static const char *const adopt_sql[ADOPT_STATEMENTS] = {
	[ADOPT_MARK] = "UPDATE outbox_meta SET value = ?1 WHERE key = 'trigger'",
	/* the rules compare an earlier value that was NULL or '' with what it stands for */
	[ADOPT_DEFAULTS] = "UPDATE outbox SET draft = coalesce(nullif(draft, ''), 0)"
			   " WHERE id = ?1 AND coalesce(draft, '') = ''",
	[ADOPT_ROW] = "INSERT INTO outbox_status (outbox_id, tenant, priority, state, attempts,"
		      " created_at_ms, updated_at_ms, requeues)"
		      " SELECT id, tenant, coalesce(nullif(priority, ''), 0), 'draft', 0, " NOW_MS ", " NOW_MS
		      ", 0 FROM outbox WHERE id = ?1",
	[ADOPT_RULES] = "UPDATE outbox SET draft = draft WHERE id = ?1",
	[ADOPT_FAILED] = "UPDATE outbox_status SET state = 'failed', result = ?2, finished_at_ms = " NOW_MS
			 ", updated_at_ms = " NOW_MS " WHERE outbox_id = ?1",
};

struct mending {
	sqlite3 *db;
	sqlite3 *model; /* in memory: what a new file has */
	struct storage_rules *rules;
	sqlite3_stmt *adopt[ADOPT_STATEMENTS];
};

/* ---- the rules --------------------------------------------------------------- */

static int open_model(sqlite3 **model)
{
	int rc = sqlite3_open_v2(":memory:", model,
	                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);

	return rc == SQLITE_OK ? sqlite3_exec(*model, storage_schema_sql, NULL, NULL, NULL) : rc;
}

/* What the file has under the name of a row of ours: *missing, or *other words. */
static int compare(sqlite3 *db, sqlite3_stmt *ours, bool *missing, bool *other)
{
	sqlite3_stmt *theirs;
	int rc = sqlite3_prepare_v2(db, "SELECT type = ?1 AND sql = ?3 FROM sqlite_master WHERE name = ?2",
	                            -1, &theirs, NULL);

	*missing = *other = false;
	if (rc != SQLITE_OK)
		return rc;
	for (int i = 0; i < 3; i++)
		(void)sqlite3_bind_value(theirs, i + 1, sqlite3_column_value(ours, i));
	if (sqlite3_step(theirs) == SQLITE_ROW)
		*other = sqlite3_column_int(theirs, 0) == 0;
	else
		*missing = true;
	return sqlite3_finalize(theirs);
}

static const char *text_of(sqlite3_stmt *row, int column)
{
	return (const char *)sqlite3_column_text(row, column);
}

static void note(struct storage_rules *rules, sqlite3_stmt *ours, bool missing)
{
	size_t length = strlen(rules->which.text);

	if (++rules->restored <= 3)
		(void)snprintf(rules->which.text + length, sizeof rules->which.text - length, "%s%s %s %s",
		               length ? ", " : "", text_of(ours, 0), text_of(ours, 1),
		               missing ? "was dropped" : "was changed");
	else if (rules->restored == 4)
		(void)snprintf(rules->which.text + length, sizeof rules->which.text - length, ", and others");
}

static int make_again(struct mending *mending, sqlite3_stmt *ours, bool missing)
{
	char sql[160];
	int rc = SQLITE_OK;

	if (!missing) {
		(void)snprintf(sql, sizeof sql, "DROP %s %s", text_of(ours, 0), text_of(ours, 1));
		rc = sqlite3_exec(mending->db, sql, NULL, NULL, NULL);
	}
	return rc == SQLITE_OK ? sqlite3_exec(mending->db, text_of(ours, 2), NULL, NULL, NULL) : rc;
}

/* All that differ are noted, and made again if mend is set. */
static int each_rule(struct mending *mending, bool mend)
{
	int rc = SQLITE_OK;

	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] && rc == SQLITE_OK; i++) {
		sqlite3_stmt *ours;
		bool missing, other;

		rc = sqlite3_prepare_v2(mending->model, kinds[i], -1, &ours, NULL);
		while (rc == SQLITE_OK && sqlite3_step(ours) == SQLITE_ROW) {
			rc = compare(mending->db, ours, &missing, &other);
			if (rc != SQLITE_OK || !(missing || other))
				continue;
			note(mending->rules, ours, missing);
			if (mend)
				rc = make_again(mending, ours, missing);
		}
		sqlite3_finalize(ours);
	}
	return rc;
}

/* ---- messages that were committed without them ------------------------------- */

static int run(struct mending *mending, enum adopting number, int64_t id, const char *text)
{
	sqlite3_stmt **stmt = &mending->adopt[number];
	int rc = SQLITE_OK;

	if (!*stmt)
		rc = sqlite3_prepare_v2(mending->db, adopt_sql[number], -1, stmt, NULL);
	if (rc != SQLITE_OK)
		return rc;
	(void)sqlite3_bind_int64(*stmt, 1, id);
	if (text)
		(void)sqlite3_bind_text(*stmt, 2, text, -1, SQLITE_TRANSIENT);
	(void)sqlite3_step(*stmt);
	return sqlite3_reset(*stmt);
}

/* A row of its own, as a draft. */
static int make_row(struct mending *mending, int64_t id)
{
	int rc = run(mending, ADOPT_MARK, 1, NULL);

	if (rc == SQLITE_OK)
		rc = run(mending, ADOPT_DEFAULTS, id, NULL);
	if (rc == SQLITE_OK)
		rc = run(mending, ADOPT_ROW, id, NULL);
	return rc == SQLITE_OK ? run(mending, ADOPT_MARK, 0, NULL) : rc;
}

static int fail(struct mending *mending, int64_t id, const char *why)
{
	struct storage_rules *rules = mending->rules;
	int rc;

	if (rules->refused++ == 0)
		words_set(&rules->why, "message %lld: %s", (long long)id, why);
	rc = run(mending, ADOPT_MARK, 1, NULL);
	if (rc == SQLITE_OK)
		rc = run(mending, ADOPT_FAILED, id, why);
	return rc == SQLITE_OK ? run(mending, ADOPT_MARK, 0, NULL) : rc;
}

static int adopt(struct mending *mending, int64_t id, bool has_row)
{
	struct words why = { "id is given by the database: leave it out" };
	int rc = has_row ? SQLITE_OK : make_row(mending, id);
	bool refused = id < 1;

	if (rc == SQLITE_OK && !refused)
		rc = run(mending, ADOPT_RULES, id, NULL);
	if ((rc & 0xff) == SQLITE_CONSTRAINT && !sqlite3_get_autocommit(mending->db)) {
		words_set(&why, "%s", sqlite3_errmsg(mending->db));
		refused = true;
		rc = SQLITE_OK;
	}
	if (rc != SQLITE_OK || (has_row && refused))
		return rc; /* a draft with a row of its own stays one, and its application may change it */
	mending->rules->adopted++;
	return refused ? fail(mending, id, why.text) : SQLITE_OK;
}

struct astray {
	int64_t id;
	bool has_row;
};

/* The next messages that went astray, and up to which id it was looked (INT64_MAX: to the last). */
static int look_for_them(struct mending *mending, struct astray *astray, int *count, int64_t *up_to)
{
	sqlite3_stmt *row;
	int rc = sqlite3_prepare_v2(mending->db,
	                            "SELECT max(id), count(*) FROM (SELECT id FROM outbox WHERE id > ?1"
	                            " ORDER BY id LIMIT ?2)",
	                            -1, &row, NULL);

	*count = 0;
	*up_to = INT64_MAX;
	if (rc != SQLITE_OK)
		return rc;
	(void)sqlite3_bind_int64(row, 1, mending->rules->after_id);
	(void)sqlite3_bind_int(row, 2, LOOK_MOST);
	if (sqlite3_step(row) == SQLITE_ROW && sqlite3_column_int(row, 1) == LOOK_MOST)
		*up_to = sqlite3_column_int64(row, 0);
	rc = sqlite3_finalize(row);
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(mending->db,
		                        "SELECT o.id, s.outbox_id IS NOT NULL" ASTRAY " ORDER BY o.id", -1,
		                        &row, NULL);
	if (rc != SQLITE_OK)
		return rc;
	(void)sqlite3_bind_int64(row, 1, mending->rules->after_id);
	(void)sqlite3_bind_int64(row, 2, *up_to);
	while (*count < ADOPT_MOST && sqlite3_step(row) == SQLITE_ROW)
		astray[(*count)++] = (struct astray){ sqlite3_column_int64(row, 0),
			                              sqlite3_column_int(row, 1) != 0 };
	rc = sqlite3_finalize(row);
	if (*count == ADOPT_MOST)
		*up_to = astray[*count - 1].id;
	return rc;
}

static int adopt_some(struct mending *mending)
{
	struct astray astray[ADOPT_MOST];
	int64_t up_to;
	int count, rc = look_for_them(mending, astray, &count, &up_to);

	for (int i = 0; i < count && rc == SQLITE_OK; i++)
		rc = adopt(mending, astray[i].id, astray[i].has_row);
	for (int i = 0; i < ADOPT_STATEMENTS; i++)
		sqlite3_finalize(mending->adopt[i]);
	mending->rules->after_id = up_to;
	mending->rules->more = up_to != INT64_MAX;
	return rc;
}

/* ---- the transaction --------------------------------------------------------- */

static int ask_both(struct connection *connection, int64_t *now, int64_t *well)
{
	int rc = connection_ask_int(connection, "PRAGMA schema_version", now);

	*well = -1;
	return rc == SQLITE_OK ? connection_ask_int(connection,
	                                            "SELECT value FROM outbox_meta WHERE key = 'rules'", well)
	                       : rc;
}

static int remember(struct connection *writer)
{
	char sql[120];
	int64_t now = 0;
	int rc = connection_ask_int(writer, "PRAGMA schema_version", &now);

	(void)snprintf(sql, sizeof sql,
	               "INSERT OR REPLACE INTO outbox_meta (key, value) VALUES ('rules', %lld)",
	               (long long)now);
	return rc == SQLITE_OK ? connection_run(writer, sql) : rc;
}

static enum error check_version(struct storage *storage, int *rc, struct words *words)
{
	int64_t version = 0;

	*rc = connection_ask_int(&storage->writer,
	                         "SELECT value FROM outbox_meta WHERE key = 'schema_version'", &version);
	if (*rc != SQLITE_OK || version == STORAGE_SCHEMA_VERSION)
		return OK;
	words_set(words,
	          "%s has schema version %lld now, and this program's is %d: its rules are left as they are",
	          storage_file_path(storage->file), (long long)version, STORAGE_SCHEMA_VERSION);
	return ERROR_REFUSED;
}

static enum error mend(struct storage *storage, struct storage_rules *rules, struct words *words)
{
	struct connection *writer = &storage->writer;
	struct mending mending = { .db = writer->db, .rules = rules };
	int rc = open_model(&mending.model); /* not under the lock */
	int64_t began_us = storage_now_us();
	int restored = rules->restored;
	enum error error = OK;

	if (rc == SQLITE_OK)
		rc = connection_run(writer, "BEGIN IMMEDIATE");
	if (rc == SQLITE_OK)
		began_us = storage_now_us();
	if (rc == SQLITE_OK)
		rc = storage_triggers_run(writer);
	if (rc == SQLITE_OK)
		error = check_version(storage, &rc, words);
	if (rc == SQLITE_OK && error == OK)
		rc = each_rule(&mending, true);
	if (rules->restored > restored) /* meanwhile: from the beginning */
		rules->after_id = INT64_MIN;
	if (rc == SQLITE_OK && error == OK)
		rc = adopt_some(&mending);
	if (rc == SQLITE_OK && error == OK && !rules->more)
		rc = remember(writer);
	if (rc == SQLITE_OK && error == OK)
		rc = connection_run(writer, "COMMIT");
	storage_lock_held(storage, began_us);
	(void)sqlite3_close(mending.model);
	if (error == OK && rc != SQLITE_OK) {
		(void)connection_error(writer, rc, "cannot make the rules of the tables again", words);
		error = ERROR_UNAVAILABLE;
	}
	if (!sqlite3_get_autocommit(writer->db))
		(void)connection_run(writer, "ROLLBACK");
	return error;
}

enum error storage_rules_mend(struct storage *storage, struct storage_rules *rules, int64_t deadline_ms,
                              struct words *words)
{
	struct connection *writer = &storage->writer;
	bool busy = atomic_flag_test_and_set(&storage->settling);
	struct storage_rules before = *rules;
	int64_t now, well;
	enum error error = OK;
	int rc;

	assert(!busy); /* one thread owns the writing connection */
	error = storage_open_writer(storage, deadline_ms, words);
	if (error != OK)
		goto out;
	rc = ask_both(writer, &now, &well);
	error = connection_error(writer, rc, "cannot ask whether the schema was changed", words);
	if (error != OK || (now == well && !rules->more))
		goto out;
	if (!rules->begun)
		rules->after_id = INT64_MIN;
	rules->begun = true;
	error = storage_wait_for_gap(storage, deadline_ms, words);
	if (error == OK)
		error = mend(storage, rules, words);
	if (error != OK)
		*rules = before;
out:
	atomic_flag_clear(&storage->settling);
	return error == OK || error == ERROR_REFUSED ? error : ERROR_UNAVAILABLE;
}

bool rules_differ(struct connection *connection, int *rc, struct words *words)
{
	struct storage_rules rules = { 0 };
	struct mending mending = { .db = connection->db, .rules = &rules };
	int64_t now, well, astray = 0;

	*rc = ask_both(connection, &now, &well);
	if (*rc != SQLITE_OK || now == well)
		return false;
	*rc = open_model(&mending.model);
	if (*rc == SQLITE_OK)
		*rc = each_rule(&mending, false);
	(void)sqlite3_close(mending.model);
	if (*rc == SQLITE_OK)
		*rc = connection_ask_int(connection,
		                         "SELECT count(*) FROM outbox AS o WHERE NOT EXISTS"
		                         " (SELECT 1 FROM outbox_status WHERE outbox_id = o.id)",
		                         &astray);
	if (*rc != SQLITE_OK || (rules.restored == 0 && astray == 0))
		return false;
	words_set(words,
	          "%s%smessages without a row in outbox_status: %lld; outboxd mends this while it runs",
	          rules.which.text, rules.restored ? "; " : "", (long long)astray);
	return true;
}
