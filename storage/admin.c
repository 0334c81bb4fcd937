/*
 * admin.c - the operator's connection: making, opening, checking an outbox.
 *
 * Promises: takes none of outboxd's locks from an existing file and opens no
 * second descriptor of it; of an application's own file nothing is changed but
 * what was asked for, and nothing at all where it is refused.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "storage/admin_check.h"
#include "storage/admin_internal.h"
#include "storage/admin_space.h"
#include "storage/migrate.h"
#include "storage/rules.h"

#define ROOM_MS 2

void admin_verb(struct admin *admin)
{
	admin->connection.deadline_ms = deadline_after_ms(ADMIN_BUSY_MS);
}

struct statement admin_prepare(struct admin *admin, const char *sql)
{
	struct statement statement = { .stmt = NULL };

	statement.rc = sqlite3_prepare_v2(admin->connection.db, sql, -1, &statement.stmt, NULL);
	return statement;
}

int admin_finish(struct statement *statement)
{
	(void)sqlite3_finalize(statement->stmt);
	statement->stmt = NULL;
	return statement->rc;
}

enum error admin_error(struct admin *admin, int rc, const char *doing, struct words *words)
{
	if ((rc & 0xff) == SQLITE_CONSTRAINT) {
		words_set(words, "%s", sqlite3_errmsg(admin->connection.db));
		return ERROR_INVALID;
	}
	if (rc == SQLITE_TOOBIG) {
		words_set(words, "%s: larger than a row may be", doing);
		return ERROR_INVALID;
	}
	return connection_error(&admin->connection, rc, doing, words);
}

enum error admin_begin(struct admin *admin, struct words *words)
{
	admin_verb(admin);
	return admin_error(admin, connection_run(&admin->connection, "BEGIN IMMEDIATE"),
	                   "writing the database", words);
}

enum error admin_end(struct admin *admin, enum error error, struct words *words)
{
	if (error == OK)
		error = admin_error(admin, connection_run(&admin->connection, "COMMIT"),
		                    "committing to the database", words);
	if (!sqlite3_get_autocommit(admin->connection.db))
		(void)connection_run(&admin->connection, "ROLLBACK");
	return error;
}

static struct admin_value value_of(sqlite3_stmt *stmt, int column)
{
	struct admin_value value = { .name = sqlite3_column_name(stmt, column) };

	switch (sqlite3_column_type(stmt, column)) {
	case SQLITE_NULL: return value;
	case SQLITE_INTEGER:
		value.type = ADMIN_INTEGER;
		value.integer = sqlite3_column_int64(stmt, column);
		return value;
	default: break;
	}
	value.type = ADMIN_TEXT;
	value.text = (const char *)sqlite3_column_text(stmt, column);
	value.length = (size_t)sqlite3_column_bytes(stmt, column);
	if (!value.text)
		value.text = "";
	return value;
}

size_t admin_rows(struct statement *statement, admin_each *each, void *context)
{
	struct admin_value values[ADMIN_COLUMNS_MAX];
	size_t rows = 0;

	while (statement_row(statement)) {
		int count = sqlite3_column_count(statement->stmt);

		if (count > ADMIN_COLUMNS_MAX)
			count = ADMIN_COLUMNS_MAX;
		for (int i = 0; i < count; i++)
			values[i] = value_of(statement->stmt, i);
		each(context, values, (size_t)count);
		rows++;
	}
	return rows;
}

void admin_leave_room(int64_t begun_ms)
{
	int64_t pause = clock_monotonic_ms() - begun_ms;

	if (pause < ROOM_MS)
		pause = ROOM_MS;
	(void)nanosleep(&(struct timespec){ .tv_sec = pause / 1000, .tv_nsec = pause % 1000 * 1000000 },
	                NULL);
}

/* ---- what is in a file --------------------------------------------------------- */

/* In words of their own where SQLite would say "unable to open database file". Opens nothing. */
static enum error check_access(const char *path, struct words *words)
{
	static const char *const companions[] = { "", "-wal", "-shm" };
	struct buffer name;
	enum error error = OK;

	buffer_init(&name, 2 * PATH_MAX);
	for (size_t i = 0; i < sizeof companions / sizeof companions[0] && error == OK; i++) {
		buffer_clear(&name);
		if (!buffer_printf(&name, "%s%s", path, companions[i]) || access(name.data, F_OK) != 0 ||
		    access(name.data, R_OK | W_OK) == 0)
			continue;
		words_set(words, "%s cannot be read and written by this user", name.data);
		error = ERROR_PERMISSION;
	}
	buffer_fini(&name);
	return error;
}

