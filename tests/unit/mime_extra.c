/*
 * mime_extra.c - tests of the column headers.
 *
 * Sources: RFC 5322 2.2, 3.3 and 3.6, RFC 2047 5, RFC 2369, RFC 8098 2.1.
 */
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "mime/extra.h"
#include "tests/unit/mime_test.h"

#define A900 A70 A70 A70 A70 A70 A70 A70 A70 A70 A70 A70 A70 A10 A10 A10 A10 A10 A10
#define URL  "<https://lists.example/" A70 A10 "?a=?b&c=?=>"

static const struct good_case {
	const char *headers, *written;
} good_cases[] = {
	{ "", "" },
	{ "X-A: b", "X-A: b\r\n" },
	{ "X-A:b\n", "X-A: b\r\n" },
	{ "X-A: \t b \t\r\nX-B: c\r\n", "X-A: b\r\nX-B: c\r\n" },
	{ "x-a: b\nX-A: c\n", "x-a: b\r\nX-A: c\r\n" },
	{ "X_1!#$%&'*+-.^`{|}~: x", "X_1!#$%&'*+-.^`{|}~: x\r\n" },
	{ "X-A: a  b\t\tc :d", "X-A: a  b\t\tc :d\r\n" },
	{ "X-A: " A70 "  " A10 "\t" A70, "X-A: " A70 "\r\n  " A10 "\r\n\t" A70 "\r\n" },
	{ "X-A: Gr\303\274\303\237e  aus K\303\266ln", "X-A: =?utf-8?B?R3LDvMOfZSAgYXVzIEvDtmxu?=\r\n" },
	{ "X-A: a =?utf-8?Q?b?= c", "X-A: a =?utf-8?B?PT91dGYtOD9RP2I/PQ==?= c\r\n" },
	{ "X-A: https://x.example/?a=?b", "X-A: https://x.example/?a=?b\r\n" },
	{ "Comments: J\303\266rg", "Comments: =?utf-8?B?SsO2cmc=?=\r\n" },
	{ "List-Unsubscribe: " URL ", <mailto:u@x.test>\nList-Unsubscribe-Post: List-Unsubscribe=One-Click",
	  "List-Unsubscribe: " URL ",\r\n <mailto:u@x.test>\r\n"
	  "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" },
	{ "List-Id: M\303\274ll <l.x.test>", "List-Id: =?utf-8?B?TcO8bGw=?= <l.x.test>\r\n" },
	{ "Auto-Submitted: auto-generated", "Auto-Submitted: auto-generated\r\n" },
	{ "In-Reply-To: <a@b>\nReferences: <x..y@b>  <\"a\"@[c]>\t<1>",
	  "In-Reply-To: <a@b>\r\nReferences: <x..y@b>  <\"a\"@[c]>\t<1>\r\n" },
	{ "Sender: \"J. Doe\" <j@b\303\274cher.example>",
	  "Sender: \"J. Doe\" <j@xn--bcher-kva.example>\r\n" },
	{ "Disposition-Notification-To: J\303\266rg <j@x.test>, G: k@x.test;",
	  "Disposition-Notification-To: =?utf-8?B?SsO2cmc=?= <j@x.test>, G: k@x.test;\r\n" },
	{ "Keywords: fax, a b", "Keywords: fax, a b\r\n" },
	{ "Keywords: fax, \303\244 b ,c", "Keywords: fax, =?utf-8?Q?=C3=A4_b?= , c\r\n" },
	{ "Message-ID: <1.a-b@x.test>", "Message-ID: <1.a-b@x.test>\r\n" },
	{ "Date: Tue, 25 Nov 2025 03:05:00 +0000", "Date: Tue, 25 Nov 2025 03:05:00 +0000\r\n" },
	{ "Date: 1 Jan 1970 00:00 -1159", "Date: 1 Jan 1970 00:00 -1159\r\n" },
	{ "Date: Thu, 29 Feb 2024 23:59:60 +0530", "Date: Thu, 29 Feb 2024 23:59:60 +0530\r\n" },
};

START_TEST(fields_are_taken_and_folded)
{
	for (size_t i = 0; i < COUNT(good_cases); i++) {
		struct extra extra;
		struct words words = { "" };
		struct buffer out;

		ck_assert_msg(extra_parse(&extra, good_cases[i].headers, &words) == OK, "%s", words.text);
		buffer_init(&out, 1 << 16);
		for (size_t j = 0; j < extra.count; j++)
			ck_assert(extra_put(&out, &extra.items[j]));
		ck_assert_str_eq(out.data ? out.data : "", good_cases[i].written);
		buffer_fini(&out);
		extra_fini(&extra);
	}
}
END_TEST

