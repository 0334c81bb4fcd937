/*
 * session_ear.c - see session_ear.h.
 */
#include "tests/fuzz/session_ear.h"

#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/session_peer.h"

#define LINE_BYTES 16384
#define TEXT_BYTES (4 << 20)

void session_ear_init(struct session_ear *ear)
{
	*ear = (struct session_ear){ 0 };
	buffer_init(&ear->line, LINE_BYTES);
	buffer_init(&ear->pending, 1 << 20);
	buffer_init(&ear->last, LINE_BYTES);
	buffer_init(&ear->text, TEXT_BYTES);
}

void session_ear_fini(struct session_ear *ear)
{
	buffer_fini(&ear->line);
	buffer_fini(&ear->pending);
	buffer_fini(&ear->last);
	buffer_fini(&ear->text);
	for (int i = 0; i < ear->ended_count; i++)
		buffer_fini(&ear->ended[i].text);
}

const struct ear_ended *session_ear_find(const struct session_ear *ear, const struct buffer *text)
{
	for (int i = 0; i < ear->ended_count; i++) {
		const struct buffer *heard = &ear->ended[i].text;

		if (heard->length == text->length &&
		    (text->length == 0 || memcmp(heard->data, text->data, text->length) == 0))
			return &ear->ended[i];
	}
	return NULL;
}

static void hear_end(struct session_ear *ear)
{
	MUST(ear->ended_count < EAR_ENDED_MAX);
	ear->ended[ear->ended_count++].text = ear->text;
	buffer_init(&ear->text, TEXT_BYTES);
}

static bool begins(const char *line, const char *with)
{
	return strncmp(line, with, strlen(with)) == 0;
}

/* One argument or several, visible ASCII and single spaces. */
static bool is_plain(const char *text, size_t most)
{
	if (strlen(text) > most)
		return false;
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			return false;
	return true;
}

static bool is_base64(const char *text)
{
	return strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") ==
	       strlen(text);
}

static void hear_chunk_size(struct session_ear *ear, const char *line)
{
	char *end;

	ear->chunk_left = strtoul(line + strlen("BDAT "), &end, 10);
	ear->chunk_is_last = strcmp(end, " LAST") == 0;
	MUST(end > line + strlen("BDAT ") && (*end == '\0' || ear->chunk_is_last));
	if (ear->chunk_left == 0 && ear->chunk_is_last)
		hear_end(ear);
}

/* Whether SMTP has such a command, here. */
static bool hear_command(struct session_ear *ear, const char *line)
{
	bool login = ear->in_login;

	ear->in_login = false;
	if (ear->quit_heard)
		return false;
	if (begins(line, "EHLO ") || begins(line, "HELO "))
		return is_plain(line, 512) && strcmp(line + 5, "client.example") == 0;
	if (strcmp(line, "STARTTLS") == 0) {
		bool allowed = !ear->in_tls && !ear->starttls_heard;

		ear->starttls_heard = true;
		return allowed;
	}
	if (begins(line, "AUTH ")) {
		ear->in_login = true;
		return is_plain(line, 510);
	}
	if (begins(line, "MAIL FROM:<"))
		return (begins(line + 11, "> ") || strcmp(line + 11, ">") == 0 ||
		        begins(line + 11, "a@client.example>")) &&
		       is_plain(line, 1024);
	if (begins(line, "RCPT TO:<b"))
		return is_plain(line, 1024);
	if (strcmp(line, "DATA") == 0) {
		ear->data_heard = true;
		return true;
	}
	if (begins(line, "BDAT ")) {
		hear_chunk_size(ear, line);
		return true;
	}
	ear->quit_heard = strcmp(line, "QUIT") == 0;
	if (ear->quit_heard || strcmp(line, "RSET") == 0)
		return true;
	ear->in_login = login && strcmp(line, "*") != 0;
	return login && (strcmp(line, "*") == 0 || (is_base64(line) && strlen(line) <= 12288));
}

static bool hear_text(struct session_ear *ear, const char *line)
{
	if (strcmp(line, ".") == 0) {
		ear->data_heard = false;
		hear_end(ear);
		return true;
	}
	buffer_append_text(&ear->text, line[0] == '.' ? line + 1 : line);
	buffer_append_text(&ear->text, "\r\n");
	return line[0] != '.' || line[1] == '.';
}

static void hear_line(struct session_ear *ear)
{
	char *line = ear->line.data;
	size_t length = ear->line.length;

	MUST(length >= 2 && line[length - 2] == '\r');
	line[length - 2] = '\0';
	MUST(strlen(line) == length - 2 && !strpbrk(line, "\r\n"));
	if (!ear->in_tls)
		MUST(!strstr(line, FUZZ_PASSWORD));
	if (ear->data_heard && (line[0] == 'x' || line[0] == '.' || line[0] == '\0')) {
		MUST(ear->told_to_go_on && hear_text(ear, line));
		if (line[0] != '.' || line[1])
			goto out;
	} else {
		ear->data_heard = false;
		MUST(hear_command(ear, line));
	}
	buffer_append_text(&ear->pending, line);
	buffer_append_char(&ear->pending, '\n');
out:
	buffer_clear(&ear->last);
	buffer_append_text(&ear->last, line);
	buffer_clear(&ear->line);
}

static size_t hear_chunk(struct session_ear *ear, const char *octets, size_t length)
{
	if (length > ear->chunk_left)
		length = ear->chunk_left;
	buffer_append(&ear->text, octets, length);
	ear->chunk_left -= length;
	if (ear->chunk_left == 0 && ear->chunk_is_last)
		hear_end(ear);
	return length;
}

void session_ear_hear(struct session_ear *ear, const char *octets, size_t length)
{
	for (size_t i = 0; i < length;) {
		if (ear->chunk_left > 0) {
			i += hear_chunk(ear, octets + i, length - i);
			continue;
		}
		const char *end = memchr(octets + i, '\n', length - i);
		size_t piece = end ? (size_t)(end + 1 - octets) - i : length - i;

		MUST(buffer_append(&ear->line, octets + i, piece));
		i += piece;
		if (end)
			hear_line(ear);
	}
}

void session_ear_say(struct session_ear *ear, const char *octets, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (ear->said_length < sizeof(ear->said))
			ear->said[ear->said_length++] = octets[i];
		if (octets[i] != '\n')
			continue;
		if (ear->said[0] == '3')
			ear->told_to_go_on = true;
		for (int message = 0; ear->said[0] == '2' && message < ear->ended_count; message++)
			ear->ended[message].accepted_after = true;
		ear->said_length = 0;
	}
}
