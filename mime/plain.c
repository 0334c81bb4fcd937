/*
 * plain.c - a text message from the columns (RFC 5322, RFC 2045).
 *
 * Promises: what a reader shows as subject, names and text is what the columns
 * hold; the octets are a function of the row and of whether the server offers 8BITMIME;
 * no column can add a field or end the header. Fails with ERROR_INVALID and
 * words that name the column and the place.
 */
#include <string.h>

#include "common/text.h"
#include "mime/address_scan.h"
#include "mime/assemble.h"
#include "mime/field.h"
#include "mime/pieces.h"
#include "mime/scan.h"

#define LINE_MAX_PLAIN 998 /* octets, RFC 5322 2.1.1 */

/* The columns, parsed. */
struct parts {
	struct address from;
	struct address_list lists[RECIPIENT_KINDS];
	struct address_list reply_to;
	enum encoding encoding; /* of the text */
	bool eight_bit;         /* which is not ASCII and goes as it is */
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

static enum error parse_columns(const struct mail *mail, struct parts *parts, struct words *words)
{
	enum error error;

	if (!mail->from_address) {
		words_set(words, "there is no from_address, neither the message's nor the tenant's");
		return ERROR_INVALID;
	}
	error = address_parse_one("from_address", mail->from_address, strlen(mail->from_address),
	                          &parts->from, words);
	if (!error)
		error = parse_list("to_addresses", mail->to_addresses, &parts->lists[RECIPIENT_TO], words);
	if (!error)
		error = parse_list("cc_addresses", mail->cc_addresses, &parts->lists[RECIPIENT_CC], words);
	if (!error)
		error = parse_list("bcc_addresses", mail->bcc_addresses, &parts->lists[RECIPIENT_BCC], words);
	if (!error)
		error = parse_list("reply_to", mail->reply_to, &parts->reply_to, words);
	return error ? error : check_subject(mail->subject, words);
}

static void parts_fini(struct parts *parts)
{
	address_fini(&parts->from);
	for (size_t kind = 0; kind < RECIPIENT_KINDS; kind++)
		address_list_fini(&parts->lists[kind]);
	address_list_fini(&parts->reply_to);
}

static bool needs_smtputf8(const struct address_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->items[i].smtputf8)
			return true;
	return false;
}

static enum error make_envelope(const struct mail *mail, const struct parts *parts, struct envelope *envelope,
                                struct words *words)
{
	struct gathering gathering = { .count = { 0 } };
	enum error error = OK;

	for (size_t kind = 0; kind < RECIPIENT_KINDS && !error; kind++)
		error = gathering_add(&gathering, kind, &parts->lists[kind], words);
	if (error)
		gathering_fini(&gathering);
	else
		error = gathering_finish(&gathering, envelope, words);
	if (error)
		return error;
	envelope_add_author(envelope, &parts->from);
	/* bcc_addresses stand in no field */
	envelope->smtputf8 = envelope->smtputf8 || needs_smtputf8(&parts->lists[RECIPIENT_TO]) ||
	                     needs_smtputf8(&parts->lists[RECIPIENT_CC]) || needs_smtputf8(&parts->reply_to);
	return envelope_set_sender(envelope, mail, envelope->from, words);
}

static enum error encoded_size(const struct body *body, enum encoding encoding, int64_t *size,
                               struct words *words)
{
	struct pieces *pieces = pieces_create();
	enum error error;
	bool eight_bit;

	pieces_add_body(pieces, body, 0, body->size, encoding, 1);
	error = pieces_measure(pieces, "body_text", size, &eight_bit, words);
	pieces_destroy(&pieces);
	return error;
}

static enum error choose_encoding(const struct body *body, bool eight_bit_mime, struct parts *parts,
                                  struct words *words)
{
	struct text_facts facts;
	int64_t quoted = 0;
	int64_t base64 = 0;
	enum error error = scan_text("body_text", body, &facts, words);

	parts->encoding = ENCODING_NONE;
	parts->eight_bit = !error && !facts.ascii && eight_bit_mime && facts.longest <= LINE_MAX_PLAIN;
	if (error || ((facts.ascii || eight_bit_mime) && facts.longest <= LINE_MAX_PLAIN))
		return error;
	error = encoded_size(body, ENCODING_QUOTED_PRINTABLE, &quoted, words);
	if (!error)
		error = encoded_size(body, ENCODING_BASE64, &base64, words);
	parts->encoding = quoted <= base64 ? ENCODING_QUOTED_PRINTABLE : ENCODING_BASE64;
	return error;
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

static bool put_people(struct buffer *out, const struct parts *parts)
{
	struct field field;

	field_begin(&field, out, "From");
	field_mailbox(&field, &parts->from);
	return field_end(&field) && put_list(out, "To", &parts->lists[RECIPIENT_TO]) &&
	       put_list(out, "Cc", &parts->lists[RECIPIENT_CC]) &&
	       put_list(out, "Reply-To", &parts->reply_to);
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

static bool put_mime(struct buffer *out, enum encoding encoding, bool eight_bit)
{
	static const char *const names[] = {
		[ENCODING_NONE] = "7bit",
		[ENCODING_QUOTED_PRINTABLE] = "quoted-printable",
		[ENCODING_BASE64] = "base64",
	};

	return put_token(out, "MIME-Version", "1.0") &&
	       put_token(out, "Content-Type", "text/plain; charset=utf-8") &&
	       put_token(out, "Content-Transfer-Encoding", eight_bit ? "8bit" : names[encoding]) &&
	       buffer_append(out, "\r\n", 2);
}

static enum error make_header(const struct mail *mail, const struct parts *parts, const char *message_id,
                              struct buffer *out, struct words *words)
{
	enum error error = compose_date(out, mail, words);

	if (error)
		return error;
	compose_message_id_field(out, message_id);
	if (put_people(out, parts) && put_subject(out, mail->subject) &&
	    put_mime(out, parts->encoding, parts->eight_bit))
		return OK;
	words_set(words, "the header is longer than %d octets", COMPOSED_HEADER_MAX);
	return ERROR_LIMIT;
}

enum error compose_plain(const struct mail *mail, const struct compose_options *options,
                         struct composed *composed, struct words *words)
{
	struct parts parts = { .encoding = ENCODING_NONE };
	struct pieces *pieces = pieces_create();
	struct buffer header;
	size_t length;
	enum error error;

	composed->source = &pieces->source;
	buffer_init(&header, COMPOSED_HEADER_MAX);
	error = parse_columns(mail, &parts, words);
	if (!error)
		error = make_envelope(mail, &parts, &composed->envelope, words);
	if (!error)
		error = choose_encoding(&mail->body_text, options->eight_bit_mime, &parts, words);
	if (error)
		goto out;
	composed->message_id = compose_message_id(options->instance, mail->id, composed->envelope.from);
	error = make_header(mail, &parts, composed->message_id, &header, words);
	if (error)
		goto out;
	length = header.length;
	pieces_add_text(pieces, buffer_take(&header), length);
	pieces_add_body(pieces, &mail->body_text, 0, mail->body_text.size, parts.encoding, 1);
	error = pieces_measure(pieces, "body_text", &composed->size, &composed->envelope.eight_bit, words);
out:
	buffer_fini(&header);
	parts_fini(&parts);
	return error;
}
