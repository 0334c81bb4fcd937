/*
 * parts.c - what the parts of a message are, and how each is encoded.
 *
 * Promises: text goes as it is where every line is short enough and the server
 * takes its octets, else in the shorter of quoted-printable and base64;
 * attachments go in base64, octet for octet; a message within the message is
 * never encoded (RFC 2046 5.2.1), but goes as a file (application/octet-stream)
 * where it cannot go as it is. No boundary of ours stands in an unencoded part:
 * what holds one is encoded, and '=_' is in no encoded text. Fails as
 * compose.h says.
 */
#include "mime/parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/digest.h"
#include "common/text.h"
#include "mime/scan.h"

#define LINE_MAX_PLAIN 998 /* octets, RFC 5322 2.1.1 */

#define TYPE_TEXT      "text/plain; charset=utf-8"
#define TYPE_HTML      "text/html; charset=utf-8"
#define TYPE_OCTETS    "application/octet-stream"

/* A function of the row: that of the Message-ID, but for what is hashed with it. */
static void make_stem(char stem[BOUNDARY_STEM_SIZE], const char *instance, int64_t id)
{
	unsigned char digest[DIGEST_SHA256_BYTES];
	struct buffer text;

	buffer_init(&text, SIZE_MAX);
	buffer_printf(&text, "%s\n%" PRId64 "\nboundary", instance, id);
	digest_sha256(text.data, text.length, digest);
	buffer_fini(&text);
	stem[0] = '=';
	stem[1] = '_';
	text_hex(digest, BOUNDARY_OCTETS, stem + 2);
}

struct preparing {
	struct parts *parts;
	bool eight_bit_mime;
	char mark[BOUNDARY_STEM_SIZE + 2]; /* a line that is a delimiter begins so */
	struct words *words;
};

static bool may_go_unencoded(const struct preparing *preparing, const struct text_facts *facts)
{
	return !facts->unfit.what && facts->longest <= LINE_MAX_PLAIN && !facts->marked &&
	       (facts->ascii || preparing->eight_bit_mime);
}

static void leave_unencoded(struct part *part, const struct text_facts *facts)
{
	part->encoding = ENCODING_NONE;
	part->eight_bit = !facts->ascii;
	part->open = facts->open;
	part->size = facts->octets;
}

static enum error prepare_text(const struct preparing *preparing, const char *column, const char *type,
                               const struct body *body, struct part *part)
{
	struct text_facts facts;
	struct words unused;
	enum error error = scan_text(column, body, preparing->mark, &facts, preparing->words);

	if (error)
		return error;
	part->body = body;
	media_parse(column, type, &part->media, &unused);
	if (may_go_unencoded(preparing, &facts)) {
		leave_unencoded(part, &facts);
		return OK;
	}
	if (scan_quoted(body, &part->size) != OK) {
		words_set(preparing->words, "%s cannot be read from its spool file", column);
		return ERROR_SYSTEM;
	}
	part->encoding = ENCODING_QUOTED_PRINTABLE;
	part->open = facts.open;
	if (encoded_base64_size(facts.octets) < part->size) {
		part->encoding = ENCODING_BASE64;
		part->open = false;
		part->size = encoded_base64_size(facts.octets);
	}
	return OK;
}

static void prepare_octets(struct part *part)
{
	part->encoding = ENCODING_BASE64_OCTETS;
	part->size = encoded_base64_size(part->body->size);
}

/* Its header with octets above 127 makes it a message/global (RFC 6532 3.7), which few readers know. */
static enum error prepare_message(const struct preparing *preparing, const char *place, struct part *part)
{
	enum media_kind kind = media_kind(&part->media);
	struct text_facts facts;
	struct words unused;
	enum error error = scan_body(part->body, preparing->mark, &facts);

	if (error) {
		words_set(preparing->words, "%s, content cannot be read from its spool file", place);
		return error;
	}
	if (may_go_unencoded(preparing, &facts) && (facts.head_ascii || kind == MEDIA_GLOBAL)) {
		leave_unencoded(part, &facts);
		return OK;
	}
	prepare_octets(part);
	if (kind == MEDIA_GLOBAL)
		return OK;
	media_fini(&part->media);
	media_parse(place, TYPE_OCTETS, &part->media, &unused);
	if (!part->filename)
		part->filename = "message.eml";
	return OK;
}

