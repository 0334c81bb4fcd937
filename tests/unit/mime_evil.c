/*
 * mime_evil.c - every column times every evil: refused with words, or harmless.
 *
 * Nothing that a column holds may add a field, end the header, add a part or
 * end one: what is accepted is read back and must have just the fields and the
 * parts that the columns make.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/text.h"
#include "tests/unit/mime_test.h"

enum holder { HOLDER_MAIL, HOLDER_ATTACHMENT, HOLDER_BODY };

/* A column, a good value around which the evil is put ('%' = here), and what refusals begin with. */
static const struct column {
	enum holder holder;
	size_t offset;
	const char *value, *words;
} columns[] = {
	{ HOLDER_MAIL, offsetof(struct mail, from_address), "J%D <f@x.test>", "from_address" },
	{ HOLDER_MAIL, offsetof(struct mail, from_address), "f%g@x.test", "from_address" },
	{ HOLDER_MAIL, offsetof(struct mail, from_address), "f@x%.test", "from_address" },
	{ HOLDER_MAIL, offsetof(struct mail, from_address), "\"J%D\" <f@x.test>", "from_address" },
	{ HOLDER_MAIL, offsetof(struct mail, from_address), "f@x.test (%)", "from_address" },
	{ HOLDER_MAIL, offsetof(struct mail, envelope_from), "f%g@x.test", "envelope_from" },
	{ HOLDER_MAIL, offsetof(struct mail, to_addresses), "t@x.test, J%D <u@x.test>", "to_addresses" },
	{ HOLDER_MAIL, offsetof(struct mail, to_addresses), "G%H: t@x.test;", "to_addresses" },
	{ HOLDER_MAIL, offsetof(struct mail, to_addresses), "t@x.test%", "to_addresses" },
	{ HOLDER_MAIL, offsetof(struct mail, to_addresses), "\"t%u\"@x.test", "to_addresses" },
	{ HOLDER_MAIL, offsetof(struct mail, to_addresses), "t@[192.0.2.1%]", "to_addresses" },
	{ HOLDER_MAIL, offsetof(struct mail, cc_addresses), "J%D <c@x.test>", "cc_addresses" },
	{ HOLDER_MAIL, offsetof(struct mail, bcc_addresses), "J%D <b@x.test>", "bcc_addresses" },
	{ HOLDER_MAIL, offsetof(struct mail, bcc_addresses), "b%b@x.test", "bcc_addresses" },
	{ HOLDER_MAIL, offsetof(struct mail, reply_to), "J%D <r@x.test>", "reply_to" },
	{ HOLDER_MAIL, offsetof(struct mail, subject), "a %b", "subject" },
	{ HOLDER_MAIL, offsetof(struct mail, headers), "X-A: b\nX-B: c%d", "headers, line " },
	{ HOLDER_MAIL, offsetof(struct mail, headers), "X-A%: b", "headers, line " },
	{ HOLDER_MAIL, offsetof(struct mail, headers), "Sender: J%D <s@x.test>", "headers, line " },
	{ HOLDER_MAIL, offsetof(struct mail, headers), "References: <a%b>", "headers, line " },
	{ HOLDER_MAIL, offsetof(struct mail, headers), "Message-ID: <a%@b>", "headers, line " },
	{ HOLDER_ATTACHMENT, offsetof(struct attachment, filename), "a%.pdf", "attachment 1, filename" },
	{ HOLDER_ATTACHMENT, offsetof(struct attachment, content_type), "text/plain; x=\"a%b\"",
	  "attachment 1, content_type" },
	{ HOLDER_ATTACHMENT, offsetof(struct attachment, content_type), "text/pl%ain",
	  "attachment 1, content_type" },
	{ HOLDER_ATTACHMENT, offsetof(struct attachment, content_id), "a%b@c", "attachment 1, content_id" },
	{ HOLDER_BODY, offsetof(struct mail, body_text), "a%b\n", "body_text, line " },
	{ HOLDER_BODY, offsetof(struct mail, body_html), "<p>%", "body_html, line " },
};

