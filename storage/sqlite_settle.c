/*
 * sqlite_settle.c - what became of messages, written by one thread in one
 * transaction for all that is waiting.
 *
 * Promises ((b) and (e) of "Never twice"): nothing is said to be settled unless
 * COMMIT returned OK; a commit that failed or is unknown can be repeated and
 * finds its own work; a message that an application changed meanwhile is
 * answered by its name.  Between two commits the write lock stays free for at
 * least 2 ms and as long as the last one held it: applications only poll for it.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "storage/sqlite_settle.h"

#define USAGE_KEPT_S (25 * 3600) /* a day, and what is left of the part that began before it */
/* ?1 id, ?2 state, ?3 attempts, ?4 due_at, ?5 result, ?6 message_id, ?7 now, ?8 requeues */
#define SETTLE_COLUMNS                                                                                       \
	" attempts = ?3, due_at = ?4, message_id = coalesce(?6, message_id), updated_at_ms = ?7,"            \
	" finished_at_ms = CASE WHEN ?2 IN ('sent', 'failed') THEN ?7 END"

/* A tenant that was deleted meanwhile gets no row: a new one of its name would inherit it. */
#define TENANT_IS_THERE " WHERE EXISTS (SELECT 1 FROM outbox_tenant WHERE name = ?1)"

const char *const storage_settle_sql[SETTLE_STATEMENTS] = {
	[SETTLE_BEGIN] = "BEGIN IMMEDIATE",
	[SETTLE_COMMIT] = "COMMIT",
	[SETTLE_MARK] = "UPDATE outbox_meta SET value = ?1 WHERE key = 'daemon'",
	/*
	 * An application that cancelled and queued the message anew meanwhile asked for another try:
	 * only an acceptance, certain or not, may answer that one too.
	 */
	[SETTLE_MESSAGE] = "UPDATE outbox_status SET state = CASE ?2 WHEN 'queued' THEN state ELSE ?2 END,"
			   " result = ?5," SETTLE_COLUMNS
			   " WHERE outbox_id = ?1 AND state IN ('queued', 'deferred')"
			   " AND (requeues = ?8 OR ?2 IN ('sent', 'uncertain'))",
	[SETTLE_CANCELLED] = "UPDATE outbox_status SET state = ?2,"
			     " result = 'cancel came too late' || coalesce(': ' || ?5, '')," SETTLE_COLUMNS
			     " WHERE outbox_id = ?1 AND state = 'cancelled'"
			     " AND ?2 IN ('sent', 'failed', 'uncertain') AND ?8 IS NOT NULL",
	[SETTLE_ASK] = "SELECT state, attempts, requeues FROM outbox_status WHERE outbox_id = ?1",
	[SETTLE_TRIED] =
		"INSERT INTO outbox_delivery (outbox_id, recipient, state, attempts, code, enhanced_code,"
		" response, server, tls, updated_at_ms, uncertain)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
		" ON CONFLICT (outbox_id, recipient) DO UPDATE SET state = excluded.state,"
		" attempts = excluded.attempts, code = excluded.code,"
		" enhanced_code = excluded.enhanced_code, response = excluded.response,"
		" server = excluded.server, tls = excluded.tls, updated_at_ms = excluded.updated_at_ms,"
		" uncertain = max(coalesce(uncertain, 0), excluded.uncertain)" /* it stays */
		" WHERE outbox_delivery.state <> 'sent'",
	/* no server said anything this time: what one said before stays */
	[SETTLE_GIVEN_UP] =
		"INSERT INTO outbox_delivery (outbox_id, recipient, state, attempts, code, response,"
		" updated_at_ms, uncertain) VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7)"
		" ON CONFLICT (outbox_id, recipient) DO UPDATE SET state = excluded.state,"
		" attempts = excluded.attempts, updated_at_ms = excluded.updated_at_ms,"
		" uncertain = max(coalesce(uncertain, 0), excluded.uncertain)"
		" WHERE outbox_delivery.state <> 'sent' AND outbox_delivery.state <> excluded.state",
	[SETTLE_STATUS] =
		"INSERT INTO outbox_tenant_status (tenant, state, queued, deferred, oldest_due_at,"
		" consecutive_failures, retry_at, worker_restarts, last_error, last_sent_at,"
		" token_expires_at, token_error, updated_at)"
		" SELECT ?1, ?2, ?3, ?4, nullif(?5, 0), ?6, nullif(?7, 0), ?8, ?9, nullif(?10, 0),"
		" nullif(?12, 0), ?13, ?11" TENANT_IS_THERE
		" ON CONFLICT (tenant) DO UPDATE SET state = excluded.state, queued = excluded.queued,"
		" deferred = excluded.deferred, oldest_due_at = excluded.oldest_due_at,"
		" consecutive_failures = excluded.consecutive_failures, retry_at = excluded.retry_at,"
		" worker_restarts = excluded.worker_restarts, last_error = excluded.last_error,"
		" last_sent_at = coalesce(excluded.last_sent_at, last_sent_at),"
		" token_expires_at = excluded.token_expires_at, token_error = excluded.token_error,"
		" updated_at = excluded.updated_at",
	[SETTLE_USAGE] =
		"INSERT INTO outbox_usage (tenant, since, recipients) SELECT ?1, ?2, ?3" TENANT_IS_THERE
		" ON CONFLICT (tenant, since) DO UPDATE SET recipients = recipients + excluded.recipients",
	[SETTLE_USAGE_OLD] = "DELETE FROM outbox_usage WHERE tenant = ?1 AND since < ?2",
	[SETTLE_FEED] = "DELETE FROM outbox_change WHERE seq = ?1",
	[SETTLE_FEED_ALL] = "DELETE FROM outbox_change WHERE seq <= ?1",
	[RETAIN_FINISHED] = "SELECT outbox_id, finished_at_ms FROM outbox_status WHERE state = ?1"
			    " AND finished_at_ms < ?2 AND (finished_at_ms, outbox_id) > (?3, ?4)"
			    " ORDER BY finished_at_ms, outbox_id LIMIT ?5",
	[RETAIN_ATTACHMENTS] = "SELECT rowid FROM outbox_attachment WHERE outbox_id = ?1",
	[RETAIN_REMOVE] = "DELETE FROM outbox WHERE id = ?1 AND EXISTS (SELECT 1 FROM outbox_status"
			  " WHERE outbox_id = ?1 AND state = ?2 AND finished_at_ms < ?3)",
	[SETTLE_OTHERS] = "PRAGMA data_version",
	[TRIGGERS_VERSION] = "PRAGMA schema_version",
	[TRIGGERS_FOREIGN] = storage_triggers_foreign_sql,
};

