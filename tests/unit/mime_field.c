/*
 * mime_field.c - tests of header fields: encoded-words, folding, address lists, dates.
 *
 * Sources: RFC 2047 2, 5 and 8, RFC 5322 2.1.1, 2.2.3 and 3.3.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "mime/field.h"
#include "mime/word.h"
#include "tests/unit/mime_test.h"

#define CJK3 "\346\227\245\346\234\254\350\252\236"

/* RFC 2047 8 and 2: what is decoded, and how a long text is cut. */
static const struct word_case {
	const char *word, *text; /* NULL = no encoded-word */
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
		/* GMime 3.2.13 shows nothing behind the padding of a word that another follows */
		ck_assert(at == length || word.data[word.length - 3] != '=');
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
		A70 A70,
		"\360\237\230\200\360\237\230\200\360\237\230\200\360\237\230\200\360\237\230\200",
		CJK3 CJK3 CJK3 CJK3 CJK3 CJK3 CJK3 CJK3 CJK3,
		"a" CJK3 CJK3 CJK3 CJK3 CJK3 CJK3 CJK3 CJK3 CJK3 "b",
		CJK3 "\303\244" CJK3 CJK3 CJK3 CJK3 CJK3 CJK3 CJK3 CJK3,
		"=?utf-8?Q?x?=",
		"a b  c_d=e?f",
		" ",
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
	{ "\"" A70 ".\" <j@x.test>",
	  "To: =?utf-8?Q?aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa?=\r\n"
	  " =?utf-8?Q?aaaaaaaaaa=2E?= <j@x.test>\r\n" },
	{ "\"x " A70 "\" <j@x.test>",
	  "To: =?utf-8?Q?x_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa?=\r\n"
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
}
END_TEST

START_TEST(a_full_buffer_is_told)
{
	static const char *const texts[] = { "\303\204" A70, A10 " " A10 " " A10 " " A10 };

	for (size_t i = 0; i < COUNT(texts); i++) {
		for (size_t limit = 1; limit < 40; limit++) {
			struct buffer out;
			struct field field;

			buffer_init(&out, limit);
			field_begin(&field, &out, "Subject");
			field_text(&field, texts[i]);
			ck_assert(!field_end(&field));
			buffer_fini(&out);
		}
	}
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

TCase *mime_field_case(void)
{
	TCase *tcase = tcase_create("field");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, encoded_words_are_decoded);
	tcase_add_test(tcase, encoded_words_are_cut_between_code_points);
	tcase_add_test(tcase, unstructured_text_is_written);
	tcase_add_test(tcase, address_lists_are_written);
	tcase_add_test(tcase, a_full_buffer_is_told);
	tcase_add_test(tcase, no_fold_stands_right_behind_the_name);
	tcase_add_test(tcase, dates_are_written_in_utc);
	return tcase;
}
