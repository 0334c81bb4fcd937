/*
 * complete.c - a complete message of the application's (RFC 5322) on its way out.
 *
 * Promises: Bcc and Return-Path do not leave, with their continuation lines; a
 * missing Date or Message-ID is added at the header's end; LF becomes CRLF;
 * every other octet leaves as it is, so that a signature stays valid. Fails
 * with ERROR_INVALID and words that name the line, ERROR_LIMIT, ERROR_SYSTEM.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/text.h"
#include "mime/assemble.h"
#include "mime/header.h"
#include "mime/pieces.h"

#define MESSAGE_ID_MAX 998 /* octets kept of one, for the log and the table */

struct complete {
	const struct mail *mail;
	struct composed *composed;
	struct pieces *pieces;
	struct header_reader reader;
	struct gathering gathering;
	bool header_is_envelope; /* none of the three columns is set */
	bool has_date, has_sender;
	int64_t from_line;            /* 0 = no From field yet */
	int64_t kept_from, kept_line; /* what is to be kept and not yet a piece begins here */
	struct words *words;
};

static enum error fail(const struct complete *complete, const struct header_field *field, const char *what)
{
	words_set(complete->words, "message, line %lld, %s: %s", (long long)field->line, field->name, what);
	return ERROR_INVALID;
}

static bool is_blank(const struct header_field *field)
{
	return strspn(field->value, " \t") == field->length;
}

static enum error parse_field(struct complete *complete, const struct header_field *field,
                              struct address_list *list)
{
	char place[HEADER_NAME_MAX + 64];

	if (field->cut)
		return fail(complete, field, "longer than 1 MiB");
	snprintf(place, sizeof(place), "message, line %lld, %s", (long long)field->line, field->name);
	return address_list_parse_field(place, field->value, field->length, list, complete->words);
}

static enum error take_from(struct complete *complete, const struct header_field *field)
{
	struct envelope *envelope = &complete->composed->envelope;
	struct address_list list;
	enum error error;

	/* a reader may show another From field than the one that allowed_senders judged */
	if (complete->from_line > 0)
		return fail(complete, field, "a second From field");
	complete->from_line = field->line;
	error = parse_field(complete, field, &list);
	if (error)
		return error;
	if (list.count > AUTHORS_MAX)
		error = fail(complete, field, "more than 100 addresses");
	for (size_t i = 0; i < list.count && !error; i++)
		envelope_add_author(envelope, &list.items[i]);
	if (list.count == 0)
		error = fail(complete, field, "no address");
	address_list_fini(&list);
	return error;
}

/*
 * Readers show it as who sent the message, so it must be among allowed_senders. What cannot be read
 * leaves as it is where there are none: a field that only a reader looks at stops nobody's mail.
 */
static enum error take_sender(struct complete *complete, const struct header_field *field)
{
	struct envelope *envelope = &complete->composed->envelope;
	struct words *words = complete->words;
	struct address_list list = { 0 };
	enum error error = complete->has_sender ? fail(complete, field, "a second Sender field")
	                                        : parse_field(complete, field, &list);

	complete->has_sender = true;
	if (!error && (list.count == 0 || list.count > AUTHORS_MAX))
		error = fail(complete, field, list.count == 0 ? "no address" : "more than 100 addresses");
	for (size_t i = 0; i < list.count && !error; i++)
		envelope_add_sender_field(envelope, &list.items[i]);
	if (error && !envelope->unjudged)
		envelope->unjudged = memory_strdup(words->text);
	words_set(words, "%s", "");
	address_list_fini(&list);
	return OK;
}

static enum error take_recipients(struct complete *complete, const struct header_field *field,
                                  enum recipient_kind kind)
{
	struct address_list list;
	enum error error;

	if (!complete->header_is_envelope || is_blank(field))
		return OK;
	error = parse_field(complete, field, &list);
	if (error)
		return error;
	error = gathering_add(&complete->gathering, kind, &list, complete->words);
	address_list_fini(&list);
	return error;
}

static enum error take_to(struct complete *complete, const struct header_field *field)
{
	return take_recipients(complete, field, RECIPIENT_TO);
}

static enum error take_cc(struct complete *complete, const struct header_field *field)
{
	return take_recipients(complete, field, RECIPIENT_CC);
}

static enum error drop(struct complete *complete, const struct header_field *field)
{
	pieces_add_body(complete->pieces, &complete->mail->message, complete->kept_from, field->start,
	                complete->kept_line);
	complete->kept_from = field->end;
	complete->kept_line = complete->reader.line;
	return OK;
}

static enum error take_bcc(struct complete *complete, const struct header_field *field)
{
	enum error error = take_recipients(complete, field, RECIPIENT_BCC);

	return error ? error : drop(complete, field);
}

static enum error take_date(struct complete *complete, const struct header_field *field)
{
	(void)field;
	complete->has_date = true;
	return OK;
}

static enum error take_message_id(struct complete *complete, const struct header_field *field)
{
	const char *open = memchr(field->value, '<', field->length);
	const char *close = open ? strchr(open, '>') : NULL;
	const char *start = close ? open + 1 : field->value;
	size_t length = close ? (size_t)(close - start) : field->length;

