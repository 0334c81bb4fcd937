/*
 * admin_tenant.c - the operator's verbs about tenants.
 *
 * Promises: a tenant's password comes out of here only inside tenant_settings;
 * a purge that cannot reach its end does not begin. Fails with a rule's own
 * sentence where a trigger refuses.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/seal.h"
#include "storage/admin_internal.h"

#define STATEMENT_BYTES 16384
#define PURGE_AT_ONCE   500

static enum error no_such_tenant(const char *name, struct words *words)
{
	words_set(words, "there is no tenant %s", name);
	return ERROR_NOT_FOUND;
}

enum error admin_tenant_exists(struct admin *admin, const char *name, struct words *words)
{
	struct statement statement = admin_prepare(admin, "SELECT 1 FROM outbox_tenant WHERE name = ?1");
	bool found;
	int rc;

	statement_text(&statement, 1, name);
	found = statement_row(&statement);
	rc = admin_finish(&statement);
	if (rc != SQLITE_OK)
		return admin_error(admin, rc, "reading the tenants", words);
	return found ? OK : no_such_tenant(name, words);
}

/* Names of columns go into the statement's text: only those that the table has. */
static enum error check_columns(struct admin *admin, const struct admin_setting *settings, size_t count,
                                struct words *words)
{
	struct statement statement = admin_prepare(
		admin,
		"SELECT 1 FROM pragma_table_info('outbox_tenant') WHERE name = ?1 AND name NOT IN ('name', 'password')");
	const char *unknown = NULL;
	int rc;

	for (size_t i = 0; i < count && !unknown && statement.rc == SQLITE_OK; i++) {
		statement_text(&statement, 1, settings[i].column);
		if (!statement_row(&statement))
			unknown = settings[i].column;
		if (statement.rc == SQLITE_OK)
			(void)sqlite3_reset(statement.stmt);
	}
	rc = admin_finish(&statement);
	if (rc != SQLITE_OK)
		return admin_error(admin, rc, "reading the tenants' columns", words);
	if (!unknown)
		return OK;
	words_set(words, "a tenant has no setting %s", unknown);
	return ERROR_LIMIT;
}

/* Binds name as 1, the password as 2 if there is one, then the settings. */
static void bind_settings(struct statement *statement, const char *name, const struct admin_setting *settings,
                          size_t count, const struct secret *password)
{
	int index = 1;

	statement_text(statement, index++, name);
	if (password && statement->rc == SQLITE_OK)
		statement->rc = sqlite3_bind_text(statement->stmt, index++, (const char *)password->bytes,
		                                  (int)password->length, SQLITE_STATIC);
	for (size_t i = 0; i < count; i++)
		statement_text(statement, index++, settings[i].value);
}

static enum error run_write(struct admin *admin, const char *sql, const char *name,
                            const struct admin_setting *settings, size_t count, const struct secret *password,
                            struct words *words)
{
	struct statement statement = admin_prepare(admin, sql);
	enum error error;
	bool changed;

	bind_settings(&statement, name, settings, count, password);
	(void)statement_row(&statement);
	changed = sqlite3_changes(admin->connection.db) > 0;
	error = admin_error(admin, admin_finish(&statement), "writing the tenant", words);
	return error == OK && !changed ? no_such_tenant(name, words) : error;
}

/* sql has the password where it is to be written as it is; NULL: there is nothing else to write. */
static enum error write_tenant(struct admin *admin, const char *sql, const char *name,
                               const struct admin_setting *settings, size_t count,
                               const struct secret *password, struct words *words)
{
	struct tenant_settings *before = NULL;
	struct words ignored;
	enum error error = admin_secrets_overwrite(admin, words);

	if (error == OK)
		error = admin_begin(admin, words);
	if (error != OK)
		return error;
	(void)admin_tenant_settings(admin, name, &before, &ignored);
	if (sql)
		error = run_write(admin, sql, name, settings, count, admin->keys ? NULL : password, words);
	if (error == OK)
		error = admin_secret_settle(admin, name, before, password, words);
	/* last: what fails after it leaves a file that only the same change opens again */
	if (error == OK)
		error = admin_files_settle(admin, before, words);
	tenant_settings_release(&before);
	return admin_end(admin, error, words);
}

