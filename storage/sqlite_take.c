/*
 * sqlite_take.c - the last read of a message before MAIL.
 *
 * Promises ((d) of "Never twice"): one read transaction demands that the
 * message is still what was handed over, and copies all that its sending
 * needs; when the verb returns, no statement, blob handle or transaction is
 * open, so that nothing pins the WAL while a server is talked to.  Bodies of up
 * to 256 KiB are copied into borrowed memory as long as there is room for them, larger
 * ones and those that find none in slices into an unlinked file.  Fails with ERROR_NOT_FOUND
 * (no longer to be sent, or not by these settings) or ERROR_UNAVAILABLE (not now: the spool is
 * full, no connection, no memory).
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "storage/sqlite_copy.h"

#define BODIES          3
#define COLUMNS         9 /* of TAKE_ROW, that a mail keeps as texts */
#define FIRST_ADDRESSES 2 /* of these */
#define ADDRESS_COLUMNS 3

/* As many as the schema lets an application announce; a draft may have got more. */
#define ATTACHMENTS_MAX 1000

/*
 * What one octet of a column comes to, with the column itself and all that is composed of it: addresses
 * are three times in memory (column, envelope, message), and in the header; what is not ASCII is longer
 * there. A recipient has its place in envelope and message besides, both of which double as they grow,
 * what the allocator adds, and what its server says of it. Measured on the heap with 100 to 30,000 of 16
 * and of 30 octets (glibc, 64 bits): 206 for each at most, beside four times the column, while they are
 * composed and without a reply; MESSAGE_RECIPIENT_OCTETS are more.
 */
#define OCTETS_AN_OCTET 4

/* What each takes beside its texts: twice its place while the array grows, and what the allocator adds. */
#define KNOWN_BYTES      (2 * (int64_t)sizeof(struct recipient) + 16)
#define ATTACHMENT_BYTES (2 * (int64_t)sizeof(struct attachment) + 48)

enum take_statement {
	TAKE_BEGIN,
	TAKE_COMMIT,
	TAKE_ROW,
	TAKE_KNOWN,
	TAKE_ATTACHMENTS,
	TAKE_CHANGE,
	TAKE_TENANT,
	TAKE_STATEMENTS
};

const char *const storage_take_sql[TAKE_STATEMENTS] = {
	[TAKE_BEGIN] = "BEGIN",
	[TAKE_COMMIT] = "COMMIT",
	[TAKE_ROW] =
		"SELECT s.from_address, o.envelope_from, o.to_addresses, o.cc_addresses, o.bcc_addresses,"
		" o.reply_to, o.subject, o.headers, o.reference, s.first_queued_at_ms,"
		" typeof(o.body_text), typeof(o.body_html), typeof(o.message), o.dsn_notify, o.dsn_return"
		" FROM outbox_status AS s JOIN outbox AS o ON o.id = s.outbox_id"
		" JOIN outbox_tenant AS t ON t.name = s.tenant"
		" WHERE s.outbox_id = ?1 AND s.tenant = ?2 AND s.state = ?3 AND s.attempts = ?4"
		" AND s.requeues = ?5 AND s.due_at = ?6"
		" AND (?8 OR (t.enabled = 1 AND (o.expires_at IS NULL OR o.expires_at > ?7)))",
	[TAKE_KNOWN] = "SELECT recipient, state, attempts, code, uncertain FROM outbox_delivery"
		       " WHERE outbox_id = ?1 ORDER BY recipient",
	/* of the change feed, also when that has been emptied */
	[TAKE_CHANGE] = "SELECT seq FROM sqlite_sequence WHERE name = 'outbox_change'",
	[TAKE_TENANT] = "SELECT * FROM outbox_tenant WHERE name = ?1",
	/* as many as are there, whatever was announced: a draft takes any number */
	[TAKE_ATTACHMENTS] = "SELECT rowid, position, filename, content_type, content_id, typeof(content)"
			     " FROM outbox_attachment WHERE outbox_id = ?1 ORDER BY position, rowid",
};

/* One take on its way. */
struct take {
	struct copying copying;
	const struct message *message;
	struct mail *mail;
	int64_t *attachments; /* their rowids */
};

static void free_attachments(struct mail *mail)
{
	for (size_t i = 0; i < mail->attachment_count; i++) {
		free(mail->attachments[i].filename);
		free(mail->attachments[i].content_type);
		free(mail->attachments[i].content_id);
	}
	free(mail->attachments);
	mail->attachments = NULL;
	mail->attachment_count = 0;
}

