/*
 * migrate.c - makes our tables in a file, or brings an older schema to the present one.
 *
 * Promises: one transaction, all or nothing; a newer schema and names that are
 * not ours are refused before anything is written; what a migration made is
 * compared with what a new file has before it is committed; user_version,
 * application_id and whatever else belongs to the owner of the file are never touched.
 *
 * Triggers and views are never changed by a step: those of the present version
 * are dropped and made again from schema.sql, loaded into memory, so that rules
 * stand in one place and a step moves tables and rows alone.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/migrate.h"
#include "storage/schema_sql.h"

enum found { FOUND_NOTHING, FOUND_OURS, FOUND_NOT_OURS, FOUND_OTHER_ENCODING };

struct schema {
	enum found found;
	int version;      /* of ours */
	char detail[200]; /* the name that is not ours, the encoding */
};

struct migration {
	sqlite3 *db;
	sqlite3 *model; /* in memory: what a new file has */
	const char *path;
	const struct migration_step *steps;
	size_t count;
	bool may_create;
	struct words *words;
};

static enum error failed(const struct migration *migration, const char *doing)
{
	int rc = sqlite3_errcode(migration->db);

	words_set(migration->words, "%s: %s: %s", migration->path, doing, sqlite3_errmsg(migration->db));
	switch (rc & 0xff) {
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH: return ERROR_PERMISSION;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_FULL:
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
	case SQLITE_NOMEM:
	case SQLITE_INTERRUPT: return ERROR_UNAVAILABLE;
	default: return ERROR_REFUSED;
	}
}

static enum error run(const struct migration *migration, const char *doing, const char *sql)
{
	if (sqlite3_exec(migration->db, sql, NULL, NULL, NULL) == SQLITE_OK)
		return OK;
	return failed(migration, doing);
}

/* The first value of the first row, "" if there is none. */
static enum error ask(const struct migration *migration, const char *sql, char *value, size_t size)
{
	sqlite3_stmt *stmt;

	value[0] = '\0';
	if (sqlite3_prepare_v2(migration->db, sql, -1, &stmt, NULL) != SQLITE_OK)
		return failed(migration, "reading the schema");
	if (sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_type(stmt, 0) != SQLITE_NULL)
		(void)snprintf(value, size, "%s", (const char *)sqlite3_column_text(stmt, 0));
	return sqlite3_finalize(stmt) == SQLITE_OK ? OK : failed(migration, "reading the schema");
}

/* ---- what a file has ------------------------------------------------------ */

static enum error look_for_version(const struct migration *migration, struct schema *schema)
{
	char text[32];
	enum error error = ask(
		migration,
		"SELECT value FROM outbox_meta WHERE key = 'schema_version' AND value NOT GLOB '*[^0-9]*'"
		" AND length(value) BETWEEN 1 AND 9",
		text, sizeof text);

	if (error != OK || *text == '\0')
		return error;
	schema->found = FOUND_OURS;
	schema->version = (int)strtol(text, NULL, 10);
	return OK;
}

static enum error look(const struct migration *migration, struct schema *schema)
{
	char meta[8];
	enum error error;

	schema->version = -1;
	schema->found = FOUND_NOT_OURS;
	/* key and value: somebody else's outbox_meta would make the next question an error */
	error = ask(migration,
	            "SELECT 1 FROM pragma_table_info('outbox_meta') WHERE name IN ('key', 'value')"
	            " GROUP BY 1 HAVING count(*) = 2",
	            meta, sizeof meta);
	if (error == OK && *meta)
		error = look_for_version(migration, schema);
	if (error != OK || schema->found == FOUND_OURS)
		return error;
	error = ask(migration,
	            "SELECT type || ' ' || name FROM sqlite_master WHERE lower(substr(name, 1, 6)) = 'outbox'"
	            " ORDER BY name LIMIT 1",
	            schema->detail, sizeof schema->detail);
	if (error != OK || *schema->detail)
		return error;
	error = ask(migration, "PRAGMA encoding", schema->detail, sizeof schema->detail);
	schema->found = strcmp(schema->detail, "UTF-8") == 0 ? FOUND_NOTHING : FOUND_OTHER_ENCODING;
	return error;
}

static const struct migration_step *step_from(const struct migration *migration, int version)
{
	for (size_t i = 0; i < migration->count; i++)
		if (migration->steps[i].from == version)
			return &migration->steps[i];
	return NULL;
}