enum error admin_tenant_add(struct admin *admin, const char *name, const struct admin_setting *settings,
                            size_t count, const struct secret *password, struct words *words)
{
	bool plain = password && !admin->keys; /* else it is sealed when the rest is there */
	struct buffer sql;
	enum error error = check_columns(admin, settings, count, words);
	bool fits;

	if (error != OK)
		return error;
	buffer_init(&sql, STATEMENT_BYTES);
	fits = buffer_printf(&sql, "INSERT INTO outbox_tenant (name%s", plain ? ", password" : "");
	for (size_t i = 0; i < count; i++)
		fits = fits && buffer_printf(&sql, ", %s", settings[i].column);
	fits = fits && buffer_printf(&sql, ") VALUES (?%s", plain ? ", ?" : "");
	for (size_t i = 0; i < count; i++)
		fits = fits && buffer_append_text(&sql, ", ?");
	if (fits && buffer_append_text(&sql, ")")) {
		error = write_tenant(admin, sql.data, name, settings, count, password, words);
	} else {
		words_set(words, "too many settings at once");
		error = ERROR_LIMIT;
	}
	buffer_fini(&sql);
	return error;
}

enum error admin_tenant_set(struct admin *admin, const char *name, const struct admin_setting *settings,
                            size_t count, const struct secret *password, struct words *words)
{
	bool plain = password && !admin->keys;
	struct buffer sql;
	enum error error = check_columns(admin, settings, count, words);
	bool fits;

	if (error != OK)
		return error;
	buffer_init(&sql, STATEMENT_BYTES);
	fits = buffer_printf(&sql, "UPDATE outbox_tenant SET %s", plain ? "password = ?2" : "");
	for (size_t i = 0; i < count; i++)
		fits = fits && buffer_printf(&sql, "%s%s = ?%zu", i > 0 || plain ? ", " : "",
		                             settings[i].column, i + 2 + plain);
	if (fits && buffer_append_text(&sql, " WHERE name = ?1")) {
		error = write_tenant(admin, count > 0 || plain ? sql.data : NULL, name, settings, count,
		                     password, words);
	} else {
		words_set(words, "too many settings at once");
		error = ERROR_LIMIT;
	}
	buffer_fini(&sql);
	return error;
}

/* A purge that would not reach its end does not begin. */
static enum error check_finished(struct admin *admin, const char *name, struct words *words)
{
	struct statement statement = admin_prepare(
		admin,
		"SELECT count(*) FROM outbox_status WHERE tenant = ?1 AND state NOT IN ('sent', 'failed', 'cancelled')");
	int64_t count = 0;
	int rc;

	statement_text(&statement, 1, name);
	if (statement_row(&statement))
		count = sqlite3_column_int64(statement.stmt, 0);
	rc = admin_finish(&statement);
	if (rc != SQLITE_OK)
		return admin_error(admin, rc, "counting messages", words);
	if (count == 0)
		return OK;
	words_set(words, "tenant %s has %lld message%s not finished: cancel them first, or let them be sent",
	          name, (long long)count, count == 1 ? " that is" : "s that are");
	return ERROR_INVALID;
}

/* Runs a statement with the tenant's name in a transaction of its own; *changes = rows of its table. */
static enum error run_for_tenant(struct admin *admin, const char *sql, const char *name, const char *doing,
                                 int *changes, struct words *words)
{
	struct statement statement;
	enum error error = admin_begin(admin, words);

	if (error != OK)
		return error;
	statement = admin_prepare(admin, sql);
	statement_text(&statement, 1, name);
	(void)statement_row(&statement);
	*changes = sqlite3_changes(admin->connection.db);
	error = admin_error(admin, admin_finish(&statement), doing, words);
	return admin_end(admin, error, words);
}

static enum error purge_finished(struct admin *admin, const char *name, int64_t *purged, struct words *words)
{
	char sql[256];
	enum error error;
	int changes = PURGE_AT_ONCE;

	(void)snprintf(
		sql, sizeof sql,
		"DELETE FROM outbox WHERE id IN (SELECT outbox_id FROM outbox_status WHERE tenant = ?1 "
		"AND state IN ('sent', 'failed', 'cancelled') LIMIT %d)",
		PURGE_AT_ONCE);
	error = check_finished(admin, name, words);
	while (error == OK && changes == PURGE_AT_ONCE) {
		int64_t begun_ms = clock_monotonic_ms();

		error = run_for_tenant(admin, sql, name, "removing messages", &changes, words);
		if (error == OK)
			*purged += changes;
		admin_leave_room(begun_ms);
	}
	return error;
}

