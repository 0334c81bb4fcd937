/*
 * media.c - content types and content ids of attachments, strictly (RFC 2045 5.1 and 7).
 *
 * Promises: what is accepted is printable ASCII and balanced, so that nothing
 * in it can end the field that it is written into. Fails with ERROR_INVALID
 * and words that name the place, the character and what is wrong.
 */
#include "mime/media.h"

#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/text.h"
#include "mime/address_scan.h"

/* RFC 2045 5.1: any printable ASCII but tspecials. */
static bool is_token_octet(int c)
{
	return c > ' ' && c < 0x7f && !strchr("()<>@,;:\\\"/[]?=", c);
}

static enum error read_token(struct address_scan *scan, const char *what, size_t *length)
{
	size_t start = scan->at;

	while (is_token_octet(scan_peek(scan)))
		scan->at++;
	*length = scan->at - start;
	return *length > 0 ? OK : scan_fail(scan, start, "%s is expected here", what);
}

static void skip_space(struct address_scan *scan)
{
	while (scan_peek(scan) == ' ' || scan_peek(scan) == '\t')
		scan->at++;
}

static void add_written(struct media *media, const char *text, size_t length)
{
	media->written = memory_resize(media->written, (media->count + 1) * sizeof(char *));
	media->written[media->count++] = memory_strndup(text, length);
}

static enum error check_type(const struct address_scan *scan, const struct media *media)
{
	if (text_starts_nocase(media->type, "multipart/"))
		return scan_fail(scan, 0, "an attachment is one part, it cannot be multipart/…");
	if (strcmp(media->type, "message/partial") == 0 || strcmp(media->type, "message/external-body") == 0)
		return scan_fail(scan, 0, "%s is not sent as an attachment", media->type);
	return OK;
}

static enum error read_type(struct address_scan *scan, struct media *media)
{
	size_t length;
	enum error error = read_token(scan, "a type, as in application/pdf,", &length);

	if (error)
		return error;
	if (scan_peek(scan) != '/')
		return scan_fail(scan, scan->at, "'/' is expected here, as in application/pdf");
	scan->at++;
	error = read_token(scan, "a subtype, as in application/pdf,", &length);
	if (error)
		return error;
	media->type = memory_strndup(scan->text, scan->at);
	text_lower_ascii(media->type);
	add_written(media, scan->text, scan->at);
	return check_type(scan, media);
}

static enum error read_value(struct address_scan *scan)
{
	struct token token;
	size_t length;

	if (scan_peek(scan) == '"')
		return scan_token(scan, &token);
	return read_token(scan, "a value, in quotes if it is more than a word,", &length);
}

/* Whether a parameter that begins so ("name=") is there already. */
static bool has_parameter(const struct media *media, const char *name, size_t length)
{
	for (size_t i = 1; i < media->count; i++) {
		char start[MEDIA_LENGTH_MAX + 1];

		memcpy(start, name, length);
		start[length] = '\0';
		if (text_starts_nocase(media->written[i], start))
			return true;
	}
	return false;
}

static enum error read_parameter(struct address_scan *scan, struct media *media)
{
	size_t start = scan->at;
	size_t length;
	enum error error = read_token(scan, "a parameter, as in charset=utf-8,", &length);

	if (error)
		return error;
	if (scan_peek(scan) != '=')
		return scan_fail(scan, scan->at, "'=' is expected here, as in charset=utf-8");
	scan->at++;
	if (has_parameter(media, scan->text + start, length + 1))
		return scan_fail(scan, start, "the parameter %.*s is given twice", (int)length,
		                 scan->text + start);
	if (media->count > MEDIA_PARAMETERS_MAX)
		return scan_fail(scan, start, "more than %d parameters", MEDIA_PARAMETERS_MAX);
	error = read_value(scan);
	if (!error)
		add_written(media, scan->text + start, scan->at - start);
	return error;
}

