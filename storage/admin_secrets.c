/*
 * admin_secrets.c - passwords of tenants, sealed and opened. See admin_secrets.h.
 *
 * Promises: no unsealed password is written on its way to being sealed, not even inside the transaction; a
 * value that does not open is left as it is.
 */
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "storage/admin_internal.h"
#include "storage/admin_secrets.h"
#include "storage/admin_secrets_internal.h"

#define COLUMN "password"

static struct seal_place place_of(const struct tenant_settings *settings)
{
	return (struct seal_place){ .settings = settings, .column = COLUMN };
}

void admin_use_keys(struct admin *admin, const struct seal_keys *keys)
{
	admin->keys = keys;
}

bool admin_left_unsealed(const struct admin *admin)
{
	return admin->left_unsealed;
}

static enum error write_password(struct admin *admin, const char *name, const struct secret *password,
                                 struct words *words)
{
	struct statement statement = admin_prepare(admin,
	                                           "UPDATE outbox_tenant SET password = ?2 WHERE name = ?1");

	statement_text(&statement, 1, name);
	if (statement.rc == SQLITE_OK)
		statement.rc = sqlite3_bind_text(statement.stmt, 2, (const char *)password->bytes,
		                                 (int)password->length, SQLITE_STATIC);
	(void)statement_row(&statement);
	return admin_error(admin, admin_finish(&statement), "writing the password", words);
}

static enum error seal_and_write(struct admin *admin, const struct tenant_settings *settings,
                                 const struct secret *password, struct words *words)
{
	const struct seal_place place = place_of(settings);
	struct secret sealed = { NULL, 0 };
	enum error error = seal_close(admin->keys, &place, password, &sealed, words);

	if (error == OK)
		error = write_password(admin, settings->name, &sealed, words);
	secret_wipe(&sealed);
	return error;
}

/* ---- with a change of the tenant ---------------------------------------------------- */

static enum error refuse_unsealed(const struct secret *password, struct words *words)
{
	if (!seal_is_sealed(password))
		return OK;
	words_set(
		words,
		"a password that begins with %s can only be kept sealed: name the keys (--secrets-key-file)",
		SEAL_PREFIX);
	return ERROR_REFUSED;
}

static enum error open_password(struct admin *admin, const struct tenant_settings *settings,
                                const struct secret *sealed, struct secret *password, struct words *words)
{
	const struct seal_place place = place_of(settings);

	return seal_open(admin->keys, &place, sealed, password, words);
}

static bool same_place(const struct tenant_settings *before, const struct tenant_settings *after)
{
	const struct seal_place one = place_of(before), other = place_of(after);

	return seal_same_place(&one, &other);
}

/* The server's columns have changed under a sealed password. */
static enum error reseal(struct admin *admin, const struct tenant_settings *before,
                         const struct tenant_settings *after, struct words *words)
{
	struct secret password = { NULL, 0 };
	struct words ignored;
	enum error error;

	if (!admin->keys) {
		words_set(
			words,
			"the password of tenant %s is sealed for its host, port and TLS settings: to change one "
			"of them name the keys (--secrets-key-file), or set the password again with it",
			after->name);
		return ERROR_REFUSED;
	}
	/* a change that somebody else made is undone: it opens again as it is */
	if (open_password(admin, after, &before->password, &password, &ignored) == OK) {
		secret_wipe(&password);
		return OK;
	}
	error = open_password(admin, before, &before->password, &password, words);
	if (error == OK)
		error = seal_and_write(admin, after, &password, words);
	secret_wipe(&password);
	return error;
}

enum error admin_secret_settle(struct admin *admin, const char *name, const struct tenant_settings *before,
                               const struct secret *password, struct words *words)
{
	struct tenant_settings *after;
	bool was_sealed = before && seal_is_sealed(&before->password);
	enum error error;

	admin->left_unsealed = password && !admin->keys && was_sealed;
	if (password && !admin->keys)
		return refuse_unsealed(password, words);
	if (!password && !was_sealed)
		return OK;
	error = admin_tenant_settings(admin, name, &after, words);
	if (error != OK)
		return error;
	if (password)
		error = seal_and_write(admin, after, password, words);
	else if (!same_place(before, after))
		error = reseal(admin, before, after, words);
	tenant_settings_release(&after);
	return error;
}

