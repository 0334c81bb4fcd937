/*
 * admin_purge.c - see admin_purge.h.
 *
 * Promises: who is to go is looked for without a lock, a page at a time, each row once; a
 * transaction ends after PURGE_HOLD_MS, whatever it has done by then, so that a large
 * message is alone in its own; what was queued anew meanwhile stays.
 */
#include <string.h>

#include "common/clock.h"
#include "storage/admin_internal.h"
#include "storage/admin_purge.h"

#define PAGE_ROWS     500
#define PURGE_HOLD_MS 10

struct page {
	int64_t ids[PAGE_ROWS];
	int count;
	int64_t after_ms, after_id; /* the last one's; where the next page begins */
};

/* By the index of finished messages, or through those of one tenant. */
static const char of_all[] = "SELECT outbox_id, finished_at_ms FROM outbox_status WHERE state = ?1"
			     " AND finished_at_ms < ?2 AND (finished_at_ms, outbox_id) > (?3, ?4)"
			     " AND ?5 IS NULL ORDER BY finished_at_ms, outbox_id LIMIT ?6";
static const char of_one[] = "SELECT outbox_id, ?3 FROM outbox_status WHERE tenant = ?5 AND state = ?1"
			     " AND finished_at_ms < ?2 AND outbox_id > ?4 ORDER BY outbox_id LIMIT ?6";

static int64_t *count_of(struct admin_purge *purge, const char *state)
{
	return strcmp(state, "sent") == 0     ? &purge->sent
	       : strcmp(state, "failed") == 0 ? &purge->failed
	                                      : &purge->cancelled;
}

static enum error read_page(struct admin *admin, const struct admin_purge *purge, const char *state,
                            struct page *page, struct words *words)
{
	struct statement row = admin_prepare(admin, purge->tenant ? of_one : of_all);

	statement_text(&row, 1, state);
	statement_int(&row, 2, purge->before_ms);
	statement_int(&row, 3, page->after_ms);
	statement_int(&row, 4, page->after_id);
	statement_text(&row, 5, purge->tenant);
	statement_int(&row, 6, PAGE_ROWS);
	for (page->count = 0; page->count < PAGE_ROWS && statement_row(&row); page->count++) {
		page->after_id = page->ids[page->count] = sqlite3_column_int64(row.stmt, 0);
		page->after_ms = sqlite3_column_int64(row.stmt, 1);
	}
	return admin_error(admin, admin_finish(&row), "looking for finished messages", words);
}

/* One transaction from *at on; *at is where the next one goes on. */
static enum error remove_some(struct admin *admin, const struct admin_purge *purge, const char *state,
                              const struct page *page, int *at, int64_t *removed, struct words *words)
{
	struct statement row;
	int64_t begun_ms, count = 0;
	int i = *at;
	enum error error;

	admin_verb(admin);
	error = admin_begin(admin, words);
	if (error != OK)
		return error;
	begun_ms = clock_monotonic_ms();
	row = admin_prepare(admin, "DELETE FROM outbox WHERE id = ?1 AND EXISTS (SELECT 1 FROM outbox_status"
	                           " WHERE outbox_id = ?1 AND state = ?2 AND finished_at_ms < ?3)");
	statement_text(&row, 2, state);
	statement_int(&row, 3, purge->before_ms);
	do {
		statement_int(&row, 1, page->ids[i++]);
		(void)statement_row(&row);
		if (row.rc == SQLITE_OK)
			count += sqlite3_changes(admin->connection.db);
		if (row.stmt)
			(void)sqlite3_reset(row.stmt);
	} while (row.rc == SQLITE_OK && i < page->count && clock_monotonic_ms() - begun_ms < PURGE_HOLD_MS);
	error = admin_error(admin, admin_finish(&row), "removing messages", words);
	error = admin_end(admin, error, words);
	if (error == OK) {
		*removed += count;
		*at = i;
	}
	admin_leave_room(begun_ms);
	return error;
}

static enum error purge_state(struct admin *admin, struct admin_purge *purge, const char *state,
                              struct words *words)
{
	struct page page = { .count = 0 };
	enum error error;

	do {
		int at = 0;

		admin_verb(admin);
		error = read_page(admin, purge, state, &page, words);
		while (error == OK && at < page.count)
			error = remove_some(admin, purge, state, &page, &at, count_of(purge, state), words);
	} while (error == OK && page.count == PAGE_ROWS);
	return error;
}

static enum error count_state(struct admin *admin, struct admin_purge *purge, const char *state,
                              struct words *words)
{
	struct statement row = admin_prepare(
		admin, purge->tenant ? "SELECT count(*) FROM outbox_status WHERE tenant = ?3"
				       " AND state = ?1 AND finished_at_ms < ?2"
				     : "SELECT count(*) FROM outbox_status WHERE state = ?1"
				       " AND finished_at_ms < ?2 AND ?3 IS NULL");

	statement_text(&row, 1, state);
	statement_int(&row, 2, purge->before_ms);
	statement_text(&row, 3, purge->tenant);
	if (statement_row(&row))
		*count_of(purge, state) = sqlite3_column_int64(row.stmt, 0);
	return admin_error(admin, admin_finish(&row), "counting finished messages", words);
}

enum error admin_purge(struct admin *admin, struct admin_purge *purge, struct words *words)
{
	static const char *const states[] = { "sent", "failed", "cancelled" };
	enum error error = OK;

	purge->sent = purge->failed = purge->cancelled = 0;
	admin_verb(admin);
	if (purge->tenant)
		error = admin_tenant_exists(admin, purge->tenant, words);
	/* Freed pages are not zeroed: a large message would hold the lock for as long as that takes. */
	if (error == OK)
		error = admin_error(admin, connection_run(&admin->connection, "PRAGMA secure_delete = FAST"),
		                    "preparing", words);
	for (size_t i = 0; i < sizeof states / sizeof *states && error == OK; i++) {
		if (purge->state && strcmp(purge->state, states[i]) != 0)
			continue;
		error = purge->dry_run ? count_state(admin, purge, states[i], words)
		                       : purge_state(admin, purge, states[i], words);
	}
	return error;
}
