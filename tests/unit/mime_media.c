/*
 * mime_media.c - tests of content types, file names and content ids.
 *
 * Sources: RFC 2045 5.1, RFC 2046, RFC 2231 3 and 4 with their examples, RFC 2183 2.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "mime/media.h"
#include "tests/unit/mime_test.h"

#define LONG_TOKEN A70 A70 A70 A70 A70 A70 A70 A70 A70 A70 A70 A70 A70

static const struct type_case {
	const char *text;
	const char *field; /* as it is written; NULL = refused */
	const char *words;
} type_cases[] = {
	{ "application/pdf", "application/pdf", NULL },
	{ "Image/PNG", "Image/PNG", NULL },
	{ "text/plain;charset=us-ascii", "text/plain; charset=us-ascii", NULL },
	{ "text/plain ; \t charset=\"us-ascii\" ", "text/plain; charset=\"us-ascii\"", NULL },
	{ "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	  "application/vnd.openxmlformats-officedocument.wordprocessingml.document", NULL },
	{ "x/y; a=\"\"; b=\"a;b\\\"c\\\\\"; c=1", "x/y; a=\"\"; b=\"a;b\\\"c\\\\\"; c=1", NULL },
	{ "x/y; charset*0*=utf-8''a; charset*1=b", "x/y; charset*0*=utf-8''a; charset*1=b", NULL },
	/* RFC 2231 3 and 4 */
	{ "message/x; access-type=URL; URL*0=\"ftp://\"; URL*1=\"cs.utk.edu/pub/moore/bulk-mailer.tar\"",
	  "message/x; access-type=URL; URL*0=\"ftp://\";\r\n"
	  " URL*1=\"cs.utk.edu/pub/moore/bulk-mailer.tar\"",
	  NULL },
	{ "application/x-stuff; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A",
	  "application/x-stuff;\r\n title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A", NULL },
	{ "", NULL, "p, character 1: a type, as in application/pdf, is expected here" },
	{ "/pdf", NULL, "p, character 1: a type, as in application/pdf, is expected here" },
	{ " a/b", NULL, "p, character 1: a type, as in application/pdf, is expected here" },
	{ "pdf", NULL, "p, character 4: '/' is expected here, as in application/pdf" },
	{ "application /pdf", NULL, "p, character 12: '/' is expected here, as in application/pdf" },
	{ "application/", NULL, "p, character 13: a subtype, as in application/pdf, is expected here" },
	{ "a/(x)b", NULL, "p, character 3: a subtype, as in application/pdf, is expected here" },
	{ "a/b/c", NULL, "p, character 4: only ';' and a parameter may follow here" },
	{ "a/b (x)", NULL, "p, character 5: only ';' and a parameter may follow here" },
	{ "a/b charset=x", NULL, "p, character 5: only ';' and a parameter may follow here" },
	{ "a/b;", NULL, "p, character 5: a parameter, as in charset=utf-8, is expected here" },
	{ "a/b;;c=d", NULL, "p, character 5: a parameter, as in charset=utf-8, is expected here" },
	{ "a/b; =x", NULL, "p, character 6: a parameter, as in charset=utf-8, is expected here" },
	{ "a/b; c", NULL, "p, character 7: '=' is expected here, as in charset=utf-8" },
	{ "a/b; c =d", NULL, "p, character 7: '=' is expected here, as in charset=utf-8" },
	{ "a/b; c=", NULL, "p, character 8: a value, in quotes if it is more than a word, is expected here" },
	{ "a/b; c= d", NULL,
	  "p, character 8: a value, in quotes if it is more than a word, is expected here" },
	{ "a/b; c=d e", NULL, "p, character 10: only ';' and a parameter may follow here" },
	{ "a/b; c=d@e", NULL, "p, character 9: only ';' and a parameter may follow here" },
	{ "a/b; c=\"d", NULL, "p, character 8: the quoted text that begins here has no closing '\"'" },
	{ "a/b; c=\"d\\", NULL, "p, character 8: the quoted text that begins here has no closing '\"'" },
	{ "a/b; c=\"d\"e", NULL, "p, character 11: only ';' and a parameter may follow here" },
	{ "a/b; c=d; C=e", NULL, "p, character 11: the parameter C is given twice" },
	{ "a/b; name=\"\303\244\"", NULL, "p, character 12: only ASCII is allowed here" },
	{ "a/b; c=d\r\nBcc: x@y", NULL, "p, character 9: a line break is not allowed" },
	{ "a/b; c=\"d\n\"", NULL, "p, character 10: a line break is not allowed" },
	{ "a/b\001", NULL, "p, character 4: the control character U+0001 is not allowed" },
	{ "a/b\377", NULL, "p, character 4: this is not UTF-8" },
	{ "multipart/mixed; boundary=x", NULL,
	  "p, character 1: an attachment is one part, it cannot be multipart/\342\200\246" },
	{ "Multipart/X", NULL,
	  "p, character 1: an attachment is one part, it cannot be multipart/\342\200\246" },
	{ "message/partial; id=x", NULL, "p, character 1: message/partial is not sent as an attachment" },
	{ "message/External-Body", NULL,
	  "p, character 1: message/external-body is not sent as an attachment" },
	{ "a/" LONG_TOKEN, NULL, "p: longer than 900 octets" },
};

START_TEST(content_types_are_strict)
{
	for (size_t i = 0; i < COUNT(type_cases); i++) {
		const struct type_case *one = &type_cases[i];
		struct media media;
		struct words words = { "" };
		struct buffer out;
		struct field field;
		enum error error = media_parse("p", one->text, &media, &words);

		ck_assert_int_eq(error, one->field ? OK : ERROR_INVALID);
		ck_assert_str_eq(words.text, one->words ? one->words : "");
		if (error) {
			ck_assert_ptr_null(media.type);
			continue;
		}
		buffer_init(&out, 4096);
		field_begin(&field, &out, "Content-Type");
		media_put(&field, &media, NULL);
		ck_assert(field_end(&field));
		out.data[out.length - 2] = '\0';
		ck_assert_str_eq(out.data + 14, one->field);
		buffer_fini(&out);
		media_fini(&media);
	}
}
END_TEST

START_TEST(parameters_are_counted)
{
	struct media media;
	struct words words;
	struct buffer text;

	buffer_init(&text, 4096);
	buffer_append_text(&text, "a/b");
	for (int i = 0; i < MEDIA_PARAMETERS_MAX; i++)
		buffer_printf(&text, ";p%d=x", i);
	ck_assert_int_eq(media_parse("p", text.data, &media, &words), OK);
	media_fini(&media);
	buffer_append_text(&text, ";q=x");
	ck_assert_int_eq(media_parse("p", text.data, &media, &words), ERROR_INVALID);
	ck_assert_ptr_nonnull(strstr(words.text, "more than 32 parameters"));
	buffer_fini(&text);
}
END_TEST

START_TEST(kinds_of_types)
{
	static const struct {
		const char *text;
		enum media_kind kind;
	} cases[] = {
		{ "application/pdf", MEDIA_OCTETS },        { "text/plain", MEDIA_OCTETS },
		{ "message/rfc822", MEDIA_MESSAGE },        { "Message/Delivery-Status", MEDIA_MESSAGE },
		{ "message/global-headers", MEDIA_GLOBAL }, { "messages/x", MEDIA_OCTETS },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct media media;
		struct words words;

		ck_assert_int_eq(media_parse("p", cases[i].text, &media, &words), OK);
		ck_assert_int_eq(media_kind(&media), cases[i].kind);
		media_fini(&media);
	}
}
END_TEST

#define HAN "\346\227\245" /* U+65E5 */

static const struct filename_case {
	const char *filename, *written;
	const char *fallback; /* behind "Content-Type: application/pdf" */
} filename_cases[] = {
	{ "a.pdf", " filename=\"a.pdf\"", "" },
	{ " a  b ", " filename=\" a  b \"", "" },
	{ "a;b=c (d), <e>@[f]?.txt", " filename=\"a;b=c (d), <e>@[f]?.txt\"", "" },
	{ "../etc/passwd", " filename=\"../etc/passwd\"", "" },
	{ "\303\234bersicht.pdf", " filename*=utf-8''%C3%9Cbersicht.pdf", "; name=\"_bersicht.pdf\"" },
	{ "a\"b\\c", " filename*=utf-8''a%22b%5Cc", "; name=\"a_b_c\"" },
	{ "=?utf-8?Q?a?=", " filename*=utf-8''%3D%3Futf-8%3FQ%3Fa%3F%3D", "; name=\"_?utf-8?Q?a?_\"" },
	/* RFC 2231 7: what is no attribute-char */
	{ "\303\244 *'%()<>@,;:\\\"/[]?=!#$&+-.^_`{|}~",
	  "\r\n filename*0*=utf-8''%C3%A4%20%2A%27%25%28%29%3C%3E%40%2C%3B%3A%5C%22%2F%5B%5D;\r\n"
	  " filename*1*=%3F%3D!#$&+-.^_`{|}~",
	  "; name=\"_ *'%()<>@,;:__/[]?_!#$&+-.^_`{|}~\"" },
	{ A10 A10 A10 A10 A10 "123456.pdf", "\r\n filename=\"" A10 A10 A10 A10 A10 "123456.pdf\"", "" },
	{ A10 A10 A10 A10 A10 "1234567.pdf",
	  "\r\n filename*0*=utf-8''" A10 A10 A10 A10 A10 "1234567;\r\n filename*1*=.pdf",
	  ";\r\n name=\"" A10 A10 A10 A10 A10 "123456.pdf\"" },
	{ HAN HAN HAN HAN HAN HAN HAN HAN HAN HAN HAN HAN HAN "." A10 A10,
	  "\r\n filename*0*=utf-8''%E6%97%A5%E6%97%A5%E6%97%A5%E6%97%A5%E6%97%A5%E6%97%A5;\r\n"
	  " filename*1*=%E6%97%A5%E6%97%A5%E6%97%A5%E6%97%A5%E6%97%A5%E6%97%A5%E6%97%A5.;\r\n"
	  " filename*2*=" A10 A10,
	  "; name=\"_____________." A10 A10 "\"" },
};

static char *field_text_of(struct field *field)
{
	ck_assert(field_end(field));
	field->out->data[field->out->length - 2] = '\0';
	return buffer_take(field->out);
}

static char *written_filename(const char *filename)
{
	struct buffer out;
	struct field field;

	buffer_init(&out, 1 << 16);
	field_begin(&field, &out, "Content-Disposition");
	field_token(&field, "attachment;", 11);
	filename_put(&field, filename);
	return field_text_of(&field);
}

static char *written_type(const char *content_type, const char *filename)
{
	struct buffer out;
	struct field field;
	struct media media;
	struct words words;

	ck_assert_int_eq(media_parse("p", content_type, &media, &words), OK);
	buffer_init(&out, 1 << 16);
	field_begin(&field, &out, "Content-Type");
	media_put(&field, &media, filename);
	media_fini(&media);
	return field_text_of(&field);
}

/* Never filename and filename* in one field: GMime and Python's email package see one parameter given twice.
 */
START_TEST(file_names_are_written_for_all_readers)
{
	char *text;

	for (size_t i = 0; i < COUNT(filename_cases); i++) {
		text = written_filename(filename_cases[i].filename);
		ck_assert_str_eq(text + 32, filename_cases[i].written);
		free(text);
		text = written_type("application/pdf", filename_cases[i].filename);
		ck_assert_str_eq(text + 29, filename_cases[i].fallback);
		free(text);
	}
	text = written_type("application/pdf; Name=x", HAN);
	ck_assert_str_eq(text, "Content-Type: application/pdf; Name=x");
	free(text);
	text = written_type("application/pdf", NULL);
	ck_assert_str_eq(text, "Content-Type: application/pdf");
	free(text);
}
END_TEST

static int hex(char c)
{
	return c >= 'A' ? c - 'A' + 10 : c - '0';
}

/* Puts the pieces of filename* together as RFC 2231 says; NULL if it is not there. */
static char *read_extended(const char *text)
{
	const char *at = strstr(text, "utf-8''");
	struct buffer out;
	int number = 1;

	buffer_init(&out, 4096);
	for (at = at ? at + 7 : ""; *at; at++) {
		char next[40];

		if (*at == '%') {
			buffer_append_char(&out, (char)(hex(at[1]) << 4 | hex(at[2])));
			at += 2;
		} else if (*at != ';') {
			buffer_append_char(&out, *at);
		} else {
			buffer_append_char(&out, '\0');
			out.length--;
			snprintf(next, sizeof(next), ";\r\n filename*%d*=", number++);
			ck_assert_int_eq(strncmp(at, next, strlen(next)), 0);
			at += strlen(next) - 1;
		}
	}
	return buffer_take(&out);
}

/* Every length, one to four octets a character: lines of at most 78, and the same name back. */
START_TEST(long_file_names_are_cut_between_characters)
{
	static const char *const units[] = { "a", " ", "\303\244", HAN, "\360\237\230\200" };

	for (size_t i = 0; i < COUNT(units); i++) {
		for (size_t times = i == 0 ? 61 : 1; times <= 255; times++) {
			struct buffer name;
			char *text;
			char *back;

			buffer_init(&name, 4096);
			for (size_t j = 0; j < times; j++)
				buffer_append_text(&name, units[i]);
			buffer_append_text(&name, "\303\244.wav");
			text = written_filename(name.data);
			back = read_extended(text);
			ck_assert_str_eq(back, name.data);
			free(back);
			back = written_type("audio/wav", name.data);
			ck_assert_str_eq(back + strlen(back) - 5, ".wav\"");
			for (const char *line = text; line; line = strstr(line, "\r\n")) {
				line += line > text ? 2 : 0;
				ck_assert_uint_le(strcspn(line, "\r"), 78);
			}
			free(back);
			free(text);
			buffer_fini(&name);
		}
	}
}
END_TEST

START_TEST(file_names_are_checked)
{
	static const struct {
		const char *filename, *words;
	} cases[] = {
		{ "a.pdf", "" },
		{ "a\tb", "p, character 2: the control character U+0009 is not allowed" },
		{ "a\177", "p, character 2: the control character U+007F is not allowed" },
		{ "\303\244\302\205", "p, character 2: the control character U+0085 is not allowed" },
		{ "fdp\342\200\256.exe", "p, character 4: the control character U+202E is not allowed" },
		{ "a\342\200\250", "p, character 2: the control character U+2028 is not allowed" },
		{ "a\rb", "p, character 2: a line break is not allowed" },
		{ "\303\244\344", "p, character 2: this is not UTF-8" },
	};
	struct words words;
	char longest[FILENAME_LENGTH_MAX + 2];

	for (size_t i = 0; i < COUNT(cases); i++) {
		words.text[0] = '\0';
		ck_assert_int_eq(filename_check("p", cases[i].filename, &words),
		                 cases[i].words[0] ? ERROR_INVALID : OK);
		ck_assert_str_eq(words.text, cases[i].words);
	}
	memset(longest, 'a', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	ck_assert_int_eq(filename_check("p", longest, &words), ERROR_INVALID);
	ck_assert_str_eq(words.text, "p: longer than 1020 octets");
	longest[sizeof(longest) - 2] = '\0';
	ck_assert_int_eq(filename_check("p", longest, &words), OK);
}
END_TEST

START_TEST(content_ids_are_checked)
{
	static const struct {
		const char *id, *words;
	} cases[] = {
		{ "logo", "" },
		{ "logo@acme.example", "" },
		{ "image001.png@01D9A1B2.C3D4E5F6", "" },
		{ "a!#$%&'*+-/=?^_`{|}~@b", "" },
		{ "@b", "p, character 1: a part before or behind '@' is empty" },
		{ "a@", "p, character 3: a part before or behind '@' is empty" },
		{ "", "p, character 1: a part before or behind '@' is empty" },
		{ "a@b@c", "p, character 4: '@' is not allowed here" },
		{ ".a", "p, character 1: '.' is not allowed here" },
		{ "a.@b", "p, character 2: '.' is not allowed here" },
		{ "a..b", "p, character 2: '.' is not allowed here" },
		{ "a@b.", "p, character 4: '.' is not allowed here" },
		{ "<a@b>", "p, character 1: '<' is not allowed here" },
		{ "a b", "p, character 2: ' ' is not allowed here" },
		{ "a\"", "p, character 2: '\"' is not allowed here" },
		{ "a@[b]", "p, character 3: '[' is not allowed here" },
		{ "\303\244", "p, character 1: only ASCII is allowed here" },
		{ "a>\r\nBcc: x", "p, character 3: a line break is not allowed" },
		{ LONG_TOKEN, "p: longer than 900 octets" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct words words = { "" };

		ck_assert_int_eq(content_id_check("p", cases[i].id, &words),
		                 cases[i].words[0] ? ERROR_INVALID : OK);
		ck_assert_str_eq(words.text, cases[i].words);
	}
}
END_TEST

TCase *mime_media_case(void)
{
	TCase *tcase = tcase_create("media");

	tcase_add_test(tcase, content_types_are_strict);
	tcase_add_test(tcase, parameters_are_counted);
	tcase_add_test(tcase, kinds_of_types);
	tcase_add_test(tcase, file_names_are_written_for_all_readers);
	tcase_add_test(tcase, long_file_names_are_cut_between_characters);
	tcase_add_test(tcase, file_names_are_checked);
	tcase_add_test(tcase, content_ids_are_checked);
	return tcase;
}
