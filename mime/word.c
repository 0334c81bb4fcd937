/*
 * word.c - encoded-words, RFC 2047.
 *
 * Promises: what it writes is at most WORD_MAX octets, holds whole code points
 * and only the characters that RFC 2047 5 (3) allows in a phrase, the
 * strictest of the three places; what it reads can bring no control character
 * into a name.
 */
#include "mime/word.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "common/text.h"

#define FRAME        "=?utf-8?Q?"
#define FRAME_OCTETS (sizeof(FRAME) - 1 + 2) /* with the "?=" at the end */

static bool is_plain_in_q(unsigned char c)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
		return true;
	return c != 0 && strchr("!*+-/", c) != NULL;
}

static size_t q_octets(const char *text, size_t length)
{
	size_t octets = 0;

	for (size_t i = 0; i < length; i++)
		octets += text[i] == ' ' || is_plain_in_q((unsigned char)text[i]) ? 1 : 3;
	return octets;
}

static size_t b_octets(size_t length)
{
	return (length + 2) / 3 * 4;
}

enum word_encoding word_choose(const char *text, size_t length)
{
	return q_octets(text, length) <= b_octets(length) ? WORD_Q : WORD_B;
}

static size_t take_what_fits(enum word_encoding encoding, size_t room, const char *text, size_t length)
{
	size_t taken = 0;
	size_t used = 0;

	while (taken < length) {
		uint32_t code_point;
		size_t octets = text_utf8_next(text + taken, length - taken, &code_point);

		assert(octets > 0);
		if (encoding == WORD_Q)
			used += q_octets(text + taken, octets);
		else
			used = b_octets(taken + octets);
		if (used > room)
			break;
		taken += octets;
	}
	return taken;
}

/*
 * The octets for one word of B before the last: a multiple of three, so that it needs no padding. Each word
 * stands for itself (RFC 2047 2), but GMime 3.2.8 to 3.2.13 joins them before it decodes, and stops at the
 * first '='. 0 = no code point ends there.
 */
static size_t take_without_padding(size_t room, const char *text, size_t length)
{
	size_t best = 0;
	size_t taken = 0;

	while (taken < length) {
		uint32_t code_point;

		taken += text_utf8_next(text + taken, length - taken, &code_point);
		if (b_octets(taken) > room)
			break;
		if (taken % 3 == 0)
			best = taken;
	}
	return best;
}

/* As take_what_fits(); B becomes Q for a word that would need padding before the last, or be short without.
 */
static size_t take(enum word_encoding *encoding, size_t room, const char *text, size_t length)
{
	size_t taken = take_what_fits(*encoding, room, text, length);
	size_t quoted;

	if (*encoding == WORD_Q || taken == length)
		return taken;
	taken = take_without_padding(room, text, length);
	quoted = take_what_fits(WORD_Q, room, text, length);
	if (taken < quoted)
		*encoding = WORD_Q;
	return taken < quoted ? quoted : taken;
}

static bool append_q(struct buffer *out, const char *text, size_t length)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];
		char escape[3] = { '=', hex[c >> 4], hex[c & 15] };
		bool good;

		if (c == ' ')
			good = buffer_append_char(out, '_');
		else if (is_plain_in_q(c))
			good = buffer_append_char(out, (char)c);
		else
			good = buffer_append(out, escape, sizeof(escape));
		if (!good)
			return false;
	}
	return true;
}

size_t word_encode(struct buffer *out, enum word_encoding encoding, size_t room, const char *text,
                   size_t length)
{
	char word[WORD_MAX + 1];
	struct buffer piece;
	size_t taken;
	bool good;

	assert(room >= WORD_ROOM_MIN && room <= WORD_MAX && length > 0);
	taken = take(&encoding, room - FRAME_OCTETS, text, length);
	assert(taken > 0);
	buffer_init(&piece, sizeof(word));
	buffer_append_text(&piece, encoding == WORD_Q ? FRAME : "=?utf-8?B?");
	if (encoding == WORD_Q)
		append_q(&piece, text, taken);
	else
		text_base64_encode(&piece, text, taken);
	buffer_append_text(&piece, "?=");
	assert(piece.length <= room);
	good = buffer_append(out, piece.data, piece.length);
	buffer_fini(&piece);
	return good ? taken : 0;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

static bool decode_q(struct buffer *out, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		char c = text[i];

		if (c == '_') {
			c = ' ';
		} else if (c == '=') {
			int high = i + 2 < length ? hex_value(text[i + 1]) : -1;
			int low = i + 2 < length ? hex_value(text[i + 2]) : -1;

			if (high < 0 || low < 0)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (!buffer_append_char(out, c))
			return false;
	}
	return true;
}

static bool has_control(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return true;
	}
	return false;
}

static bool append_latin1(struct buffer *out, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];
		char two[2] = { (char)(0xc0 | c >> 6), (char)(0x80 | (c & 0x3f)) };

		/* 0x80 to 0x9f are control characters there: most likely another charset, mislabelled */
		if (c >= 0x80 && c < 0xa0)
			return false;
		if (c < 0x80 ? !buffer_append_char(out, (char)c) : !buffer_append(out, two, 2))
			return false;
	}
	return true;
}

static bool append_decoded(struct buffer *out, const char *charset, size_t charset_length,
                           const struct buffer *raw)
{
	char name[16] = "";
	size_t before = out->length;
	bool good = false;

	if (charset_length >= sizeof(name) || raw->length == 0 || has_control(raw->data, raw->length))
		return false;
	memcpy(name, charset, charset_length);
	if (text_equal_nocase(name, "utf-8"))
		good = text_utf8_valid(raw->data, raw->length) == raw->length &&
		       buffer_append(out, raw->data, raw->length);
	else if (text_equal_nocase(name, "us-ascii"))
		good = text_is_ascii(raw->data, raw->length) && buffer_append(out, raw->data, raw->length);
	else if (text_equal_nocase(name, "iso-8859-1"))
		good = append_latin1(out, raw->data, raw->length);
	if (!good)
		out->length = before;
	return good;
}

bool word_decode(struct buffer *out, const char *text, size_t length)
{
	const char *charset = text + 2;
	const char *end = text + length;
	const char *mark;
	const char *star;
	struct buffer raw;
	bool good;

	if (length < sizeof("=?a?Q?b?=") - 1 || memcmp(text, "=?", 2) != 0 || memcmp(end - 2, "?=", 2) != 0)
		return false;
	end -= 2;
	mark = memchr(charset, '?', (size_t)(end - charset));
	if (!mark || end - mark < 3 || mark[2] != '?' || memchr(mark + 3, '?', (size_t)(end - mark - 3)))
		return false;
	/* RFC 2231 5: charset*language */
	star = memchr(charset, '*', (size_t)(mark - charset));
	buffer_init(&raw, length);
	if (mark[1] == 'Q' || mark[1] == 'q')
		good = decode_q(&raw, mark + 3, (size_t)(end - mark - 3));
	else
		good = (mark[1] == 'B' || mark[1] == 'b') &&
		       text_base64_decode(&raw, mark + 3, (size_t)(end - mark - 3));
	good = good && append_decoded(out, charset, (size_t)((star ? star : mark) - charset), &raw);
	buffer_fini(&raw);
	return good;
}