static bool has_way(const struct migration *migration, int version)
{
	while (version < STORAGE_SCHEMA_VERSION && step_from(migration, version))
		version++;
	return version == STORAGE_SCHEMA_VERSION;
}

/* OK: there is something to do, or nothing but well. */
static enum error judge(const struct migration *migration, const struct schema *schema)
{
	const char *path = migration->path;
	struct words *words = migration->words;

	switch (schema->found) {
	case FOUND_NOTHING:
		if (migration->may_create)
			return OK;
		words_set(words, "%s has no outbox tables: run outboxctl init", path);
		return ERROR_NOT_FOUND;
	case FOUND_NOT_OURS:
		words_set(words,
		          "%s has the %s, which is not ours: names that begin with outbox must be free", path,
		          schema->detail);
		return ERROR_REFUSED;
	case FOUND_OTHER_ENCODING:
		words_set(words, "%s is encoded in %s: only UTF-8 is served", path, schema->detail);
		return ERROR_REFUSED;
	case FOUND_OURS: break;
	}
	if (schema->version > STORAGE_SCHEMA_VERSION)
		words_set(words, "%s has schema version %d, newer than this program's %d", path,
		          schema->version, STORAGE_SCHEMA_VERSION);
	else if (!has_way(migration, schema->version))
		words_set(words, "%s has schema version %d, older than any that this program can migrate",
		          path, schema->version);
	else
		return OK;
	return ERROR_REFUSED;
}

/* ---- the present version, in memory ---------------------------------------- */