static enum error look_at_file(const char *path, struct words *words)
{
	struct stat st;
	struct statfs fs;
	const char *name;

	if (stat(path, &st) != 0 || statfs(path, &fs) != 0) {
		int errno_value = errno;

		words_set_errno(words, errno_value, "%s", path);
		if (errno_value == ENOENT || errno_value == ENOTDIR) {
			words_set(words, "%s does not exist: run outboxctl init", path);
			return ERROR_NOT_FOUND;
		}
		return errno_value == EACCES ? ERROR_PERMISSION : ERROR_UNAVAILABLE;
	}
	name = S_ISREG(st.st_mode) ? storage_file_system_refused((long)fs.f_type) : NULL;
	if (S_ISREG(st.st_mode) && !name)
		return check_access(path, words);
	if (name)
		words_set(words,
		          "%s is on a network or user-space file system (%s), where SQLite's WAL is not safe",
		          path, name);
	else
		words_set(words, "%s is not a regular file", path);
	return ERROR_REFUSED;
}

/* -1: not an outbox, also where an application has a table of that name. */
static int schema_version(struct admin *admin, int64_t *version)
{
	int64_t ours = 0;
	int rc = connection_ask_int(&admin->connection,
	                            "SELECT count(*) FROM sqlite_master WHERE name = 'outbox_meta'", &ours);

	*version = -1;
	if (rc == SQLITE_OK && ours)
		rc = connection_ask_int(&admin->connection,
		                        "SELECT value FROM outbox_meta WHERE key = 'schema_version'",
		                        version);
	return (rc & 0xff) == SQLITE_ERROR ? SQLITE_OK : rc; /* no such column: not ours */
}

static enum error check_version(const char *path, int64_t version, struct words *words)
{
	if (version == STORAGE_SCHEMA_VERSION)
		return OK;
	if (version < 0)
		words_set(words, "%s has no outbox tables: run outboxctl init", path);
	else if (version > STORAGE_SCHEMA_VERSION)
		words_set(words, "%s has schema version %lld, newer than this program's %d", path,
		          (long long)version, STORAGE_SCHEMA_VERSION);
	else
		words_set(words,
		          "%s has schema version %lld, older than this program's %d: run outboxctl init",
		          path, (long long)version, STORAGE_SCHEMA_VERSION);
	return ERROR_REFUSED;
}

static enum error check_schema(struct admin *admin, const char *path, struct words *words)
{
	int64_t version;
	int rc = schema_version(admin, &version);

	return rc != SQLITE_OK ? admin_error(admin, rc, path, words) : check_version(path, version, words);
}

/* Of each purpose: what else its connection is told. */
static int set_purpose(struct admin *admin, enum admin_purpose purpose)
{
	sqlite3 *db = admin->connection.db;
	int rc;

	/* nobody else moves the WAL into the file while no outboxd runs */
	if (purpose == ADMIN_WORK)
		return connection_run(&admin->connection, "PRAGMA wal_autocheckpoint = 1000");
	rc = sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	return rc == SQLITE_OK ? connection_run(&admin->connection, "PRAGMA query_only = ON") : rc;
}

enum error admin_open_to(const char *path, enum admin_purpose purpose, struct admin **admin,
                         struct words *words)
{
	struct admin *made;
	enum error error = look_at_file(path, words);

	*admin = NULL;
	if (error != OK)
		return error;
	made = memory_alloc(sizeof *made);
	error = connection_open(&made->connection, path, NULL, deadline_after_ms(ADMIN_BUSY_MS), words);
	if (error != OK) {
		free(made);
		return error;
	}
	error = admin_error(made, set_purpose(made, purpose), path, words);
	if (error == OK)
		error = check_schema(made, path, words);
	if (error != OK) {
		admin_close(&made);
		return error;
	}
	*admin = made;
	return OK;
}

enum error admin_open(const char *path, struct admin **admin, struct words *words)
{
	return admin_open_to(path, ADMIN_WORK, admin, words);
}

bool admin_cannot_grow(struct admin *admin, struct words *words)
{
	const char *path = sqlite3_db_filename(admin->connection.db, "main");

	return path && admin_check_space(path, words) == ADMIN_SPACE_NONE;
}

