/*
 * encode.h - bodies on their way into a message: line ends and transfer encodings.
 *
 * Internal to mime/. Pure; may be fed in slices cut anywhere, the result is
 * the same. One encoder by one thread at a time.
 */
#ifndef OUTBOXD_MIME_ENCODE_H
#define OUTBOXD_MIME_ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"

/* The first three read text whose lines end with LF or CRLF. */
enum encoding {
	ENCODING_NONE,             /* each line ends with CRLF, nothing else changes */
	ENCODING_QUOTED_PRINTABLE, /* RFC 2045 6.7 */
	ENCODING_BASE64,           /* RFC 2045 6.8, of the text with CRLF */
	ENCODING_BASE64_OCTETS,    /* the same of any octets, as they are */
};

#define ENCODING_LINE_MAX   76 /* octets, RFC 2045 6.7 (5) and 6.8 */
#define ENCODING_LINE_INPUT 57 /* octets that base64 makes 76 of */

/* Octets that so many can become, with what was held back before them. */
#define ENCODER_OUT_MAX(octets) (4 * (octets) + 160)

struct encoder {
	enum encoding encoding;
	bool exact;    /* a last line without an end stays so; otherwise it gets one */
	int64_t line;  /* number of the line that the next octet belongs to, from 1 */
	bool cr;       /* a CR was read, its LF is awaited */
	bool open;     /* the line has octets */
	size_t column; /* quoted-printable: of the output */
	unsigned char held[ENCODING_LINE_INPUT]; /* base64: an unfinished line; quoted-printable: a space */
	size_t held_count;
};

void encoder_begin(struct encoder *encoder, enum encoding encoding, bool exact, int64_t first_line);

/*
 * ERROR_INVALID: a NUL, or a CR without LF, in encoder->line (in a text).
 * ERROR_LIMIT: out is full: ENCODER_OUT_MAX() octets are always enough.
 */
enum error encoder_feed(struct encoder *encoder, const char *bytes, size_t length, struct buffer *out);
enum error encoder_end(struct encoder *encoder, struct buffer *out);

/* What ENCODING_BASE64_OCTETS makes of so many octets, line ends and all. */
int64_t encoded_base64_size(int64_t octets);

#endif