/* What the row says where it is not ours to settle. */
struct found_row {
	bool exists;
	bool own;       /* an earlier commit of this very result */
	bool cancelled; /* and stays so */
	bool requeued;  /* another try is wanted */
};

static int ask_row(struct connection *writer, const struct message *message, struct found_row *found)
{
	struct statement row = statement_begin(writer, SETTLE_ASK);

	memset(found, 0, sizeof *found);
	statement_int(&row, 1, message->id);
	if (statement_row(&row)) {
		enum message_state state = MESSAGE_DRAFT;
		bool known = message_state_parse((const char *)sqlite3_column_text(row.stmt, 0), &state);
		bool same_try = sqlite3_column_int(row.stmt, 2) == message->requeue;

		found->exists = true;
		found->own = known && same_try && state == message->state &&
		             sqlite3_column_int(row.stmt, 1) == message->attempts;
		found->cancelled = state == MESSAGE_CANCELLED;
		found->requeued = !same_try && (state == MESSAGE_QUEUED || state == MESSAGE_DEFERRED);
	}
	return statement_end(&row);
}

static int update_row(struct connection *writer, enum settle_statement number, const struct message *message,
                      int64_t now_ms, bool *changed)
{
	struct statement update = statement_begin(writer, (int)number);
	bool waits = message->state == MESSAGE_QUEUED || message->state == MESSAGE_DEFERRED;

	/* Set back since then: it is due by the clock of before, and is found by this when the table follows.
	 */
	if (waits && message->decided_wall_ms > now_ms + CLOCK_SLACK_MS)
		now_ms = message->decided_wall_ms;
	statement_int(&update, 1, message->id);
	statement_text(&update, 2, message_state_name(message->state));
	statement_int(&update, 3, message->attempts);
	statement_int(&update, 4, message->due_at);
	statement_text(&update, 5, message->result);
	statement_text(&update, 6, message->message_id);
	statement_int(&update, 7, now_ms);
	statement_int(&update, 8, message->requeue);
	(void)statement_row(&update);
	*changed = update.rc == SQLITE_OK && sqlite3_changes(writer->db) == 1;
	return statement_end(&update);
}

