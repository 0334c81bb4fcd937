/*
 * sqlite_take.c - the last read of a message before MAIL.
 *
 * Promises ((d) of "Never twice"): one read transaction demands that the
 * message is still what was handed over, and copies all that its sending
 * needs; when the verb returns, no statement, blob handle or transaction is
 * open, so that nothing pins the WAL while a server is talked to.  Bodies of up
 * to 256 KiB are copied into borrowed memory, larger ones in slices into an
 * unlinked file.  Fails with ERROR_NOT_FOUND (no longer to be sent) or
 * ERROR_UNAVAILABLE (not now: no room, no connection, no memory).
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/pool.h"
#include "storage/sqlite_internal.h"
#include "storage/sqlite_spool.h"

#define BODIES 3

enum take_statement { TAKE_BEGIN, TAKE_COMMIT, TAKE_ROW, TAKE_KNOWN, TAKE_STATEMENTS };

const char *const storage_take_sql[TAKE_STATEMENTS] = {
	[TAKE_BEGIN] = "BEGIN",
	[TAKE_COMMIT] = "COMMIT",
	[TAKE_ROW] =
		"SELECT s.from_address, o.envelope_from, o.to_addresses, o.cc_addresses, o.bcc_addresses,"
		" o.reply_to, o.subject, o.headers, o.reference, o.attachments, s.first_queued_at_ms,"
		" typeof(o.body_text), typeof(o.body_html), typeof(o.message)"
		" FROM outbox_status AS s JOIN outbox AS o ON o.id = s.outbox_id"
		" JOIN outbox_tenant AS t ON t.name = s.tenant"
		" WHERE s.outbox_id = ?1 AND s.tenant = ?2 AND s.state = ?3 AND s.attempts = ?4"
		" AND s.requeues = ?5 AND s.due_at = ?6"
		" AND (?8 OR (t.enabled = 1 AND (o.expires_at IS NULL OR o.expires_at > ?7)))",
	[TAKE_KNOWN] = "SELECT recipient, state, attempts, code FROM outbox_delivery WHERE outbox_id = ?1"
		       " ORDER BY recipient",
};

/* What a mail has borrowed: storage_give_back() returns it. */
struct lent {
	void *blocks[BODIES];
	size_t block_count;
	size_t block_used; /* octets of the last one */
	int fd;            /* spool file of all large bodies, -1 = none */
	int64_t spooled;   /* its octets */
};

/* One take on its way. */
struct take {
	struct storage *storage;
	struct connection *connection;
	const struct message *message;
	struct mail *mail;
	struct lent *lent;
	int64_t deadline_ms;
	bool may_spool; /* a place for large copies is held */
	bool is_large;  /* one is needed */
	int rc;         /* what SQLite said */
	struct words *words;
};

void storage_give_back(struct storage *storage, struct mail **mail)
{
	struct mail *m = *mail;
	struct lent *lent;

	if (!m)
		return;
	lent = m->lent;
	for (size_t i = 0; i < lent->block_count; i++)
		pool_give(storage->readers.blocks, lent->blocks[i]);
	if (lent->fd >= 0)
		close(lent->fd);
	free(lent);
	for (size_t i = 0; i < m->known_count; i++) {
		free(m->known[i].address);
		outcome_clear(&m->known[i].outcome);
	}
	free(m->known);
	free(m->from_address);
	free(m->envelope_from);
	free(m->to_addresses);
	free(m->cc_addresses);
	free(m->bcc_addresses);
	free(m->reply_to);
	free(m->subject);
	free(m->headers);
	free(m->reference);
	free(m);
	*mail = NULL;
}

static void mail_begin(struct take *take)
{
	struct mail *mail = memory_alloc(sizeof *mail);
	struct lent *lent = memory_alloc(sizeof *lent);

	lent->fd = -1;
	mail->id = take->message->id;
	mail->body_text.fd = mail->body_html.fd = mail->message.fd = -1;
	mail->lent = lent;
	take->mail = mail;
	take->lent = lent;
}