#define DATE_WORDS "headers, line 1, Date: a date is expected, as in Tue, 25 Nov 2025 03:05:00 +0000"

static const struct bad_case {
	const char *headers, *words;
} bad_cases[] = {
	{ "\n", "headers, line 1: an empty line is not allowed" },
	{ "X: y\n\nBody", "headers, line 2: an empty line is not allowed" },
	{ "X: y\r\n\r\n", "headers, line 2: an empty line is not allowed" },
	{ "X: y\n folded", "headers, line 2: white space at the start; a field stands on one line, it is "
	                   "folded later" },
	{ "\tX: y", "headers, line 1: white space at the start; a field stands on one line, it is folded "
	            "later" },
	{ "X", "headers, line 1: this is no 'Name: value'" },
	{ "X y: z", "headers, line 1: this is no 'Name: value'" },
	{ "X : y", "headers, line 1: this is no 'Name: value'" },
	{ "X\303\244: y", "headers, line 1: this is no 'Name: value'" },
	{ "X\177: y", "headers, line 1: this is no 'Name: value'" },
	{ "X: y\n: z", "headers, line 2: a name is missing before ':'" },
	{ A70 "1234567: x", "headers, line 1: the name is longer than 76 octets" },
	{ "X-A:", "headers, line 1, X-A: there is no value behind ':'" },
	{ "X-A: \t ", "headers, line 1, X-A: there is no value behind ':'" },
	{ "X-A: b\rBcc: x", "headers, line 1, X-A, character 2: a line break is not allowed" },
	{ "X-A: b\r\r\nBcc: x", "headers, line 1, X-A, character 2: a line break is not allowed" },
	{ "X-A: \303\244\001", "headers, line 1, X-A, character 2: the control character U+0001 is not "
	                       "allowed" },
	{ "X-A: b\377", "headers, line 1, X-A, character 2: this is not UTF-8" },
	{ "X-A: b " A900, "headers, line 1, X-A, character 2: a word of more than 900 octets cannot be "
	                  "folded" },
	{ "X: y\nfrom: a@b", "headers, line 2: from is not allowed here: the column from_address makes it" },
	{ "To: a@b", "headers, line 1: To is not allowed here: the column to_addresses makes it" },
	{ "Cc: a@b", "headers, line 1: Cc is not allowed here: the column cc_addresses makes it" },
	{ "BCC: a@b", "headers, line 1: BCC is not allowed here: the column bcc_addresses is for that" },
	{ "Subject: a", "headers, line 1: Subject is not allowed here: the column subject makes it" },
	{ "Reply-To: a@b", "headers, line 1: Reply-To is not allowed here: the column reply_to makes it" },
	{ "MIME-Version: 1", "headers, line 1: MIME-Version is not allowed here: it is made of the "
	                     "columns" },
	{ "Content-Type: a/b", "headers, line 1: Content-Type is not allowed here: it is made of the "
	                       "columns" },
	{ "content-x: a", "headers, line 1: content-x is not allowed here: it is made of the columns" },
	{ "Return-Path: <>", "headers, line 1: Return-Path is not allowed here: servers write it" },
	{ "Received: x", "headers, line 1: Received is not allowed here: servers write it" },
	{ "Authentication-Results: x", "headers, line 1: Authentication-Results is not allowed here: "
	                               "servers write it" },
	{ "Resent-To: x", "headers, line 1: Resent-To is not allowed here: what is sent again is a message "
	                  "that is whole already, in the column message" },
	{ "DKIM-Signature: x", "headers, line 1: DKIM-Signature is not allowed here: a signature needs a "
	                       "message that is whole already, in the column message" },
	{ "ARC-Seal: x", "headers, line 1: ARC-Seal is not allowed here: a signature needs a message that "
	                 "is whole already, in the column message" },
	{ "Sender: a@b\nX: y\nsender: c@d", "headers, line 3: a second sender, the first is in line 1" },
	{ "Date: 1 Jan 1970 00:00 +0000\nDate: 1 Jan 1970 00:00 +0000",
	  "headers, line 2: a second Date, the first is in line 1" },
	{ "References: <a>\nReferences: <b>",
	  "headers, line 2: a second References, the first is in line 1" },
	{ "List-Id: <a>\nLIST-ID: <b>", "headers, line 2: a second LIST-ID, the first is in line 1" },
	{ "List-Help: <a>\nList-Help: <b>", "headers, line 2: a second List-Help, the first is in line 1" },
	{ "Precedence: \303\244",
	  "headers, line 1, Precedence, character 1: only ASCII is allowed in this field" },
	{ "Sender: a@b, c@d", "headers, line 1, Sender, character 4: only one address is allowed here" },
	{ "Sender: a", "headers, line 1, Sender, character 1: a is no address: '@' is missing" },
	{ "Errors-To: a@b;", "headers, line 1, Errors-To, character 4: ';' does not separate addresses, use "
	                     "','" },
	{ "In-Reply-To: a@b", "headers, line 1, In-Reply-To, character 1: an id in '<>' is expected here" },
	{ "References: <a> b", "headers, line 1, References, character 5: an id in '<>' is expected here" },
	{ "References: <a", "headers, line 1, References, character 1: the id that begins here has no '>'" },
	{ "References: <a <b>",
	  "headers, line 1, References, character 1: the id that begins here has no '>'" },
	{ "References: <>",
	  "headers, line 1, References, character 1: there is nothing between '<' and '>'" },
	{ "References: <\303\244>",
	  "headers, line 1, References, character 2: only ASCII is allowed in this field" },
	{ "Message-ID: a@b", "headers, line 1, Message-ID: '<left@right>' is expected" },
	{ "Message-ID: <ab>", "headers, line 1, Message-ID: '<left@right>' is expected" },
	{ "Message-ID: <a@b", "headers, line 1, Message-ID: '<left@right>' is expected" },
	{ "Message-ID: x", "headers, line 1, Message-ID: '<left@right>' is expected" },
	{ "Message-ID: <a@b> <c@d>", "headers, line 1, Message-ID, character 4: '>' is not allowed here" },
	{ "Date: now", DATE_WORDS },
	{ "Date: Tuesday, 25 Nov 2025 03:05:00 +0000", DATE_WORDS },
	{ "Date: Wed, 25 Nov 2025 03:05:00 +0000", DATE_WORDS },
	{ "Date: Tue,25 Nov 2025 03:05:00 +0000", DATE_WORDS },
	{ "Date: 25 nov 2025 03:05:00 +0000", DATE_WORDS },
	{ "Date: 25Nov 2025 03:05:00 +0000", DATE_WORDS },
	{ "Date: 25 Nov2025 03:05:00 +0000", DATE_WORDS },
	{ "Date: 25 Nov 25 03:05:00 +0000", DATE_WORDS },
	{ "Date: 25 Nov 2025  03:05:00 +0000", DATE_WORDS },
	{ "Date: 25 Nov 2025 3:05:00 +0000", DATE_WORDS },
	{ "Date: 25 Nov 2025 0305 +0000", DATE_WORDS },
	{ "Date: 25 Nov 2025 03:5 +0000", DATE_WORDS },
	{ "Date: 25 Nov 2025 03:05:0 +0000", DATE_WORDS },
	{ "Date: 25 Nov 2025 03:05:00+0000", DATE_WORDS },
	{ "Date: 25 Nov 2025 03:05:00 GMT", DATE_WORDS },
	{ "Date: 25 Nov 2025 03:05:00 +000", DATE_WORDS },
	{ "Date: 25 Nov 2025 03:05:00 +0060", DATE_WORDS },
	{ "Date: 25 Nov 2025 03:05:00 +0000 (UTC)", DATE_WORDS },
	{ "Date: 25 Nov 2025 24:00:00 +0000", DATE_WORDS },
	{ "Date: 25 Nov 2025 00:60:00 +0000", DATE_WORDS },
	{ "Date: 25 Nov 2025 00:00:61 +0000", DATE_WORDS },
	{ "Date: 25 Nov 1899 00:00:00 +0000", DATE_WORDS },
	{ "Date: 0 Nov 2025 00:00:00 +0000", DATE_WORDS },
	{ "Date: 31 Nov 2025 00:00:00 +0000", DATE_WORDS },
	{ "Date: 29 Feb 2025 00:00:00 +0000", DATE_WORDS },
};