/* ---- all of them ------------------------------------------------------------------------ */

static void add_name(void *context, const struct admin_value *values, size_t count)
{
	struct admin_names *list = context;

	(void)count;
	if ((list->count & (list->count - 1)) == 0)
		list->names = memory_resize(list->names,
		                            (list->count ? 2 * list->count : 1) * sizeof(*list->names));
	list->names[list->count++] = memory_strdup(values[0].text);
}

enum error admin_names_read(struct admin *admin, struct admin_names *list, struct words *words)
{
	struct statement statement = admin_prepare(admin, "SELECT name FROM outbox_tenant ORDER BY name");

	(void)admin_rows(&statement, add_name, list);
	return admin_error(admin, admin_finish(&statement), "reading the tenants", words);
}

void admin_names_free(struct admin_names *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->names[i]);
	free(list->names);
}

/* Whether the verb has anything to do with this value. */
bool admin_secret_concerned(const struct admin *admin, enum admin_secrets verb, const struct secret *password)
{
	bool sealed = seal_is_sealed(password);
	char id[SEAL_ID_CHARS + 1];

	if (!secret_is_set(password))
		return false;
	if (verb == ADMIN_SECRETS_SEAL)
		return !sealed;
	if (verb == ADMIN_SECRETS_REKEY && seal_id(password, id))
		return seal_version(password) == 1 || strcmp(id, seal_keys_id(admin->keys)) != 0;
	return sealed;
}

/* Not OK: left as it is, with words. A trouble of the database is *fatal. */
static enum error change_one(struct admin *admin, enum admin_secrets verb, const char *name,
                             struct admin_secrets_done *done, bool *fatal, struct words *words)
{
	struct secret password = { NULL, 0 };
	struct tenant_settings *settings;
	enum error error = admin_tenant_settings(admin, name, &settings, words);

	if (error != OK)
		return error;
	if (!admin_secret_concerned(admin, verb, &settings->password)) {
		tenant_settings_release(&settings);
		return OK;
	}
	if (verb == ADMIN_SECRETS_SEAL)
		(void)secret_copy(&password, &settings->password);
	else
		error = open_password(admin, settings, &settings->password, &password, words);
	if (error == OK && verb == ADMIN_SECRETS_UNSEAL)
		error = refuse_unsealed(&password, words);
	if (error == OK) {
		error = verb == ADMIN_SECRETS_UNSEAL ? write_password(admin, name, &password, words)
		                                     : seal_and_write(admin, settings, &password, words);
		*fatal = error != OK && error != ERROR_INVALID;
		done->changed += error == OK;
	}
	secret_wipe(&password);
	tenant_settings_release(&settings);
	return error;
}

static enum error count_unsealed(struct admin *admin, int64_t *count, struct words *words)
{
	return admin_error(admin,
	                   connection_ask_int(&admin->connection,
	                                      "SELECT count(*) FROM outbox_tenant WHERE password <> '' AND "
	                                      "substr(password, 1, 8) <> '" SEAL_PREFIX "'",
	                                      count),
	                   "counting the passwords", words);
}

enum error admin_secrets_overwrite(struct admin *admin, struct words *words)
{
	return admin_error(admin, connection_run(&admin->connection, "PRAGMA secure_delete = ON"),
	                   "asking for zeros in place of what is overwritten", words);
}

enum error admin_secrets(struct admin *admin, enum admin_secrets verb, struct admin_secrets_done *done,
                         admin_trouble *trouble, void *context, struct words *words)
{
	struct admin_names list = { .names = NULL };
	enum error error = admin_secrets_overwrite(admin, words);
	bool fatal = false;

	*done = (struct admin_secrets_done){ .changed = 0 };
	if (error == OK)
		error = admin_begin(admin, words);
	if (error != OK)
		return error;
	error = admin_names_read(admin, &list, words);
	for (size_t i = 0; i < list.count && error == OK; i++) {
		enum error one = change_one(admin, verb, list.names[i], done, &fatal, words);

		if (fatal) {
			error = one;
		} else if (one != OK) {
			done->failed++;
			trouble(context, words);
		}
	}
	if (error == OK)
		error = count_unsealed(admin, &done->unsealed, words);
	admin_names_free(&list);
	error = admin_end(admin, error, words);
	return error == OK ? admin_files_change(admin, verb, done, trouble, context, words) : error;
}

