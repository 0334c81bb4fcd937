/*
 * sqlite.c - an outbox in an SQLite file: opening, checking, closing.
 *
 * Promises: a file that is not ours, not in WAL, of a newer schema, on a network
 * file system or served already is refused with words before anything is
 * written to it; marks that a crash left are cleared; the lock outlives
 * storage_close() and ends with the process.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/pool.h"
#include "storage/migrate.h"
#include "storage/sqlite_look.h"
#include "storage/checkpoint.h"
#include "storage/sqlite_settle.h"

#define OPEN_LIMIT_MS 10000
#define LARGEST_BYTES INT64_C(1000000000) /* as long as one value of SQLite may be */

/* WAL is set in a new file before its tables are made: it cannot be inside their transaction. */
static enum error check_mode(struct connection *connection, const char *path, bool new, struct words *words)
{
	char mode[16];
	int64_t ours = 0;
	int rc = connection_ask_text(connection, new ? "PRAGMA journal_mode = WAL" : "PRAGMA journal_mode",
	                             mode, sizeof mode);

	if (rc == SQLITE_OK)
		rc = connection_ask_int(
			connection, "SELECT count(*) FROM sqlite_master WHERE name = 'outbox_meta'", &ours);
	if (rc != SQLITE_OK || strcmp(mode, "wal") == 0)
		return connection_error(connection, rc, path, words);
	if (new) {
		words_set(words, "%s cannot be set to WAL mode", path);
		return ERROR_UNAVAILABLE;
	}
	if (!ours)
		return OK; /* storage_migrate() has better words */
	words_set(words, "%s is not in WAL mode: run outboxctl init --wal", path);
	return ERROR_REFUSED;
}

/* Bodies are read in slices as they are stored: in UTF-8, or not at all. */
static enum error check_encoding(struct connection *connection, const char *path, struct words *words)
{
	char encoding[16];
	int rc = connection_ask_text(connection, "PRAGMA encoding", encoding, sizeof encoding);

	if (rc != SQLITE_OK || strcmp(encoding, "UTF-8") == 0)
		return connection_error(connection, rc, path, words);
	words_set(words, "%s is encoded in %s: only UTF-8 is served", path, encoding);
	return ERROR_REFUSED;
}

/* Whether the file is an outbox of this version, made or brought to it; nothing is written to one that is
 * none. */
static enum error check_contents(struct connection *connection, const char *path, bool may_create,
                                 struct words *words)
{
	int64_t tables = 0;
	int rc = connection_ask_int(connection, "SELECT count(*) FROM sqlite_master", &tables);
	bool new = may_create &&tables == 0;
	enum error error = connection_error(connection, rc, path, words);

	if (error == OK)
		error = check_mode(connection, path, new, words);
	if (error == OK)
		error = check_encoding(connection, path, words);
	if (error == OK)
		error = storage_migrate(connection->db, path, new, NULL, words);
	return error == ERROR_NOT_FOUND ? ERROR_REFUSED : error;
}

static enum error prepare_file(const char *path, bool may_create, struct words *words)
{
	struct connection connection;
	enum error error = connection_open_raw(&connection, path, deadline_after_ms(OPEN_LIMIT_MS), words);

	if (error == OK) {
		error = check_contents(&connection, path, may_create, words);
		connection_close(&connection);
	}
	return error;
}

enum error storage_create_file(const char *path, struct words *words)
{
	struct storage_file *file;
	enum error error = storage_file_take(path, true, &file, words);
	struct stat st;

	if (error != OK)
		return error;
	if (stat(storage_file_path(file), &st) == 0 && st.st_size > 0) {
		words_set(words, "%s is there already and not empty", path);
		error = ERROR_EXISTS;
	}
	if (error == OK)
		error = prepare_file(storage_file_path(file), true, words);
	storage_file_leave(file);
	return error;
}

/* What the owner of the file must be able to do, in words of their own where SQLite says "cannot open". */
static enum error check_access(const char *path, struct words *words)
{
	static const char *const companions[] = { "", "-wal", "-shm" };
	struct buffer name;
	enum error error = OK;

	buffer_init(&name, 8192);
	for (size_t i = 0; i < sizeof companions / sizeof companions[0] && error == OK; i++) {
		buffer_clear(&name);
		if (!buffer_printf(&name, "%s%s", path, companions[i]))
			continue;
		if (access(name.data, F_OK) == 0 && access(name.data, R_OK | W_OK) != 0) {
			words_set(words, "%s cannot be read and written by this user", name.data);
			error = ERROR_PERMISSION;
		} else if (access(name.data, F_OK) != 0) {
			char *slash = strrchr(name.data, '/');

			if (slash)
				*slash = '\0';
			if (access(slash && *name.data ? name.data : "/", W_OK | X_OK) != 0) {
				words_set(
					words,
					"%s%s is missing and cannot be created: no permission in its folder",
					path, companions[i]);
				error = ERROR_PERMISSION;
			}
		}
	}
	buffer_fini(&name);
	return error;
}

