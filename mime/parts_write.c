/*
 * parts_write.c - writes the parts of a message: RFC 2045, RFC 2046 5.1, RFC 2183, RFC 2387.
 *
 * Promises: the size that it counts is the size of the stream; a part's octets
 * are between its header and the line end that belongs to the next delimiter,
 * and are just the column's. Fails with ERROR_LIMIT only.
 */
#include <stdio.h>
#include <string.h>

#include "common/text.h"
#include "mime/field.h"
#include "mime/parts.h"

#define BOUNDARY_SIZE (BOUNDARY_STEM_SIZE + 2)

enum level { LEVEL_MIXED = 1, LEVEL_ALTERNATIVE, LEVEL_RELATED };

struct writing {
	const struct parts *parts;
	struct pieces *pieces;
	struct buffer *text; /* ours, not yet a piece */
	bool line_start;     /* the last octet so far ends a line that belongs to us */
	bool full;
	int64_t size;
	bool eight_bit;
};

static void append(struct writing *writing, const char *text)
{
	if (!buffer_append_text(writing->text, text))
		writing->full = true;
}

/* What is ours so far becomes a piece. */
static void flush(struct writing *writing)
{
	size_t length = writing->text->length;

	writing->size += (int64_t)length;
	writing->eight_bit = writing->eight_bit || !text_is_ascii(writing->text->data, length);
	pieces_add_text(writing->pieces, buffer_take(writing->text), length);
}

static void make_boundary(const struct writing *writing, enum level level, char out[BOUNDARY_SIZE])
{
	snprintf(out, BOUNDARY_SIZE, "%s-%d", writing->parts->stem, (int)level);
}

/* RFC 2046 5.1.1: the line end before "--" belongs to the delimiter. */
static void put_delimiter(struct writing *writing, enum level level, bool last)
{
	char boundary[BOUNDARY_SIZE];

	make_boundary(writing, level, boundary);
	append(writing, writing->line_start ? "--" : "\r\n--");
	append(writing, boundary);
	append(writing, last ? "--\r\n" : "\r\n");
	/* s-nail 14.9.24 takes a close-delimiter right behind another, or behind base64, for content */
	writing->line_start = !last;
}

static void put_token_field(struct writing *writing, const char *name, const char *token)
{
	struct field field;

	field_begin(&field, writing->text, name);
	field_token(&field, token, strlen(token));
	if (!field_end(&field))
		writing->full = true;
}

static void put_encoding(struct writing *writing, enum encoding encoding, bool eight_bit)
{
	static const char *const names[] = {
		[ENCODING_NONE] = "7bit",
		[ENCODING_QUOTED_PRINTABLE] = "quoted-printable",
		[ENCODING_BASE64] = "base64",
		[ENCODING_BASE64_OCTETS] = "base64",
	};

	put_token_field(writing, "Content-Transfer-Encoding", eight_bit ? "8bit" : names[encoding]);
}

static void put_disposition(struct writing *writing, const struct part *part)
{
	const char *word = part->inlined ? "inline" : "attachment";
	char token[16];
	struct field field;

	snprintf(token, sizeof(token), "%s%s", word, part->filename ? ";" : "");
	field_begin(&field, writing->text, "Content-Disposition");
	field_token(&field, token, strlen(token));
	if (part->filename)
		filename_put(&field, part->filename);
	if (!field_end(&field))
		writing->full = true;
}

static void put_content_id(struct writing *writing, const char *content_id)
{
	struct buffer token;

	buffer_init(&token, SIZE_MAX);
	buffer_printf(&token, "<%s>", content_id);
	put_token_field(writing, "Content-ID", token.data);
	buffer_fini(&token);
}

/* The part's fields, the empty line, the octets. exact: nothing is added to a last line without an end. */
static void put_part(struct writing *writing, const struct part *part, bool exact)
{
	bool base64 = part->encoding == ENCODING_BASE64 || part->encoding == ENCODING_BASE64_OCTETS;
	struct field field;

	field_begin(&field, writing->text, "Content-Type");
	media_put(&field, &part->media, part->filename);
	if (!field_end(&field))
		writing->full = true;
	put_encoding(writing, part->encoding, part->eight_bit);
	if (part->attached)
		put_disposition(writing, part);
	if (part->content_id)
		put_content_id(writing, part->content_id);
	append(writing, "\r\n");
	flush(writing);
	pieces_add_encoded(writing->pieces, part->body, part->encoding, exact || base64);
	writing->size += part->size;
	if (part->open && !exact)
		writing->size += 2;
	writing->eight_bit = writing->eight_bit || part->eight_bit;
	writing->line_start = false;
}

