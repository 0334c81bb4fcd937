/*
 * sink_session.c - the server's side of RFC 5321, RFC 2920 and RFC 3030, as far as a client that
 * is right needs it. A command out of place is refused as a real server would, so that a client
 * that says nonsense delivers nothing.
 */
#include "tests/bench/sink.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void sink_session_init(struct sink_session *session, const struct sink_options *options, bool tls_offered)
{
	*session = (struct sink_session){ .options = options, .tls_offered = tls_offered };
}

void sink_output_add(struct sink_output *output, const char *text, size_t length)
{
	if (output->sent == output->length)
		output->sent = output->length = 0;
	if (output->length + length > output->room) {
		output->room = output->room + length < 512 ? 512 : 2 * (output->room + length);
		output->data = realloc(output->data, output->room);
		if (output->data == NULL)
			sink_die("output");
	}
	memcpy(output->data + output->length, text, length);
	output->length += length;
}

static void say(struct sink_output *output, const char *text)
{
	sink_output_add(output, text, strlen(text));
}

static void forget_mail(struct sink_session *s)
{
	s->has_mail = s->has_recipient = s->found = s->header_over = s->wants_value = false;
	s->identity_length = 0;
}

static void begin_text(struct sink_session *s)
{
	s->found = s->header_over = s->wants_value = false;
	s->at_line = true;
	s->identity_length = 0;
}

static void took(struct sink_session *s, uint64_t now_ns, struct sink_output *output)
{
	if (s->found)
		sink_record_add(s->mail_ns, now_ns, s->identity, s->identity_length);
	else
		sink_record_add(s->mail_ns, now_ns, "-", 1);
	forget_mail(s);
	s->state = SINK_COMMAND;
	say(output, "250 2.0.0 taken\r\n");
}

static void say_hello(const struct sink_session *s, struct sink_output *output)
{
	say(output, "250-sink.example\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n");
	if (s->options->pipelining)
		say(output, "250-PIPELINING\r\n");
	if (s->options->chunking)
		say(output, "250-CHUNKING\r\n");
	if (s->tls_offered)
		say(output, "250-STARTTLS\r\n");
	say(output, "250 SIZE 1000000000\r\n");
}

static void end_chunk(struct sink_session *s, uint64_t now_ns, struct sink_output *output)
{
	s->state = SINK_COMMAND;
	if (!s->has_recipient) {
		say(output, "503 5.5.1 no valid recipients\r\n");
		forget_mail(s);
	} else if (s->last_chunk) {
		took(s, now_ns, output);
	} else {
		say(output, "250 2.0.0 so far\r\n");
	}
}

/* BDAT n [LAST] (RFC 3030 2). The chunk of a refused one comes all the same and is thrown away. */
static void begin_chunk(struct sink_session *s, const char *line, uint64_t now_ns, struct sink_output *output)
{
	char *end;

	errno = 0;
	s->chunk_left = strtoull(line + 5, &end, 10);
	s->last_chunk = strcasecmp(end, " LAST") == 0;
	if (errno || end == line + 5 || (*end && !s->last_chunk)) {
		say(output, "501 5.5.4 BDAT wants a length\r\n");
		s->over = true;
		return;
	}
	s->state = s->found || s->header_over ? SINK_CHUNK : SINK_CHUNK_HEADER;
	if (s->chunk_left == 0)
		end_chunk(s, now_ns, output);
}

static void hear(struct sink_session *s, const char *line, uint64_t now_ns, struct sink_output *output)
{
	sink_add(&sink_numbers.commands, 1);
	if (strncasecmp(line, "MAIL FROM:", 10) == 0) {
		say(output, s->has_mail ? "503 5.5.1 nested MAIL\r\n" : "250 2.1.0 fine\r\n");
		if (!s->has_mail) {
			s->has_mail = true;
			s->mail_ns = now_ns;
		}
	} else if (strncasecmp(line, "RCPT TO:", 8) == 0) {
		say(output, s->has_mail ? "250 2.1.5 fine\r\n" : "503 5.5.1 MAIL first\r\n");
		s->has_recipient = s->has_mail;
	} else if (strcasecmp(line, "DATA") == 0) {
		say(output, s->has_recipient ? "354 go on\r\n" : "503 5.5.1 RCPT first\r\n");
		if (s->has_recipient) {
			begin_text(s);
			s->state = SINK_HEADER;
		}
	} else if (s->options->chunking && strncasecmp(line, "BDAT ", 5) == 0) {
		begin_chunk(s, line, now_ns, output);
	} else if (strncasecmp(line, "EHLO ", 5) == 0) {
		forget_mail(s);
		say_hello(s, output);
	} else if (strncasecmp(line, "HELO ", 5) == 0) {
		forget_mail(s);
		say(output, "250 sink.example\r\n");
	} else if (s->tls_offered && strcasecmp(line, "STARTTLS") == 0) {
		say(output, "220 2.0.0 go on\r\n");
		s->start_tls = true;
	} else if (strcasecmp(line, "RSET") == 0) {
		forget_mail(s);
		say(output, "250 2.0.0 forgotten\r\n");
	} else if (strncasecmp(line, "NOOP", 4) == 0) {
		say(output, "250 2.0.0 yes\r\n");
	} else if (strcasecmp(line, "QUIT") == 0) {
		say(output, "221 2.0.0 bye\r\n");
		s->over = true;
	} else {
		say(output, "500 5.5.1 what?\r\n");
	}
}