#define X1000  A70 A70 A70 A70 A70 A70 A70 A70 A70 A70 A70 A70 A70 A70 A10 A10
#define X10000 X1000 X1000 X1000 X1000 X1000 X1000 X1000 X1000 X1000 X1000

static const struct evil {
	const char *octets;
	bool in_lines;  /* refused in what is one line */
	bool in_bodies; /* refused in bodies too */
} evils[] = {
	{ "\r", true, true },
	{ "\n", true, false },
	{ "\r\n", true, false },
	{ "\r\nBcc: eve@evil.test", true, false },
	{ "\nBcc: eve@evil.test\n", true, false },
	{ "\r\n\r\nbody", true, false },
	{ "\r\n.\r\nMAIL FROM:<eve@evil.test>", true, false },
	{ "\r\rBcc: eve@evil.test", true, true },
	{ "\344", true, true },         /* ISO-8859-1 */
	{ "\300\212", true, true },     /* an overlong LF */
	{ "\340\200\215", true, true }, /* an overlong CR */
	{ "\355\240\200", true, true }, /* a surrogate */
	{ "\364\220\200\200", true, true },
	{ "\303", true, true },
	{ "\013", true, false },
	{ "\033[2J", true, false },
	{ "\177", true, false },
	{ "\302\205", false, false }, /* NEL: a line break to some */
	{ "\342\200\250", false, false },
	{ "\r\n--" STEM_42 "-1--\r\n", true, false },
	{ "--" STEM_42 "-1", false, false },
	{ "=?utf-8?Q?=0D=0ABcc:_eve@evil.test?=", false, false },
	{ "\">, <eve@evil.test>, \"", false, false },
	{ "; filename=\"b.exe\"", false, false },
	{ X1000, false, false },
	{ X10000 "\303\244" X10000, false, false },
};

/* With '%' replaced. Allocated. */
static char *spoil(const char *value, const char *evil)
{
	const char *at = strchr(value, '%');
	struct buffer out;

	buffer_init(&out, 1 << 20);
	buffer_append(&out, value, (size_t)(at - value));
	buffer_append_text(&out, evil);
	buffer_append_text(&out, at + 1);
	return buffer_take(&out);
}

static void put_value(const struct column *column, char *value, struct mail *mail)
{
	char *holder = column->holder == HOLDER_ATTACHMENT ? (char *)mail->attachments : (char *)mail;

	if (column->holder == HOLDER_BODY)
		*(struct body *)(void *)(holder + column->offset) = bed_body_of(value, strlen(value));
	else
		*(char **)(void *)(holder + column->offset) = value;
}

static size_t count_of(const char *text, const char *what)
{
	size_t count = 0;

	for (const char *at = strstr(text, what); at; at = strstr(at + 1, what))
		count++;
	return count;
}

/* The fields of the message, once each, in this order; a part more or less would change the delimiters. */
static void check_structure(const char *text, const char *headers)
{
	static const char *const names[] = { "Date:",         "Message-ID:",
		                             "From:",         "To:",
		                             "Cc:",           "Reply-To:",
		                             "Subject:",      "X-A",
		                             "X-B",           "Sender:",
		                             "References:",   "MIME-Version:",
		                             "Content-Type:", "Content-Transfer-Encoding:" };
	size_t next = 0;
	const char *line = text;

	for (; *line != '\r'; line = strstr(line, "\r\n") + 2) {
		if (*line == ' ' || *line == '\t')
			continue;
		while (next < COUNT(names) && !text_starts_nocase(line, names[next]))
			next++;
		ck_assert_msg(next < COUNT(names), "%s\n%s", headers ? headers : "", text);
		next++;
	}
	/* mixed( alternative( text html ) attachment ) */
	ck_assert_uint_eq(count_of(text, "\r\n--" STEM_42 "-1\r\n"), 2);
	ck_assert_uint_eq(count_of(text, "\r\n--" STEM_42 "-1--\r\n"), 1);
	ck_assert_uint_eq(count_of(text, "\r\n--" STEM_42 "-2\r\n"), 2);
	ck_assert_uint_eq(count_of(text, "\r\n--" STEM_42 "-2--\r\n"), 1);
	ck_assert_uint_eq(count_of(text, "\r\n--" STEM_42), 6);
	for (line = text; *line; line = strstr(line, "\r\n") + 2)
		ck_assert_uint_le(strcspn(line, "\r"), 998);
}

