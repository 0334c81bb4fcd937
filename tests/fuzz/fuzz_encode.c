/*
 * fuzz_encode.c - any octets through the encoders of bodies, subjects and file names, and back.
 *
 * The first octet says where the input is cut. What comes out must be within the limits of RFC 2045,
 * RFC 2047 and RFC 2231, and decode to what went in by decoders that share no code with mime/.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/text.h"
#include "mime/encode.h"
#include "mime/field.h"
#include "mime/media.h"
#include "mime/scan.h"
#include "mime/word.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool promise)
{
	if (!promise)
		abort();
}

/* The text with CRLF; what a decoder must give. False: it holds a NUL or a lone CR. */
static bool canonical(const char *text, size_t length, bool exact, struct buffer *out)
{
	for (size_t i = 0; i < length; i++) {
		if (text[i] == '\0' || (text[i] == '\r' && (i + 1 == length || text[i + 1] != '\n')))
			return false;
		if (text[i] == '\n')
			buffer_append(out, "\r\n", 2);
		else if (text[i] != '\r')
			buffer_append_char(out, text[i]);
	}
	if (!exact && length > 0 && text[length - 1] != '\n')
		buffer_append(out, "\r\n", 2);
	return true;
}

static enum error encode(enum encoding encoding, bool exact, const char *text, size_t length, size_t cut,
                         struct buffer *out)
{
	struct encoder encoder;
	enum error error;

	encoder_begin(&encoder, encoding, exact, 1);
	error = encoder_feed(&encoder, text, cut, out);
	if (!error)
		error = encoder_feed(&encoder, text + cut, length - cut, out);
	return error ? error : encoder_end(&encoder, out);
}

