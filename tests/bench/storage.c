/*
 * storage.c - what a row costs in storage/ alone: storage [ROWS]…
 *
 * For each number of rows, in a scratch database on the disk of $TMPDIR: the
 * application's INSERTs (1,000 a commit, and alone: one a commit), the look that
 * finds due rows, the last read of each, and settling as sent in commits of 256.
 * Figures, never assertions: microseconds a row, of this process' CPU time and by the
 * wall clock without the gap that storage_settle() leaves to applications.
 * Under callgrind or perf: the functions tell where a row's instructions go.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sqlite3.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "storage/checkpoint.h"
#include "storage/storage.h"

#define COMMIT_ROWS 256
#define ALONE_ROWS  200

struct stopwatch {
	int64_t cpu_ns, wall_ns;
};

static int64_t read_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static struct stopwatch start(void)
{
	return (struct stopwatch){ read_ns(CLOCK_PROCESS_CPUTIME_ID), read_ns(CLOCK_MONOTONIC) };
}

static void tell(const char *what, struct stopwatch since, int64_t paused_ns, long rows)
{
	double cpu = (double)(read_ns(CLOCK_PROCESS_CPUTIME_ID) - since.cpu_ns) / 1000;
	double wall = (double)(read_ns(CLOCK_MONOTONIC) - since.wall_ns - paused_ns) / 1000;

	printf("  %-28s %9.2f us CPU  %9.2f us\n", what, cpu / (double)rows, wall / (double)rows);
	fflush(stdout);
}

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "storage: %s: %s\n", what, why);
	exit(1);
}

static void run(sqlite3 *db, const char *sql)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail(sql, sqlite3_errmsg(db));
}

static void insert(sqlite3 *db, long rows, long a_commit)
{
	sqlite3_stmt *stmt;

	if (sqlite3_prepare_v2(db,
	                       "INSERT INTO outbox (tenant, to_addresses, subject, body_text) VALUES"
	                       " ('acme', 'bob@example.net', 'A subject', ?1)",
	                       -1, &stmt, NULL) != SQLITE_OK)
		fail("INSERT", sqlite3_errmsg(db));
	for (long row = 0; row < rows; row++) {
		if (row % a_commit == 0)
			run(db, "BEGIN IMMEDIATE");
		sqlite3_bind_text(stmt, 1, "A text of some length.\n", -1, SQLITE_STATIC);
		if (sqlite3_step(stmt) != SQLITE_DONE)
			fail("INSERT", sqlite3_errmsg(db));
		sqlite3_reset(stmt);
		if (row % a_commit == a_commit - 1 || row == rows - 1)
			run(db, "COMMIT");
	}
	sqlite3_finalize(stmt);
}

static bool none_in_hand(void *context, const struct storage_try *row)
{
	(void)context;
	(void)row;
	return false;
}

static struct queue_link *look(struct storage *storage, int limit)
{
	struct storage_due_query query = {
		.tenant = "acme", .now = clock_wall_s(), .limit = limit, .in_hand = none_in_hand
	};
	struct words words = { "" };
	struct queue_link *first;
	int64_t next_due;

	if (storage_due(storage, &query, &first, &next_due, &words) != OK)
		fail("look", words.text);
	return first;
}

static void forget(struct queue_link *first)
{
	while (first) {
		struct message *message = QUEUE_ITEM(first, struct message, link);

		first = first->next;
		message_destroy(&message);
	}
}

static void take(struct storage *storage, struct queue_link *first)
{
	for (struct queue_link *link = first; link; link = link->next) {
		struct words words = { "" };
		struct mail *mail;

		if (storage_take(storage, QUEUE_ITEM(link, struct message, link), deadline_after_ms(60000),
		                 &mail, &words) != OK)
			fail("take", words.text);
		storage_give_back(storage, &mail);
	}
}

/* As a server's 250 has it. */
static void judge(struct queue_link *first)
{
	for (struct queue_link *link = first; link; link = link->next) {
		struct message *message = QUEUE_ITEM(link, struct message, link);
		struct recipient *recipient = message_add_recipient(message, "bob@example.net");

		recipient->state = DELIVERY_SENT;
		recipient->attempts = 1;
		recipient->outcome.verdict = VERDICT_SENT;
		recipient->outcome.code = 250;
		outcome_say(&recipient->outcome, "2.0.0 Ok: queued as 4F1A2B3C4D");
		message->state = MESSAGE_SENT;
		message->attempts = 1;
		message->result = memory_strdup("250 2.0.0 Ok: queued as 4F1A2B3C4D");
		message->message_id = memory_strdup("1.0123456789abcdef@acme.example");
		message->server = memory_strdup("mail.acme.example:587");
		message->tls = memory_strdup("TLS1.3 AES-256-GCM");
	}
}

