/*
 * fuzz_compose.c - any octets in all columns of a message that the composer takes.
 *
 * The input is cut at U+001E: flags (8BITMIME if odd), from_address, envelope_from, to_addresses,
 * cc_addresses, bcc_addresses, reply_to, subject, headers, body_text, body_html, and then filename,
 * content_type, content_id and content of each attachment. What is empty is NULL; without
 * from_address and to_addresses there is a plain one. What is accepted must be a message with just the
 * fields and the parts of these columns, of the size that was promised, twice the same.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/text.h"
#include "mime/compose.h"

#define CUT             '\x1e'
#define ATTACHMENTS_MAX 20

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool promise)
{
	if (!promise)
		abort();
}

struct input {
	const char *at, *end;
};

/* The next value; NULL if it is empty or the input is at its end. Allocated; cut at a NUL but for its length.
 */
static char *next_value(struct input *input, size_t *length)
{
	const char *cut = input->at < input->end ? memchr(input->at, CUT, (size_t)(input->end - input->at))
	                                         : NULL;
	const char *end = cut ? cut : input->end;
	char *value = NULL;

	*length = (size_t)(end - input->at);
	if (*length > 0) {
		value = memory_alloc(*length + 1);
		memcpy(value, input->at, *length);
	}
	input->at = cut ? cut + 1 : input->end;
	return value;
}

static char *next_text(struct input *input)
{
	size_t length;
	char *text = next_value(input, &length);

	/* SQL gives '' as NULL */
	if (text && !text[0]) {
		free(text);
		text = NULL;
	}
	return text;
}

static void next_body(struct input *input, struct body *body)
{
	size_t length;

	body->memory = next_value(input, &length);
	body->fd = -1;
	body->size = (int64_t)length;
	body->present = body->memory != NULL;
}

static void read_row(struct input *input, struct mail *mail, struct attachment attachments[ATTACHMENTS_MAX])
{
	mail->from_address = next_text(input);
	mail->envelope_from = next_text(input);
	mail->to_addresses = next_text(input);
	mail->cc_addresses = next_text(input);
	mail->bcc_addresses = next_text(input);
	mail->reply_to = next_text(input);
	mail->subject = next_text(input);
	mail->headers = next_text(input);
	next_body(input, &mail->body_text);
	next_body(input, &mail->body_html);
	mail->message.fd = -1;
	mail->attachments = attachments;
	while (input->at < input->end && mail->attachment_count < ATTACHMENTS_MAX) {
		struct attachment *attachment = &attachments[mail->attachment_count++];

		attachment->filename = next_text(input);
		attachment->content_type = next_text(input);
		attachment->content_id = next_text(input);
		next_body(input, &attachment->content);
	}
	if (!mail->from_address)
		mail->from_address = memory_strdup("f@x.test");
	if (!mail->to_addresses)
		mail->to_addresses = memory_strdup("t@x.test");
}

static void free_row(struct mail *mail)
{
	free(mail->from_address);
	free(mail->envelope_from);
	free(mail->to_addresses);
	free(mail->cc_addresses);
	free(mail->bcc_addresses);
	free(mail->reply_to);
	free(mail->subject);
	free(mail->headers);
	free(mail->body_text.memory);
	free(mail->body_html.memory);
	for (size_t i = 0; i < mail->attachment_count; i++) {
		free(mail->attachments[i].filename);
		free(mail->attachments[i].content_type);
		free(mail->attachments[i].content_id);
		free(mail->attachments[i].content.memory);
	}
}

static void read_all(struct source *source, size_t slice, struct buffer *out)
{
	char bytes[512];
	size_t got;

	source->rewind(source);
	do {
		must(source->read(source, bytes, slice, &got) == OK && got <= slice);
		must(buffer_append(out, bytes, got));
	} while (got > 0);
}

static void check_octets(const struct buffer *out, const struct envelope *envelope, bool offered)
{
	size_t line = 0;
	bool eight_bit = false;

	must(out->length >= 2 && out->data[out->length - 1] == '\n');
	for (size_t i = 0; i < out->length; i++) {
		char c = out->data[i];

		must(c != '\0');
		must(c != '\n' || (i > 0 && out->data[i - 1] == '\r'));
		must(c != '\r' || out->data[i + 1] == '\n');
		eight_bit = eight_bit || (unsigned char)c >= 0x80;
		line = c == '\n' ? 0 : line + 1;
		must(line <= 998 + 1); /* with its CR */
	}
	must(envelope->eight_bit == eight_bit);
	must(offered || envelope->smtputf8 || !eight_bit);
}

static size_t count_fields(const char *text, const char *name)
{
	size_t count = 0;

	for (const char *line = text; *line != '\r'; line = strstr(line, "\r\n") + 2)
		count += text_starts_nocase(line, name);
	return count;
}

