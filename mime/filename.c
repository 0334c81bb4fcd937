/*
 * filename.c - file names: RFC 2183 2.3, RFC 2231 3 and 4.
 *
 * Promises: a reader that knows RFC 2231 shows just this name, from
 * Content-Disposition, another one a name of ASCII with the same ending, from
 * Content-Type; lines of at most 78 octets, cut between
 * code points. Fails with ERROR_INVALID and words.
 */
#include <stdio.h>
#include <string.h>

#include "common/buffer.h"
#include "common/text.h"
#include "mime/address_scan.h"
#include "mime/media.h"

#define PLAIN_MAX  60               /* octets of a name that stands on one line, in quotes */
#define ENDING_MAX 16               /* octets of ".pdf" that a shortened name keeps */
#define LINE_ROOM  (FIELD_LINE - 2) /* behind a space, before a ';' */

enum error filename_check(const char *place, const char *filename, struct words *words)
{
	struct address_scan scan = {
		.column = place, .text = filename, .length = strlen(filename), .words = words
	};
	enum error error;
	size_t at = 0;

	if (scan.length > FILENAME_LENGTH_MAX) {
		words_set(words, "%s: longer than %d octets", place, FILENAME_LENGTH_MAX);
		return ERROR_INVALID;
	}
	error = scan_check_text(&scan);
	while (at < scan.length && !error) {
		uint32_t code_point;
		size_t octets = text_utf8_next(filename + at, scan.length - at, &code_point);

		/* those that turn the writing direction make "exe.pdf" of "fdp.exe" */
		if (text_is_control(code_point))
			error = scan_fail(&scan, at, "the control character U+%04X is not allowed",
			                  code_point);
		at += octets;
	}
	return error;
}

/* RFC 2231 7 attribute-char: no space, control, '*', ''', '%' or tspecial. */
static bool is_attribute_char(unsigned char c)
{
	return c > ' ' && c < 0x7f && !strchr("*'%()<>@,;:\\\"/[]?=", c);
}

static size_t percent_octets(const char *text, size_t length)
{
	size_t octets = 0;

	for (size_t i = 0; i < length; i++)
		octets += is_attribute_char((unsigned char)text[i]) ? 1 : 3;
	return octets;
}

static void append_percent(struct buffer *out, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];

		if (is_attribute_char(c))
			buffer_append_char(out, (char)c);
		else
			buffer_printf(out, "%%%02X", c);
	}
}

/* As many code points from the start of text as fit in room; at least one. */
static size_t take_what_fits(const char *text, size_t length, size_t room)
{
	size_t taken = 0;

	while (taken < length) {
		uint32_t code_point;
		size_t octets = text_utf8_next(text + taken, length - taken, &code_point);

		if (taken > 0 && percent_octets(text, taken + octets) > room)
			break;
		taken += octets;
	}
	return taken;
}

static void put_extended(struct field *field, const char *filename, size_t length)
{
	static const char whole[] = "filename*=utf-8''";
	struct buffer token;
	size_t at = 0;

	buffer_init(&token, FIELD_LINE + 80);
	if (sizeof(whole) - 1 + percent_octets(filename, length) <= LINE_ROOM) {
		buffer_append_text(&token, whole);
		append_percent(&token, filename, length);
		field_token(field, token.data, token.length);
		at = length;
	}
	for (int number = 0; at < length; number++) {
		size_t taken;

		buffer_clear(&token);
		buffer_printf(&token, "filename*%d*=%s", number, number == 0 ? "utf-8''" : "");
		taken = take_what_fits(filename + at, length - at, LINE_ROOM - token.length);
		append_percent(&token, filename + at, taken);
		at += taken;
		if (at < length)
			buffer_append_char(&token, ';');
		field_token(field, token.data, token.length);
	}
	buffer_fini(&token);
}

/* Every code point beyond ASCII becomes '_'. Returns the octets written; out holds length. */
static size_t to_ascii(const char *text, size_t length, char *out)
{
	size_t used = 0;

	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c < 0x80)
			out[used++] = (char)c;
		else if (c >= 0xc0)
			out[used++] = '_';
	}
	return used;
}

/* Cut in the middle, so that the ending, which says what it is, stays. */
static size_t shorten(char *name, size_t length)
{
	size_t ending = 0;

	if (length <= PLAIN_MAX)
		return length;
	for (size_t i = 1; i <= ENDING_MAX && ending == 0; i++)
		ending = name[length - i] == '.' ? i : 0;
	memmove(name + PLAIN_MAX - ending, name + length - ending, ending);
	return PLAIN_MAX;
}

static void put_plain(struct field *field, const char *parameter, const char *name, size_t length)
{
	struct buffer token;

	buffer_init(&token, FIELD_LINE);
	buffer_printf(&token, "%s=\"%.*s\"", parameter, (int)length, name);
	field_token(field, token.data, token.length);
	buffer_fini(&token);
}

/*
 * "=?" would be decoded by readers that look for encoded-words where none can
 * be, and escaped quotes are beyond many.
 */
bool filename_is_plain(const char *filename)
{
	size_t length = strlen(filename);

	return length <= PLAIN_MAX && text_is_ascii(filename, length) && !strstr(filename, "=?") &&
	       !strpbrk(filename, "\"\\");
}

void filename_put(struct field *field, const char *filename)
{
	size_t length = strlen(filename);

	if (filename_is_plain(filename))
		put_plain(field, "filename", filename, length);
	else
		put_extended(field, filename, length);
}

void filename_put_fallback(struct field *field, const char *filename)
{
	char name[FILENAME_LENGTH_MAX];
	size_t length = to_ascii(filename, strlen(filename), name);

	length = shorten(name, length);
	for (size_t i = 0; i < length; i++) {
		if (strchr("\"\\=", name[i]))
			name[i] = '_';
	}
	put_plain(field, "name", name, length);
}