void storage_give_back(struct storage *storage, struct mail **mail)
{
	struct mail *m = *mail;
	struct lent *lent;

	if (!m)
		return;
	lent = m->lent;
	lent_return(storage, &lent);
	free_attachments(m);
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
	free(m->dsn_notify);
	free(m->dsn_return);
	free(m);
	*mail = NULL;
}

static void mail_begin(struct take *take)
{
	struct mail *mail = memory_alloc(sizeof *mail);

	mail->id = take->message->id;
	mail->body_text.fd = mail->body_html.fd = mail->message.fd = -1;
	mail->lent = take->copying.lent = lent_create();
	take->copying.lent->expiry_s = clock_wall_s();
	take->copying.lent->has_header = wal_header_read(take->copying.storage, take->copying.lent->header);
	take->mail = mail;
}

static bool goes_on(const struct take *take, enum error error)
{
	const struct copying *copying = &take->copying;

	return error == OK && copying->rc == SQLITE_OK && !copying->needs_room &&
	       copying->needs <= copying->may_spool;
}

static enum error copy_bodies(struct take *take, const bool present[BODIES])
{
	static const char *const columns[BODIES] = { "body_text", "body_html", "message" };
	struct body *bodies[BODIES] = { &take->mail->body_text, &take->mail->body_html,
		                        &take->mail->message };
	enum error error = OK;

	for (int i = 0; i < BODIES && goes_on(take, error); i++) {
		if (!present[i])
			continue;
		error = copy_body(&take->copying,
		                  &(struct copy_place){ "outbox", columns[i], take->message->id }, false,
		                  bodies[i]);
		bodies[i]->present = bodies[i]->size > 0; /* '' is read as NULL */
	}
	return error;
}

/* What a row of outbox_attachment says, but for its content. */
static enum error add_attachment(struct take *take, struct statement *row, int64_t *octets)
{
	struct mail *mail = take->mail;
	const char *type = (const char *)sqlite3_column_text(row->stmt, 5);
	struct attachment *attachment;

	if (mail->attachment_count == ATTACHMENTS_MAX) {
		words_set(take->copying.words, "attachments: there are more than %d", ATTACHMENTS_MAX);
		return ERROR_INVALID;
	}
	/* the triggers see to it; but somebody may have gone round them */
	if (!type || (strcmp(type, "blob") != 0 && strcmp(type, "text") != 0)) {
		words_set(take->copying.words,
		          "attachment at position %lld: content is %s, not a BLOB or text",
		          (long long)sqlite3_column_int64(row->stmt, 1), type ? type : "unreadable");
		return ERROR_INVALID;
	}
	if ((mail->attachment_count & (mail->attachment_count - 1)) == 0) {
		size_t room = mail->attachment_count ? 2 * mail->attachment_count : 1;

		mail->attachments = memory_resize(mail->attachments, room * sizeof *mail->attachments);
		take->attachments = memory_resize(take->attachments, room * sizeof *take->attachments);
	}
	take->attachments[mail->attachment_count] = sqlite3_column_int64(row->stmt, 0);
	attachment = &mail->attachments[mail->attachment_count++];
	*attachment = (struct attachment){ .filename = statement_column(row, 2),
		                           .content_type = statement_column(row, 3),
		                           .content_id = statement_column(row, 4),
		                           .content = { .fd = -1, .present = true } };
	for (int i = 2; i <= 4; i++)
		*octets += sqlite3_column_bytes(row->stmt, i);
	*octets += ATTACHMENT_BYTES;
	return OK;
}

/* Their order is their position's, whatever gaps it has. */
static enum error copy_attachments(struct take *take)
{
	struct mail *mail = take->mail;
	struct statement row = statement_begin(take->copying.connection, TAKE_ATTACHMENTS);
	enum error error = OK;
	int64_t octets = 0;

	statement_int(&row, 1, take->message->id);
	while (error == OK && statement_row(&row))
		error = add_attachment(take, &row, &octets);
	lent_charge(take->copying.storage, take->copying.lent, octets);
	take->copying.rc = statement_end(&row);
	for (size_t i = 0; i < mail->attachment_count && goes_on(take, error); i++)
		error = copy_body(
			&take->copying,
			&(struct copy_place){ "outbox_attachment", "content", take->attachments[i] }, true,
			&mail->attachments[i].content);
	free(take->attachments);
	take->attachments = NULL;
	return error;
}

/* As many as an address column can hold, or a few more: each has an @. No message has more than most. */
static int64_t count_addresses(struct statement *row, int column, int64_t most)
{
	const char *at = (const char *)sqlite3_column_text(row->stmt, column);
	int64_t count = 0;

	while (at && count < most && (at = strchr(at, '@'))) {
		count++;
		at++;
	}
	return count;
}

