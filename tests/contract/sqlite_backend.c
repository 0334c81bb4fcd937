/*
 * sqlite_backend.c - the storage contract's words, said to an SQLite file.
 */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/buffer.h"
#include "tests/contract/contract.h"
#include "tests/contract/sqlite_backend.h"

#define WAL_FRAME_BYTES (24 + 4096)

extern char **environ;

/* A hook that waits for a statement of a connection that is not the application's. */
static struct {
	atomic_bool armed;
	const char *table;
	contract_hook *hook;
	void *context;
	sqlite3 *app;
} interposed;

static int on_statement(unsigned event, void *db, void *stmt, void *text)
{
	const char *sql = sqlite3_sql(stmt);

	(void)event;
	(void)text;
	if (atomic_load(&interposed.armed) && db != interposed.app && sql && strstr(sql, interposed.table)) {
		atomic_store(&interposed.armed, false);
		interposed.hook(interposed.context);
	}
	return 0;
}

static int on_open(sqlite3 *db, char **message, const void *api)
{
	(void)message;
	(void)api;
	return sqlite3_trace_v2(db, SQLITE_TRACE_STMT, on_statement, db);
}

struct outbox *sqlite_backend_place(void)
{
	struct outbox *outbox = memory_alloc(sizeof *outbox);

	(void)snprintf(outbox->folder, sizeof outbox->folder, "/tmp/outbox-contract-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(outbox->folder));
	(void)snprintf(outbox->path, sizeof outbox->path, "%s/outbox.db", outbox->folder);
	return outbox;
}

static sqlite3 *connect_to(const char *path)
{
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL),
	                 SQLITE_OK);
	sqlite3_busy_timeout(db, 5000);
	ck_assert_int_eq(sqlite3_exec(db, "PRAGMA synchronous = FULL", NULL, NULL, NULL), SQLITE_OK);
	return db;
}

sqlite3 *sqlite_backend_app(struct outbox *outbox)
{
	if (!outbox->app)
		outbox->app = connect_to(outbox->path);
	return outbox->app;
}

void sqlite_backend_run(struct outbox *outbox, const char *format, ...)
{
	sqlite3 *db = sqlite_backend_app(outbox);
	char *message = NULL;
	va_list arguments;
	char *sql;
	int rc;

	va_start(arguments, format);
	sql = sqlite3_vmprintf(format, arguments);
	va_end(arguments);
	rc = sqlite3_exec(db, sql, NULL, NULL, &message);
	ck_assert_msg(rc == SQLITE_OK, "%s: %s", sql, message ? message : "");
	sqlite3_free(sql);
}

/* A statement with its first row, finalized by the caller. */
static sqlite3_stmt *query(struct outbox *outbox, const char *sql, int64_t id, const char *text, bool *row)
{
	sqlite3 *db = sqlite_backend_app(outbox);
	sqlite3_stmt *stmt;
	int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

	ck_assert_msg(rc == SQLITE_OK, "%s: %s", sql, sqlite3_errmsg(db));
	if (sqlite3_bind_parameter_count(stmt) > 0)
		sqlite3_bind_int64(stmt, 1, id);
	if (text)
		sqlite3_bind_text(stmt, 2, text, -1, SQLITE_TRANSIENT);
	rc = sqlite3_step(stmt);
	ck_assert_msg(rc == SQLITE_ROW || rc == SQLITE_DONE, "%s: %s", sql, sqlite3_errmsg(db));
	*row = rc == SQLITE_ROW;
	return stmt;
}

long long sqlite_backend_ask(struct outbox *outbox, const char *sql)
{
	bool row;
	sqlite3_stmt *stmt = query(outbox, sql, 0, NULL, &row);
	long long value = row ? sqlite3_column_int64(stmt, 0) : -1;

	sqlite3_finalize(stmt);
	return value;
}

static void copy_text(sqlite3_stmt *stmt, int column, char *text, size_t size)
{
	const unsigned char *value = sqlite3_column_text(stmt, column);

	(void)snprintf(text, size, "%s", value ? (const char *)value : "");
}

static enum error open_outbox(struct outbox *outbox, const struct storage_settings *given,
                              struct storage **storage, struct words *words)
{
	struct storage_settings settings = { .path = NULL };