static void settle(struct storage *storage, struct queue_link *first)
{
	struct storage_batch batch = { .messages = first };
	struct words words = { "" };

	if (storage_settle(storage, &batch, deadline_after_ms(60000), &words) != OK)
		fail("settle", words.text);
}

static void deliver_all(struct storage *storage, long rows)
{
	struct stopwatch total[3] = { 0 }; /* look, take, settle */
	struct queue_link *first;
	struct words words = { "" };
	long commits = 0;

	while ((first = look(storage, COMMIT_ROWS)) != NULL) {
		struct stopwatch began;

		forget(first);
		for (int verb = 0; verb < 3; verb++) {
			if (verb == 2) {
				judge(first);
				usleep(2000); /* the gap is over before the clock runs */
			}
			began = start();
			if (verb == 0)
				first = look(storage, COMMIT_ROWS);
			else if (verb == 1)
				take(storage, first);
			else
				settle(storage, first);
			total[verb].cpu_ns += read_ns(CLOCK_PROCESS_CPUTIME_ID) - began.cpu_ns;
			total[verb].wall_ns += read_ns(CLOCK_MONOTONIC) - began.wall_ns;
		}
		forget(first);
		if (++commits % 64 == 0)
			(void)storage_checkpoint(storage, NULL, &words);
	}
	for (int verb = 0; verb < 3; verb++)
		printf("  %-28s %9.2f us CPU  %9.2f us\n",
		       verb == 0   ? "look, 256 at once"
		       : verb == 1 ? "take"
		                   : "settle, 256 a commit, gap incl.",
		       (double)total[verb].cpu_ns / 1000 / (double)rows,
		       (double)total[verb].wall_ns / 1000 / (double)rows);
}

static void measure(const char *path, long rows)
{
	struct storage_settings settings = { .path = path, .create = true };
	struct stopwatch began;
	struct storage *storage;
	struct words words = { "" };
	sqlite3 *db;

	printf("%ld rows\n", rows);
	if (storage_open(&settings, &storage, &words) != OK)
		fail("open", words.text);
	if (sqlite3_open(path, &db) != SQLITE_OK)
		fail(path, sqlite3_errmsg(db));
	run(db, "PRAGMA synchronous = FULL");
	run(db, "INSERT INTO outbox_tenant (name, host, from_address)"
	        " VALUES ('acme', 'mail.acme.example', 'pbx@acme.example')");
	began = start();
	insert(db, ALONE_ROWS, 1);
	tell("INSERT, one a commit", began, 0, ALONE_ROWS);
	began = start();
	insert(db, rows - ALONE_ROWS, 1000);
	tell("INSERT, 1,000 a commit", began, 0, rows - ALONE_ROWS);
	deliver_all(storage, rows);
	sqlite3_close(db);
	storage_close(&storage);
}

int main(int count, char **arguments)
{
	char *standard[] = { NULL, "1000", "100000", "1000000" };
	const char *folder = getenv("TMPDIR") ? getenv("TMPDIR") : "/var/tmp";
	char **sizes = count > 1 ? arguments : standard;
	int last = count > 1 ? count : 4;

	for (int i = 1; i < last; i++) {
		char place[256], path[300], companion[320];

		(void)snprintf(place, sizeof place, "%s/outboxd-bench-XXXXXX", folder);
		if (!mkdtemp(place))
			fail(place, "cannot be made");
		(void)snprintf(path, sizeof path, "%s/bench.db", place);
		if (atol(sizes[i]) > ALONE_ROWS)
			measure(path, atol(sizes[i]));
		for (int end = 0; end < 3; end++) {
			static const char *const ends[] = { "", "-wal", "-shm" };

			(void)snprintf(companion, sizeof companion, "%s%s", path, ends[end]);
			(void)unlink(companion);
		}
		(void)rmdir(place);
	}
	return 0;
}