static enum error check_columns(const struct attachment *attachment, const char *place, struct part *part,
                                struct words *words)
{
	char column[64];
	enum error error = OK;

	snprintf(column, sizeof(column), "%s, filename", place);
	if (attachment->filename)
		error = filename_check(column, attachment->filename, words);
	snprintf(column, sizeof(column), "%s, content_id", place);
	if (!error && attachment->content_id)
		error = content_id_check(column, attachment->content_id, words);
	snprintf(column, sizeof(column), "%s, content_type", place);
	if (!error)
		error = media_parse(column, attachment->content_type ? attachment->content_type : TYPE_OCTETS,
		                    &part->media, words);
	return error;
}

static enum error prepare_attachment(const struct preparing *preparing, const struct attachment *attachment,
                                     struct part *part)
{
	struct parts *parts = preparing->parts;
	char place[40];
	enum error error;

	snprintf(place, sizeof(place), "attachment %zu", parts->attachment_count + 1);
	error = check_columns(attachment, place, part, preparing->words);
	if (error)
		return error;
	part->body = &attachment->content;
	part->filename = attachment->filename;
	part->content_id = attachment->content_id;
	part->attached = true;
	part->inlined = attachment->content_id && parts->has_html;
	parts->inlined_count += part->inlined;
	if (media_kind(&part->media) != MEDIA_OCTETS)
		return prepare_message(preparing, place, part);
	prepare_octets(part);
	return OK;
}

/* Two parts of one name: the HTML would show either. At most ATTACHMENTS_MAX squared, and short. */
static enum error check_content_ids(const struct parts *parts, struct words *words)
{
	for (size_t i = 0; i < parts->attachment_count; i++) {
		const char *id = parts->attachments[i].content_id;

		for (size_t j = 0; j < i && id; j++) {
			const char *other = parts->attachments[j].content_id;

			if (!other || strcmp(id, other) != 0)
				continue;
			words_set(words, "attachment %zu, content_id: attachment %zu has the same one", i + 1,
			          j + 1);
			return ERROR_INVALID;
		}
	}
	return OK;
}

static enum error prepare_attachments(const struct preparing *preparing, const struct mail *mail)
{
	struct parts *parts = preparing->parts;
	enum error error = OK;

	if (mail->attachment_count > ATTACHMENTS_MAX) {
		words_set(preparing->words, "more than %d attachments", ATTACHMENTS_MAX);
		return ERROR_LIMIT;
	}
	parts->attachments = memory_alloc(mail->attachment_count * sizeof(parts->attachments[0]));
	while (parts->attachment_count < mail->attachment_count && !error) {
		size_t number = parts->attachment_count;

		error = prepare_attachment(preparing, &mail->attachments[number],
		                           &parts->attachments[number]);
		parts->attachment_count++;
	}
	return error ? error : check_content_ids(parts, preparing->words);
}

enum error parts_prepare(struct parts *parts, const struct mail *mail, const struct compose_options *options,
                         struct words *words)
{
	struct preparing preparing = { .parts = parts,
		                       .eight_bit_mime = options->eight_bit_mime,
		                       .words = words };
	enum error error = OK;

	*parts = (struct parts){ .has_html = mail->body_html.present };
	/* a message of nothing at all is an empty text */
	parts->has_text = mail->body_text.present || (!parts->has_html && mail->attachment_count == 0);
	make_stem(parts->stem, options->instance, mail->id);
	snprintf(preparing.mark, sizeof(preparing.mark), "--%s", parts->stem);
	if (parts->has_text)
		error = prepare_text(&preparing, "body_text", TYPE_TEXT, &mail->body_text, &parts->text);
	if (!error && parts->has_html)
		error = prepare_text(&preparing, "body_html", TYPE_HTML, &mail->body_html, &parts->html);
	return error ? error : prepare_attachments(&preparing, mail);
}

void parts_fini(struct parts *parts)
{
	media_fini(&parts->text.media);
	media_fini(&parts->html.media);
	for (size_t i = 0; i < parts->attachment_count; i++)
		media_fini(&parts->attachments[i].media);
	free(parts->attachments);
	parts->attachments = NULL;
	parts->attachment_count = 0;
}