/* outbox_delivery.state as the row's present state has it; NONE = no row is written. */
static enum delivery_state delivery_state_of(const struct recipient *recipient, const struct found_row *found)
{
	enum delivery_state state = recipient->state;

	if (found->cancelled && state == DELIVERY_DEFERRED)
		return DELIVERY_CANCELLED;
	if (found->requeued && state == DELIVERY_FAILED)
		return DELIVERY_DEFERRED;
	return state;
}

static int write_delivery(struct connection *writer, const struct message *message,
                          const struct recipient *recipient, enum delivery_state state, int64_t now_ms)
{
	const struct outcome *outcome = &recipient->outcome;
	bool tried = outcome->verdict != VERDICT_NONE && outcome->verdict != VERDICT_UNTRIED;
	/* not what hold_message() writes in advance: if an answer comes, there never was a doubt */
	bool was_uncertain = recipient->once_uncertain || recipient->state == DELIVERY_UNCERTAIN;
	struct statement row = statement_begin(writer, tried ? SETTLE_TRIED : SETTLE_GIVEN_UP);

	statement_int(&row, 1, message->id);
	statement_text(&row, 2, recipient->address);
	statement_text(&row, 3, delivery_state_name(state));
	statement_int(&row, 4, recipient->attempts);
	if (tried) {
		statement_int(&row, 5, outcome->code);
		statement_text(&row, 6, outcome->enhanced);
		statement_text(&row, 7, outcome->text);
		statement_text(&row, 8, message->server);
		statement_text(&row, 9, message->tls);
		statement_int(&row, 10, now_ms);
		statement_int(&row, 11, was_uncertain);
	} else {
		statement_text(&row, 5, outcome->text ? outcome->text : message->result);
		statement_int(&row, 6, now_ms);
		statement_int(&row, 7, was_uncertain);
	}
	(void)statement_row(&row);
	return statement_end(&row);
}

static int write_deliveries(struct connection *writer, const struct message *message,
                            const struct found_row *found, int64_t now_ms)
{
	int rc = SQLITE_OK;

	for (size_t i = 0; i < message->recipient_count && rc == SQLITE_OK; i++) {
		enum delivery_state state = delivery_state_of(&message->recipients[i], found);

		if (state != DELIVERY_NONE)
			rc = write_delivery(writer, message, &message->recipients[i], state, now_ms);
	}
	return rc;
}

/* What it counts in its tenant's day; what is older than that goes. */
static int write_usage(struct storage *storage, const struct message *message)
{
	struct connection *writer = &storage->writer;
	struct statement row;
	int64_t since;
	int rc;

	if (message->usage == 0)
		return SQLITE_OK;
	since = storage_usage_part_s(storage);
	row = statement_begin(writer, SETTLE_USAGE);
	statement_text(&row, 1, message->tenant_name);
	statement_int(&row, 2, since);
	statement_int(&row, 3, message->usage);
	(void)statement_row(&row);
	rc = statement_end(&row);
	if (rc != SQLITE_OK)
		return rc;
	row = statement_begin(writer, SETTLE_USAGE_OLD);
	statement_text(&row, 1, message->tenant_name);
	statement_int(&row, 2, since - USAGE_KEPT_S);
	(void)statement_row(&row);
	return statement_end(&row);
}

/* (e): only what still waits is settled; what was cancelled too late is settled too, and says so. */
static int settle_message(struct storage *storage, struct message *message, int64_t now_ms)
{
	struct connection *writer = &storage->writer;
	struct found_row found = { .exists = true };
	bool changed = false;
	int rc = update_row(writer, SETTLE_MESSAGE, message, now_ms, &changed);

	if (rc == SQLITE_OK && !changed)
		rc = update_row(writer, SETTLE_CANCELLED, message, now_ms, &changed);
	if (rc == SQLITE_OK && !changed)
		rc = ask_row(writer, message, &found);
	/* A commit that is repeated finds its own work, and has counted. */
	if (rc == SQLITE_OK && !found.own)
		rc = write_usage(storage, message);
	if (rc != SQLITE_OK)
		return rc;
	if (!found.exists) {
		message->settled = SETTLED_GONE;
		return SQLITE_OK;
	}
	message->settled = changed || found.own ? SETTLED : SETTLED_SUPERSEDED;
	message->cancelled = found.cancelled;
	return write_deliveries(writer, message, &found, now_ms);
}

