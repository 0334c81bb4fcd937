/*
 * fuzz_header.c - any octets as a complete message.
 *
 * The reader must give the same for every cut of its input; what is accepted
 * must leave without Bcc and Return-Path, with CRLF line ends, in the size
 * that was promised, and be accepted again, unchanged.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/text.h"
#include "mime/compose.h"
#include "mime/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool promise)
{
	if (!promise)
		abort();
}

static void describe(const struct body *body, size_t chunk, struct buffer *out)
{
	struct header_reader reader;
	struct header_field field;
	struct words words;
	bool more = true;

	header_begin(&reader, body, chunk);
	while (more) {
		if (header_next(&reader, &field, &more, &words) != OK) {
			buffer_append_text(out, words.text);
			break;
		}
		if (!more)
			break;
		must(field.start < field.end && field.end == reader.position && field.end <= body->size);
		must(strlen(field.value) == field.length || memchr(field.value, '\0', field.length));
		buffer_printf(out, "%lld %s %d %d %lld\n", (long long)field.line, field.name, field.eight_bit,
		              field.cut, (long long)field.end);
		buffer_append(out, field.value, field.length);
	}
	buffer_printf(out, "%lld %lld", (long long)reader.position, (long long)reader.line);
	header_fini(&reader);
}

static void check_cuts(const struct body *body)
{
	struct buffer whole;
	struct buffer cut;

	buffer_init(&whole, 64 << 20);
	buffer_init(&cut, 64 << 20);
	describe(body, HEADER_CHUNK_MAX, &whole);
	describe(body, 1, &cut);
	must(whole.length == cut.length && memcmp(whole.data, cut.data, cut.length) == 0);
	buffer_clear(&cut);
	describe(body, 7, &cut);
	must(whole.length == cut.length && memcmp(whole.data, cut.data, cut.length) == 0);
	buffer_fini(&whole);
	buffer_fini(&cut);
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

static void check_octets(const struct composed *composed, const struct buffer *out)
{
	bool eight_bit = false;

	must((int64_t)out->length == composed->size);
	must(out->length >= 2 && out->data[out->length - 1] == '\n');
	for (size_t i = 0; i < out->length; i++) {
		must(out->data[i] != '\0');
		must(out->data[i] != '\n' || (i > 0 && out->data[i - 1] == '\r'));
		must(out->data[i] != '\r' || out->data[i + 1] == '\n');
		eight_bit = eight_bit || (unsigned char)out->data[i] >= 0x80;
	}
	must(composed->envelope.eight_bit == eight_bit);
}

/* A second, plain look at the lines of the header. */
static void check_header(const struct buffer *out)
{
	int dates = 0;
	int ids = 0;
	int froms = 0;

	for (const char *line = out->data; *line && *line != '\r'; line = strstr(line, "\r\n") + 2) {
		must(!text_starts_nocase(line, "bcc:"));
		must(!text_starts_nocase(line, "return-path:"));
		dates += text_starts_nocase(line, "date:");
		ids += text_starts_nocase(line, "message-id:");
		froms += text_starts_nocase(line, "from:");
	}
	must(dates >= 1 && ids >= 1 && froms == 1);
}

static bool try(const struct body *message, char *to, bool once_more)
{
	struct mail mail = { .id = 7, .to_addresses = to, .message = *message };
	struct composed *composed;
	struct words words;
	struct buffer out;
	struct buffer again;

	mail.body_text.fd = mail.body_html.fd = -1;
	if (mime_compose(&mail, &(struct compose_options){ .instance = "instance" }, &composed, &words) !=
	    OK) {
		must(strlen(words.text) > 0);
		return false;
	}
	buffer_init(&out, 64 << 20);
	buffer_init(&again, 64 << 20);
	read_all(composed->source, 512, &out);
	read_all(composed->source, 1 + out.length % 77, &again);
	must(out.length == again.length && memcmp(out.data, again.data, out.length) == 0);
	check_octets(composed, &out);
	check_header(&out);
	must(composed->envelope.recipient_count > 0 && composed->envelope.author_count > 0);
	if (once_more) {
		struct body body = {
			.memory = out.data, .fd = -1, .size = (int64_t)out.length, .present = true
		};

		must(try(&body, (char[]){ "a@x.test" }, false));
	} else {
		/* what went out once goes out unchanged */
		must(out.length == (size_t)message->size &&
		     memcmp(out.data, message->memory, out.length) == 0);
	}
	buffer_fini(&out);
	buffer_fini(&again);
	composed_destroy(&composed);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct body body = {
		.memory = (char *)(uintptr_t)data, .fd = -1, .size = (int64_t)size, .present = true
	};

	check_cuts(&body);
	try(&body, NULL, true);
	try(&body, (char[]){ "a@x.test" }, true);
	return 0;
}
