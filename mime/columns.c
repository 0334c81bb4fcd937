/*
 * columns.c - a message from the columns (RFC 5322, RFC 2045): its header, and parts.c for the rest.
 *
 * Promises: what a reader shows as subject, names and text is what the columns
 * hold; the octets are a function of the row and of whether the server offers
 * 8BITMIME; no column can add a field or end the header. Fails with ERROR_INVALID and
 * words that name the column and the place.
 */
#include <string.h>

#include "common/text.h"
#include "mime/address_scan.h"
#include "mime/assemble.h"
#include "mime/extra.h"
#include "mime/field.h"
#include "mime/parts.h"
#include "mime/pieces.h"

/* The columns, parsed. */
struct columns {
	struct address from;
	struct address_list lists[RECIPIENT_KINDS];
	struct address_list reply_to;
	struct extra extra;
	struct parts parts;
};

static enum error parse_list(const char *column, const char *text, struct address_list *list,
                             struct words *words)
{
	return text ? address_list_parse(column, text, strlen(text), list, words) : OK;
}

static enum error check_subject(const char *subject, struct words *words)
{
	size_t length = subject ? strlen(subject) : 0;

	if (length > SUBJECT_MAX) {
		words_set(words, "subject is longer than %d octets", SUBJECT_MAX);
		return ERROR_INVALID;
	}
	return scan_check_text(&(struct address_scan){
		.column = "subject", .text = subject, .length = length, .words = words });
}

static enum error parse_columns(const struct mail *mail, struct columns *columns, struct words *words)
{
	enum error error;

	if (!mail->from_address) {
		words_set(words, "there is no from_address, neither the message's nor the tenant's");
		return ERROR_INVALID;
	}
	error = address_parse_one("from_address", mail->from_address, strlen(mail->from_address),
	                          &columns->from, words);
	if (!error)
		error = parse_list("to_addresses", mail->to_addresses, &columns->lists[RECIPIENT_TO], words);
	if (!error)
		error = parse_list("cc_addresses", mail->cc_addresses, &columns->lists[RECIPIENT_CC], words);
	if (!error)
		error = parse_list("bcc_addresses", mail->bcc_addresses, &columns->lists[RECIPIENT_BCC],
		                   words);
	if (!error)
		error = parse_list("reply_to", mail->reply_to, &columns->reply_to, words);
	if (!error)
		error = check_subject(mail->subject, words);
	return error ? error : extra_parse(&columns->extra, mail->headers, words);
}

static void columns_fini(struct columns *columns)
{
	address_fini(&columns->from);
	for (size_t kind = 0; kind < RECIPIENT_KINDS; kind++)
		address_list_fini(&columns->lists[kind]);
	address_list_fini(&columns->reply_to);
	extra_fini(&columns->extra);
	parts_fini(&columns->parts);
}

static enum error make_envelope(const struct mail *mail, const struct columns *columns,
                                struct envelope *envelope, struct words *words)
{
	struct gathering gathering = { .count = { 0 } };
	const struct extra_field *sender;
	enum error error = OK;

	for (size_t kind = 0; kind < RECIPIENT_KINDS && !error; kind++)
		error = gathering_add(&gathering, kind, &columns->lists[kind], words);
	if (error)
		gathering_fini(&gathering);
	else
		error = gathering_finish(&gathering, envelope, words);
	if (error)
		return error;
	envelope_add_author(envelope, &columns->from);
	/* a reader may show it beside or instead of the author */
	sender = extra_find(&columns->extra, EXTRA_SENDER);
	if (sender)
		envelope_add_author(envelope, &sender->addresses.items[0]);
	/* bcc_addresses stand in no field */
	envelope->smtputf8 = envelope->smtputf8 || address_list_smtputf8(&columns->lists[RECIPIENT_TO]) ||
	                     address_list_smtputf8(&columns->lists[RECIPIENT_CC]) ||
	                     address_list_smtputf8(&columns->reply_to) ||
	                     extra_needs_smtputf8(&columns->extra);
	return envelope_set_sender(envelope, mail, envelope->from, words);
}

