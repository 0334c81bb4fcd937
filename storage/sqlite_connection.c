/*
 * sqlite_connection.c - one SQLite connection as all of ours are.
 *
 * Promises: waits for locks until its verb's deadline and no longer; keeps
 * prepared statements; never closes a WAL away (SQLITE_FCNTL_PERSIST_WAL);
 * says in words what SQLite says in codes.
 */
#include <assert.h>
#include <pthread.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "storage/sqlite_connection.h"
#include "storage/sqlite_statement.h"

/*
 * Where open(2) fails for reading and writing, SQLite tries for reading only, whatever the reason was.
 * With a shortage of descriptors that is just over, the connection would be one that can only read,
 * and its trouble "attempt to write a readonly database". So the second try fails as the first one did.
 */
static _Thread_local int shortage; /* errno of the try before, 0 = that was no shortage */
static _Thread_local uint64_t short_of;

static uint64_t hash_of(const char *path)
{
	uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */

	for (; *path; path++)
		hash = (hash ^ (unsigned char)*path) * UINT64_C(1099511628211);
	return hash;
}

static int open_file(const char *path, int flags, int mode)
{
	bool writes = (flags & O_ACCMODE) != O_RDONLY;
	int fd;

	if (!writes && shortage && short_of == hash_of(path)) {
		errno = shortage;
		shortage = 0;
		return -1;
	}
	fd = open(path, flags | O_CLOEXEC, mode);
	shortage = fd < 0 && writes && error_is_shortage(errno) ? errno : 0;
	if (shortage)
		short_of = hash_of(path);
	return fd;
}

static void use_open_file(void)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
	int rc = vfs->xSetSystemCall(vfs, "open", (sqlite3_syscall_ptr)open_file);

	assert(rc == SQLITE_OK);
	(void)rc;
}

/*
 * SQLite asks again and again; applications only poll for the lock, and so do we. One that inserts as fast
 * as it can leaves it free for some 20 us each time: who asks too seldom does not get it for long.
 */
static int wait_for_lock(void *context, int count)
{
	const struct connection *connection = context;
	int left_ms = deadline_left_ms(connection->deadline_ms);
	long pause_us = count < 100 ? 250 : count < 200 ? 1000 : 5000;

	if (left_ms == 0)
		return 0;
	if (left_ms > 0 && pause_us > left_ms * 1000L)
		pause_us = left_ms * 1000L;
	(void)nanosleep(&(struct timespec){ .tv_nsec = pause_us * 1000 }, NULL);
	return 1;
}

static enum error error_of(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE: return OK;
	case SQLITE_NOTADB: return ERROR_REFUSED;
	case SQLITE_PERM:
	case SQLITE_AUTH:
	case SQLITE_READONLY: return ERROR_PERMISSION;
	default: return ERROR_UNAVAILABLE;
	}
}

/* What the system said last of the database file or its WAL, where SQLite did not keep it (in a COMMIT). */
static int system_error(sqlite3 *db)
{
	int last = sqlite3_system_errno(db);
	sqlite3_file *wal = NULL;

	if (last == 0)
		(void)sqlite3_file_control(db, "main", SQLITE_FCNTL_LAST_ERRNO, &last);
	if (last == 0 && sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal) == SQLITE_OK &&
	    wal && wal->pMethods)
		(void)wal->pMethods->xFileControl(wal, SQLITE_FCNTL_LAST_ERRNO, &last);
	return last;
}

/* What was being done, where the system's error alone would not say so. */
static const char *io_verb(int rc)
{
	switch (rc) {
	case SQLITE_IOERR_READ:
	case SQLITE_IOERR_SHORT_READ: return ", in a read";
	case SQLITE_IOERR_WRITE: return ", in a write";
	case SQLITE_IOERR_FSYNC:
	case SQLITE_IOERR_DIR_FSYNC: return ", in a sync";
	case SQLITE_IOERR_SHMOPEN:
	case SQLITE_IOERR_SHMMAP:
	case SQLITE_IOERR_SHMSIZE: return ", in its -shm file";
	default: return "";
	}
}

/* What whoever reads the log can do about it. */
static const char *advice(int rc, int errno_value)
{
	switch (rc & 0xff) {
	case SQLITE_FULL: return ": free some of its file system's space";
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return ": stop all its users and restore it, or let sqlite3's .recover save what it can";
	case SQLITE_READONLY: return ": mount its file system for writing, or set owner and mode right";
	case SQLITE_IOERR: return errno_value == EROFS ? ": mount its file system for writing" : "";
	default: return "";
	}
}

enum error connection_error(struct connection *connection, int rc, const char *doing, struct words *words)
{
	enum error error = error_of(rc);
	const char *why = connection->db && sqlite3_errcode(connection->db) == rc
	                          ? sqlite3_errmsg(connection->db)
	                  : connection->why_rc == rc ? connection->why
	                                             : sqlite3_errstr(rc);
	char reason[128];
	int errno_value;

	if (error == OK)
		return OK;
	errno_value = connection->db ? system_error(connection->db) : 0;
	if ((rc & 0xff) == SQLITE_BUSY || (rc & 0xff) == SQLITE_LOCKED)
		words_set(words, "%s: another connection held the database's lock too long", doing);
	else if (((rc & 0xff) == SQLITE_IOERR || (rc & 0xff) == SQLITE_CANTOPEN) && errno_value)
		words_set(words, "%s: %s%s: %s%s", doing, why, io_verb(rc),
		          strerror_r(errno_value, reason, sizeof reason), advice(rc, errno_value));
	else
		words_set(words, "%s: %s%s%s", doing, why, io_verb(rc), advice(rc, 0));
	return error;
}