	if (is_blank(field))
		return fail(complete, field, "empty");
	if (!complete->composed->message_id)
		complete->composed->message_id = text_clean(start, length, MESSAGE_ID_MAX);
	return OK;
}

static const struct field_rule {
	const char *name;
	enum error (*take)(struct complete *complete, const struct header_field *field);
	bool dropped;
} field_rules[] = {
	{ "From", take_from, false }, { "Sender", take_sender, false },
	{ "To", take_to, false },     { "Cc", take_cc, false },
	{ "Bcc", take_bcc, true },    { "Return-Path", drop, true },
	{ "Date", take_date, false }, { "Message-ID", take_message_id, false },
};

static enum error take_field(struct complete *complete, const struct header_field *field)
{
	const struct field_rule *rule = NULL;

	for (size_t i = 0; i < sizeof(field_rules) / sizeof(field_rules[0]); i++) {
		if (text_equal_nocase(field->name, field_rules[i].name))
			rule = &field_rules[i];
	}
	/* RFC 5322 3.6.6: then To and Cc are those of an earlier sending */
	if (complete->header_is_envelope && text_starts_nocase(field->name, "Resent-"))
		return fail(complete, field,
		            "a message that is sent again needs to_addresses, "
		            "cc_addresses or bcc_addresses");
	/* RFC 6532: a header with UTF-8 may be given only to a server that offers SMTPUTF8 */
	if (field->eight_bit && !(rule && rule->dropped))
		complete->composed->envelope.smtputf8 = true;
	return rule ? rule->take(complete, field) : OK;
}

static enum error read_header(struct complete *complete)
{
	struct header_field field;
	bool more = true;
	enum error error = OK;

	while (!error) {
		error = header_next(&complete->reader, &field, &more, complete->words);
		if (error || !more)
			break;
		error = take_field(complete, &field);
	}
	if (!error && complete->from_line == 0) {
		words_set(complete->words, "message has no From field");
		error = ERROR_INVALID;
	}
	return error;
}

static enum error add_column(struct complete *complete, const char *column, const char *text,
                             enum recipient_kind kind)
{
	struct address_list list;
	enum error error;

	if (!text)
		return OK;
	error = address_list_parse(column, text, strlen(text), &list, complete->words);
	if (error)
		return error;
	error = gathering_add(&complete->gathering, kind, &list, complete->words);
	address_list_fini(&list);
	return error;
}

static enum error make_envelope(struct complete *complete)
{
	const struct mail *mail = complete->mail;
	struct envelope *envelope = &complete->composed->envelope;
	enum error error;

	error = add_column(complete, "to_addresses", mail->to_addresses, RECIPIENT_TO);
	if (!error)
		error = add_column(complete, "cc_addresses", mail->cc_addresses, RECIPIENT_CC);
	if (!error)
		error = add_column(complete, "bcc_addresses", mail->bcc_addresses, RECIPIENT_BCC);
	if (!error)
		error = gathering_finish(&complete->gathering, envelope, complete->words);
	if (!error)
		error = envelope_set_sender(envelope, mail, envelope->from, complete->words);
	return error;
}

/* What is left of the header, our own fields, and the body. */
static enum error add_rest(struct complete *complete, const char *instance)
{
	const struct mail *mail = complete->mail;
	struct composed *composed = complete->composed;
	const struct header_reader *reader = &complete->reader;
	struct buffer added;
	size_t length;
	enum error error = OK;

	buffer_init(&added, COMPOSED_HEADER_MAX);
	if (!complete->has_date)
		error = compose_date(&added, mail, complete->words);
	if (!error && !composed->message_id) {
		composed->message_id = compose_message_id(instance, mail->id, composed->envelope.from);
		compose_message_id_field(&added, composed->message_id);
	}
	pieces_add_body(complete->pieces, &mail->message, complete->kept_from, reader->position,
	                complete->kept_line);
	length = added.length;
	pieces_add_text(complete->pieces, buffer_take(&added), length);
	pieces_add_body(complete->pieces, &mail->message, reader->position, mail->message.size, reader->line);
	return error;
}

enum error compose_complete(const struct mail *mail, const char *instance, struct composed *composed,
                            struct words *words)
{
	struct complete complete = {
		.mail = mail,
		.composed = composed,
		.pieces = pieces_create(),
		.header_is_envelope = !mail->to_addresses && !mail->cc_addresses && !mail->bcc_addresses,
		.kept_line = 1,
		.words = words,
	};
	enum error error;

	composed->source = &complete.pieces->source;
	header_begin(&complete.reader, &mail->message, HEADER_CHUNK_MAX);
	error = read_header(&complete);
	if (!error)
		error = make_envelope(&complete);
	if (!error)
		error = add_rest(&complete, instance);
	if (!error)
		error = pieces_measure(complete.pieces, "message", &composed->size,
		                       &composed->envelope.eight_bit, words);
	gathering_fini(&complete.gathering);
	header_fini(&complete.reader);
	return error;
}
