/*
 * admin_internal.h - what the files of admin.h share.
 */
#ifndef OUTBOXD_STORAGE_ADMIN_INTERNAL_H
#define OUTBOXD_STORAGE_ADMIN_INTERNAL_H

#include "storage/admin.h"
#include "storage/sqlite_internal.h"

#define ADMIN_BUSY_MS     5000
#define ADMIN_COLUMNS_MAX 64

struct seal_keys;
struct seal_place;

struct admin {
	struct connection connection;
	const struct seal_keys *keys; /* borrowed, NULL = none: admin_secrets.h */
	const char *folder;           /* secrets_dir, the same */
	bool left_unsealed;
};

/* What admin_open() opens for; ADMIN_LOOK: writes nothing, see admin_check.h. */
enum admin_purpose { ADMIN_WORK, ADMIN_LOOK };
enum error admin_open_to(const char *path, enum admin_purpose purpose, struct admin **admin,
                         struct words *words);

/* Begins a verb: from here the lock is waited for. */
void admin_verb(struct admin *admin);

/* A statement of its own, finalized by admin_finish(), which answers as statement_end(). */
struct statement admin_prepare(struct admin *admin, const char *sql);
int admin_finish(struct statement *statement);

/* words for an SQLite code; a rule's sentence alone where one said no. OK for SQLITE_OK. */
enum error admin_error(struct admin *admin, int rc, const char *doing, struct words *words);

/* BEGIN IMMEDIATE; the end commits if error is OK, else rolls back and passes error on. */
enum error admin_begin(struct admin *admin, struct words *words);
enum error admin_end(struct admin *admin, enum error error, struct words *words);

/* ERROR_NOT_FOUND with words if there is no tenant of this name. */
enum error admin_tenant_exists(struct admin *admin, const char *name, struct words *words);

/*
 * In the transaction of a change, which wrote password only where there are no keys: seals it for the tenant
 * as it is now, or what was there before (before NULL = nothing).
 */
enum error admin_secret_settle(struct admin *admin, const char *name, const struct tenant_settings *before,
                               const struct secret *password, struct words *words);
/* The same for the files that the tenant names; before NULL: it was not there. Blocks for those too. */
enum error admin_files_settle(struct admin *admin, const struct tenant_settings *before, struct words *words);
/* What this connection overwrites or deletes from now on becomes zeros. Before a transaction. */
enum error admin_secrets_overwrite(struct admin *admin, struct words *words);

/* Gives all rows of a statement to each; how many. */
size_t admin_rows(struct statement *statement, admin_each *each, void *context);

/* Between two transactions of one verb: waiting applications only poll for the lock. */
void admin_leave_room(int64_t begun_ms);

#endif