/* Before the end of the data: from here on a crash leaves these recipients uncertain, not untried. */
static int hold_message(struct storage *storage, struct message *message, int64_t now_ms)
{
	struct connection *writer = &storage->writer;
	struct found_row found;
	int rc = ask_row(writer, message, &found);

	if (rc != SQLITE_OK)
		return rc;
	if (!found.exists || found.cancelled || found.requeued) {
		message->settled = found.exists ? SETTLED_SUPERSEDED : SETTLED_GONE;
		return SQLITE_OK;
	}
	message->settled = SETTLED;
	for (size_t i = 0; i < message->recipient_count && rc == SQLITE_OK; i++)
		if (message->recipients[i].outcome.verdict == VERDICT_UNCERTAIN)
			rc = write_delivery(writer, message, &message->recipients[i], DELIVERY_UNCERTAIN,
			                    now_ms);
	return rc;
}

static int write_status(struct connection *writer, const struct tenant_status *status)
{
	struct statement row = statement_begin(writer, SETTLE_STATUS);

	statement_text(&row, 1, status->tenant);
	statement_text(&row, 2, status->state);
	statement_int(&row, 3, status->queued);
	statement_int(&row, 4, status->deferred);
	statement_int(&row, 5, status->oldest_due_at);
	statement_int(&row, 6, status->consecutive_failures);
	statement_int(&row, 7, status->retry_at);
	statement_int(&row, 8, status->worker_restarts);
	statement_text(&row, 9, status->last_error);
	statement_int(&row, 10, status->last_sent_at);
	statement_int(&row, 11, clock_wall_s());
	statement_int(&row, 12, status->token_expires_at);
	statement_text(&row, 13, status->token_error);
	(void)statement_row(&row);
	return statement_end(&row);
}

static int run_statement(struct connection *writer, enum settle_statement number)
{
	struct statement statement = statement_begin(writer, (int)number);

	(void)statement_row(&statement);
	return statement_end(&statement);
}

static int run_int(struct connection *writer, enum settle_statement number, int64_t value)
{
	struct statement statement = statement_begin(writer, (int)number);

	statement_int(&statement, 1, value);
	(void)statement_row(&statement);
	return statement_end(&statement);
}

static int empty_feed(struct connection *writer, const struct feed_cut *cut)
{
	int rc = cut->up_to > 0 ? run_int(writer, SETTLE_FEED_ALL, cut->up_to) : SQLITE_OK;

	for (size_t i = 0; i < cut->count && rc == SQLITE_OK; i++)
		rc = run_int(writer, SETTLE_FEED, cut->seqs[i]);
	return rc;
}

/* When a commit ends before all is in it: not before so many, 0 us = never. */
struct hold {
	int64_t until_us;
	int least;
};

static int write_messages(struct storage *storage, struct queue_link *first,
                          int (*write)(struct storage *, struct message *, int64_t), const struct hold *hold,
                          int64_t *at_id)
{
	int64_t now_ms = clock_wall_ms();
	int rc = SQLITE_OK, written = 0;

	for (struct queue_link *link = first; link && rc == SQLITE_OK; link = link->next) {
		struct message *message = QUEUE_ITEM(link, struct message, link);

		if (hold->until_us && written > 0 && written >= hold->least &&
		    storage_now_us() >= hold->until_us)
			break;
		*at_id = message->id;
		rc = write(storage, message, now_ms);
		written++;
	}
	if (rc == SQLITE_OK)
		*at_id = 0;
	return rc;
}

/*
 * All but BEGIN and COMMIT, without triggers or between the marks by which they know us (schema.sql).
 * *at_id: the message that could not be written, 0 = none of them.
 */
static int write_batch(struct storage *storage, const struct storage_batch *batch, const struct feed_cut *cut,
                       int64_t began_us, int64_t *at_id)
{
	struct connection *writer = &storage->writer;
	const struct hold hold = { batch->hold_us > 0 ? began_us + batch->hold_us : 0, batch->hold_least };
	bool triggers = true;
	int rc = storage_triggers_settle(writer, &triggers);

	storage->plain = !triggers; /* a trigger of the owner's may change whatever there is */
	if (rc == SQLITE_OK && triggers)
		rc = run_int(writer, SETTLE_MARK, 1);

	if (rc == SQLITE_OK)
		rc = write_messages(storage, batch->uncertain, hold_message, &hold, at_id);
	if (rc == SQLITE_OK)
		rc = write_messages(storage, batch->messages, settle_message, &hold, at_id);
	for (struct queue_link *link = batch->statuses; link && rc == SQLITE_OK; link = link->next)
		rc = write_status(writer, QUEUE_ITEM(link, struct tenant_status, link));
	if (rc == SQLITE_OK)
		rc = empty_feed(writer, cut);
	return rc == SQLITE_OK && triggers ? run_int(writer, SETTLE_MARK, 0) : rc;
}