static void check_header(const char *text, const struct mail *mail)
{
	must(count_fields(text, "date:") == 1 && count_fields(text, "message-id:") == 1);
	must(count_fields(text, "from:") == 1 && count_fields(text, "mime-version:") == 1);
	must(count_fields(text, "content-type:") == 1);
	must(count_fields(text, "content-transfer-encoding:") == 1);
	must(count_fields(text, "content-") - count_fields(text, "content-disposition:") -
	             count_fields(text, "content-id:") ==
	     2);
	must(count_fields(text, "to:") == 1);
	must(count_fields(text, "cc:") == (mail->cc_addresses != NULL));
	must(count_fields(text, "subject:") == (mail->subject != NULL));
	must(count_fields(text, "reply-to:") == (mail->reply_to != NULL));
	must(count_fields(text, "bcc:") == 0 && count_fields(text, "return-path:") == 0);
	must(count_fields(text, "resent-") == 0);
	must(count_fields(text, "sender:") <= 1 && count_fields(text, "references:") <= 1);
}

/* How many lines begin with what. */
static size_t count_lines(const char *text, const char *what)
{
	size_t length = strlen(what);
	size_t count = 0;

	for (const char *line = text; *line; line = strstr(line, "\r\n") + 2)
		count += strncmp(line, what, length) == 0;
	return count;
}

/* Delimiters: one before each part of a level, and one behind the last. */
static size_t wanted_delimiters(const struct mail *mail)
{
	bool text = mail->body_text.present;
	bool html = mail->body_html.present;
	size_t inlined = 0;
	size_t attached;

	for (size_t i = 0; i < mail->attachment_count && html; i++)
		inlined += mail->attachments[i].content_id != NULL;
	attached = mail->attachment_count - inlined;
	return (text && html ? 3 : 0) + (inlined > 0 ? inlined + 2 : 0) +
	       (attached > 0 ? attached + 1 + (text || html) : 0);
}

static void check_parts(const char *text, const struct mail *mail)
{
	size_t wanted = wanted_delimiters(mail);
	const char *line = text;
	char delimiter[64];
	const char *mark;

	while (!text_starts_nocase(line, "content-type:"))
		line = strstr(line, "\r\n") + 2;
	must(text_starts_nocase(line, "content-type: multipart/") == (wanted > 0));
	if (wanted == 0)
		return;
	mark = strstr(line, "boundary=\"") + 10;
	must(strncmp(mark, "=_", 2) == 0);
	/* the stem: without "-1" */
	snprintf(delimiter, sizeof(delimiter), "--%.*s-", (int)strcspn(mark, "-"), mark);
	must(count_lines(text, delimiter) == wanted + (count_fields(text, delimiter)));
}

static void check_line_words(const char *line)
{
	size_t end = strcspn(line, "\r");

	for (size_t at = 0; at < end; at++) {
		size_t length = strcspn(line + at, " \r");

		if (strncmp(line + at, "=?utf-8?", 8) == 0 && strncmp(line + at + length - 2, "?=", 2) == 0)
			must(length <= 75 && end <= 76);
		at += length;
	}
}

/* RFC 2047 2, in the fields that we encode (headers may bring encoded-words of its own). */
static void check_words(const char *text)
{
	static const char *const names[] = { "from:", "to:", "cc:", "reply-to:", "subject:" };
	bool ours = false;

	for (const char *line = text; *line != '\r'; line = strstr(line, "\r\n") + 2) {
		if (*line != ' ')
			ours = false;
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			ours = ours || text_starts_nocase(line, names[i]);
		if (ours)
			check_line_words(line);
	}
}

static void check_message(const struct mail *mail, const struct compose_options *options,
                          const struct composed *composed)
{
	struct composed *once_more;
	struct buffer out;
	struct buffer again;
	struct words words;

	buffer_init(&out, 64 << 20);
	buffer_init(&again, 64 << 20);
	read_all(composed->source, 512, &out);
	must((int64_t)out.length == composed->size);
	must(mime_compose(mail, options, &once_more, &words) == OK);
	read_all(once_more->source, 1 + out.length % 77, &again);
	must(out.length == again.length && memcmp(out.data, again.data, out.length) == 0);
	check_octets(&out, &composed->envelope, options->eight_bit_mime);
	check_header(out.data, mail);
	check_parts(out.data, mail);
	check_words(out.data);
	must(composed->envelope.recipient_count > 0 && composed->envelope.author_count > 0);
	must(!strpbrk(composed->message_id, "<>\r\n \t"));
	composed_destroy(&once_more);
	buffer_fini(&out);
	buffer_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { .at = (const char *)data, .end = (const char *)data + size };
	struct compose_options options = { .instance = "instance" };
	struct attachment attachments[ATTACHMENTS_MAX];
	struct mail mail = { .id = 7 };
	struct composed *composed;
	struct words words = { "" };
	size_t length;
	char *flags;

	memset(attachments, 0, sizeof(attachments));
	flags = next_value(&input, &length);
	options.eight_bit_mime = flags && (flags[0] & 1);
	free(flags);
	read_row(&input, &mail, attachments);
	if (mime_compose(&mail, &options, &composed, &words) == OK) {
		check_message(&mail, &options, composed);
		composed_destroy(&composed);
	} else {
		must(strlen(words.text) > 0);
		must(text_utf8_valid(words.text, strlen(words.text)) == strlen(words.text));
	}
	free_row(&mail);
	return 0;
}