void admin_close(struct admin **admin)
{
	if (!*admin)
		return;
	connection_close(&(*admin)->connection);
	free(*admin);
	*admin = NULL;
}

/* ---- init -------------------------------------------------------------------- */

/* Names that exist already and are not ours; the first of them is told. */
static enum error check_names(struct admin *admin, const char *path, struct words *words)
{
	char taken[128], encoding[16];
	int rc = connection_ask_text(
		&admin->connection,
		"SELECT type || ' ' || name FROM sqlite_master WHERE lower(substr(name, 1, 6)) = 'outbox' "
		"ORDER BY name LIMIT 1",
		taken, sizeof taken);

	if (rc == SQLITE_OK)
		rc = connection_ask_text(&admin->connection, "PRAGMA encoding", encoding, sizeof encoding);
	if (rc != SQLITE_OK)
		return admin_error(admin, rc, path, words);
	if (*taken)
		words_set(words, "%s has a %s that is not ours: names that begin with outbox must be free",
		          path, taken);
	else if (strcmp(encoding, "UTF-8") != 0)
		words_set(words, "%s is encoded in %s: only UTF-8 is served", path, encoding);
	else
		return OK;
	return ERROR_REFUSED;
}

/* *done says if it was changed. */
static enum error demand_wal(struct admin *admin, const char *path, bool change, const char **done,
                             struct words *words)
{
	char mode[16];
	int rc = connection_ask_text(&admin->connection, "PRAGMA journal_mode", mode, sizeof mode);

	if (rc == SQLITE_OK && strcmp(mode, "wal") == 0)
		return OK;
	if (rc == SQLITE_OK && !change) {
		words_set(
			words,
			"%s is not in WAL mode, which outboxd needs: say init --wal to change it for all its users",
			path);
		return ERROR_REFUSED;
	}
	if (rc == SQLITE_OK)
		rc = connection_ask_text(&admin->connection, "PRAGMA journal_mode = WAL", mode, sizeof mode);
	if (rc != SQLITE_OK)
		return admin_error(admin, rc, path, words);
	if (strcmp(mode, "wal") != 0) {
		words_set(words, "%s cannot be set to WAL mode", path);
		return ERROR_REFUSED;
	}
	*done = "is in WAL mode now";
	return OK;
}

static enum error init_existing(struct admin *admin, const char *path, bool wal, const char **done,
                                struct words *words)
{
	static const char *const said[] = {
		[MIGRATED_NOTHING] = NULL,
		[MIGRATED_CREATED] = "has the outbox's tables now",
		[MIGRATED_UPGRADED] = "has the present schema now",
	};
	enum migrated migrated = MIGRATED_NOTHING;
	int64_t version;
	int rc = schema_version(admin, &version);
	enum error error = rc != SQLITE_OK ? admin_error(admin, rc, path, words) : OK;

	/* what will be refused is refused before the mode is changed */
	if (error == OK && version < 0)
		error = check_names(admin, path, words);
	else if (error == OK && version > STORAGE_SCHEMA_VERSION)
		error = check_version(path, version, words);
	*done = "is an outbox already";
	if (error == OK)
		error = demand_wal(admin, path, wal, done, words);
	if (error == OK)
		error = storage_migrate(admin->connection.db, path, true, &migrated, words);
	if (error == OK && said[migrated])
		*done = said[migrated];
	return error;
}

enum error admin_init(const char *path, bool wal, const char **done, struct words *words)
{
	struct admin admin;
	struct stat st;
	enum error error;

	error = look_at_file(path, words);
	if (error == ERROR_NOT_FOUND || (error == OK && stat(path, &st) == 0 && st.st_size == 0)) {
		*done = "was created";
		return storage_create_file(path, words);
	}
	if (error != OK)
		return error;
	error = connection_open_raw(&admin.connection, path, deadline_after_ms(ADMIN_BUSY_MS), words);
	if (error != OK)
		return error;
	error = init_existing(&admin, path, wal, done, words);
	connection_close(&admin.connection);
	return error;
}

bool admin_rules_differ(struct admin *admin, struct words *words)
{
	int rc;

	admin_verb(admin);
	return rules_differ(&admin->connection, &rc,
	                    words); /* what cannot be asked, the next question tells */
}