START_TEST(everything_else_is_refused_with_line_and_name)
{
	for (size_t i = 0; i < COUNT(bad_cases); i++) {
		struct extra extra;
		struct words words = { "" };

		ck_assert_msg(extra_parse(&extra, bad_cases[i].headers, &words) == ERROR_INVALID,
		              "accepted: %s", bad_cases[i].headers);
		ck_assert_str_eq(words.text, bad_cases[i].words);
		extra_fini(&extra);
	}
}
END_TEST

START_TEST(fields_are_counted)
{
	struct buffer text;
	struct extra extra;
	struct words words;

	ck_assert_int_eq(extra_parse(&extra, NULL, &words), OK);
	ck_assert_uint_eq(extra.count, 0);
	buffer_init(&text, 1 << 20);
	for (int i = 0; i < EXTRA_FIELDS_MAX; i++)
		buffer_append_text(&text, "X: y\n");
	ck_assert_int_eq(extra_parse(&extra, text.data, &words), OK);
	ck_assert_uint_eq(extra.count, EXTRA_FIELDS_MAX);
	extra_fini(&extra);
	buffer_append_text(&text, "X: y\n");
	ck_assert_int_eq(extra_parse(&extra, text.data, &words), ERROR_LIMIT);
	ck_assert_str_eq(words.text, "headers: more than 1000 fields");
	extra_fini(&extra);
	while (text.length <= EXTRA_LENGTH_MAX)
		buffer_append_text(&text, "X: y\n");
	ck_assert_int_eq(extra_parse(&extra, text.data, &words), ERROR_LIMIT);
	ck_assert_str_eq(words.text, "headers: longer than 400000 octets");
	extra_fini(&extra);
	buffer_fini(&text);
}
END_TEST