enum error admin_tenant_remove(struct admin *admin, const char *name, bool purge, int64_t *purged,
                               struct words *words)
{
	enum error error;
	int changes = 0;

	*purged = 0;
	admin_verb(admin);
	error = admin_tenant_exists(admin, name, words);
	if (error == OK && purge)
		error = purge_finished(admin, name, purged, words);
	if (error == OK)
		error = admin_secrets_overwrite(admin, words);
	if (error == OK)
		error = run_for_tenant(admin, "DELETE FROM outbox_tenant WHERE name = ?1", name,
		                       "removing the tenant", &changes, words);
	return error;
}

/* Whatever the caller shows: not this. */
struct masked {
	admin_each *each;
	void *context;
};

static void mask_password(void *context, const struct admin_value *values, size_t count)
{
	struct masked *masked = context;
	struct admin_value copy[ADMIN_COLUMNS_MAX];

	for (size_t i = 0; i < count; i++) {
		copy[i] = values[i];
		if (values[i].type == ADMIN_NULL || strcmp(values[i].name, "password") != 0)
			continue;
		copy[i].type = ADMIN_TEXT;
		copy[i].text = values[i].type == ADMIN_TEXT &&
		                               strncmp(values[i].text, SEAL_PREFIX, strlen(SEAL_PREFIX)) == 0
		                       ? "(sealed)"
		                       : "(set)";
		copy[i].length = strlen(copy[i].text);
	}
	masked->each(masked->context, copy, count);
}

enum error admin_tenants(struct admin *admin, const char *name, admin_each *each, void *context,
                         struct words *words)
{
	static const char all[] = "SELECT * FROM outbox_tenant ORDER BY name";
	/* as tenant_settings_credential() has it */
	static const char one[] =
		"SELECT t.*, (SELECT group_concat(name, ', ') FROM (SELECT o.name FROM outbox_tenant AS o "
		"WHERE o.name <> t.name AND o.auth <> 'none' AND t.auth <> 'none' AND t.username <> '' "
		"AND lower(o.host) = lower(t.host) AND o.port = t.port AND lower(o.username) = lower(t.username) "
		"ORDER BY o.name)) AS shares_limits_with FROM outbox_tenant AS t WHERE t.name = ?1";
	struct masked masked = { .each = each, .context = context };
	struct statement statement;
	size_t rows;
	int rc;

	admin_verb(admin);
	statement = admin_prepare(admin, name ? one : all);
	if (name)
		statement_text(&statement, 1, name);
	rows = admin_rows(&statement, mask_password, &masked);
	rc = admin_finish(&statement);
	if (rc != SQLITE_OK)
		return admin_error(admin, rc, "reading the tenants", words);
	return rows == 0 && name ? no_such_tenant(name, words) : OK;
}

/* All columns of the row in stmt; those that are no settings were added by an application. */
static enum error read_settings(sqlite3_stmt *stmt, struct tenant_settings *settings, struct words *words)
{
	int columns = sqlite3_column_count(stmt);

	for (int i = 0; i < columns; i++) {
		const char *column = sqlite3_column_name(stmt, i);
		enum error error;

		if (strcmp(column, "name") == 0)
			continue;
		error = tenant_settings_set(settings, column, (const char *)sqlite3_column_text(stmt, i),
		                            words);
		if (error != OK && error != ERROR_NOT_FOUND)
			return error;
	}
	tenant_settings_seal(settings);
	return OK;
}

enum error admin_tenant_settings(struct admin *admin, const char *name, struct tenant_settings **settings,
                                 struct words *words)
{
	struct tenant_settings *made = tenant_settings_create(name);
	struct statement statement;
	enum error error = OK, failed;
	bool found;

	admin_verb(admin);
	statement = admin_prepare(admin, "SELECT * FROM outbox_tenant WHERE name = ?1");
	statement_text(&statement, 1, name);
	found = statement_row(&statement);
	if (found)
		error = read_settings(statement.stmt, made, words);
	failed = admin_error(admin, admin_finish(&statement), "reading the tenant", words);
	if (failed != OK)
		error = failed;
	else if (!found)
		error = no_such_tenant(name, words);
	*settings = NULL;
	if (error == OK)
		*settings = made;
	else
		tenant_settings_release(&made);
	return error;
}
