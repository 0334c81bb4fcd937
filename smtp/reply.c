/*
 * reply.c - the reply parser and what an EHLO reply offers.
 *
 * Promises: bounded memory whatever a server sends, the same result however
 * the bytes are cut, nothing read beyond the end of one reply. Fails with
 * REPLY_MALFORMED and constant words; the connection is of no use after that.
 */
#include "smtp/reply.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/buffer.h"
#include "common/text.h"

#define ROOM_FIRST 64 /* most lines of most replies */

/* Servers repeat secrets: what is left behind is wiped. */
static void discard(char *bytes, size_t room)
{
	if (bytes)
		explicit_bzero(bytes, room);
	free(bytes);
}

/* Room for at least needed octets, which are at most `most`; the first used ones are kept. */
static void grow(char **bytes, size_t *room, size_t used, size_t needed, size_t most)
{
	size_t larger = *room ? *room : ROOM_FIRST;
	char *moved;

	if (*bytes && needed <= *room)
		return;
	while (larger < needed)
		larger *= 2;
	if (larger > most)
		larger = most;
	moved = memory_alloc(larger);
	if (used > 0)
		memcpy(moved, *bytes, used);
	discard(*bytes, *room);
	*bytes = moved;
	*room = larger;
}

void reply_begin(struct reply_parser *parser, struct reply *reply)
{
	parser->line_length = 0;
	parser->reply = reply;
	parser->why = NULL;
	reply->code = 0;
	reply->enhanced[0] = '\0';
	grow(&reply->text, &reply->room, 0, 1, REPLY_TEXT_BYTES);
	reply->text[0] = '\0';
	reply->length = 0;
	reply->lines = 0;
}

void reply_parser_fini(struct reply_parser *parser)
{
	discard(parser->line, parser->line_room);
	*parser = (struct reply_parser){ .line = NULL };
}