	if (given)
		settings = *given;
	settings.path = outbox->path;
	settings.create = true;
	return storage_open(&settings, storage, words);
}

static struct outbox *make(void)
{
	struct outbox *outbox = sqlite_backend_place();
	struct storage *storage;
	struct words words;

	/* SQLite's own type for what has three arguments */
	sqlite3_auto_extension((void (*)(void))on_open);
	ck_assert_msg(open_outbox(outbox, NULL, &storage, &words) == OK, "%s", words.text);
	storage_close(&storage);
	interposed.app = sqlite_backend_app(outbox);
	return outbox;
}

void sqlite_backend_remove(struct outbox *outbox)
{
	static const char *const names[] = { "", "-wal", "-shm", "-journal" };
	char path[128];

	sqlite3_close(outbox->app);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		(void)snprintf(path, sizeof path, "%s%s", outbox->path, names[i]);
		(void)unlink(path);
	}
	(void)rmdir(outbox->folder);
	free(outbox);
}

static void add_tenant(struct outbox *outbox, const char *name)
{
	sqlite_backend_run(outbox,
	                   "INSERT INTO outbox_tenant (name, host, from_address) VALUES (%Q, 'mail.example', "
	                   "'pbx@acme.example')",
	                   name);
}

static void set_tenant(struct outbox *outbox, const char *name, const char *column, const char *value)
{
	sqlite_backend_run(outbox, "UPDATE outbox_tenant SET \"%w\" = %Q WHERE name = %Q", column, value,
	                   name);
}

static void remove_tenant(struct outbox *outbox, const char *name)
{
	sqlite_backend_run(outbox, "DELETE FROM outbox_tenant WHERE name = %Q", name);
}

static void bind_pattern(sqlite3_stmt *stmt, int index, size_t first, size_t bytes)
{
	unsigned char *octets = memory_alloc(bytes + 1);

	for (size_t i = 0; i < bytes; i++)
		octets[i] = contract_octet(first + i);
	sqlite3_bind_blob(stmt, index, octets, (int)bytes, free);
}

static int64_t insert(struct outbox *outbox, const struct contract_message *message)
{
	sqlite3 *db = sqlite_backend_app(outbox);
	sqlite3_stmt *stmt;

	ck_assert_int_eq(
		sqlite3_prepare_v2(db,
	                           "INSERT INTO outbox (tenant, to_addresses, subject, body_text, message,"
	                           " priority, not_before, expires_at, attachments, draft, reference,"
	                           " dsn_notify, dsn_return)"
	                           " VALUES (?, ?, ?, ?, ?, ?, nullif(?, 0), nullif(?, 0), ?, ?, ?, ?, ?)",
	                           -1, &stmt, NULL),
		SQLITE_OK);
	sqlite3_bind_text(stmt, 1, message->tenant ? message->tenant : "acme", -1, SQLITE_TRANSIENT);
	sqlite3_bind_text(stmt, 2, message->to ? message->to : "bob@example.net", -1, SQLITE_TRANSIENT);
	sqlite3_bind_text(stmt, 3, message->subject, -1, SQLITE_TRANSIENT);
	sqlite3_bind_text(stmt, 4, message->text, -1, SQLITE_TRANSIENT);
	if (message->message_bytes)
		bind_pattern(stmt, 5, 0, message->message_bytes);
	sqlite3_bind_int(stmt, 6, message->priority);
	sqlite3_bind_int64(stmt, 7, message->not_before);
	sqlite3_bind_int64(stmt, 8, message->expires_at);
	sqlite3_bind_int(stmt, 9, message->attachments);
	sqlite3_bind_int(stmt, 10, message->draft);
	sqlite3_bind_text(stmt, 11, message->reference, -1, SQLITE_TRANSIENT);
	sqlite3_bind_text(stmt, 12, message->dsn_notify, -1, SQLITE_TRANSIENT);
	sqlite3_bind_text(stmt, 13, message->dsn_return, -1, SQLITE_TRANSIENT);
	ck_assert_msg(sqlite3_step(stmt) == SQLITE_DONE, "%s", sqlite3_errmsg(db));
	sqlite3_finalize(stmt);
	return sqlite3_last_insert_rowid(db);
}

