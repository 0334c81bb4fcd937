/*
 * admin.h - what the operator's tool does with an outbox, without SQL.
 *
 * A struct admin is one connection of its own (no lock of outboxd's, waits 5 s
 * for a writer, commits with synchronous=FULL), used by one thread. No verb
 * leaves a transaction or a statement open. All block for disk work and for the
 * lock, and answer, with words:
 *   ERROR_INVALID     a rule of the schema said no: the words are its sentence
 *   ERROR_NOT_FOUND   no such tenant or message
 *   ERROR_UNAVAILABLE busy or disk trouble: later may do
 *   ERROR_PERMISSION  the file may not be written by us
 */
#ifndef OUTBOXD_STORAGE_ADMIN_H
#define OUTBOXD_STORAGE_ADMIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "common/error.h"
#include "common/secret.h"
#include "common/tenant.h"

struct admin;

/*
 * Opens an outbox. ERROR_NOT_FOUND: no such file; ERROR_REFUSED: not an outbox
 * ("run outboxctl init"), not in WAL, an older or newer schema, a network file system.
 */
enum error admin_open(const char *path, struct admin **admin, struct words *words);
void admin_close(struct admin **admin); /* leaves NULL */

/*
 * Makes an outbox of path: a new file (0660, WAL) or our tables beside those of
 * an application's file, of which nothing else is changed, but for its journal
 * mode where wal says so; an older schema is migrated. *done says in words what
 * was done (constant). ERROR_EXISTS: cannot create; ERROR_REFUSED: not in WAL, or names
 * of ours are taken; ERROR_PERMISSION.
 */
enum error admin_init(const char *path, bool wal, const char **done, struct words *words);

/* A row goes to the caller column by column; text is valid until each returns. */
enum admin_type { ADMIN_NULL, ADMIN_INTEGER, ADMIN_TEXT };
struct admin_value {
	const char *name; /* the column's */
	enum admin_type type;
	int64_t integer;
	const char *text; /* terminated; as stored: may hold anything */
	size_t length;
};
typedef void admin_each(void *context, const struct admin_value *values, size_t count);

/* A column and what to set it to; "" = the default. */
struct admin_setting {
	const char *column;
	const char *value;
};

/*
 * Adds a tenant, or changes columns of one. password NULL = as it is. A column that
 * the table has not is ERROR_LIMIT (a mistake in the command, not in the data).
 */
enum error admin_tenant_add(struct admin *admin, const char *name, const struct admin_setting *settings,
                            size_t count, const struct secret *password, struct words *words);
enum error admin_tenant_set(struct admin *admin, const char *name, const struct admin_setting *settings,
                            size_t count, const struct secret *password, struct words *words);

/* Deletes a tenant; with purge first its finished messages, unless it has others. */
enum error admin_tenant_remove(struct admin *admin, const char *name, bool purge, int64_t *purged,
                               struct words *words);

/* Rows of outbox_tenant by name (NULL = all); with a name also shares_limits_with, the tenants that log in
 * as the same user at the same server, "acme, beta", NULL = none; a password is only ever "(set)" or
 * "(sealed)". */
enum error admin_tenants(struct admin *admin, const char *name, admin_each *each, void *context,
                         struct words *words);

/* A tenant's settings, sealed, with its password: for a session. The caller releases them. */
enum error admin_tenant_settings(struct admin *admin, const char *name, struct tenant_settings **settings,
                                 struct words *words);

/*
 * Tells outboxd, through the change feed, to forget the tenant's backoff. queued,
 * if not NULL: its deferred messages are due now too, some at a time, so that others
 * can write between; *queued counts them.
 */
enum error admin_tenant_retry(struct admin *admin, const char *name, int64_t *queued, struct words *words);

/* A file that a column is filled from, from its start, in constant memory. */
struct admin_file {
	const char *name;         /* for words */
	int fd;                   /* -1 = none */
	int64_t size;             /* octets */
	struct timespec modified; /* ERROR_INVALID if size or this are others when all is read */
};

/* A row of outbox_attachment; NULL = left out. */
struct admin_attachment {
	const char *filename, *content_type, *content_id;
	struct admin_file content;
};

/* One row of outbox with its attachments in their order: all in one transaction, or nothing. */
struct admin_mail {
	const struct admin_setting *columns;
	size_t count;
	struct admin_file message; /* a complete one */
	const struct admin_attachment *attachments;
	size_t attachment_count;
};
enum error admin_send(struct admin *admin, const struct admin_mail *mail, int64_t *id, struct words *words);

/* Messages (outbox_all) in the order of their ids, at most limit after after_id, each page one short read. */
struct admin_query {
	const char *tenant; /* NULL = all */
	const char *state;  /* a state, "all", NULL = unfinished */
	int64_t after_id;   /* moved to the last one given */
	int limit;
};
enum error admin_queue(struct admin *admin, struct admin_query *query, size_t *given, admin_each *each,
                       void *context, struct words *words);

/*
 * One message (outbox_all), then its attachments (position, filename, content_type, content_id, size), then
 * its recipients (outbox_delivery), each to its own.
 */
struct admin_message_to {
	admin_each *message, *attachment, *delivery;
	void *context;
};
enum error admin_message(struct admin *admin, int64_t id, const struct admin_message_to *to,
                         struct words *words);

/* Queues a message anew, or cancels it. */
enum admin_change { ADMIN_RETRY, ADMIN_CANCEL };
enum error admin_change(struct admin *admin, int64_t id, enum admin_change change, struct words *words);

/* A row a tenant: outbox_tenant_status, with queued, deferred and oldest_due_at as the tables have them now.
 */
enum error admin_status(struct admin *admin, admin_each *each, void *context, struct words *words);

#endif