void reply_fini(struct reply *reply)
{
	discard(reply->text, reply->room);
	*reply = (struct reply){ .text = NULL };
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

size_t reply_enhanced_length(const char *text, size_t length, int class_digit)
{
	size_t at = 1;

	if (length < 5 || text[0] != class_digit ||
	    (class_digit != '2' && class_digit != '4' && class_digit != '5'))
		return 0;
	for (int part = 0; part < 2; part++) {
		size_t digits = 0;

		if (at >= length || text[at] != '.')
			return 0;
		at++;
		while (at < length && is_digit(text[at]) && digits < 4) {
			at++;
			digits++;
		}
		if (digits == 0 || digits > 3)
			return 0;
	}
	return at == length || text[at] == ' ' || text[at] == '\t' ? at : 0;
}

static void keep_text(struct reply *reply, const char *text, size_t length)
{
	size_t room = REPLY_TEXT_BYTES - 1 - reply->length;
	size_t needed = (length < room ? length + 1 : room) + 1;

	grow(&reply->text, &reply->room, reply->length, reply->length + needed, REPLY_TEXT_BYTES);
	if (reply->lines > 0 && room > 0) {
		reply->text[reply->length++] = '\n';
		room--;
	}
	if (length > room)
		length = room;
	memcpy(reply->text + reply->length, text, length);
	reply->length += length;
	reply->text[reply->length] = '\0';
}

static enum reply_progress malformed(struct reply_parser *parser, const char *why)
{
	parser->why = why;
	return REPLY_MALFORMED;
}

/* RFC 5321 4.2: three digits, then a space, a hyphen (more follows) or nothing. */
static enum reply_progress take_line(struct reply_parser *parser)
{
	struct reply *reply = parser->reply;
	const char *line = parser->line;
	size_t length = parser->line_length;
	size_t cut;
	int code;
	bool more;

	if (length > 0 && line[length - 1] == '\r')
		length--;
	if (length < 3 || !is_digit(line[0]) || !is_digit(line[1]) || !is_digit(line[2]))
		return malformed(parser, "a line without a reply code");
	code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
	if (code < 200 || code > 599)
		return malformed(parser, "a reply code that SMTP does not have");
	if (length > 3 && line[3] != ' ' && line[3] != '-')
		return malformed(parser, "no space behind a reply code");
	if (reply->lines > 0 && code != reply->code)
		return malformed(parser, "different codes within one reply");
	if (reply->lines == REPLY_LINES)
		return malformed(parser, "a reply of too many lines");

	more = length > 3 && line[3] == '-';
	cut = length > 3 ? 4 : 3;
	line += cut;
	length -= cut;
	cut = reply_enhanced_length(line, length, '0' + code / 100);
	if (cut > 0) {
		if (reply->lines == 0) {
			memcpy(reply->enhanced, line, cut);
			reply->enhanced[cut] = '\0';
		}
		if (cut < length)
			cut++;
	}
	reply->code = code;
	keep_text(reply, line + cut, length - cut);
	reply->lines++;
	parser->line_length = 0;
	return more ? REPLY_MORE : REPLY_DONE;
}

enum reply_progress reply_feed(struct reply_parser *parser, const char *bytes, size_t length,
                               size_t *consumed)
{
	enum reply_progress progress = REPLY_MORE;

	*consumed = 0;
	while (*consumed < length && progress == REPLY_MORE) {
		char c = bytes[(*consumed)++];

		if (c == '\n')
			progress = take_line(parser);
		else if (c == '\0')
			progress = malformed(parser, "a NUL in a reply");
		else if (parser->line_length == REPLY_LINE_BYTES)
			progress = malformed(parser, "an endless line");
		else {
			if (parser->line_length == parser->line_room)
				grow(&parser->line, &parser->line_room, parser->line_length,
				     parser->line_length + 1, REPLY_LINE_BYTES);
			parser->line[parser->line_length++] = c;
		}
	}
	return progress;
}

/* Adds what stands behind AUTH, in upper case, mechanisms separated by one space. */
static void take_auth(struct capabilities *capabilities, const char *list, size_t length)
{
	size_t used = strlen(capabilities->auth);
	size_t at = 0;

	while (at < length) {
		size_t end, word;

		while (at < length && (list[at] == ' ' || list[at] == '\t'))
			at++;
		for (end = at; end < length && list[end] != ' ' && list[end] != '\t'; end++)
			;
		word = end - at;
		if (word > 0 && used + 1 + word < sizeof(capabilities->auth)) {
			if (used > 0)
				capabilities->auth[used++] = ' ';
			for (size_t i = at; i < end; i++)
				capabilities->auth[used++] = list[i] >= 'a' && list[i] <= 'z'
				                                     ? (char)(list[i] - 'a' + 'A')
				                                     : list[i];
			capabilities->auth[used] = '\0';
		}
		at = end;
	}
}

/* RFC 1870 4: an absent or zero number states no limit, nor does what is none: 35M is not 35. */
static void take_size(struct capabilities *capabilities, const char *value, size_t length)
{
	long long limit = 0;

	capabilities->size = true;
	for (size_t i = 0; i < length && value[i] != ' ' && value[i] != '\t' && value[i] != '\r'; i++) {
		int digit = value[i] - '0';

		if (!is_digit(value[i]))
			return;

		limit = limit > (LLONG_MAX - digit) / 10 ? LLONG_MAX : limit * 10 + digit;
	}
	capabilities->size_limit = limit;
}

/* RFC 9422 4: one to six digits, the first of them not 0. Anything else states nothing. */
static int limit_number(const char *value, size_t length)
{
	int number = 0;

	if (length == 0 || length > 6 || value[0] == '0')
		return 0;
	for (size_t i = 0; i < length; i++) {
		if (!is_digit(value[i]))
			return 0;
		number = number * 10 + (value[i] - '0');
	}
	return number;
}

static void take_limit(struct capabilities *capabilities, const char *item, size_t length)
{
	struct {
		const char *name;
		int *limit;
	} known[] = {
		{ "MAILMAX=", &capabilities->mail_max },
		{ "RCPTMAX=", &capabilities->rcpt_max },
		{ "RCPTDOMAINMAX=", &capabilities->rcpt_domain_max },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		size_t name = strlen(known[i].name);
		int limit;

		if (length < name || strncasecmp(item, known[i].name, name) != 0)
			continue;
		limit = limit_number(item + name, length - name);
		/* said twice: the narrower one is safe */
		if (limit > 0 && (*known[i].limit == 0 || limit < *known[i].limit))
			*known[i].limit = limit;
	}
}

/* Behind LIMITS, separated by spaces: NAME or NAME=VALUE; what is not known is passed over. */
static void take_limits(struct capabilities *capabilities, const char *list, size_t length)
{
	size_t at = 0;

	while (at < length) {
		size_t end = at;

		while (end < length && list[end] != ' ' && list[end] != '\t' && list[end] != '\r')
			end++;
		take_limit(capabilities, list + at, end - at);
		at = end + 1;
	}
}

static void take_keyword(struct capabilities *capabilities, const char *line, size_t length)
{
	static const struct {
		const char *name;
		size_t flag;
	} flags[] = {
		{ "STARTTLS", offsetof(struct capabilities, starttls) },
		{ "PIPELINING", offsetof(struct capabilities, pipelining) },
		{ "8BITMIME", offsetof(struct capabilities, eight_bit_mime) },
		{ "SMTPUTF8", offsetof(struct capabilities, smtputf8) },
		{ "CHUNKING", offsetof(struct capabilities, chunking) },
		{ "ENHANCEDSTATUSCODES", offsetof(struct capabilities, enhanced_codes) },
		{ "DSN", offsetof(struct capabilities, dsn) },
	};
	char keyword[32];
	size_t end = 0;

	while (end < length && line[end] != ' ' && line[end] != '\t' && line[end] != '=' && line[end] != '\r')
		end++;
	if (end == 0 || end >= sizeof(keyword))
		return;
	memcpy(keyword, line, end);
	keyword[end] = '\0';
	if (end < length)
		end++;
	if (text_equal_nocase(keyword, "AUTH")) {
		take_auth(capabilities, line + end, length - end);
	} else if (text_equal_nocase(keyword, "SIZE")) {
		take_size(capabilities, line + end, length - end);
	} else if (text_equal_nocase(keyword, "LIMITS")) {
		take_limits(capabilities, line + end, length - end);
	} else {
		for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
			if (text_equal_nocase(keyword, flags[i].name))
				*(bool *)((char *)capabilities + flags[i].flag) = true;
	}
}

void capabilities_parse(const struct reply *reply, struct capabilities *capabilities)
{
	const char *line = reply->text;
	const char *end = reply->text + reply->length;
	bool first = true;

	memset(capabilities, 0, sizeof(*capabilities));
	if (reply->code / 100 != 2)
		return;
	capabilities->esmtp = true;
	while (line < end) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));
		const char *stop = newline ? newline : end;

		if (!first) /* the first line is the server's name (RFC 5321 4.1.1.1) */
			take_keyword(capabilities, line, (size_t)(stop - line));
		first = false;
		line = stop + 1;
	}
}
