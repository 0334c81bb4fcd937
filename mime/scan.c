/*
 * scan.c - what is in a text: UTF-8, lines, sizes.
 *
 * Promises: constant memory; what it lets pass, encode.c can encode.
 */
#include "mime/scan.h"

#include <string.h>

#include "common/text.h"

#define CHUNK_OCTETS 8192

static size_t sequence_length(char first)
{
	unsigned char c = (unsigned char)first;

	if (c < 0xc2 || c > 0xf4)
		return 0;
	return c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

bool utf8_stream_octet(struct utf8_stream *stream, char octet)
{
	uint32_t code_point;
	size_t whole;

	if ((unsigned char)octet < 0x80)
		return stream->count == 0;
	stream->held[stream->count++] = octet;
	whole = sequence_length(stream->held[0]);
	if (stream->count < whole)
		return true;
	stream->count = 0;
	return whole > 0 && text_utf8_next(stream->held, whole, &code_point) == whole;
}

bool utf8_stream_end(const struct utf8_stream *stream)
{
	return stream->count == 0;
}

struct text_scan {
	struct utf8_stream utf8;
	int64_t line;
	size_t length; /* of this line, so far */
	bool cr;
};

static const char *scan_octet(struct text_scan *scan, char c, struct text_facts *facts)
{
	if (scan->cr && c != '\n')
		return "a carriage return without a line feed";
	if (c == '\0')
		return "the character NUL is not allowed";
	if (!utf8_stream_octet(&scan->utf8, c))
		return "this is not UTF-8";
	scan->cr = c == '\r';
	if (c == '\n') {
		scan->line++;
		scan->length = 0;
	} else if (c != '\r') {
		if (++scan->length > facts->longest)
			facts->longest = scan->length;
		if ((unsigned char)c >= 0x80)
			facts->ascii = false;
	}
	return NULL;
}

enum error scan_text(const char *column, const struct body *body, struct text_facts *facts,
                     struct words *words)
{
	struct text_scan scan = { .line = 1 };
	const char *trouble = NULL;
	char chunk[CHUNK_OCTETS];
	int64_t position = 0;
	size_t got;

	*facts = (struct text_facts){ .ascii = true };
	do {
		enum error error = body_read(body, position, chunk, sizeof(chunk), &got);

		if (error) {
			words_set(words, "%s cannot be read from its spool file", column);
			return error;
		}
		for (size_t i = 0; i < got && !trouble; i++)
			trouble = scan_octet(&scan, chunk[i], facts);
		position += (int64_t)got;
	} while (got > 0 && !trouble);
	if (!trouble && scan.cr)
		trouble = "a carriage return without a line feed";
	if (!trouble && !utf8_stream_end(&scan.utf8))
		trouble = "the text ends within a character of UTF-8";
	if (!trouble)
		return OK;
	words_set(words, "%s, line %lld: %s", column, (long long)scan.line, trouble);
	return ERROR_INVALID;
}
