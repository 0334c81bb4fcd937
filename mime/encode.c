/*
 * encode.c - line ends, quoted-printable and base64.
 *
 * Promises: every line that it gives ends with CRLF, but for the last one of an
 * exact text; no NUL and no lone CR or LF leaves; with an encoding no line is
 * longer than 76 octets and all are ASCII. Constant memory. What it fails with: encode.h.
 */
#include "mime/encode.h"

#include <string.h>

#include "common/octets.h"
#include "common/text.h"

void encoder_begin(struct encoder *encoder, enum encoding encoding, bool exact, int64_t first_line)
{
	memset(encoder, 0, sizeof(*encoder));
	encoder->encoding = encoding;
	encoder->exact = exact;
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

static bool is_plain(char c)
{
	return c > ' ' && c < 0x7f && c != '=';
}

/* Octets that go as they are: a space among them if none of white space follows it. */
static size_t qp_plain_run(const char *bytes, size_t length)
{
	size_t run = 0;

	while (run < length &&
	       (is_plain(bytes[run]) || (bytes[run] == ' ' && run + 1 < length && is_plain(bytes[run + 1]))))
		run++;
	return run;
}

/* The same as qp_put() of each, but quick. */
static bool qp_copy(struct encoder *encoder, const char *bytes, size_t length, struct buffer *out)
{
	if (!qp_flush_space(encoder, false, out))
		return false;
	while (length > 0) {
		size_t room = ENCODING_LINE_MAX - 1 - encoder->column;
		size_t take = length < room ? length : room;

		if (!buffer_append(out, bytes, take))
			return false;
		encoder->column += take;
		bytes += take;
		length -= take;
		if (length > 0) {
			if (!buffer_append(out, "=\r\n", 3))
				return false;
			encoder->column = 0;
		}
	}
	return true;
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
	return qp_put(encoder, c, !is_plain((char)c), out);
}

static bool qp_line_end(struct encoder *encoder, struct buffer *out)
{
	bool good = qp_flush_space(encoder, true, out);

	encoder->column = 0;
	return good && buffer_append(out, "\r\n", 2);
}

static bool base64_line(const void *octets, size_t length, struct buffer *out)
{
	return text_base64_encode(out, octets, length) && buffer_append(out, "\r\n", 2);
}

static bool base64_flush(struct encoder *encoder, struct buffer *out)
{
	size_t count = encoder->held_count;

	encoder->held_count = 0;
	return count == 0 || base64_line(encoder->held, count, out);
}

/* Whole lines go straight from bytes to out; what is left over is held. */
static bool base64_octets(struct encoder *encoder, const char *bytes, size_t length, struct buffer *out)
{
	size_t at = 0;

	while (at < length) {
		size_t take = ENCODING_LINE_INPUT - encoder->held_count;

		if (take > length - at)
			take = length - at;
		if (take == ENCODING_LINE_INPUT) {
			if (!base64_line(bytes + at, take, out))
				return false;
		} else {
			memcpy(encoder->held + encoder->held_count, bytes + at, take);
			encoder->held_count += take;
			if (encoder->held_count == ENCODING_LINE_INPUT && !base64_flush(encoder, out))
				return false;
		}
		at += take;
	}
	return true;
}

int64_t encoded_base64_size(int64_t octets)
{
	int64_t lines = (octets + ENCODING_LINE_INPUT - 1) / ENCODING_LINE_INPUT;

	return (octets + 2) / 3 * 4 + 2 * lines;
}

static bool put_line_end(struct encoder *encoder, struct buffer *out)
{
	encoder->line++;
	encoder->open = false;
	encoder->cr = false;
	if (encoder->encoding == ENCODING_QUOTED_PRINTABLE)
		return qp_line_end(encoder, out);
	if (encoder->encoding == ENCODING_BASE64)
		return base64_octets(encoder, "\r\n", 2, out);
	return buffer_append(out, "\r\n", 2);
}

/* A run of octets of one line, in which nothing ends it. */
static bool put_run(struct encoder *encoder, const char *bytes, size_t length, struct buffer *out)
{
	encoder->open = true;
	if (encoder->encoding == ENCODING_NONE)
		return buffer_append(out, bytes, length);
	if (encoder->encoding == ENCODING_BASE64)
		return base64_octets(encoder, bytes, length, out);
	while (length > 0) {
		size_t run = qp_plain_run(bytes, length);

		if (run > 0 ? !qp_copy(encoder, bytes, run, out)
		            : !qp_octet(encoder, (unsigned char)bytes[0], out))
			return false;
		bytes += run > 0 ? run : 1;
		length -= run > 0 ? run : 1;
	}
	return true;
}

enum error encoder_feed(struct encoder *encoder, const char *bytes, size_t length, struct buffer *out)
{
	size_t at = 0;

	if (encoder->encoding == ENCODING_BASE64_OCTETS)
		return base64_octets(encoder, bytes, length, out) ? OK : ERROR_LIMIT;
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
		} else {
			size_t run = octets_of_line(bytes + at, length - at);

			good = put_run(encoder, bytes + at, run, out);
			at += run;
		}
		if (!good)
			return ERROR_LIMIT;
	}
	return OK;
}

enum error encoder_end(struct encoder *encoder, struct buffer *out)
{
	bool good = true;

	if (encoder->cr)
		return ERROR_INVALID;
	if (encoder->open && !encoder->exact)
		good = put_line_end(encoder, out);
	else if (encoder->encoding == ENCODING_QUOTED_PRINTABLE)
		good = qp_flush_space(encoder, true, out);
	if (good && (encoder->encoding == ENCODING_BASE64 || encoder->encoding == ENCODING_BASE64_OCTETS))
		good = base64_flush(encoder, out);
	return good ? OK : ERROR_LIMIT;
}