/* ---- traces, and what is to be seen ---------------------------------------------------- */

enum error admin_secrets_forget(struct admin *admin, bool vacuum, struct words *words)
{
	int64_t busy = 1;
	int rc;

	admin_verb(admin);
	/* its copy of a large database belongs into no memory */
	rc = vacuum ? connection_run(&admin->connection, "PRAGMA temp_store = FILE; VACUUM") : SQLITE_OK;
	if (rc != SQLITE_OK)
		return admin_error(admin, rc, "writing the database anew", words);
	admin_verb(admin);
	/* SQLite waits for readers, but not for another checkpoint: outboxd's thread may be at one */
	do {
		int64_t begun_ms = clock_monotonic_ms();

		rc = connection_ask_int(&admin->connection, "PRAGMA wal_checkpoint(TRUNCATE)", &busy);
		if ((rc == SQLITE_OK && busy == 0) || (rc != SQLITE_OK && (rc & 0xff) != SQLITE_BUSY))
			break;
		admin_leave_room(begun_ms);
	} while (deadline_left_ms(admin->connection.deadline_ms) > 0);
	if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_BUSY)
		return admin_error(admin, rc, "emptying the write-ahead log", words);
	if (rc == SQLITE_OK && busy == 0)
		return OK;
	words_set(
		words,
		"the write-ahead log is in use and may still hold what was overwritten: run the same again later");
	return ERROR_BUSY;
}

static struct admin_value text_value(const char *name, const char *text)
{
	return (struct admin_value){ .name = name,
		                     .type = text ? ADMIN_TEXT : ADMIN_NULL,
		                     .text = text,
		                     .length = text ? strlen(text) : 0 };
}

void admin_secret_show(struct admin *admin, const struct seal_place *place, const struct secret *content,
                       const struct words *unread, admin_each *each, void *context)
{
	bool sealed = seal_is_sealed(content);
	struct secret opened = { NULL, 0 };
	struct words trouble = *unread;
	char id[SEAL_ID_CHARS + 1] = "", version[2] = "";

	if (sealed) {
		if (seal_id(content, id))
			version[0] = (char)('0' + seal_version(content));
		/* without keys nothing can be said but for what is none at all */
		if ((admin->keys || !*id) && seal_open(admin->keys, place, content, &opened, &trouble) == OK)
			secret_wipe(&opened);
	}
	const struct admin_value values[] = {
		text_value("tenant", place->settings->name),
		text_value("secret", place->column),
		text_value("file", place->file),
		text_value("state", sealed                   ? "sealed"
		                    : secret_is_set(content) ? "unsealed"
		                    : *unread->text          ? NULL
		                                             : "none"),
		text_value("version", *version ? version : NULL),
		text_value("key", *id ? id : NULL),
		text_value("trouble", *trouble.text ? trouble.text : NULL),
	};
	each(context, values, sizeof values / sizeof values[0]);
}

static void show_one(struct admin *admin, const struct tenant_settings *settings, admin_each *each,
                     void *context)
{
	const struct seal_place place = place_of(settings);

	admin_secret_show(admin, &place, &settings->password, &(struct words){ "" }, each, context);
	if (admin->folder)
		admin_files_status(admin, settings, each, context);
}

enum error admin_secrets_status(struct admin *admin, admin_each *each, void *context, struct words *words)
{
	struct admin_names list = { .names = NULL };
	struct tenant_settings *settings;
	enum error error;

	admin_verb(admin);
	error = admin_names_read(admin, &list, words);
	for (size_t i = 0; i < list.count && error == OK; i++) {
		error = admin_tenant_settings(admin, list.names[i], &settings, words);
		if (error == OK) {
			show_one(admin, settings, each, context);
			tenant_settings_release(&settings);
		} else if (error == ERROR_NOT_FOUND) {
			error = OK; /* removed meanwhile */
		}
	}
	admin_names_free(&list);
	return error;
}