static void attach(struct outbox *outbox, int64_t id, const struct contract_attachment *attachment)
{
	sqlite3 *db = sqlite_backend_app(outbox);
	sqlite3_stmt *stmt;

	ck_assert_int_eq(sqlite3_prepare_v2(db,
	                                    "INSERT INTO outbox_attachment (outbox_id, position, filename,"
	                                    " content_type, content_id, content)"
	                                    " VALUES (?, nullif(?, -1), ?, ?, ?, ?)",
	                                    -1, &stmt, NULL),
	                 SQLITE_OK);
	sqlite3_bind_int64(stmt, 1, id);
	sqlite3_bind_int(stmt, 2, attachment->position);
	sqlite3_bind_text(stmt, 3, attachment->filename, -1, SQLITE_TRANSIENT);
	sqlite3_bind_text(stmt, 4, attachment->content_type, -1, SQLITE_TRANSIENT);
	sqlite3_bind_text(stmt, 5, attachment->content_id, -1, SQLITE_TRANSIENT);
	if (attachment->text)
		sqlite3_bind_text(stmt, 6, attachment->text, -1, SQLITE_TRANSIENT);
	else
		bind_pattern(stmt, 6, attachment->first, attachment->bytes);
	ck_assert_msg(sqlite3_step(stmt) == SQLITE_DONE, "%s", sqlite3_errmsg(db));
	sqlite3_finalize(stmt);
}

static void spoil(struct outbox *outbox, int64_t id, int position)
{
	sqlite_backend_run(
		outbox,
		"BEGIN IMMEDIATE; UPDATE outbox_meta SET value = 1 WHERE key = 'trigger';"
		"UPDATE outbox_attachment SET content = NULL WHERE outbox_id = %lld AND position = %d;"
		"UPDATE outbox_meta SET value = 0 WHERE key = 'trigger'; COMMIT",
		(long long)id, position);
}

static void set_state(struct outbox *outbox, int64_t id, const char *state)
{
	sqlite_backend_run(outbox, "UPDATE outbox_status SET state = %Q WHERE outbox_id = %lld", state,
	                   (long long)id);
}

static void remove_message(struct outbox *outbox, int64_t id)
{
	sqlite_backend_run(outbox, "DELETE FROM outbox WHERE id = %lld", (long long)id);
}

static void ask_retry(struct outbox *outbox, const char *tenant)
{
	sqlite_backend_run(outbox, "INSERT INTO outbox_change (kind, key) VALUES ('retry', %Q)", tenant);
}

bool sqlite_backend_elsewhere(struct outbox *outbox, const char *sql)
{
	char *arguments[] = { "elsewhere", outbox->path, (char *)(uintptr_t)sql, NULL };
	int status;
	pid_t pid;

	ck_assert_int_eq(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, arguments, environ), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status == 0;
}

static void insert_elsewhere(struct outbox *outbox, const char *tenant)
{
	char *sql = sqlite3_mprintf(
		"INSERT INTO outbox (tenant, to_addresses) VALUES (%Q, 'bob@example.net')", tenant);

	ck_assert(sqlite_backend_elsewhere(outbox, sql));
	sqlite3_free(sql);
}

