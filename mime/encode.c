/*
 * encode.c - line ends, quoted-printable and base64.
 *
 * Promises: every line that it gives ends with CRLF; no NUL and no lone CR or
 * LF leaves; with an encoding no line is longer than 76 octets and all are
 * ASCII. Constant memory. What it fails with: encode.h.
 */
#include "mime/encode.h"

#include <string.h>

#include "common/text.h"

void encoder_begin(struct encoder *encoder, enum encoding encoding, int64_t first_line)
{
	memset(encoder, 0, sizeof(*encoder));
	encoder->encoding = encoding;
	encoder->line = first_line;
}

static bool qp_put(struct encoder *encoder, unsigned char c, bool escape, struct buffer *out)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t width = escape ? 3 : 1;

	/* one column stays free for the '=' of a soft line end */
	if (encoder->column + width >= ENCODING_LINE_MAX) {
		if (!buffer_append(out, "=\r\n", 3))
			return false;
		encoder->column = 0;
	}
	encoder->column += width;
	if (!escape)
		return buffer_append_char(out, (char)c);
	return buffer_append(out, (char[]){ '=', hex[c >> 4], hex[c & 15] }, 3);
}

/* A space is held back: at the end of a line it must be escaped (RFC 2045 6.7 (3)). */
static bool qp_flush_space(struct encoder *encoder, bool at_line_end, struct buffer *out)
{
	if (encoder->held_count == 0)
		return true;
	encoder->held_count = 0;
	return qp_put(encoder, encoder->held[0], at_line_end, out);
}

static bool qp_octet(struct encoder *encoder, unsigned char c, struct buffer *out)
{
	if (!qp_flush_space(encoder, false, out))
		return false;
	if (c == ' ' || c == '\t') {
		encoder->held[0] = c;
		encoder->held_count = 1;
		return true;
	}
	return qp_put(encoder, c, c < 0x21 || c > 0x7e || c == '=', out);
}

static bool qp_line_end(struct encoder *encoder, struct buffer *out)
{
	bool good = qp_flush_space(encoder, true, out);

	encoder->column = 0;
	return good && buffer_append(out, "\r\n", 2);
}

static bool base64_flush(struct encoder *encoder, struct buffer *out)
{
	if (encoder->held_count == 0)
		return true;
	text_base64_encode(out, encoder->held, encoder->held_count);
	encoder->held_count = 0;
	return buffer_append(out, "\r\n", 2);
}

static bool base64_octet(struct encoder *encoder, unsigned char c, struct buffer *out)
{
	encoder->held[encoder->held_count++] = c;
	return encoder->held_count < sizeof(encoder->held) || base64_flush(encoder, out);
}

static bool put_line_end(struct encoder *encoder, struct buffer *out)
{
	encoder->line++;
	encoder->open = false;
	encoder->cr = false;
	switch (encoder->encoding) {
	case ENCODING_QUOTED_PRINTABLE: return qp_line_end(encoder, out);
	case ENCODING_BASE64: return base64_octet(encoder, '\r', out) && base64_octet(encoder, '\n', out);
	case ENCODING_NONE: break;
	}
	return buffer_append(out, "\r\n", 2);
}

/* The octets before the next one that is special: a run that ENCODING_NONE copies as it is. */
static size_t plain_run(const char *bytes, size_t length)
{
	size_t run = 0;

	while (run < length && bytes[run] != '\n' && bytes[run] != '\r' && bytes[run] != '\0')
		run++;
	return run;
}

enum error encoder_feed(struct encoder *encoder, const char *bytes, size_t length, struct buffer *out)
{
	size_t at = 0;

	while (at < length) {
		bool good = true;
		char c = bytes[at];

		if (c == '\0' || (encoder->cr && c != '\n'))
			return ERROR_INVALID;
		if (c == '\n') {
			good = put_line_end(encoder, out);
			at++;
		} else if (c == '\r') {
			encoder->cr = true;
			at++;
		} else if (encoder->encoding == ENCODING_NONE) {
			size_t run = plain_run(bytes + at, length - at);

			encoder->open = true;
			good = buffer_append(out, bytes + at, run);
			at += run;
		} else {
			encoder->open = true;
			good = encoder->encoding == ENCODING_BASE64
			               ? base64_octet(encoder, (unsigned char)c, out)
			               : qp_octet(encoder, (unsigned char)c, out);
			at++;
		}
		if (!good)
			return ERROR_LIMIT;
	}
	return OK;
}

enum error encoder_end(struct encoder *encoder, struct buffer *out)
{
	if (encoder->cr)
		return ERROR_INVALID;
	if (encoder->open && !put_line_end(encoder, out))
		return ERROR_LIMIT;
	if (encoder->encoding == ENCODING_BASE64 && !base64_flush(encoder, out))
		return ERROR_LIMIT;
	return OK;
}
