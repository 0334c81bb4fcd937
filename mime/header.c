/*
 * header.c - the reader of a complete message's header (RFC 5322 2.2).
 *
 * Promises: what it calls a field begins at the start of a line and ends
 * before the start of another, so that fields can be taken out by their
 * offsets and no continuation line is left behind. Refuses, with the line's
 * number: lines without a name and ':', white space before ':' (obsolete, and
 * a way to hide a Bcc), continuation lines of nothing but white space (which
 * some read as the header's end), NUL, a CR without LF, and what is not UTF-8.
 */
#include "mime/header.h"

#include <assert.h>
#include <string.h>

#include "common/text.h"

#define END (-1)

void header_begin(struct header_reader *reader, const struct body *body, size_t chunk_octets)
{
	assert(chunk_octets > 0 && chunk_octets <= HEADER_CHUNK_MAX);
	memset(reader, 0, sizeof(*reader));
	reader->body = body;
	reader->chunk_octets = chunk_octets;
	reader->line = 1;
	buffer_init(&reader->value, HEADER_VALUE_MAX);
}

void header_fini(struct header_reader *reader)
{
	buffer_fini(&reader->value);
}

static enum error fail(const struct header_reader *reader, const char *what)
{
	words_set(reader->words, "message, line %lld: %s", (long long)reader->line, what);
	return ERROR_INVALID;
}

/* *c = the next octet, which stays, or END. */
static enum error peek(struct header_reader *reader, int *c)
{
	if (reader->used == reader->have) {
		enum error error = body_read(reader->body, reader->position, reader->chunk,
		                             reader->chunk_octets, &reader->have);

		reader->used = 0;
		if (error) {
			reader->have = 0;
			words_set(reader->words, "message cannot be read from its spool file");
			return error;
		}
	}
	*c = reader->have == 0 ? END : (unsigned char)reader->chunk[reader->used];
	return OK;
}

static void advance(struct header_reader *reader)
{
	reader->used++;
	reader->position++;
}

/* Called at CR or LF: takes the line end. */
static enum error take_line_end(struct header_reader *reader)
{
	enum error error;
	int c;

	error = peek(reader, &c);
	if (!error && c == '\r') {
		advance(reader);
		error = peek(reader, &c);
		if (!error && c != '\n')
			return fail(reader, "a carriage return without a line feed");
	}
	if (error)
		return error;
	if (!utf8_stream_end(&reader->utf8))
		return fail(reader, "this is not UTF-8");
	advance(reader);
	reader->line++;
	return OK;
}

static enum error fail_name(const struct header_reader *reader, const struct header_field *field, int c)
{
	if (reader->position == field->start && (c == ' ' || c == '\t'))
		return fail(reader, "white space at the start, where a header field is expected");
	if (reader->position == field->start)
		return fail(reader, "a header field without a name");
	if (c == ' ' && strcmp(field->name, "From") == 0)
		return fail(reader, "'From ' begins a mailbox file, not a message");
	if (c == ' ' || c == '\t')
		return fail(reader, "white space between a header field's name and ':'");
	return fail(reader, "this is no header field: no name with ':'");
}

/* Reads "Name:". RFC 5322 2.2: printable ASCII without ':'. */
static enum error read_name(struct header_reader *reader, struct header_field *field)
{
	size_t length = 0;
	enum error error;
	int c;

	while ((error = peek(reader, &c)) == OK && c > ' ' && c < 0x7f && c != ':') {
		if (length < HEADER_NAME_MAX)
			field->name[length++] = (char)c;
		advance(reader);
	}
	field->name[length] = '\0';
	if (error)
		return error;
	if (c != ':' || length == 0)
		return fail_name(reader, field, c);
	advance(reader);
	return OK;
}

static enum error take_octet(struct header_reader *reader, struct header_field *field, int c)
{
	if (c == '\0')
		return fail(reader, "the character NUL is not allowed");
	if (!utf8_stream_octet(&reader->utf8, (char)c))
		return fail(reader, "this is not UTF-8; encode it (RFC 2047)");
	if (c >= 0x80)
		field->eight_bit = true;
	if (!buffer_append_char(&reader->value, (char)c))
		field->cut = true;
	advance(reader);
	return OK;
}

/* The rest of one line and its end. *blank: it held nothing but white space. */
static enum error read_line(struct header_reader *reader, struct header_field *field, bool *blank)
{
	enum error error;
	int c;

	*blank = true;
	for (;;) {
		error = peek(reader, &c);
		if (error)
			return error;
		if (c == '\r' || c == '\n')
			return take_line_end(reader);
		if (c == END)
			return utf8_stream_end(&reader->utf8) ? OK : fail(reader, "this is not UTF-8");
		if (c != ' ' && c != '\t')
			*blank = false;
		error = take_octet(reader, field, c);
		if (error)
			return error;
	}
}

static enum error read_value(struct header_reader *reader, struct header_field *field)
{
	bool blank;
	enum error error = read_line(reader, field, &blank);
	int c;

	while (!error && (error = peek(reader, &c)) == OK && (c == ' ' || c == '\t')) {
		int64_t line = reader->line;

		error = read_line(reader, field, &blank);
		if (!error && blank) {
			reader->line = line;
			return fail(reader, "a line of nothing but white space in the header");
		}
	}
	return error;
}

enum error header_next(struct header_reader *reader, struct header_field *field, bool *more,
                       struct words *words)
{
	enum error error;
	int c;

	*more = false;
	reader->words = words;
	error = peek(reader, &c);
	if (error || c == END || c == '\r' || c == '\n')
		return error;
	if (reader->fields == HEADER_FIELDS_MAX) {
		words_set(words, "message, line %lld: more than %d header fields", (long long)reader->line,
		          HEADER_FIELDS_MAX);
		return ERROR_LIMIT;
	}
	memset(field, 0, sizeof(*field));
	field->start = reader->position;
	field->line = reader->line;
	buffer_clear(&reader->value);
	error = read_name(reader, field);
	if (!error)
		error = read_value(reader, field);
	if (error)
		return error;
	reader->fields++;
	field->end = reader->position;
	field->value = reader->value.data ? reader->value.data : "";
	field->length = reader->value.length;
	*more = true;
	return OK;
}