/* Room in borrowed memory: behind the last body if it fits, else in a further block. */
static void *lend_memory(struct take *take, size_t size)
{
	struct lent *lent = take->lent;
	char *room;

	if (lent->block_count == 0 || STORAGE_BLOCK_BYTES - lent->block_used < size) {
		void *block = pool_take(take->storage->readers.blocks);

		assert(lent->block_count < BODIES);
		if (!block)
			return NULL;
		lent->blocks[lent->block_count++] = block;
		lent->block_used = 0;
	}
	room = (char *)lent->blocks[lent->block_count - 1] + lent->block_used;
	lent->block_used += size;
	return room;
}

static enum error copy_small(struct take *take, sqlite3_blob *blob, struct body *body)
{
	body->memory = lend_memory(take, (size_t)body->size);
	if (!body->memory) {
		words_set(take->words, "memory is short");
		return ERROR_UNAVAILABLE;
	}
	take->rc = sqlite3_blob_read(blob, body->memory, (int)body->size, 0);
	return OK;
}

static enum error copy_large(struct take *take, sqlite3_blob *blob, struct body *body)
{
	const char *dir = take->storage->spool_dir;
	struct lent *lent = take->lent;
	enum error error = OK;
	void *slice;

	if (lent->fd < 0)
		error = spool_open(dir, &lent->fd, take->words);
	if (error != OK)
		return error;
	slice = pool_take(take->storage->readers.blocks);
	if (!slice) {
		words_set(take->words, "memory is short");
		return ERROR_UNAVAILABLE;
	}
	body->fd = lent->fd;
	body->offset = lent->spooled;
	for (int64_t at = 0; at < body->size && error == OK && take->rc == SQLITE_OK;) {
		int length = body->size - at < STORAGE_BLOCK_BYTES ? (int)(body->size - at)
		                                                   : STORAGE_BLOCK_BYTES;

		take->rc = sqlite3_blob_read(blob, slice, length, (int)at);
		if (take->rc == SQLITE_OK)
			error = spool_write(lent->fd, dir, slice, (size_t)length, body->offset + at,
			                    take->words);
		at += length;
		if (error == OK && at < body->size && deadline_left_ms(take->deadline_ms) == 0) {
			words_set(take->words, "a large message could not be copied in time");
			error = ERROR_UNAVAILABLE;
		}
	}
	lent->spooled += body->size;
	pool_give(take->storage->readers.blocks, slice);
	return error;
}

/* A body that is not NULL; a large one only if a place for such copies is held. */
static enum error copy_body(struct take *take, const char *column, struct body *body)
{
	sqlite3_blob *blob = NULL;
	enum error error = OK;

	take->rc = sqlite3_blob_open(take->connection->db, "main", "outbox", column, take->message->id, 0,
	                             &blob);
	if (take->rc == SQLITE_OK) {
		body->size = sqlite3_blob_bytes(blob);
		body->present = body->size > 0;
		if (body->size > STORAGE_BLOCK_BYTES && !take->may_spool)
			take->is_large = true;
		else if (body->size > STORAGE_BLOCK_BYTES)
			error = copy_large(take, blob, body);
		else if (body->size > 0)
			error = copy_small(take, blob, body);
	}
	(void)sqlite3_blob_close(blob);
	return error;
}

static enum error copy_bodies(struct take *take, const bool present[BODIES])
{
	static const char *const columns[BODIES] = { "body_text", "body_html", "message" };
	struct body *bodies[BODIES] = { &take->mail->body_text, &take->mail->body_html,
		                        &take->mail->message };
	enum error error = OK;

	for (int i = 0; i < BODIES && error == OK && take->rc == SQLITE_OK && !take->is_large; i++)
		if (present[i])
			error = copy_body(take, columns[i], bodies[i]);
	return error;
}

static void copy_columns(struct take *take, struct statement *row, bool present[BODIES])
{
	struct mail *mail = take->mail;

	mail->from_address = statement_column(row, 0);
	mail->envelope_from = statement_column(row, 1);
	mail->to_addresses = statement_column(row, 2);
	mail->cc_addresses = statement_column(row, 3);
	mail->bcc_addresses = statement_column(row, 4);
	mail->reply_to = statement_column(row, 5);
	mail->subject = statement_column(row, 6);
	mail->headers = statement_column(row, 7);
	mail->reference = statement_column(row, 8);
	mail->attachment_count = (size_t)sqlite3_column_int(row->stmt, 9);
	mail->first_queued_at_ms = sqlite3_column_int64(row->stmt, 10);
	for (int i = 0; i < BODIES; i++)
		present[i] = strcmp((const char *)sqlite3_column_text(row->stmt, 11 + i), "null") != 0;
}

