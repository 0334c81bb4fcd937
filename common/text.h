/*
 * text.h - UTF-8, ASCII, numbers and words: pure functions.
 *
 * No clock, no socket, no locale. Any thread.
 */
#ifndef OUTBOXD_COMMON_TEXT_H
#define OUTBOXD_COMMON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"

/*
 * Decodes the code point at text[0..length). Returns its octets (1 to 4) or 0 if
 * it is none by RFC 3629: overlong, a surrogate, above U+10FFFF, cut off.
 */
size_t text_utf8_next(const char *text, size_t length, uint32_t *code_point);

/* Offset of the first octet that is not valid UTF-8, or length if all is. */
size_t text_utf8_valid(const char *text, size_t length);

/*
 * The longest length of at most max_bytes that does not end inside a character;
 * reads text[max_bytes] if length is greater.
 */
size_t text_cut(const char *text, size_t length, size_t max_bytes);

/* Controls (C0, DEL, C1), line and paragraph separators, and what turns the writing direction. */
static inline bool text_is_control(uint32_t code_point)
{
	return code_point < 0x20 || (code_point >= 0x7f && code_point <= 0x9f) ||
	       (code_point >= 0x2028 && code_point <= 0x202e) ||
	       (code_point >= 0x2066 && code_point <= 0x2069);
}

bool text_is_ascii(const char *text, size_t length);

/* ASCII letters compared without case; the locale plays no part. */
int text_order_nocase(const char *a, const char *b); /* as strcmp() */
static inline bool text_equal_nocase(const char *a, const char *b)
{
	return text_order_nocase(a, b) == 0;
}
bool text_starts_nocase(const char *text, const char *prefix);
void text_lower_ascii(char *text);

/*
 * Makes a text from a peer fit for a log, a table, a terminal: invalid UTF-8
 * becomes U+FFFD (each octet), control characters (text_is_control) a space, runs
 * of spaces one space, none at either end, at most max_bytes octets, cut between
 * characters. Returns an allocated string, the caller frees it.
 */
char *text_clean(const char *text, size_t length, size_t max_bytes);

/* Whole text as a decimal number within the bounds; false otherwise. */
bool text_to_int(const char *text, int64_t minimum, int64_t maximum, int64_t *value);

/* "90" (seconds), "30s", "15m", "6h", "30d", "250ms" → milliseconds; false if it is none or negative. */
bool text_to_duration_ms(const char *text, int64_t *ms);

/* "65536", "256K", "25M", "1G" (powers of 1024, either case) → octets. */
bool text_to_size(const char *text, int64_t *octets);

/*
 * RFC 4648 base64, padded, without line ends; decode refuses anything else.
 * Both answer false if out's limit is too small, and then out is unchanged.
 */
bool text_base64_encode(struct buffer *out, const void *bytes, size_t length);
bool text_base64_decode(struct buffer *out, const char *text, size_t length);

void text_hex(const unsigned char *bytes, size_t length, char *out); /* 2 × length + NUL, lower case */

#endif
