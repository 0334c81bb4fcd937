/*
 * scan.h - what is in a text, before anything is written: UTF-8, lines, sizes.
 *
 * Internal to mime/. Pure; may be fed in slices cut anywhere.
 */
#ifndef OUTBOXD_MIME_SCAN_H
#define OUTBOXD_MIME_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/source.h"

/* UTF-8 that comes octet by octet. All zero = nothing read. */
struct utf8_stream {
	char held[4]; /* an unfinished character */
	size_t count;
};

/* False: this octet makes the text no UTF-8 (text_utf8_next()). */
bool utf8_stream_octet(struct utf8_stream *stream, char octet);

/* False: the text ends within a character. */
bool utf8_stream_end(const struct utf8_stream *stream);

/* What scan_text() found. Lines end with LF or CRLF, which do not count for their length. */
struct text_facts {
	bool ascii;
	size_t longest; /* octets of the longest line */
};

/*
 * Reads a whole body. ERROR_INVALID, with words that begin with column and name
 * the line, for a NUL, a CR without LF or what is not UTF-8; ERROR_SYSTEM, with
 * words, if its file cannot be read.
 */
enum error scan_text(const char *column, const struct body *body, struct text_facts *facts,
                     struct words *words);

#endif
