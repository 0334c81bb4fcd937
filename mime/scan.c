/*
 * scan.c - what is in a text: UTF-8, lines, sizes.
 *
 * Promises: constant memory; what it lets pass, encode.c can encode.
 */
#include "mime/scan.h"

#include <assert.h>
#include <string.h>

#include "common/octets.h"
#include "common/text.h"
#include "mime/encode.h"

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
	struct text_facts *facts;
	const char *mark;
	size_t mark_length;
	size_t marked; /* octets of the mark that this line began with */
	struct utf8_stream utf8;
	int64_t line;
	size_t length; /* of this line, so far */
	bool cr;
	bool in_head;
};

static void note(struct text_fault *fault, const char *what, int64_t line)
{
	if (!fault->what)
		*fault = (struct text_fault){ .what = what, .line = line };
}

static void end_line(struct text_scan *scan)
{
	struct text_facts *facts = scan->facts;

	if (scan->length == 0)
		scan->in_head = false;
	facts->octets += 2;
	facts->open = false;
	scan->line++;
	scan->length = 0;
	scan->marked = 0;
	scan->cr = false;
}

static void compare_mark(struct text_scan *scan, char c)
{
	if (scan->marked != scan->length || scan->marked == scan->mark_length ||
	    scan->mark[scan->marked] != c)
		return;
	if (++scan->marked == scan->mark_length)
		scan->facts->marked = true;
}

static void take_octet(struct text_scan *scan, char c)
{
	struct text_facts *facts = scan->facts;

	if ((unsigned char)c >= 0x80) {
		facts->ascii = false;
		if (scan->in_head)
			facts->head_ascii = false;
	}
	if (!facts->not_utf8.what && !utf8_stream_octet(&scan->utf8, c))
		note(&facts->not_utf8, "this is not UTF-8", scan->line);
	compare_mark(scan, c);
	scan->length++;
	facts->octets++;
	facts->open = true;
	if (scan->length > facts->longest)
		facts->longest = scan->length;
}

/* False: it is unfit, and the octets before this one are all that counts. */
static bool scan_octet(struct text_scan *scan, char c)
{
	if (scan->cr && c != '\n')
		note(&scan->facts->unfit, "a carriage return without a line feed", scan->line);
	else if (c == '\0')
		note(&scan->facts->unfit, "the character NUL is not allowed", scan->line);
	if (scan->facts->unfit.what)
		return false;
	if (c != '\n' && c != '\r') {
		take_octet(scan, c);
		return true;
	}
	if (!utf8_stream_end(&scan->utf8)) {
		note(&scan->facts->not_utf8, "this is not UTF-8", scan->line);
		scan->utf8.count = 0;
	}
	scan->cr = c == '\r';
	if (c == '\n')
		end_line(scan);
	return true;
}

/* Within a line that does not begin with the mark, ASCII of people says nothing but its length. */
static size_t skip_plain(struct text_scan *scan, const char *chunk, size_t length)
{
	struct text_facts *facts = scan->facts;
	size_t run;

	if (scan->length == 0 || scan->marked == scan->length || scan->cr || scan->utf8.count > 0)
		return 0;
	run = octets_printable(chunk, length);
	scan->length += run;
	facts->octets += (int64_t)run;
	if (scan->length > facts->longest)
		facts->longest = scan->length;
	return run;
}

static bool scan_chunk(struct text_scan *scan, const char *chunk, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		i += skip_plain(scan, chunk + i, length - i);
		if (i < length && !scan_octet(scan, chunk[i]))
			return false;
	}
	return true;
}

static void end_scan(struct text_scan *scan)
{
	if (scan->cr)
		note(&scan->facts->unfit, "a carriage return without a line feed", scan->line);
	if (!utf8_stream_end(&scan->utf8))
		note(&scan->facts->not_utf8, "the text ends within a character of UTF-8", scan->line);
}

enum error scan_body(const struct body *body, const char *mark, struct text_facts *facts)
{
	struct text_scan scan = { .facts = facts, .mark = mark, .line = 1, .in_head = true };
	char room[CHUNK_OCTETS];
	const char *chunk;
	int64_t position = 0;
	size_t got;
	enum error error = OK;

	*facts = (struct text_facts){ .ascii = true, .head_ascii = true };
	scan.mark_length = mark ? strlen(mark) : 0;
	do {
		error = body_look(body, position, room, sizeof(room), &chunk, &got);
		if (error || !scan_chunk(&scan, chunk, got))
			break;
		position += (int64_t)got;
		if (got == 0)
			end_scan(&scan);
	} while (got > 0);
	return error;
}

enum error scan_quoted(const struct body *body, int64_t *octets)
{
	struct encoder encoder;
	struct buffer scratch;
	char room[CHUNK_OCTETS];
	const char *chunk;
	int64_t position = 0;
	size_t got;
	enum error error;

	*octets = 0;
	buffer_init(&scratch, ENCODER_OUT_MAX(CHUNK_OCTETS));
	encoder_begin(&encoder, ENCODING_QUOTED_PRINTABLE, true, 1);
	do {
		enum error unfit;

		error = body_look(body, position, room, sizeof(room), &chunk, &got);
		if (error)
			break;
		unfit = got > 0 ? encoder_feed(&encoder, chunk, got, &scratch)
		                : encoder_end(&encoder, &scratch);
		assert(unfit == OK); /* the scan came first */
		(void)unfit;
		position += (int64_t)got;
		*octets += (int64_t)scratch.length;
		buffer_clear(&scratch);
	} while (got > 0);
	buffer_fini(&scratch);
	return error;
}

enum error scan_text(const char *column, const struct body *body, const char *mark, struct text_facts *facts,
                     struct words *words)
{
	const struct text_fault *fault;
	enum error error = scan_body(body, mark, facts);

	if (error) {
		words_set(words, "%s cannot be read from its spool file", column);
		return error;
	}
	fault = facts->not_utf8.what ? &facts->not_utf8 : &facts->unfit;
	if (!fault->what)
		return OK;
	words_set(words, "%s, line %lld: %s", column, (long long)fault->line, fault->what);
	return ERROR_INVALID;
}