static enum error read_parameters(struct address_scan *scan, struct media *media)
{
	for (;;) {
		enum error error;

		skip_space(scan);
		if (scan_peek(scan) == SCAN_END)
			return OK;
		if (scan_peek(scan) != ';')
			return scan_fail(scan, scan->at, "only ';' and a parameter may follow here");
		scan->at++;
		skip_space(scan);
		error = read_parameter(scan, media);
		if (error)
			return error;
	}
}

static enum error check_ascii(const struct address_scan *scan)
{
	enum error error = scan_check_text(scan);

	for (size_t i = 0; i < scan->length && !error; i++) {
		if ((unsigned char)scan->text[i] >= 0x80)
			error = scan_fail(scan, i, "only ASCII is allowed here");
	}
	return error;
}

enum error media_parse(const char *place, const char *text, struct media *media, struct words *words)
{
	struct address_scan scan = { .column = place, .text = text, .length = strlen(text), .words = words };
	enum error error = OK;

	*media = (struct media){ .type = NULL };
	if (scan.length > MEDIA_LENGTH_MAX) {
		words_set(words, "%s: longer than %d octets", place, MEDIA_LENGTH_MAX);
		return ERROR_INVALID;
	}
	error = check_ascii(&scan);
	if (!error)
		error = read_type(&scan, media);
	if (!error)
		error = read_parameters(&scan, media);
	if (error)
		media_fini(media);
	return error;
}

void media_fini(struct media *media)
{
	for (size_t i = 0; i < media->count; i++)
		free(media->written[i]);
	free(media->written);
	free(media->type);
	*media = (struct media){ .type = NULL };
}

enum media_kind media_kind(const struct media *media)
{
	if (text_starts_nocase(media->type, "message/global"))
		return MEDIA_GLOBAL;
	return text_starts_nocase(media->type, "message/") ? MEDIA_MESSAGE : MEDIA_OCTETS;
}

void media_put(struct field *field, const struct media *media, const char *filename)
{
	bool fallback = filename && !filename_is_plain(filename) &&
	                !has_parameter(media, "name=", strlen("name="));

	for (size_t i = 0; i < media->count; i++) {
		struct buffer token;

		buffer_init(&token, MEDIA_LENGTH_MAX + 1);
		buffer_append_text(&token, media->written[i]);
		if (i + 1 < media->count || fallback)
			buffer_append_char(&token, ';');
		field_token(field, token.data, token.length);
		buffer_fini(&token);
	}
	if (fallback)
		filename_put_fallback(field, filename);
}

/* RFC 5322 3.2.3 dot-atom-text; a literal's brackets stand on the right side alone. */
static enum error check_id_half(const struct address_scan *scan, size_t start, size_t end)
{
	if (start == end)
		return scan_fail(scan, start, "a part before or behind '@' is empty");
	for (size_t i = start; i < end; i++) {
		char c = scan->text[i];
		bool dot = c == '.';

		if (dot ? i == start || i + 1 == end || scan->text[i + 1] == '.'
		        : !scan_is_atext((unsigned char)c))
			return scan_fail(scan, i, "'%c' is not allowed here", c);
	}
	return OK;
}

enum error content_id_check(const char *place, const char *content_id, struct words *words)
{
	struct address_scan scan = {
		.column = place, .text = content_id, .length = strlen(content_id), .words = words
	};
	const char *at = strchr(content_id, '@');
	size_t left = at ? (size_t)(at - content_id) : scan.length;
	enum error error;

	if (scan.length > MEDIA_LENGTH_MAX) {
		words_set(words, "%s: longer than %d octets", place, MEDIA_LENGTH_MAX);
		return ERROR_INVALID;
	}
	error = check_ascii(&scan);
	if (!error)
		error = check_id_half(&scan, 0, left);
	if (!error && at)
		error = check_id_half(&scan, left + 1, scan.length);
	return error;
}