static int begin_service(struct storage *storage)
{
	int rc = connection_run(&storage->writer, "BEGIN IMMEDIATE");

	if (rc == SQLITE_OK)
		rc = connection_run(&storage->writer,
		                    "UPDATE outbox_meta SET value = 0 WHERE key IN ('daemon', 'trigger')"
		                    " AND value IS NOT 0");
	if (rc == SQLITE_OK)
		rc = connection_ask_text(&storage->writer,
		                         "SELECT value FROM outbox_meta WHERE key = 'instance'",
		                         storage->instance, sizeof storage->instance);
	if (rc == SQLITE_OK)
		rc = connection_ask_int(&storage->writer,
		                        "SELECT coalesce(max(outbox_id), 0) FROM outbox_status",
		                        &storage->last_id);
	if (rc == SQLITE_OK)
		rc = connection_ask_int(&storage->writer, "PRAGMA schema_version", &storage->schema);
	if (rc == SQLITE_OK)
		rc = storage_mend_times(storage);
	if (rc == SQLITE_OK)
		rc = connection_run(&storage->writer, "COMMIT");
	if (rc != SQLITE_OK && !sqlite3_get_autocommit(storage->writer.db))
		(void)connection_run(&storage->writer, "ROLLBACK");
	return rc;
}

static enum error open_connections(struct storage *storage, struct words *words)
{
	const char *path = storage_file_path(storage->file);
	int64_t deadline = deadline_after_ms(OPEN_LIMIT_MS);
	enum error error = connection_open(&storage->writer, path, storage_settle_sql, deadline, words);

	if (error == OK)
		error = connection_error(&storage->writer, begin_service(storage), path, words);
	if (error == OK)
		error = connection_open(&storage->look, path, storage_look_sql, deadline, words);
	if (error == OK)
		error = storage_look_init(storage, words);
	if (error == OK)
		error = storage_wake_init(storage, words);
	if (error == OK)
		error = storage_readers_init(storage, words);
	return error;
}

static char *spool_folder(const struct storage_settings *settings)
{
	const char *folder = settings->spool_dir;

	if (!folder || !*folder)
		folder = getenv("TMPDIR");
	return memory_strdup(folder && *folder ? folder : "/var/tmp");
}

enum error storage_open(const struct storage_settings *settings, struct storage **storage,
                        struct words *words)
{
	struct storage *new = NULL;
	struct storage_file *file;
	enum error error = storage_file_take(settings->path, settings->create, &file, words);

	*storage = NULL;
	if (error != OK)
		return error;
	error = check_access(storage_file_path(file), words);
	if (error == OK)
		error = prepare_file(storage_file_path(file), settings->create, words);
	if (error != OK) {
		storage_file_leave(file);
		return error;
	}
	new = memory_alloc(sizeof *new);
	new->file = file;
	new->spool_dir = spool_folder(settings);
	new->largest_bytes = settings->largest_bytes > 0 ? settings->largest_bytes : LARGEST_BYTES;
	new->files = settings->files;
	new->room = settings->room ? settings->room : &new->unbounded;
	room_init(&new->unbounded, INT64_MAX);
	new->inotify_fd = -1;
	atomic_flag_clear(&new->settling);
	pthread_mutex_init(&new->feed.lock, NULL);
	error = open_connections(new, words);
	if (error == OK)
		storage_file_opened(file);
	else
		storage_close(&new);
	*storage = new;
	return error;
}

void storage_close(struct storage **storage)
{
	struct storage *old = *storage;

	if (!old)
		return;
	connection_close(&old->look);
	connection_close(&old->writer);
	storage_checkpoint_leave(old);
	connection_close(&old->checkpointer);
	storage_wake_fini(old);
	if (old->readers.blocks)
		storage_readers_fini(old);
	room_fini(&old->unbounded);
	storage_file_leave(old->file);
	free(old->spool_dir);
	free(old);
	*storage = NULL;
}

const char *storage_instance(const struct storage *storage)
{
	return storage->instance;
}

enum error storage_inspect(const struct storage *storage, struct words *words)
{
	return storage_file_inspect(storage->file, words);
}
