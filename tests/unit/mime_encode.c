/*
 * mime_encode.c - tests of bodies: transfer encodings, and what is in a text.
 *
 * Sources: RFC 2045 6.7 and 6.8.
 */
#include <stdint.h>
#include <string.h>

#include "common/buffer.h"
#include "common/text.h"
#include "mime/encode.h"
#include "mime/scan.h"
#include "tests/unit/mime_test.h"

static const struct encode_case {
	enum encoding encoding;
	const char *text, *result; /* NULL = refused */
	int64_t line;              /* where it is refused */
} encode_cases[] = {
	{ ENCODING_NONE, "", "", 0 },
	{ ENCODING_NONE, "a", "a\r\n", 0 },
	{ ENCODING_NONE, "a\n", "a\r\n", 0 },
	{ ENCODING_NONE, "a\r\n", "a\r\n", 0 },
	{ ENCODING_NONE, "\n\r\n\n", "\r\n\r\n\r\n", 0 },
	{ ENCODING_NONE, "a\nb\r\n.\nFrom c\303\244 \t", "a\r\nb\r\n.\r\nFrom c\303\244 \t\r\n", 0 },
	{ ENCODING_NONE, "\r", NULL, 1 },
	{ ENCODING_NONE, "a\r", NULL, 1 },
	{ ENCODING_NONE, "a\n\rb\n", NULL, 2 },
	{ ENCODING_NONE, "a\nb\r\r\n", NULL, 2 },
	{ ENCODING_QUOTED_PRINTABLE, "", "", 0 },
	{ ENCODING_QUOTED_PRINTABLE, "M\303\244rz = 1", "M=C3=A4rz =3D 1\r\n", 0 },
	{ ENCODING_QUOTED_PRINTABLE, "a \nb\t\r\n \n", "a=20\r\nb=09\r\n=20\r\n", 0 },
	{ ENCODING_QUOTED_PRINTABLE, "a  \n", "a =20\r\n", 0 },
	{ ENCODING_QUOTED_PRINTABLE, "a ", "a=20\r\n", 0 },
	{ ENCODING_QUOTED_PRINTABLE, "\033\177", "=1B=7F\r\n", 0 },
	{ ENCODING_QUOTED_PRINTABLE, "a\r", NULL, 1 },
	{ ENCODING_QUOTED_PRINTABLE, A70 "12345", A70 "12345\r\n", 0 },
	{ ENCODING_QUOTED_PRINTABLE, A70 "123456", A70 "12345=\r\n6\r\n", 0 },
	{ ENCODING_QUOTED_PRINTABLE, A70 "1234=", A70 "1234=\r\n=3D\r\n", 0 },
	{ ENCODING_QUOTED_PRINTABLE, A70 "12 \n", A70 "12=20\r\n", 0 },
	{ ENCODING_QUOTED_PRINTABLE, A70 "1234 \n", A70 "1234=\r\n=20\r\n", 0 },
	{ ENCODING_BASE64, "", "", 0 },
	{ ENCODING_BASE64, "\n", "DQo=\r\n", 0 },
	{ ENCODING_BASE64, "a", "YQ0K\r\n", 0 },
	{ ENCODING_BASE64, "a\r\n", "YQ0K\r\n", 0 },
	{ ENCODING_BASE64, "\303\244\n", "w6QNCg==\r\n", 0 },
	{ ENCODING_BASE64, "a\rb", NULL, 1 },
	{ ENCODING_BASE64, A10 A10 A10 A10 A10 "12345", /* 57 octets with CRLF: one full line */
	  "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWExMjM0NQ0K\r\n", 0 },
	{ ENCODING_BASE64, A10 A10 A10 A10 A10 "123456",
	  "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWExMjM0NTYN\r\nCg==\r\n", 0 },
};

/* Feeds text cut at one and two (both may be the end); slice > 0: in slices of that many octets. */
static enum error encode(enum encoding encoding, const char *text, size_t length, size_t one, size_t slice,
                         struct buffer *out, int64_t *line)
{
	struct encoder encoder;
	enum error error = OK;
	size_t at = 0;