static enum error open_model(struct migration *migration)
{
	int rc = sqlite3_open_v2(":memory:", &migration->model, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
	                         NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_exec(migration->model, storage_schema_sql, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		return OK;
	words_set(migration->words, "%s: the schema cannot be made in memory: %s", migration->path,
	          sqlite3_errmsg(migration->model));
	return ERROR_UNAVAILABLE;
}

typedef enum error each_row(const struct migration *migration, sqlite3_stmt *row);

/* Calls each for each row of a question to the model. */
static enum error for_model(const struct migration *migration, const char *sql, each_row *each)
{
	enum error error = OK;
	sqlite3_stmt *row;

	if (sqlite3_prepare_v2(migration->model, sql, -1, &row, NULL) != SQLITE_OK) {
		words_set(migration->words, "%s: %s", migration->path, sqlite3_errmsg(migration->model));
		return ERROR_SYSTEM;
	}
	while (error == OK && sqlite3_step(row) == SQLITE_ROW)
		error = each(migration, row);
	if (sqlite3_finalize(row) != SQLITE_OK && error == OK) {
		words_set(migration->words, "%s: %s", migration->path, sqlite3_errmsg(migration->model));
		error = ERROR_UNAVAILABLE;
	}
	return error;
}

static enum error drop_it(const struct migration *migration, sqlite3_stmt *row)
{
	char sql[200];

	(void)snprintf(sql, sizeof sql, "DROP %s IF EXISTS %s", (const char *)sqlite3_column_text(row, 0),
	               (const char *)sqlite3_column_text(row, 1));
	return run(migration, "dropping the old rules", sql);
}

static enum error make_it(const struct migration *migration, sqlite3_stmt *row)
{
	return run(migration, "making the new rules", (const char *)sqlite3_column_text(row, 0));
}

/* A column, an index or a key of outbox_meta that a new file has. */
static enum error demand_it(const struct migration *migration, sqlite3_stmt *row)
{
	char found[8];
	enum error error = ask(migration, (const char *)sqlite3_column_text(row, 0), found, sizeof found);

	if (error != OK || *found)
		return error;
	words_set(migration->words, "%s: the migrated schema lacks %s", migration->path,
	          (const char *)sqlite3_column_text(row, 1));
	return ERROR_REFUSED;
}

/* ---- the transaction -------------------------------------------------------- */

static enum error run_steps(const struct migration *migration, int version)
{
	enum error error = OK;

	for (; error == OK && version < STORAGE_SCHEMA_VERSION; version++) {
		char doing[64], sql[96];

		(void)snprintf(doing, sizeof doing, "migrating from version %d", version);
		(void)snprintf(sql, sizeof sql,
		               "UPDATE outbox_meta SET value = '%d' WHERE key = 'schema_version'",
		               version + 1);
		error = run(migration, doing, step_from(migration, version)->sql);
		if (error == OK)
			error = run(migration, doing, sql);
	}
	return error;
}

static enum error upgrade(struct migration *migration, int version)
{
	enum error error = open_model(migration);

	if (error == OK)
		error = for_model(migration,
		                  "SELECT type, name FROM sqlite_master WHERE type IN ('trigger', 'view')"
		                  " ORDER BY type",
		                  drop_it);
	if (error == OK)
		error = run_steps(migration, version);
	if (error == OK)
		error = for_model(migration,
		                  "SELECT sql FROM sqlite_master WHERE type IN ('trigger', 'view')"
		                  " ORDER BY type DESC, rowid",
		                  make_it);
	if (error == OK)
		error = for_model(
			migration,
			"SELECT 'SELECT 1 FROM pragma_table_info(''' || m.name || ''') WHERE name = ''' || c.name"
			" || '''', 'column ' || m.name || '.' || c.name"
			" FROM sqlite_master AS m, pragma_table_info(m.name) AS c WHERE m.type = 'table'"
			" UNION ALL SELECT 'SELECT 1 FROM sqlite_master WHERE type = ''index'' AND name = '''"
			" || name || '''', 'index ' || name FROM sqlite_master WHERE type = 'index' AND sql <> ''"
			" UNION ALL SELECT 'SELECT 1 FROM outbox_meta WHERE key = ''' || key || '''',"
			" 'key ' || key || ' in outbox_meta' FROM outbox_meta",
			demand_it);
	(void)sqlite3_close(migration->model);
	migration->model = NULL;
	return error;
}

/* Under the lock: somebody else may have done it since the first look. */
static enum error mend(struct migration *migration, enum migrated *done)
{
	struct schema schema;
	enum error error = look(migration, &schema);

	if (error == OK)
		error = judge(migration, &schema);
	if (error != OK)
		return error;
	if (schema.found == FOUND_NOTHING) {
		*done = MIGRATED_CREATED;
		error = run(migration, "making the tables", storage_schema_sql);
		/* all of them are there, and no message: the first service need not look (sqlite_rules.c) */
		return error == OK ? run(migration, "making the tables",
		                         "INSERT OR REPLACE INTO outbox_meta (key, value)"
		                         " SELECT 'rules', schema_version FROM pragma_schema_version")
		                   : error;
	}
	if (schema.version == STORAGE_SCHEMA_VERSION)
		return OK;
	*done = MIGRATED_UPGRADED;
	return upgrade(migration, schema.version);
}

static enum error migrate(struct migration *migration, enum migrated *done)
{
	enum migrated what = MIGRATED_NOTHING;
	struct schema schema;
	enum error error;

	assert(sqlite3_get_autocommit(migration->db));
	error = look(migration, &schema);
	if (error == OK)
		error = judge(migration, &schema);
	if (error == OK && (schema.found != FOUND_OURS || schema.version != STORAGE_SCHEMA_VERSION)) {
		error = run(migration, "taking the write lock", "BEGIN IMMEDIATE");
		if (error == OK)
			error = mend(migration, &what);
		if (error == OK)
			error = run(migration, "committing the schema", "COMMIT");
		if (!sqlite3_get_autocommit(migration->db))
			(void)sqlite3_exec(migration->db, "ROLLBACK", NULL, NULL, NULL);
	}
	if (done)
		*done = error == OK ? what : MIGRATED_NOTHING;
	return error;
}

enum error storage_migrate(sqlite3 *db, const char *path, bool may_create, enum migrated *done,
                           struct words *words)
{
	/* version 1 is the first that was ever given away */
	static const struct migration_step steps[] = { { .from = 1, .sql = storage_migration_1_to_2_sql },
		                                       { .from = 2, .sql = storage_migration_2_to_3_sql } };
	struct migration migration = { .db = db,
		                       .path = path,
		                       .steps = steps,
		                       .count = sizeof steps / sizeof *steps,
		                       .may_create = may_create,
		                       .words = words };

	return migrate(&migration, done);
}

enum error storage_migrate_steps(sqlite3 *db, const char *path, const struct migration_step *steps,
                                 size_t count, enum migrated *done, struct words *words)
{
	struct migration migration = {
		.db = db, .path = path, .steps = steps, .count = count, .words = words
	};

	return migrate(&migration, done);
}