static bool put_list(struct buffer *out, const char *name, const struct address_list *list)
{
	struct field field;

	if (list->count == 0 && list->group_count == 0)
		return true;
	field_begin(&field, out, name);
	field_addresses(&field, list);
	return field_end(&field);
}

static bool put_token(struct buffer *out, const char *name, const char *token)
{
	struct field field;

	field_begin(&field, out, name);
	field_token(&field, token, strlen(token));
	return field_end(&field);
}

static bool put_people(struct buffer *out, const struct columns *columns)
{
	struct field field;

	field_begin(&field, out, "From");
	field_mailbox(&field, &columns->from);
	return field_end(&field) && put_list(out, "To", &columns->lists[RECIPIENT_TO]) &&
	       put_list(out, "Cc", &columns->lists[RECIPIENT_CC]) &&
	       put_list(out, "Reply-To", &columns->reply_to);
}

static bool put_subject(struct buffer *out, const char *subject)
{
	struct field field;

	if (!subject)
		return true;
	field_begin(&field, out, "Subject");
	field_text(&field, subject);
	return field_end(&field);
}

static bool put_extra(struct buffer *out, const struct extra *extra)
{
	for (size_t i = 0; i < extra->count; i++) {
		const struct extra_field *field = &extra->items[i];

		if (field->kind != EXTRA_DATE && field->kind != EXTRA_MESSAGE_ID && !extra_put(out, field))
			return false;
	}
	return true;
}

/* A Date or Message-ID of the column headers stands in place of ours. */
static enum error put_origin(const struct mail *mail, const struct extra *extra, const char *message_id,
                             struct buffer *out, struct words *words)
{
	const struct extra_field *date = extra_find(extra, EXTRA_DATE);
	enum error error = OK;

	if (date)
		extra_put(out, date);
	else
		error = compose_date(out, mail, words);
	if (!error)
		compose_message_id_field(out, message_id);
	return error;
}

static enum error make_header(const struct mail *mail, const struct columns *columns, const char *message_id,
                              struct buffer *out, struct words *words)
{
	enum error error = put_origin(mail, &columns->extra, message_id, out, words);

	if (error)
		return error;
	if (put_people(out, columns) && put_subject(out, mail->subject) && put_extra(out, &columns->extra) &&
	    put_token(out, "MIME-Version", "1.0"))
		return OK;
	words_set(words, "the header is longer than %d octets", COMPOSED_HEADER_MAX);
	return ERROR_LIMIT;
}

static char *choose_message_id(const struct mail *mail, const char *instance, const struct extra *extra,
                               const char *from)
{
	const struct extra_field *given = extra_find(extra, EXTRA_MESSAGE_ID);

	if (given)
		return memory_strndup(given->value + 1, strlen(given->value) - 2);
	return compose_message_id(instance, mail->id, from);
}

static enum error write_message(const struct mail *mail, const struct columns *columns,
                                struct composed *composed, struct words *words)
{
	struct pieces *pieces = (struct pieces *)(void *)composed->source;
	struct buffer header;
	enum error error;

	buffer_init(&header, COMPOSED_HEADER_MAX);
	error = make_header(mail, columns, composed->message_id, &header, words);
	if (!error) {
		error = parts_write(&columns->parts, &header, pieces, &composed->size,
		                    &composed->envelope.eight_bit);
		if (error)
			words_set(words, "the header is longer than %d octets", COMPOSED_HEADER_MAX);
	}
	buffer_fini(&header);
	return error;
}

enum error compose_columns(const struct mail *mail, const struct compose_options *options,
                           struct composed *composed, struct words *words)
{
	struct columns columns = { .from = { .display = NULL } };
	struct pieces *pieces = pieces_create();
	enum error error;

	composed->source = &pieces->source;
	error = parse_columns(mail, &columns, words);
	if (!error)
		error = make_envelope(mail, &columns, &composed->envelope, words);
	if (!error)
		error = parts_prepare(&columns.parts, mail, options, words);
	if (!error) {
		composed->message_id = choose_message_id(mail, options->instance, &columns.extra,
		                                         composed->envelope.from);
		error = write_message(mail, &columns, composed, words);
	}
	columns_fini(&columns);
	return error;
}