	encoder_begin(&encoder, encoding, false, 1);
	while (!error && at < length) {
		size_t take = at < one ? one - at : length - at;

		if (slice > 0 && take > slice)
			take = slice;
		error = encoder_feed(&encoder, text + at, take, out);
		at += take;
	}
	if (!error)
		error = encoder_end(&encoder, out);
	*line = encoder.line;
	return error;
}

static void check_encode(const struct encode_case *one, size_t cut, size_t slice)
{
	struct buffer out;
	int64_t line;
	enum error error;

	buffer_init(&out, 1 << 16);
	error = encode(one->encoding, one->text, strlen(one->text), cut, slice, &out, &line);
	if (one->result) {
		ck_assert_int_eq(error, OK);
		ck_assert_msg(strcmp(out.data ? out.data : "", one->result) == 0, "%s: %s", one->text,
		              out.data);
	} else {
		ck_assert_int_eq(error, ERROR_INVALID);
		ck_assert_int_eq(line, one->line);
	}
	buffer_fini(&out);
}

START_TEST(text_is_encoded_however_it_is_cut)
{
	for (size_t i = 0; i < COUNT(encode_cases); i++) {
		size_t length = strlen(encode_cases[i].text);

		check_encode(&encode_cases[i], length, 0);
		check_encode(&encode_cases[i], length, 1);
		for (size_t cut = 0; cut <= length; cut++)
			check_encode(&encode_cases[i], cut, 0);
	}
}
END_TEST

START_TEST(nul_never_leaves)
{
	for (enum encoding encoding = ENCODING_NONE; encoding <= ENCODING_BASE64; encoding++) {
		struct buffer out;
		int64_t line;

		buffer_init(&out, 1 << 16);
		ck_assert_int_eq(encode(encoding, "a\n\0b", 4, 4, 0, &out, &line), ERROR_INVALID);
		ck_assert_int_eq(line, 2);
		buffer_fini(&out);
	}
}
END_TEST

/* Every line ends with CRLF and is at most 76 octets of ASCII; all of it is found again. */
START_TEST(encoded_lines_are_short_ascii)
{
	char text[4096];
	unsigned int seed = 20;

	for (size_t i = 0; i < sizeof(text); i++) {
		seed = seed * 1103515245 + 12345;
		text[i] = (char)(1 + (seed >> 16) % 255);
		if (text[i] == '\r')
			text[i] = ' ';
	}
	for (enum encoding encoding = ENCODING_QUOTED_PRINTABLE; encoding <= ENCODING_BASE64; encoding++) {
		struct buffer out;
		int64_t line;
		size_t start = 0;

		buffer_init(&out, 1 << 16);
		ck_assert_int_eq(encode(encoding, text, sizeof(text), 7, 0, &out, &line), OK);
		ck_assert(text_is_ascii(out.data, out.length));
		while (start < out.length) {
			const char *end = memmem(out.data + start, out.length - start, "\r\n", 2);

			ck_assert_ptr_nonnull(end);
			ck_assert_uint_le((size_t)(end - out.data) - start, ENCODING_LINE_MAX);
			ck_assert_ptr_null(memchr(out.data + start, '\n', (size_t)(end - out.data) - start));
			start = (size_t)(end - out.data) + 2;
		}
		buffer_fini(&out);
	}
}
END_TEST

/* encode.h promises how large the output can be: pieces.c counts on it. */
START_TEST(output_fits_where_it_is_promised)
{
	static const char *const units[] = { "=", " ", "\n", "\303\244", " \n", "a", "=\n" };

	for (size_t i = 0; i < COUNT(units); i++) {
		for (size_t times = 1; times < 200; times++) {
			struct buffer text;
			struct buffer out;
			int64_t line;

			buffer_init(&text, 1 << 16);
			for (size_t j = 0; j < times; j++)
				buffer_append_text(&text, units[i]);
			for (enum encoding e = ENCODING_NONE; e <= ENCODING_BASE64_OCTETS; e++) {
				buffer_init(&out, ENCODER_OUT_MAX(text.length));
				ck_assert_int_eq(
					encode(e, text.data, text.length, text.length, 0, &out, &line), OK);
				buffer_fini(&out);
			}
			buffer_fini(&text);
		}
	}
}
END_TEST

