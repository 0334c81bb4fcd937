/*
 * compose.c - from a row to an envelope and a stream of bytes: which way it goes.
 *
 * Promises: nothing of a row is ignored. Message-ID and Date are functions of the row, so that a repeat is
 * byte for byte the same. Fails as compose.h says.
 */
#include "mime/compose.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/digest.h"
#include "common/text.h"
#include "mime/assemble.h"
#include "mime/field.h"
#include "mime/pieces.h"

#define HASH_OCTETS 10 /* of SHA-256: enough that two instances never meet */

char *compose_message_id(const char *instance, int64_t id, const char *from)
{
	unsigned char digest[DIGEST_SHA256_BYTES];
	char hash[2 * HASH_OCTETS + 1];
	struct buffer text;

	buffer_init(&text, SIZE_MAX);
	buffer_printf(&text, "%s\n%" PRId64, instance, id);
	digest_sha256(text.data, text.length, digest);
	text_hex(digest, HASH_OCTETS, hash);
	buffer_clear(&text);
	buffer_printf(&text, "%" PRId64 ".%s%s", id, hash, strrchr(from, '@'));
	return buffer_take(&text);
}

void compose_message_id_field(struct buffer *out, const char *message_id)
{
	struct buffer token;
	struct field field;

	buffer_init(&token, SIZE_MAX);
	buffer_printf(&token, "<%s>", message_id);
	field_begin(&field, out, "Message-ID");
	field_token(&field, token.data, token.length);
	field_end(&field);
	buffer_fini(&token);
}

enum error compose_date(struct buffer *out, const struct mail *mail, struct words *words)
{
	char date[FIELD_DATE_MAX];
	struct field field;

	if (!field_date(date, mail->first_queued_at_ms)) {
		words_set(words, "first_queued_at_ms is no time that a Date field could hold");
		return ERROR_INVALID;
	}
	field_begin(&field, out, "Date");
	field_token(&field, date, strlen(date));
	field_end(&field);
	return OK;
}

/* The columns that message stands instead of; NULL = none is set. */
static const char *set_beside_message(const struct mail *mail)
{
	if (mail->subject)
		return "subject";
	if (mail->reply_to)
		return "reply_to";
	if (mail->headers)
		return "headers";
	if (mail->body_text.present)
		return "body_text";
	if (mail->body_html.present)
		return "body_html";
	return mail->attachment_count > 0 ? "attachments" : NULL;
}

static enum error check_alone(const struct mail *mail, struct words *words)
{
	const char *beside = mail->message.present ? set_beside_message(mail) : NULL;

	if (!beside)
		return OK;
	words_set(words, "message is a whole message: %s cannot be set beside it", beside);
	return ERROR_INVALID;
}

enum error mime_compose(const struct mail *mail, const struct compose_options *options,
                        struct composed **composed, struct words *words)
{
	struct composed *made = memory_alloc(sizeof(*made));
	enum error error = check_alone(mail, words);

	*composed = NULL;
	if (!error && mail->message.present)
		error = compose_complete(mail, options->instance, made, words);
	else if (!error)
		error = compose_columns(mail, options, made, words);
	if (error)
		composed_destroy(&made);
	else
		*composed = made;
	/* too much is as wrong as malformed: another try would not help */
	return error == ERROR_LIMIT ? ERROR_INVALID : error;
}

void composed_destroy(struct composed **composed)
{
	struct pieces *pieces;

	if (!*composed)
		return;
	pieces = (struct pieces *)(void *)(*composed)->source;
	pieces_destroy(&pieces);
	envelope_fini(&(*composed)->envelope);
	free((*composed)->message_id);
	free(*composed);
	*composed = NULL;
}
