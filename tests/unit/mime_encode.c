/*
 * mime_encode.c - tests of what writes: transfer encodings, encoded-words, header fields.
 *
 * Sources: RFC 2045 6.7 and 6.8, RFC 2047 2, 5 and 8, RFC 5322 2.1.1, 2.2.3, 3.3.
 */
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/text.h"
#include "mime/encode.h"
#include "mime/field.h"
#include "mime/scan.h"
#include "mime/word.h"
#include "tests/unit/mime_test.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define A10 "aaaaaaaaaa"
#define A70 A10 A10 A10 A10 A10 A10 A10

static const struct encode_case {
	enum encoding encoding;
	const char *text, *result;	/* NULL = refused */
	int64_t line;			/* where it is refused */
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
	{ ENCODING_BASE64, A10 A10 A10 A10 A10 "12345",	/* 57 octets with CRLF: one full line */
	  "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWExMjM0NQ0K\r\n", 0 },
	{ ENCODING_BASE64, A10 A10 A10 A10 A10 "123456",
	  "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWExMjM0NTYN\r\nCg==\r\n", 0 },
};

/* Feeds text cut at one and two (both may be the end); slice > 0: in slices of that many octets. */
static enum error encode(enum encoding encoding, const char *text, size_t length, size_t one,
			 size_t slice, struct buffer *out, int64_t *line)
{
	struct encoder encoder;
	enum error error = OK;
	size_t at = 0;

	encoder_begin(&encoder, encoding, 1);
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
			for (enum encoding e = ENCODING_NONE; e <= ENCODING_BASE64; e++) {
				buffer_init(&out, 4 * text.length + 80);
				ck_assert_int_eq(encode(e, text.data, text.length, text.length, 0, &out,
							&line), OK);
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

	for (enum encoding encoding = ENCODING_NONE; encoding <= ENCODING_BASE64; encoding++) {
		buffer_init(&out, 3);
		ck_assert_int_eq(encode(encoding, A70 A70 "\n", 141, 141, 0, &out, &line), ERROR_LIMIT);
		buffer_fini(&out);
	}
}
END_TEST

/* RFC 2047 8 and 2: what is decoded, and how a long text is cut. */
static const struct word_case {
	const char *word, *text;	/* NULL = no encoded-word */
} word_cases[] = {
	{ "=?ISO-8859-1?Q?a?=", "a" },
	{ "=?ISO-8859-1?Q?a_b?=", "a b" },
	{ "=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=", "If you can read this yo" },
	{ "=?ISO-8859-1?Q?Olle_J=E4rnefors?=", "Olle J\303\244rnefors" },
	{ "=?ISO-8859-1?Q?Patrik_F=E4ltstr=F6m?=", "Patrik F\303\244ltstr\303\266m" },
	{ "=?utf-8?q?=e2=82=ac?=", "\342\202\254" },
	{ "=?utf-8?Q?a=09b?=", "a\tb" },
	{ "=?utf-8?Q?=00?=", NULL },
	{ "=?utf-8?Q?=0A?=", NULL },
	{ "=?utf-8?Q?=7F?=", NULL },
	{ "=?utf-8?B?DQo=?=", NULL },
	{ "=?utf-8?Q?=ED=A0=80?=", NULL },
	{ "=?utf-8?Q?=C?=", NULL },
	{ "=?utf-8?Q?=?=", NULL },
	{ "=?utf-8?Q?=GG?=", NULL },
	{ "=?utf-8?B?abc?=", NULL },
	{ "=?us-ascii?Q?=E4?=", NULL },
	{ "=?iso-8859-1?Q?=80?=", NULL },
	{ "=?iso-8859-15?Q?=A4?=", NULL },
	{ "=?a-charset-of-a-very-long-name?Q?a?=", NULL },
	{ "=?utf-8?Q?a?b?=", NULL },
	{ "=?utf-8?QQ?a?=", NULL },
	{ "=?utf-8?Q?\?=", NULL },
	{ "=?utf-8?=", NULL },
	{ "=?\?\?=", NULL },
	{ "=?=", NULL },
	{ "", NULL },
};

START_TEST(encoded_words_are_decoded)
{
	for (size_t i = 0; i < COUNT(word_cases); i++) {
		const struct word_case *one = &word_cases[i];
		struct buffer out;
		bool good;

		buffer_init(&out, 1000);
		good = word_decode(&out, one->word, strlen(one->word));
		ck_assert_msg(good == (one->text != NULL), "%s", one->word);
		ck_assert_uint_eq(out.length, one->text ? strlen(one->text) : 0);
		if (good)
			ck_assert_str_eq(out.data, one->text);
		for (size_t cut = 0; cut < strlen(one->word); cut++) {
			char *copy = memory_strndup(one->word, cut);

			buffer_clear(&out);
			ck_assert_msg(!word_decode(&out, copy, cut), "%s", copy);
			free(copy);
		}
		buffer_fini(&out);
	}
}
END_TEST

static void check_round(const char *text, size_t room, enum word_encoding encoding)
{
	size_t length = strlen(text);
	size_t at = 0;
	struct buffer decoded;

	buffer_init(&decoded, 1 << 16);
	while (at < length) {
		struct buffer word;
		size_t taken;

		buffer_init(&word, 1 << 16);
		taken = word_encode(&word, encoding, room, text + at, length - at);
		ck_assert_uint_gt(taken, 0);
		ck_assert_uint_le(word.length, room);
		/* each word decodes by itself: it was cut between code points */
		ck_assert(word_decode(&decoded, word.data, word.length));
		at += taken;
		buffer_fini(&word);
	}
	ck_assert_str_eq(decoded.data, text);
	buffer_fini(&decoded);
}

START_TEST(encoded_words_are_cut_between_code_points)
{
	static const char *const texts[] = {
		"\303\244\342\202\254\360\237\230\200a \303\244\342\202\254\360\237\230\200a "
		"\303\244\342\202\254\360\237\230\200a \303\244\342\202\254\360\237\230\200a",
		A70 A70, "\360\237\230\200\360\237\230\200\360\237\230\200\360\237\230\200\360\237\230\200",
		"=?utf-8?Q?x?=", "a b  c_d=e?f", " ",
	};

	for (size_t i = 0; i < COUNT(texts); i++) {
		for (size_t room = WORD_ROOM_MIN; room <= WORD_MAX; room++) {
			check_round(texts[i], room, WORD_Q);
			check_round(texts[i], room, WORD_B);
		}
	}
	ck_assert_int_eq(word_choose("Rechnung M\303\244rz", 14), WORD_Q);
	ck_assert_int_eq(word_choose("\346\227\245\346\234\254\350\252\236", 9), WORD_B);
}
END_TEST

static const struct text_case {
	const char *text, *field;
} text_cases[] = {
	{ "", "S:\r\n" },
	{ "Hello", "S: Hello\r\n" },
	{ "Re: Invoice 2026-11, please pay", "S: Re: Invoice 2026-11, please pay\r\n" },
	{ "Rechnung f\303\274r M\303\244rz 2026", "S: Rechnung =?utf-8?B?ZsO8ciBNw6Ryeg==?= 2026\r\n" },
	{ "\303\204 a", "S: =?utf-8?B?w4Q=?= a\r\n" },
	{ "a \303\204", "S: a =?utf-8?B?w4Q=?=\r\n" },
	{ "\346\227\245\346\234\254\350\252\236", "S: =?utf-8?B?5pel5pys6Kqe?=\r\n" },
	{ "a  b", "S: =?utf-8?Q?a__b?=\r\n" },
	{ "x a  b y", "S: x =?utf-8?Q?a__b?= y\r\n" },
	{ " a", "S: =?utf-8?Q?_a?=\r\n" },
	{ "a ", "S: =?utf-8?Q?a_?=\r\n" },
	{ " ", "S: =?utf-8?Q?_?=\r\n" },
	{ "   ", "S: =?utf-8?Q?___?=\r\n" },
	{ "a\tb", "S: =?utf-8?B?YQli?=\r\n" },
	{ "=?utf-8?Q?x?= y", "S: =?utf-8?B?PT91dGYtOD9RP3g/PQ==?= y\r\n" },
	{ "a=?b", "S: =?utf-8?Q?a=3D=3Fb?=\r\n" },
	/* 78 octets stay on the line, 79 do not */
	{ A10 A10 A10 A10 A10 " " A10 A10 "1234", "S: " A10 A10 A10 A10 A10 " " A10 A10 "1234\r\n" },
	{ A10 A10 A10 A10 A10 " " A10 A10 "12345", "S: " A10 A10 A10 A10 A10 "\r\n " A10 A10 "12345\r\n" },
	/* 76 with an encoded-word */
	{ "\303\204 " A10 A10 A10 A10 " " A10 "12345",
	  "S: =?utf-8?B?w4Q=?= " A10 A10 A10 A10 " " A10 "12345\r\n" },
	{ "\303\204 " A10 A10 A10 A10 " " A10 "123456",
	  "S: =?utf-8?B?w4Q=?= " A10 A10 A10 A10 "\r\n " A10 "123456\r\n" },
	{ A70, "S: =?utf-8?Q?aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa?=\r\n"
	       " =?utf-8?Q?aaaaaaaaa?=\r\n" },
};

START_TEST(unstructured_text_is_written)
{
	for (size_t i = 0; i < COUNT(text_cases); i++) {
		struct buffer out;
		struct field field;

		buffer_init(&out, 4096);
		field_begin(&field, &out, "S");
		field_text(&field, text_cases[i].text);
		ck_assert(field_end(&field));
		ck_assert_msg(strcmp(out.data, text_cases[i].field) == 0, "%s:\n%s", text_cases[i].text,
			      out.data);
		buffer_fini(&out);
	}
}
END_TEST

static const struct list_case {
	const char *text, *field;
} list_cases[] = {
	{ "a@x.test", "To: a@x.test\r\n" },
	{ "<a@x.test>,b@x.test", "To: a@x.test, b@x.test\r\n" },
	{ "Bob Smith <b@x.test>", "To: Bob Smith <b@x.test>\r\n" },
	{ "\"Smith, \\\"B\\\\ob\\\"\" <b@x.test>", "To: \"Smith, \\\"B\\\\ob\\\"\" <b@x.test>\r\n" },
	{ "\" two  spaces\" <b@x.test>", "To: \" two  spaces\" <b@x.test>\r\n" },
	{ "J\303\266rg <j@x.test>", "To: =?utf-8?B?SsO2cmc=?= <j@x.test>\r\n" },
	{ "\"=?x\" <j@x.test>", "To: =?utf-8?B?PT94?= <j@x.test>\r\n" },
	{ "\"a\tb\" <j@x.test>", "To: =?utf-8?B?YQli?= <j@x.test>\r\n" },
	{ "G:a@x.test,B <b@x.test>;", "To: G: a@x.test, B <b@x.test>;\r\n" },
	{ "G:;", "To: G:;\r\n" },
	{ "a@x.test, E:;, G:b@x.test;, c@x.test, \"F, f\":;",
	  "To: a@x.test, E:;, G: b@x.test;, c@x.test, \"F, f\":;\r\n" },
	{ "\303\204:a@x.test;, \303\226:;", "To: =?utf-8?B?w4Q=?= : a@x.test;, =?utf-8?B?w5Y=?= :;\r\n" },
	{ "\"\":a@x.test;", "To: \"\": a@x.test;\r\n" },
	{ "\"" A70 ".\" <j@x.test>", "To: =?utf-8?Q?aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa?=\r\n"
	  " =?utf-8?Q?aaaaaaaaaa=2E?= <j@x.test>\r\n" },
	{ "\"x " A70 "\" <j@x.test>", "To: =?utf-8?Q?x_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa?=\r\n"
	  " =?utf-8?Q?aaaaaaaaaaaa?= <j@x.test>\r\n" },
	{ A10 A10 A10 "@x.test, " A10 A10 A10 "1234567@x.test, c@x.test",
	  "To: " A10 A10 A10 "@x.test,\r\n " A10 A10 A10 "1234567@x.test, c@x.test\r\n" },
};

START_TEST(address_lists_are_written)
{
	for (size_t i = 0; i < COUNT(list_cases); i++) {
		const struct list_case *one = &list_cases[i];
		struct address_list list;
		struct words words;
		struct buffer out;
		struct field field;

		ck_assert_int_eq(address_list_parse("to", one->text, strlen(one->text), &list, &words), OK);
		buffer_init(&out, 4096);
		field_begin(&field, &out, "To");
		field_addresses(&field, &list);
		ck_assert(field_end(&field));
		ck_assert_msg(strcmp(out.data, one->field) == 0, "%s:\n%s", one->text, out.data);
		buffer_fini(&out);
		address_list_fini(&list);
	}
}
END_TEST

START_TEST(no_fold_stands_right_behind_the_name)
{
	struct buffer out;
	struct field field;

	buffer_init(&out, 4096);
	field_begin(&field, &out, "Message-ID");
	field_token(&field, A70 A70, 140);
	ck_assert(field_end(&field));
	ck_assert_str_eq(out.data, "Message-ID: " A70 A70 "\r\n");
	buffer_fini(&out);
	buffer_init(&out, 40);
	field_begin(&field, &out, "Subject");
	field_text(&field, "\303\204" A70);
	ck_assert(!field_end(&field));
	buffer_fini(&out);
}
END_TEST

static const struct date_case {
	int64_t ms;
	const char *date;
} date_cases[] = {
	{ 0, "Thu, 1 Jan 1970 00:00:00 +0000" },
	{ 1764039900999, "Tue, 25 Nov 2025 03:05:00 +0000" },
	{ 1709251199000, "Thu, 29 Feb 2024 23:59:59 +0000" },
	{ 253402300799999, "Fri, 31 Dec 9999 23:59:59 +0000" },
	{ 253402300800000, NULL },
	{ INT64_MAX, NULL },
	{ -1, NULL },
};

START_TEST(dates_are_written_in_utc)
{
	ck_assert_int_eq(setenv("TZ", "America/New_York", 1), 0);
	for (size_t i = 0; i < COUNT(date_cases); i++) {
		char date[FIELD_DATE_MAX];

		ck_assert_int_eq(field_date(date, date_cases[i].ms), date_cases[i].date != NULL);
		if (date_cases[i].date)
			ck_assert_str_eq(date, date_cases[i].date);
	}
}
END_TEST

static const struct scan_case {
	const char *text;
	size_t length;
	bool ascii;
	size_t longest;
	const char *words;	/* NULL = accepted */
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
		struct body body = { .memory = (char *)(uintptr_t)one->text, .fd = -1,
				     .size = (int64_t)one->length, .present = true };
		struct text_facts facts;
		struct words words = { "" };
		enum error error = scan_text("x", &body, &facts, &words);

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
		ck_assert_int_eq(scan_text("x", &body, &facts, &words), OK);
		ck_assert_uint_eq(facts.longest, at);
		body.size--;
		ck_assert_int_eq(scan_text("x", &body, &facts, &words), ERROR_INVALID);
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
	tcase_add_test(tcase, encoded_words_are_decoded);
	tcase_add_test(tcase, encoded_words_are_cut_between_code_points);
	tcase_add_test(tcase, unstructured_text_is_written);
	tcase_add_test(tcase, address_lists_are_written);
	tcase_add_test(tcase, no_fold_stands_right_behind_the_name);
	tcase_add_test(tcase, dates_are_written_in_utc);
	tcase_add_test(tcase, texts_are_judged);
	tcase_add_test(tcase, characters_may_cross_reads);
	return tcase;
}