START_TEST(a_full_buffer_is_told)
{
	struct buffer out;
	int64_t line;

	for (enum encoding encoding = ENCODING_NONE; encoding <= ENCODING_BASE64_OCTETS; encoding++) {
		buffer_init(&out, 3);
		ck_assert_int_eq(encode(encoding, A70 A70 "\n", 141, 141, 0, &out, &line), ERROR_LIMIT);
		buffer_fini(&out);
	}
}
END_TEST

static const struct scan_case {
	const char *text;
	size_t length;
	bool ascii;
	size_t longest;
	const char *words; /* NULL = accepted */
} scan_cases[] = {
	{ "", 0, true, 0, NULL },
	{ "ab\ncde\r\n\n", 9, true, 3, NULL },
	{ "a\n\303\244\342\202\254\360\237\230\200", 11, false, 9, NULL },
	{ "a\nb\rc", 5, true, 0, "x, line 2: a carriage return without a line feed" },
	{ "a\r", 2, true, 0, "x, line 1: a carriage return without a line feed" },
	{ "a\r\r\n", 4, true, 0, "x, line 1: a carriage return without a line feed" },
	{ "a\n\0", 3, true, 0, "x, line 2: the character NUL is not allowed" },
	{ "a\n\303", 3, true, 0, "x, line 2: the text ends within a character of UTF-8" },
	{ "a\303\n", 3, true, 0, "x, line 1: this is not UTF-8" },
	{ "\n\n\344", 3, true, 0, "x, line 3: the text ends within a character of UTF-8" },
	{ "\200", 1, true, 0, "x, line 1: this is not UTF-8" },
	{ "\300\200", 2, true, 0, "x, line 1: this is not UTF-8" },
	{ "\355\240\200", 3, true, 0, "x, line 1: this is not UTF-8" },
	{ "\364\220\200\200", 4, true, 0, "x, line 1: this is not UTF-8" },
	{ "\377", 1, true, 0, "x, line 1: this is not UTF-8" },
};

START_TEST(texts_are_judged)
{
	for (size_t i = 0; i < COUNT(scan_cases); i++) {
		const struct scan_case *one = &scan_cases[i];
		struct body body = { .memory = (char *)(uintptr_t)one->text,
			             .fd = -1,
			             .size = (int64_t)one->length,
			             .present = true };
		struct text_facts facts;
		struct words words = { "" };
		enum error error = scan_text("x", &body, NULL, &facts, &words);

		ck_assert_int_eq(error, one->words ? ERROR_INVALID : OK);
		ck_assert_str_eq(words.text, one->words ? one->words : "");
		if (one->words)
			continue;
		ck_assert_int_eq(facts.ascii, one->ascii);
		ck_assert_uint_eq(facts.longest, one->longest);
	}
}
END_TEST

/* A character across the border of two reads is one character. */
START_TEST(characters_may_cross_reads)
{
	static char text[20000];
	struct body body = { .memory = text, .fd = -1, .present = true };
	struct text_facts facts;
	struct words words;

	for (size_t pad = 0; pad < 4; pad++) {
		size_t at = pad;

		memset(text, 'a', pad);
		while (at + 4 < sizeof(text)) {
			memcpy(text + at, "\360\237\230\200", 4);
			at += 4;
		}
		body.size = (int64_t)at;
		ck_assert_int_eq(scan_text("x", &body, NULL, &facts, &words), OK);
		ck_assert_uint_eq(facts.longest, at);
		body.size--;
		ck_assert_int_eq(scan_text("x", &body, NULL, &facts, &words), ERROR_INVALID);
	}
}
END_TEST

TCase *mime_encode_case(void)
{
	TCase *tcase = tcase_create("encode");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, text_is_encoded_however_it_is_cut);
	tcase_add_test(tcase, nul_never_leaves);
	tcase_add_test(tcase, encoded_lines_are_short_ascii);
	tcase_add_test(tcase, output_fits_where_it_is_promised);
	tcase_add_test(tcase, a_full_buffer_is_told);
	tcase_add_test(tcase, texts_are_judged);
	tcase_add_test(tcase, characters_may_cross_reads);
	return tcase;
}