static void check_envelope(const struct envelope *envelope)
{
	for (size_t i = 0; i < envelope->recipient_count; i++)
		ck_assert_ptr_null(strpbrk(envelope->recipients[i], "\r\n"));
	ck_assert_ptr_null(strpbrk(envelope->sender, "\r\n"));
}

/* False: refused. */
static bool try(const struct column *column, const struct evil *evil, bool eight_bit_mime)
{
	struct compose_options options = { .instance = INSTANCE, .eight_bit_mime = eight_bit_mime };
	struct attachment attachment = { .filename = TEXT("f"), .content = bed_body_of("x", 1) };
	struct mail mail = bed_mail_of(NULL);
	struct words words = { "" };
	struct composed *composed;
	char *value = spoil(column->value, evil->octets);
	bool accepted;

	mail.to_addresses = TEXT("t@x.test");
	mail.body_text = bed_body_of("text", 4);
	mail.body_html = bed_body_of("html", 4);
	mail.attachments = &attachment;
	mail.attachment_count = 1;
	put_value(column, value, &mail);
	/* inline it would be in the multipart/related: another structure, tried in mime_parts.c */
	accepted = mime_compose(&mail, &options, &composed, &words) == OK;
	if (accepted && !attachment.content_id) {
		char *text = bed_read_source(composed, 512);

		check_structure(text, mail.headers);
		check_envelope(&composed->envelope);
		free(text);
	}
	if (!accepted)
		ck_assert_msg(strncmp(words.text, column->words, strlen(column->words)) == 0 &&
		                      text_utf8_valid(words.text, strlen(words.text)) == strlen(words.text),
		              "%s: %s", column->words, words.text);
	composed_destroy(&composed);
	free(value);
	return accepted;
}

START_TEST(no_column_can_do_evil)
{
	for (size_t c = 0; c < COUNT(columns); c++) {
		for (size_t e = 0; e < COUNT(evils); e++) {
			bool must_not = columns[c].holder == HOLDER_BODY ? evils[e].in_bodies
			                                                 : evils[e].in_lines;
			bool accepted = try(&columns[c], &evils[e], e % 2 == 0);

			ck_assert_msg(!must_not || !accepted, "%s with evil %zu", columns[c].value, e);
			ck_assert(try(&columns[c], &evils[e], e % 2 == 1) == accepted);
		}
	}
}
END_TEST

/* NUL ends a column's text; bodies have a length and may hold it. */
START_TEST(nul_is_refused_in_bodies)
{
	struct mail mail = bed_mail_of(NULL);

	mail.to_addresses = TEXT("t@x.test");
	mail.body_text = bed_body_of("a\nb\0c", 5);
	bed_check_refused(&mail, "body_text, line 2: the character NUL is not allowed");
	mail.body_text.present = false;
	mail.body_html = bed_body_of("\0", 1);
	bed_check_refused(&mail, "body_html, line 1: the character NUL is not allowed");
}
END_TEST

/* The good values are good: a refusal above is the evil's. */
START_TEST(without_evil_all_is_well)
{
	static const struct evil none = { "", false, false };

	for (size_t c = 0; c < COUNT(columns); c++)
		ck_assert_msg(try(&columns[c], &none, true), "%s", columns[c].value);
}
END_TEST

TCase *mime_evil_case(void)
{
	TCase *tcase = tcase_create("evil");

	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, no_column_can_do_evil);
	tcase_add_test(tcase, nul_is_refused_in_bodies);
	tcase_add_test(tcase, without_evil_all_is_well);
	return tcase;
}