/* False: there is no room for them. */
static bool begin_columns(struct take *take, struct statement *row)
{
	int64_t octets = 0, recipients = 0;

	for (int i = 0; i < COLUMNS; i++)
		octets += sqlite3_column_bytes(row->stmt, i);
	for (int i = 0; i < ADDRESS_COLUMNS; i++)
		recipients += count_addresses(row, FIRST_ADDRESSES + i, MESSAGE_RECIPIENTS_MAX - recipients);
	return copy_begin(&take->copying, octets * OCTETS_AN_OCTET + recipients * MESSAGE_RECIPIENT_OCTETS +
	                                          take->message->named_octets);
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
	mail->dsn_notify = statement_column(row, 13);
	mail->dsn_return = statement_column(row, 14);
	mail->first_queued_at_ms = sqlite3_column_int64(row->stmt, 9);
	for (int i = 0; i < BODIES; i++)
		present[i] = strcmp((const char *)sqlite3_column_text(row->stmt, 10 + i), "null") != 0;
}

/* (d): everything that made the message due must hold now, in the snapshot that is copied. */
static enum error copy_row(struct take *take, bool present[BODIES])
{
	const struct message *message = take->message;
	struct statement row = statement_begin(take->copying.connection, TAKE_ROW);
	bool found;

	statement_int(&row, 1, message->id);
	statement_text(&row, 2, message->tenant_name);
	statement_text(&row, 3, message_state_name(message->state));
	statement_int(&row, 4, message->attempts);
	statement_int(&row, 5, message->requeue);
	statement_int(&row, 6, message->due_at);
	statement_int(&row, 7, take->copying.lent->expiry_s);
	statement_int(&row, 8, message->offline);
	found = statement_row(&row);
	if (found && begin_columns(take, &row))
		copy_columns(take, &row, present);
	take->copying.rc = statement_end(&row);
	if (found || take->copying.rc != SQLITE_OK)
		return OK;
	words_set(take->copying.words, "message %lld was cancelled, changed or suspended, or has expired",
	          (long long)message->id);
	return ERROR_NOT_FOUND;
}

static bool is_same(struct statement *row, const struct tenant_settings *settings)
{
	struct words words;
	struct tenant_settings *now = storage_settings_of_row(row, &words);
	bool same = now && memcmp(now->digest, settings->digest, sizeof now->digest) == 0;

	tenant_settings_release(&now);
	return same;
}

/*
 * A change that was committed is in force, whether the supervisor has heard of it or not: what was
 * inserted behind it must not go by the settings of before. The row is read only when something changed.
 */
static enum error demand_basis(struct take *take, struct tenant_basis *basis)
{
	struct statement change = statement_begin(take->copying.connection, TAKE_CHANGE), row;
	int64_t last = 1; /* a file without changes: it is 0 in no other */

	if (statement_row(&change))
		last += sqlite3_column_int64(change.stmt, 0);
	take->copying.rc = statement_end(&change);
	if (take->copying.rc != SQLITE_OK || last == basis->change)
		return OK;
	row = statement_begin(take->copying.connection, TAKE_TENANT);
	statement_text(&row, 1, take->message->tenant_name);
	basis->outdated = !statement_row(&row) || !is_same(&row, basis->settings);
	take->copying.rc = statement_end(&row);
	if (take->copying.rc != SQLITE_OK)
		return OK;
	if (!basis->outdated) {
		basis->change = last;
		return OK;
	}
	words_set(take->copying.words, "the settings of tenant %s were changed just now",
	          take->message->tenant_name);
	return ERROR_NOT_FOUND;
}

static void copy_known(struct take *take)
{
	struct mail *mail = take->mail;
	struct statement row = statement_begin(take->copying.connection, TAKE_KNOWN);
	int64_t octets = 0;

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
		recipient->once_uncertain = sqlite3_column_int(row.stmt, 4) == 1;
		octets += sqlite3_column_bytes(row.stmt, 0) + KNOWN_BYTES;
	}
	lent_charge(take->copying.storage, take->copying.lent, octets);
	take->copying.rc = statement_end(&row);
}

/* All that is copied of the row, in the transaction. */
static enum error copy_all(struct take *take)
{
	bool present[BODIES] = { false };
	enum error error = copy_row(take, present);

	if (goes_on(take, error) && take->message->basis && !take->message->offline)
		error = demand_basis(take, take->message->basis);
	if (goes_on(take, error))
		error = copy_bodies(take, present);
	/* without a session nothing is sent: only the recipients are to be known */
	if (goes_on(take, error) && !take->message->offline)
		error = copy_attachments(take);
	if (goes_on(take, error))
		copy_known(take);
	return error;
}