int contract_backend_elsewhere(int count, char **arguments)
{
	sqlite3 *db;
	int rc;

	if (count != 3 || sqlite3_open_v2(arguments[1], &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
		return EXIT_FAILURE;
	rc = sqlite3_exec(db, arguments[2], NULL, NULL, NULL);
	sqlite3_close(db);
	return rc == SQLITE_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

static void lock(struct outbox *outbox)
{
	sqlite_backend_run(outbox, "BEGIN IMMEDIATE");
}

static void unlock(struct outbox *outbox)
{
	sqlite_backend_run(outbox, "ROLLBACK");
}

static struct contract_status status(struct outbox *outbox, int64_t id)
{
	struct contract_status status = { .exists = false };
	sqlite3_stmt *stmt = query(
		outbox,
		"SELECT state, result, message_id, attempts, due_at, requeues, finished_at_ms,"
		" updated_at_ms FROM outbox_status WHERE outbox_id = ?1",
		id, NULL, &status.exists);

	if (status.exists) {
		copy_text(stmt, 0, status.state, sizeof status.state);
		copy_text(stmt, 1, status.result, sizeof status.result);
		copy_text(stmt, 2, status.message_id, sizeof status.message_id);
		status.attempts = sqlite3_column_int64(stmt, 3);
		status.due_at = sqlite3_column_int64(stmt, 4);
		status.requeues = sqlite3_column_int64(stmt, 5);
		status.finished_at_ms = sqlite3_column_int64(stmt, 6);
		status.updated_at_ms = sqlite3_column_int64(stmt, 7);
	}
	sqlite3_finalize(stmt);
	return status;
}

static struct contract_delivery delivery(struct outbox *outbox, int64_t id, const char *recipient)
{
	struct contract_delivery delivery = { .exists = false };
	sqlite3_stmt *stmt = query(outbox,
	                           "SELECT state, enhanced_code, response, server, tls, attempts, code"
	                           " FROM outbox_delivery WHERE outbox_id = ?1 AND recipient = ?2",
	                           id, recipient, &delivery.exists);

	if (delivery.exists) {
		copy_text(stmt, 0, delivery.state, sizeof delivery.state);
		copy_text(stmt, 1, delivery.enhanced_code, sizeof delivery.enhanced_code);
		copy_text(stmt, 2, delivery.response, sizeof delivery.response);
		copy_text(stmt, 3, delivery.server, sizeof delivery.server);
		copy_text(stmt, 4, delivery.tls, sizeof delivery.tls);
		delivery.attempts = sqlite3_column_int64(stmt, 5);
		delivery.code = sqlite3_column_int64(stmt, 6);
	}
	sqlite3_finalize(stmt);
	return delivery;
}

static void tenant_status(struct outbox *outbox, const char *tenant, const char *column, char text[200])
{
	char *sql = sqlite3_mprintf("SELECT \"%w\" FROM outbox_tenant_status WHERE tenant = ?2 AND ?1 = 0",
	                            column);
	bool row;
	sqlite3_stmt *stmt = query(outbox, sql, 0, tenant, &row);

	(void)snprintf(text, 200, "%s", "no row");
	if (row)
		copy_text(stmt, 0, text, 200);
	sqlite3_finalize(stmt);
	sqlite3_free(sql);
}

static int64_t changes_left(struct outbox *outbox)
{
	return sqlite_backend_ask(outbox, "SELECT count(*) FROM outbox_change");
}

/* TRUNCATE does only when no reader is left in the WAL. */
static bool unpinned(struct outbox *outbox)
{
	sqlite3 *db = sqlite_backend_app(outbox);
	int rc;

	sqlite3_busy_timeout(db, 0);
	rc = sqlite3_wal_checkpoint_v2(db, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	sqlite3_busy_timeout(db, 5000);
	return rc == SQLITE_OK;
}

static void interpose(struct outbox *outbox, const char *table, contract_hook *hook, void *context)
{
	interposed.app = sqlite_backend_app(outbox);
	interposed.table = table;
	interposed.hook = hook;
	interposed.context = context;
	atomic_store(&interposed.armed, true);
}

/* By the limit on a file's size: a commit appends its pages to the WAL. */
static void fail_writes(struct outbox *outbox, int after)
{
	struct rlimit limit;
	char path[128];
	struct stat st;

	(void)signal(SIGXFSZ, SIG_IGN);
	(void)snprintf(path, sizeof path, "%s-wal", outbox->path);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = after < 0 ? limit.rlim_max : (rlim_t)st.st_size + (rlim_t)after * WAL_FRAME_BYTES;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

const struct contract_backend contract_backend = {
	.name = "storage contract: SQLite",
	.make = make,
	.unmake = sqlite_backend_remove,
	.open = open_outbox,
	.add_tenant = add_tenant,
	.set_tenant = set_tenant,
	.remove_tenant = remove_tenant,
	.insert = insert,
	.attach = attach,
	.spoil = spoil,
	.set_state = set_state,
	.remove = remove_message,
	.ask_retry = ask_retry,
	.insert_elsewhere = insert_elsewhere,
	.lock = lock,
	.unlock = unlock,
	.status = status,
	.delivery = delivery,
	.tenant_status = tenant_status,
	.changes_left = changes_left,
	.unpinned = unpinned,
	.interpose = interpose,
	.fail_writes = fail_writes,
};
