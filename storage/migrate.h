/*
 * migrate.h - the schema of a file: none, ours, older, newer, or names that are not ours.
 *
 * One transaction makes all tables or brings an older version to the present
 * one; whatever fails in it leaves the file as it was. Internal to storage/.
 */
#ifndef OUTBOXD_STORAGE_MIGRATE_H
#define OUTBOXD_STORAGE_MIGRATE_H

#include <stdbool.h>
#include <stddef.h>

#include <sqlite3.h>

#include "common/error.h"

/* The version that storage/schema.sql makes. */
#define STORAGE_SCHEMA_VERSION 3

/*
 * From one version to the next: SQL that changes tables, indexes and rows, and
 * drops the triggers and views that the present version no longer has. Those
 * that it has are dropped before the first step and made after the last one
 * (storage/migrations/README.md).
 */
struct migration_step {
	int from;
	const char *sql;
};

enum migrated {
	MIGRATED_NOTHING,  /* present version, nothing was written */
	MIGRATED_CREATED,  /* all tables were made */
	MIGRATED_UPGRADED, /* an older version was brought to the present one */
};

/*
 * Looks at the schema and mends it: makes it where there is none and may_create
 * is set, migrates an older one; *done (may be NULL) says what was done. path is
 * for the words alone. Nothing is written unless something is to be done, and
 * then in one transaction (BEGIN IMMEDIATE, the connection's busy timeout); no
 * transaction may be open. The mode of the file is not looked at. The thread
 * that owns db. Blocks for disk work and the lock.
 * ERROR_NOT_FOUND: no schema and may_create not set. ERROR_REFUSED: a newer
 * schema, an older one than any step begins with, names that begin with outbox
 * and are not ours, an encoding other than UTF-8, a step that fails.
 * ERROR_PERMISSION; ERROR_UNAVAILABLE: busy or disk trouble.
 */
enum error storage_migrate(sqlite3 *db, const char *path, bool may_create, enum migrated *done,
                           struct words *words);

/* The same with steps of the caller's, for the tests. */
enum error storage_migrate_steps(sqlite3 *db, const char *path, const struct migration_step *steps,
                                 size_t count, enum migrated *done, struct words *words);

#endif