/* No line over 998 octets, however long the words are that are allowed. */
START_TEST(lines_stay_within_998_octets)
{
	for (size_t length = 1; length <= EXTRA_WORD_MAX; length++) {
		struct buffer text;
		struct buffer out;
		struct extra extra;
		struct words words;

		buffer_init(&text, 1 << 16);
		buffer_append_text(&text, A70 "123456:");
		for (size_t i = 0; i < length; i++)
			buffer_append_char(&text, 'x');
		buffer_append_text(&text, "  ");
		for (size_t i = 2; i < length; i++)
			buffer_append_char(&text, 'y');
		ck_assert_int_eq(extra_parse(&extra, text.data, &words), OK);
		buffer_init(&out, 1 << 16);
		ck_assert(extra_put(&out, &extra.items[0]));
		for (const char *line = out.data; *line; line = strstr(line, "\r\n") + 2)
			ck_assert_uint_le(strcspn(line, "\r"), 998);
		buffer_fini(&out);
		buffer_fini(&text);
		extra_fini(&extra);
	}
}
END_TEST

/* Date, Message-ID and Sender of the column stand in place of ours, once. */
START_TEST(a_message_takes_what_headers_says)
{
	struct mail mail = bed_mail_of(NULL);
	struct composed *composed;
	struct words words;
	char *text;

	mail.to_addresses = TEXT("a@x.test");
	mail.first_queued_at_ms = -1; /* has no Date of its own, and needs none */
	mail.headers = TEXT("X-A: b\nMessage-ID: <1@x.test>\nSender: s@y.test\n"
	                    "Date: Mon, 24 Nov 2025 03:05:00 +0100\n");
	composed = bed_compose(&mail);
	text = bed_read_source(composed, 100);
	ck_assert_str_eq(text, "Date: Mon, 24 Nov 2025 03:05:00 +0100\r\n"
	                       "Message-ID: <1@x.test>\r\n"
	                       "From: pbx@acme.example\r\n"
	                       "To: a@x.test\r\n"
	                       "X-A: b\r\n"
	                       "Sender: s@y.test\r\n"
	                       "MIME-Version: 1.0\r\n"
	                       "Content-Type: text/plain; charset=utf-8\r\n"
	                       "Content-Transfer-Encoding: 7bit\r\n"
	                       "\r\n");
	free(text);
	ck_assert_str_eq(composed->message_id, "1@x.test");
	ck_assert_str_eq(composed->envelope.from, "pbx@acme.example");
	ck_assert_str_eq(composed->envelope.sender, "pbx@acme.example");
	/* who may not write From may not write Sender either, which readers show */
	ck_assert(!mime_envelope_allowed("@acme.example", &composed->envelope, &words));
	ck_assert_str_eq(words.text, "the tenant may not send as s@y.test (allowed_senders)");
	ck_assert(mime_envelope_allowed("@acme.example, @y.test", &composed->envelope, &words));
	composed_destroy(&composed);
}
END_TEST

START_TEST(a_utf8_address_needs_smtputf8)
{
	static const char *const headers[] = {
		"Sender: j\303\266rg@x.test",
		"Mail-Reply-To: a@x.test, j\303\266rg@x.test",
	};

	for (size_t i = 0; i < COUNT(headers); i++) {
		struct mail mail = bed_mail_of(NULL);
		struct composed *composed;

		mail.to_addresses = TEXT("a@x.test");
		mail.headers = TEXT(headers[i]);
		composed = bed_compose(&mail);
		ck_assert(composed->envelope.smtputf8);
		ck_assert(composed->envelope.eight_bit);
		composed_destroy(&composed);
	}
}
END_TEST

TCase *mime_extra_case(void)
{
	TCase *tcase = tcase_create("extra");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, fields_are_taken_and_folded);
	tcase_add_test(tcase, everything_else_is_refused_with_line_and_name);
	tcase_add_test(tcase, fields_are_counted);
	tcase_add_test(tcase, lines_stay_within_998_octets);
	tcase_add_test(tcase, a_message_takes_what_headers_says);
	tcase_add_test(tcase, a_utf8_address_needs_smtputf8);
	return tcase;
}
