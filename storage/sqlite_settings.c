/*
 * sqlite_settings.c - a row of outbox_tenant becomes a tenant's settings.
 */
#include "common/tenant.h"
#include "storage/sqlite_internal.h"

/* The first word that a column refuses is kept. */
struct tenant_settings *storage_settings_of_row(struct statement *row, struct words *words)
{
	struct tenant_settings *settings = tenant_settings_create(
		(const char *)sqlite3_column_text(row->stmt, 0));
	int columns = sqlite3_column_count(row->stmt);
	enum error error = OK;

	for (int i = 1; i < columns && error == OK; i++) {
		struct words why;

		error = tenant_settings_set(settings, sqlite3_column_name(row->stmt, i),
		                            (const char *)sqlite3_column_text(row->stmt, i), &why);
		if (error == ERROR_NOT_FOUND) /* a column that an application added for itself */
			error = OK;
		else if (error != OK)
			words_set(words, "tenant %s: %s", settings->name, why.text);
	}
	if (error == OK)
		tenant_settings_seal(settings);
	else
		tenant_settings_release(&settings);
	return settings;
}