int connection_read_begin(struct connection *connection)
{
	struct statement begin = statement_begin(connection, 0);

	(void)statement_row(&begin);
	return statement_end(&begin);
}

int connection_read_end(struct connection *connection, int rc)
{
	struct statement commit;

	connection->why_rc = rc;
	if (rc != SQLITE_OK && sqlite3_errcode(connection->db) == rc)
		(void)snprintf(connection->why, sizeof connection->why, "%s", sqlite3_errmsg(connection->db));
	else
		connection->why_rc = SQLITE_OK;
	if (sqlite3_get_autocommit(connection->db))
		return rc;
	commit = statement_begin(connection, 1);
	(void)statement_row(&commit);
	if (statement_end(&commit) != SQLITE_OK)
		(void)connection_run(connection, "ROLLBACK");
	assert(connection_is_idle(connection));
	return rc != SQLITE_OK ? rc : commit.rc;
}

int connection_run(struct connection *connection, const char *sql)
{
	return sqlite3_exec(connection->db, sql, NULL, NULL, NULL);
}

int connection_ask_text(struct connection *connection, const char *sql, char *text, size_t size)
{
	sqlite3_stmt *stmt;
	int rc = sqlite3_prepare_v2(connection->db, sql, -1, &stmt, NULL);

	text[0] = '\0';
	if (rc != SQLITE_OK)
		return rc;
	if (sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_type(stmt, 0) != SQLITE_NULL)
		(void)snprintf(text, size, "%s", (const char *)sqlite3_column_text(stmt, 0));
	return sqlite3_finalize(stmt);
}

int connection_ask_int(struct connection *connection, const char *sql, int64_t *value)
{
	sqlite3_stmt *stmt;
	int rc = sqlite3_prepare_v2(connection->db, sql, -1, &stmt, NULL);

	if (rc != SQLITE_OK)
		return rc;
	if (sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_type(stmt, 0) != SQLITE_NULL)
		*value = sqlite3_column_int64(stmt, 0);
	return sqlite3_finalize(stmt);
}

static pthread_once_t configured = PTHREAD_ONCE_INIT;

/*
 * Before the first use. SQLite's count of its memory is one lock for all threads, taken at each allocation
 * and release: nobody here asks for it. Refused, which does no harm, where SQLite was used before.
 */
static void configure(void)
{
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	use_open_file();
}

static enum error open_handle(struct connection *connection, const char *path, int64_t deadline_ms,
                              struct words *words)
{
	int on = 1;
	int rc;

	pthread_once(&configured, configure);
	memset(connection, 0, sizeof *connection);
	connection->deadline_ms = deadline_ms;
	/* no SQLITE_OPEN_CREATE: files are made by storage_file_take() alone */
	rc = sqlite3_open_v2(path, &connection->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc != SQLITE_OK)
		return connection_error(connection, rc, path, words);
	sqlite3_extended_result_codes(connection->db, 1);
	rc = sqlite3_busy_handler(connection->db, wait_for_lock, connection);
	if (rc == SQLITE_OK)
		rc = sqlite3_file_control(connection->db, "main", SQLITE_FCNTL_PERSIST_WAL, &on);
	/* an application's own file may have functions in its triggers that are not ours to run */
	if (rc == SQLITE_OK)
		rc = connection_run(connection, "PRAGMA trusted_schema = OFF; PRAGMA mmap_size = 0;"
		                                "PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = 0");
	/* these read the file: the first that may find that it is none */
	if (rc == SQLITE_OK)
		rc = connection_run(connection,
		                    "PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864");
	if (rc == SQLITE_OK && sqlite3_db_readonly(connection->db, "main") == 1)
		rc = SQLITE_READONLY;
	return connection_error(connection, rc, path, words);
}

enum error connection_open_raw(struct connection *connection, const char *path, int64_t deadline_ms,
                               struct words *words)
{
	enum error error = open_handle(connection, path, deadline_ms, words);

	if (error != OK)
		connection_close(connection);
	return error;
}

enum error connection_open(struct connection *connection, const char *path, const char *const *sql,
                           int64_t deadline_ms, struct words *words)
{
	enum error error = connection_open_raw(connection, path, deadline_ms, words);
	char mode[16];
	int rc;

	if (error != OK)
		return error;
	connection->sql = sql;
	rc = connection_ask_text(connection, "PRAGMA journal_mode", mode, sizeof mode);
	error = connection_error(connection, rc, path, words);
	if (error == OK && strcmp(mode, "wal") != 0) {
		words_set(words, "%s is not in WAL mode: run outboxctl init --wal", path);
		error = ERROR_REFUSED;
	}
	if (error != OK)
		connection_close(connection);
	return error;
}

void connection_close(struct connection *connection)
{
	int rc;

	for (int i = 0; i < CONNECTION_STATEMENTS; i++) {
		sqlite3_finalize(connection->kept[i]);
		connection->kept[i] = NULL;
	}
	rc = sqlite3_close(connection->db);
	assert(rc == SQLITE_OK); /* SQLITE_BUSY = a statement of ours was left behind */
	connection->db = NULL;
}

bool connection_is_idle(struct connection *connection)
{
	sqlite3_stmt *stmt = NULL;

	while ((stmt = sqlite3_next_stmt(connection->db, stmt)))
		if (sqlite3_stmt_busy(stmt))
			return false;
	return sqlite3_get_autocommit(connection->db);
}