/* (d): everything that made the message due must hold now, in the snapshot that is copied. */
static enum error copy_row(struct take *take, bool present[BODIES])
{
	const struct message *message = take->message;
	struct statement row = statement_begin(take->connection, TAKE_ROW);
	bool found;

	statement_int(&row, 1, message->id);
	statement_text(&row, 2, message->tenant_name);
	statement_text(&row, 3, message_state_name(message->state));
	statement_int(&row, 4, message->attempts);
	statement_int(&row, 5, message->requeue);
	statement_int(&row, 6, message->due_at);
	statement_int(&row, 7, clock_wall_s());
	statement_int(&row, 8, message->offline);
	found = statement_row(&row);
	if (found)
		copy_columns(take, &row, present);
	take->rc = statement_end(&row);
	if (found || take->rc != SQLITE_OK)
		return OK;
	words_set(take->words, "message %lld was cancelled, changed or suspended, or has expired",
	          (long long)message->id);
	return ERROR_NOT_FOUND;
}

static void copy_known(struct take *take)
{
	struct mail *mail = take->mail;
	struct statement row = statement_begin(take->connection, TAKE_KNOWN);

	statement_int(&row, 1, take->message->id);
	while (statement_row(&row)) {
		struct recipient *recipient;

		if ((mail->known_count & (mail->known_count - 1)) == 0)
			mail->known = memory_resize(mail->known,
			                            (mail->known_count ? 2 * mail->known_count : 1) *
			                                    sizeof *mail->known);
		recipient = &mail->known[mail->known_count++];
		memset(recipient, 0, sizeof *recipient);
		recipient->address = statement_column(&row, 0);
		if (!recipient->address)
			recipient->address = memory_strdup("");
		(void)delivery_state_parse((const char *)sqlite3_column_text(row.stmt, 1), &recipient->state);
		recipient->attempts = sqlite3_column_int(row.stmt, 2);
		recipient->outcome.code = sqlite3_column_int(row.stmt, 3);
	}
	take->rc = statement_end(&row);
}

/* One read transaction, over when this returns. take->is_large: nothing was taken, a place is needed. */
static enum error take_once(struct take *take)
{
	bool present[BODIES] = { false };
	enum error error;
	bool well;

	error = readers_borrow(take->storage, take->deadline_ms, &take->connection, take->words);
	if (error != OK)
		return error;
	mail_begin(take);
	take->rc = connection_read_begin(take->connection);
	if (take->rc == SQLITE_OK)
		error = copy_row(take, present);
	if (take->rc == SQLITE_OK && error == OK)
		error = copy_bodies(take, present);
	if (take->rc == SQLITE_OK && error == OK && !take->is_large)
		copy_known(take);
	take->rc = connection_read_end(take->connection, take->rc);
	well = take->rc == SQLITE_OK;
	if (!well) {
		(void)connection_error(take->connection, take->rc, "cannot read the message", take->words);
		error = ERROR_UNAVAILABLE;
	}
	readers_give(take->storage, take->connection, well);
	if (error != OK || take->is_large)
		storage_give_back(take->storage, &take->mail);
	return error;
}

enum error storage_take(struct storage *storage, const struct message *message, int64_t deadline_ms,
                        struct mail **mail, struct words *words)
{
	struct take take = {
		.storage = storage, .message = message, .deadline_ms = deadline_ms, .words = words
	};
	enum error error = take_once(&take);

	*mail = NULL;
	if (error == OK && take.is_large) {
		error = readers_large_begin(storage, message->tenant_name, deadline_ms, words);
		if (error != OK)
			return error;
		take.may_spool = true;
		take.is_large = false;
		error = take_once(&take);
		readers_large_end(storage, message->tenant_name);
	}
	if (error == OK)
		*mail = take.mail;
	return error;
}