/* (b): what was written and not surely committed is not settled. */
static void forget_answers(const struct storage_batch *batch)
{
	for (struct queue_link *link = batch->messages; link; link = link->next)
		QUEUE_ITEM(link, struct message, link)->settled = SETTLED_NOT_YET;
	for (struct queue_link *link = batch->uncertain; link; link = link->next)
		QUEUE_ITEM(link, struct message, link)->settled = SETTLED_NOT_YET;
}

static enum error commit_batch(struct storage *storage, const struct storage_batch *batch,
                               const struct feed_cut *cut, struct words *words)
{
	struct connection *writer = &storage->writer;
	int rc = run_statement(writer, SETTLE_BEGIN); /* waits for the lock */
	int64_t began_us = storage_now_us(), written_us;
	char doing[80] = "cannot record results";
	uint32_t before[WAL_HEADER_WORDS];
	bool counted = false;
	int64_t at_id = 0, rows = sqlite3_total_changes64(writer->db);
	enum error error;

	if (rc != SQLITE_OK) {
		error = connection_error(writer, rc, "cannot begin to record results", words);
		if ((rc & 0xff) != SQLITE_BUSY)
			connection_close(writer); /* whatever is wrong with it does not stay */
		return error;
	}
	counted = wal_header_read(storage, before);
	rc = storage_ask_others(storage);
	if (rc == SQLITE_OK)
		rc = write_batch(storage, batch, cut, began_us, &at_id);
	written_us = storage_now_us();
	if (rc == SQLITE_OK)
		rc = run_statement(writer, SETTLE_COMMIT);
	storage->commit_us = storage_now_us() - written_us;
	/* one that changed no row has no number: the next one is anybody's */
	if (rc == SQLITE_OK && counted && storage->plain && sqlite3_total_changes64(writer->db) != rows)
		wal_own_commit(storage, before);
	storage_lock_held(storage, began_us);
	if (rc == SQLITE_OK)
		return OK;
	if (at_id)
		(void)snprintf(doing, sizeof doing, "cannot record the result of message %lld",
		               (long long)at_id);
	error = connection_error(writer, rc, doing, words);
	forget_answers(batch);
	if (!sqlite3_get_autocommit(writer->db))
		(void)connection_run(writer, "ROLLBACK");
	connection_close(writer); /* a fresh one knows what is really there */
	return error;
}

int64_t storage_commit_us(const struct storage *storage)
{
	return storage->commit_us;
}

enum error storage_open_writer(struct storage *storage, int64_t deadline_ms, struct words *words)
{
	struct connection *writer = &storage->writer;

	writer->deadline_ms = deadline_ms;
	if (writer->db)
		return OK;
	return connection_open(writer, storage_file_path(storage->file), storage_settle_sql, deadline_ms,
	                       words);
}

enum error storage_settle(struct storage *storage, const struct storage_batch *batch, int64_t deadline_ms,
                          struct words *words)
{
	struct feed_cut cut = storage_feed_cut(storage);
	bool empty = !batch->messages && !batch->uncertain && !batch->statuses && cut.count == 0 &&
	             cut.up_to == 0;
	bool busy = atomic_flag_test_and_set(&storage->settling);
	enum error error;

	assert(!busy); /* one thread owns the writing connection */
	forget_answers(batch);
	error = empty ? OK : storage_wait_for_gap(storage, deadline_ms, words);
	if (error == OK && !storage_file_is_wal(storage->file)) {
		words_set(words, "%s is no longer in WAL mode: run outboxctl init --wal",
		          storage_file_path(storage->file));
		error = ERROR_UNAVAILABLE;
	}
	if (error == OK)
		error = storage_open_writer(storage, deadline_ms, words);
	if (error == OK && !empty)
		error = commit_batch(storage, batch, &cut, words);
	storage_feed_return(storage, &cut, error == OK);
	atomic_flag_clear(&storage->settling);
	return error == OK ? OK : ERROR_UNAVAILABLE;
}

void storage_rest(struct storage *storage)
{
	(void)sqlite3_db_release_memory(storage->writer.db);
}