static size_t take_command(struct sink_session *s, const char *data, size_t length, uint64_t now_ns,
                           struct sink_output *output)
{
	const char *end = memchr(data, '\n', length < SINK_LINE_BYTES ? length : SINK_LINE_BYTES);
	char line[SINK_LINE_BYTES];
	size_t size;

	if (end == NULL) {
		if (length >= SINK_LINE_BYTES) {
			say(output, "500 5.5.2 line too long\r\n");
			s->over = true;
		}
		return 0;
	}
	size = (size_t)(end - data);
	memcpy(line, data, size);
	line[size > 0 && line[size - 1] == '\r' ? size - 1 : size] = '\0';
	hear(s, line, now_ns, output);
	return size + 1;
}

/* Keeps a field's value, without the space around it. */
static void keep_value(struct sink_session *s, const char *value, const char *end)
{
	while (value < end && (*value == ' ' || *value == '\t'))
		value++;
	while (end > value && (end[-1] == '\r' || end[-1] == ' '))
		end--;
	s->wants_value = value == end; /* it may stand on the next line (RFC 5322 2.2.3) */
	s->found = value < end;
	s->identity_length = (unsigned)(end - value < SINK_IDENTITY_BYTES ? end - value
	                                                                  : SINK_IDENTITY_BYTES);
	memcpy(s->identity, value, s->identity_length);
}

/* One line of the header, without its LF. */
static void hear_header(struct sink_session *s, const char *line, const char *end)
{
	size_t name = strlen(s->options->identity);

	if (s->wants_value && (*line == ' ' || *line == '\t'))
		keep_value(s, line, end);
	else if (line == end || (*line == '\r' && line + 1 == end))
		s->header_over = true;
	else if ((size_t)(end - line) > name && line[name] == ':' &&
	         strncasecmp(line, s->options->identity, name) == 0)
		keep_value(s, line + name + 1, end);
}

static bool is_end(const char *line, size_t length)
{
	return length >= 3 && memcmp(line, ".\r\n", 3) == 0;
}

/* Lines of a header until the identity is known or it is over. A line whose end is not there yet
 * is left, unless it is longer than any or `final` says that nothing follows. */
static size_t take_header(struct sink_session *s, const char *data, size_t length, bool final)
{
	size_t at = 0;

	while (at < length && !s->found && !s->header_over) {
		const char *end = memchr(data + at, '\n', length - at);

		if (end == NULL) {
			if (!final && length - at < SINK_LINE_BYTES)
				return at;
			s->header_over = true;
			s->at_line = false;
			return final ? length : at;
		}
		if (s->state == SINK_HEADER && is_end(data + at, length - at))
			return at; /* take_body() tells it */
		hear_header(s, data + at, end);
		at = (size_t)(end - data) + 1;
	}
	return at;
}

/* Looks for CRLF . CRLF; before a text's first octet and behind a header's line a CRLF has been. */
static size_t take_body(struct sink_session *s, const char *data, size_t length, uint64_t now_ns,
                        struct sink_output *output)
{
	const char *end;

	if (s->at_line) {
		if (length < 3 && memcmp(data, ".\r\n", length) == 0)
			return 0;
		s->at_line = false;
		if (is_end(data, length)) {
			took(s, now_ns, output);
			return 3;
		}
	}
	end = memmem(data, length, "\r\n.\r\n", 5);
	if (end == NULL) /* its first four octets may be here */
		return length > 4 ? length - 4 : 0;
	took(s, now_ns, output);
	return (size_t)(end - data) + 5;
}

static size_t take_chunk(struct sink_session *s, const char *data, size_t length, uint64_t now_ns,
                         struct sink_output *output)
{
	bool whole = s->chunk_left <= length;
	size_t taken = whole ? (size_t)s->chunk_left : length;

	if (s->state == SINK_CHUNK_HEADER) {
		taken = take_header(s, data, taken, whole);
		if (s->found || s->header_over)
			s->state = SINK_CHUNK;
	}
	s->chunk_left -= taken;
	if (s->chunk_left == 0)
		end_chunk(s, now_ns, output);
	return taken;
}

/* One command, or what is there of a text. */
static size_t step(struct sink_session *s, const char *data, size_t length, uint64_t now_ns,
                   struct sink_output *output)
{
	size_t taken;

	switch (s->state) {
	case SINK_COMMAND: return take_command(s, data, length, now_ns, output);
	case SINK_HEADER:
		taken = take_header(s, data, length, false);
		if (s->found || s->header_over || is_end(data + taken, length - taken))
			s->state = SINK_BODY;
		return taken;
	case SINK_BODY: return take_body(s, data, length, now_ns, output);
	case SINK_CHUNK_HEADER:
	case SINK_CHUNK: return take_chunk(s, data, length, now_ns, output);
	}
	abort();
}

size_t sink_session_take(struct sink_session *s, const char *data, size_t length, uint64_t now_ns,
                         struct sink_output *output)
{
	size_t at = 0;

	while (at < length && !s->over && !s->start_tls) {
		enum sink_state before = s->state;
		size_t taken = step(s, data + at, length - at, now_ns, output);

		at += taken;
		if (taken == 0 && s->state == before)
			break;
	}
	return at;
}
