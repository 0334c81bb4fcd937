/*
 * insert.c - an application: bench-insert DATABASE COUNT GAP_US OCTETS TENANTS NAME
 *
 * Inserts COUNT messages of OCTETS, for t0, t1 … t(TENANTS - 1) in turn, each in a durable
 * transaction of its own, with the subjects NAME.0, NAME.1 …; one every GAP_US (0 = as fast as it can). With
 * COUNT 0 until the end of its input. Then prints a line "BEGIN_NS COMMIT_NS" for each (CLOCK_MONOTONIC). An
 * insert that fails is told on standard error; the status is then 1.
 */
#include <errno.h>
#include <poll.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct moment {
	uint64_t begin_ns, commit_ns;
};

static sqlite3 *db;
static bool failed;

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void trouble(const char *what)
{
	fprintf(stderr, "bench-insert: %s: %s\n", what, db ? sqlite3_errmsg(db) : strerror(errno));
	failed = true;
}

static void must(bool good, const char *what)
{
	if (good)
		return;
	trouble(what);
	exit(1);
}

static char *make_text(size_t octets)
{
	char *text = malloc(octets + 1);

	must(text != NULL, "memory");
	for (size_t n = 0; n < octets; n++)
		text[n] = n % 72 == 71 ? '\n' : (char)('a' + n % 26);
	text[octets] = '\0';
	return text;
}

/* Sleeps until then; false when the input is over, where that is the end: else it may be over from the start.
 */
static bool wait_until(uint64_t until_ns, bool input_ends)
{
	struct pollfd input = { .fd = input_ends ? 0 : -1, .events = POLLIN };
	uint64_t now_ns = now(), left = until_ns > now_ns ? until_ns - now_ns : 0;
	struct timespec gap = { .tv_sec = (time_t)(left / 1000000000), .tv_nsec = (long)(left % 1000000000) };

	return ppoll(&input, 1, &gap, NULL) == 0;
}

static struct moment insert(sqlite3_stmt *statement, const char *tenant, const char *subject)
{
	struct moment moment = { .begin_ns = now() };

	if (sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK) {
		trouble("BEGIN");
		return moment;
	}
	sqlite3_bind_text(statement, 1, tenant, -1, SQLITE_STATIC);
	sqlite3_bind_text(statement, 2, subject, -1, SQLITE_STATIC);
	if (sqlite3_step(statement) != SQLITE_DONE)
		trouble("INSERT");
	sqlite3_reset(statement);
	if (sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
		trouble("COMMIT");
	moment.commit_ns = now();
	return moment;
}

int main(int argc, char **argv)
{
	size_t count, gap_ns, octets, tenants, done, room = 0;
	struct moment *moments = NULL;
	sqlite3_stmt *statement;
	uint64_t begin_ns;

	must(argc == 7, "usage: bench-insert DATABASE COUNT GAP_US OCTETS TENANTS NAME");
	count = strtoul(argv[2], NULL, 10);
	gap_ns = strtoul(argv[3], NULL, 10) * 1000;
	octets = strtoul(argv[4], NULL, 10);
	tenants = strtoul(argv[5], NULL, 10);
	must(tenants > 0, "no tenants");
	must(sqlite3_open_v2(argv[1], &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK, argv[1]);
	sqlite3_busy_timeout(db, 5000);
	must(sqlite3_exec(db, "PRAGMA synchronous = FULL", NULL, NULL, NULL) == SQLITE_OK, "synchronous");
	must(sqlite3_prepare_v2(db,
	                        "INSERT INTO outbox (tenant, to_addresses, subject, body_text) "
	                        "VALUES (?1, 'you@sink.example', ?2, ?3)",
	                        -1, &statement, NULL) == SQLITE_OK,
	     "INSERT");
	sqlite3_bind_text(statement, 3, make_text(octets), (int)octets, free);
	begin_ns = now();
	for (done = 0; count == 0 || done < count; done++) {
		char tenant[32], subject[64];

		if ((gap_ns > 0 || count == 0) && !wait_until(begin_ns + done * gap_ns, count == 0))
			break;
		if (done == room) {
			room = room ? 2 * room : 1024;
			moments = realloc(moments, room * sizeof(*moments));
			must(moments != NULL, "memory");
		}
		(void)snprintf(tenant, sizeof(tenant), "t%zu", done % tenants);
		(void)snprintf(subject, sizeof(subject), "%s.%zu", argv[6], done);
		moments[done] = insert(statement, tenant, subject);
	}
	for (size_t n = 0; n < done; n++)
		printf("%llu %llu\n", (unsigned long long)moments[n].begin_ns,
		       (unsigned long long)moments[n].commit_ns);
	free(moments);
	sqlite3_finalize(statement);
	sqlite3_close(db);
	return failed ? 1 : 0;
}