static bool any_eight_bit(const struct parts *parts, bool inlined)
{
	for (size_t i = 0; i < parts->attachment_count; i++) {
		if (parts->attachments[i].inlined == inlined && parts->attachments[i].eight_bit)
			return true;
	}
	return false;
}

/* RFC 2045 6.4: what holds an 8-bit part is 8-bit. */
static bool level_eight_bit(const struct parts *parts, enum level level)
{
	switch (level) {
	case LEVEL_RELATED: return parts->html.eight_bit || any_eight_bit(parts, true);
	case LEVEL_ALTERNATIVE: return parts->text.eight_bit || level_eight_bit(parts, LEVEL_RELATED);
	case LEVEL_MIXED: return level_eight_bit(parts, LEVEL_ALTERNATIVE) || any_eight_bit(parts, false);
	}
	return false;
}

static void begin_multipart(struct writing *writing, enum level level)
{
	static const char *const types[] = {
		[LEVEL_MIXED] = "multipart/mixed;",
		[LEVEL_ALTERNATIVE] = "multipart/alternative;",
		[LEVEL_RELATED] = "multipart/related;",
	};
	static const char type[] = "type=\"text/html\";"; /* RFC 2387 3.1: of its root */
	char token[BOUNDARY_SIZE + 16];
	char boundary[BOUNDARY_SIZE];
	struct field field;

	make_boundary(writing, level, boundary);
	snprintf(token, sizeof(token), "boundary=\"%s\"", boundary);
	field_begin(&field, writing->text, "Content-Type");
	field_token(&field, types[level], strlen(types[level]));
	if (level == LEVEL_RELATED)
		field_token(&field, type, sizeof(type) - 1);
	field_token(&field, token, strlen(token));
	if (!field_end(&field))
		writing->full = true;
	put_encoding(writing, ENCODING_NONE, level_eight_bit(writing->parts, level));
	append(writing, "\r\n");
	writing->line_start = true;
}

static void put_attachments(struct writing *writing, enum level level, bool inlined)
{
	for (size_t i = 0; i < writing->parts->attachment_count; i++) {
		const struct part *part = &writing->parts->attachments[i];

		if (part->inlined != inlined)
			continue;
		put_delimiter(writing, level, false);
		put_part(writing, part, true);
	}
	put_delimiter(writing, level, true);
}

static void put_html(struct writing *writing, bool exact)
{
	const struct parts *parts = writing->parts;

	if (parts->inlined_count == 0) {
		put_part(writing, &parts->html, exact);
		return;
	}
	begin_multipart(writing, LEVEL_RELATED);
	put_delimiter(writing, LEVEL_RELATED, false);
	put_part(writing, &parts->html, true);
	put_attachments(writing, LEVEL_RELATED, true);
}

static void put_bodies(struct writing *writing, bool exact)
{
	const struct parts *parts = writing->parts;

	if (!parts->has_html) {
		put_part(writing, &parts->text, exact);
	} else if (!parts->has_text) {
		put_html(writing, exact);
	} else {
		begin_multipart(writing, LEVEL_ALTERNATIVE);
		put_delimiter(writing, LEVEL_ALTERNATIVE, false);
		put_part(writing, &parts->text, true);
		put_delimiter(writing, LEVEL_ALTERNATIVE, false);
		put_html(writing, true);
		put_delimiter(writing, LEVEL_ALTERNATIVE, true);
	}
}

static void put_mixed(struct writing *writing)
{
	const struct parts *parts = writing->parts;

	begin_multipart(writing, LEVEL_MIXED);
	if (parts->has_text || parts->has_html) {
		put_delimiter(writing, LEVEL_MIXED, false);
		put_bodies(writing, true);
	}
	put_attachments(writing, LEVEL_MIXED, false);
}

enum error parts_write(const struct parts *parts, struct buffer *header, struct pieces *pieces, int64_t *size,
                       bool *eight_bit)
{
	struct writing writing = { .parts = parts, .pieces = pieces, .text = header };

	if (parts->attachment_count > parts->inlined_count)
		put_mixed(&writing);
	else
		put_bodies(&writing, false);
	flush(&writing);
	*size += writing.size;
	*eight_bit = *eight_bit || writing.eight_bit;
	return writing.full ? ERROR_LIMIT : OK;
}