static int hex(char c)
{
	must((c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'));
	return c <= '9' ? c - '0' : c - 'A' + 10;
}

static void decode_quoted(const struct buffer *in, struct buffer *out)
{
	for (size_t i = 0; i < in->length; i++) {
		if (in->data[i] != '=') {
			buffer_append_char(out, in->data[i]);
			continue;
		}
		if (strncmp(in->data + i + 1, "\r\n", 2) != 0)
			buffer_append_char(out, (char)(hex(in->data[i + 1]) << 4 | hex(in->data[i + 2])));
		i += 2;
	}
}

static void decode_base64(const struct buffer *in, struct buffer *out)
{
	struct buffer joined;

	buffer_init(&joined, 64 << 20);
	for (size_t i = 0; i < in->length; i++) {
		if (in->data[i] != '\r' && in->data[i] != '\n')
			buffer_append_char(&joined, in->data[i]);
	}
	must(text_base64_decode(out, joined.data ? joined.data : "", joined.length));
	buffer_fini(&joined);
}

static void check_lines(const struct buffer *out)
{
	size_t line = 0;

	must(text_is_ascii(out->data, out->length));
	for (size_t i = 0; i < out->length; i++) {
		must(out->data[i] != '\n' || out->data[i - 1] == '\r');
		must(out->data[i] != '\r' || (i > 0 && !strchr(" \t", out->data[i - 1])) || line == 0);
		line = out->data[i] == '\n' ? 0 : line + (out->data[i] != '\r');
		must(line <= ENCODING_LINE_MAX);
	}
}

static bool same(const struct buffer *a, const struct buffer *b)
{
	return a->length == b->length && (a->length == 0 || memcmp(a->data, b->data, a->length) == 0);
}

static void check_body(enum encoding encoding, bool exact, const char *text, size_t length, size_t cut)
{
	struct buffer wanted;
	struct buffer whole;
	struct buffer parted;
	struct buffer back;
	bool good = true;

	buffer_init(&wanted, 64 << 20);
	buffer_init(&whole, ENCODER_OUT_MAX(length));
	buffer_init(&parted, ENCODER_OUT_MAX(length));
	buffer_init(&back, 64 << 20);
	if (encoding == ENCODING_BASE64_OCTETS)
		buffer_append(&wanted, text, length);
	else
		good = canonical(text, length, exact, &wanted);
	must(encode(encoding, exact, text, length, length, &whole) == (good ? OK : ERROR_INVALID));
	must(encode(encoding, exact, text, length, cut, &parted) == (good ? OK : ERROR_INVALID));
	if (good) {
		must(same(&whole, &parted));
		if (encoding == ENCODING_NONE)
			buffer_append(&back, whole.data, whole.length);
		else
			check_lines(&whole);
		if (encoding == ENCODING_QUOTED_PRINTABLE)
			decode_quoted(&whole, &back);
		if (encoding == ENCODING_BASE64 || encoding == ENCODING_BASE64_OCTETS) {
			decode_base64(&whole, &back);
			must((int64_t)whole.length == encoded_base64_size((int64_t)wanted.length));
		}
		must(same(&wanted, &back));
	}
	buffer_fini(&wanted);
	buffer_fini(&whole);
	buffer_fini(&parted);
	buffer_fini(&back);
}

/* What scan.c says of the text against what the encoders make of it. */
static void check_scan(const char *text, size_t length)
{
	struct body body = {
		.memory = (char *)(uintptr_t)text, .fd = -1, .size = (int64_t)length, .present = true
	};
	struct text_facts facts;
	struct buffer plain;
	struct buffer quoted;
	int64_t octets;

	must(scan_body(&body, "--=_m", &facts) == OK);
	buffer_init(&plain, 64 << 20);
	buffer_init(&quoted, ENCODER_OUT_MAX(length));
	must(canonical(text, length, true, &plain) == !facts.unfit.what);
	must((facts.not_utf8.what == NULL) == (text_utf8_valid(text, length) == length) || facts.unfit.what);
	if (!facts.unfit.what) {
		must(facts.octets == (int64_t)plain.length);
		must(facts.ascii == text_is_ascii(text, length));
		must(facts.open == (length > 0 && text[length - 1] != '\n'));
		must(encode(ENCODING_QUOTED_PRINTABLE, true, text, length, length, &quoted) == OK);
		must(scan_quoted(&body, &octets) == OK && octets == (int64_t)quoted.length);
		must(facts.marked == ((length >= 5 && memcmp(text, "--=_m", 5) == 0) ||
		                      (length > 0 && memmem(text, length, "\n--=_m", 6) != NULL)));
	}
	buffer_fini(&plain);
	buffer_fini(&quoted);
}

/* Unfolds and decodes; two encoded-words with nothing but a space between belong together (RFC 2047 6.2). */
static void read_field(const char *field, struct buffer *out)
{
	const char *at = strchr(field, ':') + 2;
	bool after_encoded = false;

	while (*at != '\r' || at[2] == ' ') {
		size_t length;
		size_t before = out->length;
		bool encoded;

		at += *at == '\r' ? 2 : 0;
		if (out->length > 0 || at != strchr(field, ':') + 2) {
			must(*at == ' ');
			at++;
		}
		length = strcspn(at, " \r");
		encoded = strncmp(at, "=?utf-8?", 8) == 0;
		must(length <= 998);
		if (before > 0 && !(encoded && after_encoded))
			buffer_append_char(out, ' ');
		if (encoded)
			must(length <= WORD_MAX && word_decode(out, at, length));
		else
			buffer_append(out, at, length);
		after_encoded = encoded;
		at += length;
	}
}

static bool is_text(const char *text, size_t length)
{
	if (text_utf8_valid(text, length) != length)
		return false;
	for (size_t i = 0; i < length; i++) {
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return false;
	}
	return true;
}

static void check_subject(const char *text)
{
	struct buffer out;
	struct buffer back;
	struct field field;

	buffer_init(&out, 64 << 20);
	buffer_init(&back, 64 << 20);
	field_begin(&field, &out, "Subject");
	field_text(&field, text);
	must(field_end(&field));
	for (const char *line = out.data; *line; line = strstr(line, "\r\n") + 2)
		must(strcspn(line, "\r") <= FIELD_LINE);
	read_field(out.data, &back);
	must(strcmp(back.data ? back.data : "", text) == 0);
	buffer_fini(&out);
	buffer_fini(&back);
}

/* What stands behind "utf-8''", in one piece or several. */
static void read_extended(const char *field, struct buffer *out)
{
	for (const char *at = strstr(field, "utf-8''") + 7; *at != '\r' || at[2] == ' '; at++) {
		if (*at == ';') {
			at = strchr(at, '=');
		} else if (*at == '%') {
			buffer_append_char(out, (char)(hex(at[1]) << 4 | hex(at[2])));
			at += 2;
		} else {
			buffer_append_char(out, *at);
		}
	}
}

/* The field's parameters, behind "x;" and a space or a fold. */
static char *write_name(void (*put)(struct field *field, const char *filename), const char *name)
{
	struct buffer out;
	struct field field;
	char *value;

	buffer_init(&out, 64 << 20);
	field_begin(&field, &out, "Content-Disposition");
	field_token(&field, "attachment;", 11);
	put(&field, name);
	must(field_end(&field));
	must(text_is_ascii(out.data, out.length));
	for (const char *line = out.data; *line; line = strstr(line, "\r\n") + 2)
		must(strcspn(line, "\r") <= FIELD_LINE);
	value = out.data + strlen("Content-Disposition: attachment;");
	value = memory_strdup(value + strspn(value, "\r\n "));
	buffer_fini(&out);
	return value;
}

/* Nothing but NAME="…" with no quote or backslash in it; the length of what is quoted. */
static size_t check_quoted(const char *parameter, const char *name)
{
	size_t start = strlen(name);
	size_t length = strlen(parameter);

	must(strncmp(parameter, name, start) == 0 && length >= start + 3);
	must(strcspn(parameter + start, "\"\\\r") == length - start - 3);
	must(strcmp(parameter + length - 3, "\"\r\n") == 0);
	return length - start - 3;
}

static void check_filename(const char *name)
{
	struct words words;
	struct buffer back;
	char *text;

	if (filename_check("x", name, &words) != OK)
		return;
	text = write_name(filename_put, name);
	if (strncmp(text, "filename*", 9) == 0) {
		buffer_init(&back, 64 << 20);
		read_extended(text, &back);
		must(strcmp(back.data, name) == 0);
		buffer_fini(&back);
	} else {
		size_t length = check_quoted(text, "filename=\"");

		must(length == strlen(name) && strncmp(text + 10, name, length) == 0);
	}
	free(text);
	text = write_name(filename_put_fallback, name);
	must(check_quoted(text, "name=\"") > 0);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data + 1;
	size_t length = size - 1;
	size_t cut;

	if (size < 2)
		return 0;
	cut = data[0] * length / 255;
	for (enum encoding encoding = ENCODING_NONE; encoding <= ENCODING_BASE64_OCTETS; encoding++) {
		check_body(encoding, false, text, length, cut);
		check_body(encoding, true, text, length, cut);
	}
	check_scan(text, length);
	if (is_text(text, length)) {
		char *line = memory_strndup(text, length);

		/* white space at the end is nothing that a reader keeps, nor at the start */
		check_subject(line);
		check_filename(line);
		free(line);
	}
	return 0;
}