/* Nothing was taken: it needs a place, or room. */
static bool is_short(const struct copying *copying)
{
	return copying->needs_room || copying->needs > copying->may_spool;
}

/* One read transaction, over when this returns. */
static enum error take_once(struct take *take)
{
	struct copying *copying = &take->copying;
	struct storage *storage = copying->storage;
	enum error error = readers_borrow(storage, copying->deadline_ms, &copying->connection,
	                                  copying->words);
	bool well;

	if (error != OK)
		return error;
	mail_begin(take);
	copying->rc = connection_read_begin(copying->connection);
	if (copying->rc == SQLITE_OK)
		error = copy_all(take);
	copying->rc = connection_read_end(copying->connection, copying->rc);
	well = copying->rc == SQLITE_OK;
	if (!well) {
		(void)connection_error(copying->connection, copying->rc, "cannot read the message",
		                       copying->words);
		error = ERROR_UNAVAILABLE;
	}
	readers_give(storage, copying->connection, well);
	if ((error != OK && error != ERROR_INVALID) || is_short(copying))
		storage_give_back(storage, &take->mail);
	return error;
}

static const char *who_has_it(enum spooling kind)
{
	switch (kind) {
	case SPOOL_LARGE: return "other large messages are being copied";
	case SPOOL_SPILL: return "other messages that found no room (memory_max) are being copied";
	case SPOOL_NOTHING:
	case SPOOL_KINDS: break;
	}
	return "there is no room for its addresses and header fields (memory_max)";
}

/* The same with a place for what did not fit into memory; without one where it may fit there now. */
static enum error take_in_turn(struct take *take, struct place_wait *wait, int64_t deadline_ms)
{
	struct copying *copying = &take->copying;
	struct spool_places *places = &copying->storage->places;
	enum spooling kind = copying->needs_room ? SPOOL_NOTHING : copying->needs;
	enum place_given got;
	enum error error;

	if (copying->needs_room && copying->in_company) {
		words_set(copying->words, "%s", who_has_it(kind));
		return ERROR_BUSY;
	}
	if (copying->needs_room && copying->claimed_bytes == 0) {
		copying->claimed_bytes = copying->wants_bytes;
		room_claim(copying->storage->room, copying->claimed_bytes);
	}
	wait->ticket = kind == wait->kind ? wait->ticket : 0;
	wait->kind = kind;
	wait->bytes = kind == SPOOL_LARGE ? 0 : copying->wants_bytes;
	wait->small = copying->wants_small;
	got = places_wait(places, wait, deadline_ms);
	if (got == PLACE_NONE) {
		words_set(copying->words, "%s", who_has_it(kind));
		return ERROR_UNAVAILABLE;
	}
	copying->may_spool = got == PLACE_GIVEN ? kind : SPOOL_NOTHING;
	copying->needs = SPOOL_NOTHING;
	copying->needs_room = false;
	copying->copied = 0;
	copying->deadline_ms = deadline_ms;
	error = take_once(take);
	if (got == PLACE_GIVEN) {
		places_give(places, kind, wait->tenant);
		wait->ticket = 0;
	}
	return error;
}

enum error storage_take(struct storage *storage, const struct message *message, int64_t deadline_ms,
                        struct mail **mail, struct words *words)
{
	struct take take = { .message = message,
		             .copying = { .storage = storage,
		                          .deadline_ms = deadline_ms,
		                          .in_company = message->in_company,
		                          .words = words } };
	struct place_wait wait = { .tenant = message->tenant_name };
	enum error error = take_once(&take);

	/* a place of a higher kind each time, but for who hears of memory that another has then */
	while (error == OK && is_short(&take.copying) && deadline_ms != STORAGE_AT_ONCE)
		error = take_in_turn(&take, &wait, deadline_ms);
	room_unclaim(storage->room, take.copying.claimed_bytes);
	*mail = take.mail; /* NULL but after OK and ERROR_INVALID */
	if (error == OK && !take.mail) {
		words_set(words, "it is too long to be read ahead");
		error = ERROR_UNAVAILABLE;
	}
	return error;
}

bool storage_still_is(struct storage *storage, const struct mail *mail)
{
	const struct lent *lent = mail->lent;
	uint32_t now[WAL_HEADER_WORDS];

	return lent->has_header && wal_header_read(storage, now) &&
	       (memcmp(now, lent->header, sizeof now) == 0 || wal_only_own(storage, lent->header, now)) &&
	       clock_wall_s() == lent->expiry_s;
}
