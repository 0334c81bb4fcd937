/*
 * mime_plain.c - tests of messages from the columns, and of their envelopes.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "tests/unit/mime_test.h"

START_TEST(text_from_the_columns)
{
	struct mail mail = bed_mail_of(NULL);
	struct composed *composed;
	char *text;

	mail.from_address = TEXT("Acme PBX <pbx@acme.example>");
	mail.to_addresses = TEXT("J\303\266rg <j@x.test>, b@x.test");
	mail.cc_addresses = TEXT("G: c@x.test, b@X.TEST;");
	mail.bcc_addresses = TEXT("d@x.test, j@x.test");
	mail.reply_to = TEXT("r@x.test");
	mail.subject = TEXT("Hello");
	mail.body_text = bed_body_of("one\ntwo", 7);
	composed = bed_compose(&mail);
	text = bed_read_source(composed, 7);
	ck_assert_str_eq(text, "Date: Tue, 25 Nov 2025 03:05:00 +0000\r\n"
	                       "Message-ID: <" HASH_42 "@acme.example>\r\n"
	                       "From: Acme PBX <pbx@acme.example>\r\n"
	                       "To: =?utf-8?B?SsO2cmc=?= <j@x.test>, b@x.test\r\n"
	                       "Cc: G: c@x.test, b@X.TEST;\r\n"
	                       "Reply-To: r@x.test\r\n"
	                       "Subject: Hello\r\n"
	                       "MIME-Version: 1.0\r\n"
	                       "Content-Type: text/plain; charset=utf-8\r\n"
	                       "Content-Transfer-Encoding: 7bit\r\n"
	                       "\r\n"
	                       "one\r\ntwo\r\n");
	free(text);
	text = bed_recipients_of(&composed->envelope);
	ck_assert_str_eq(text, "j@x.test b@x.test c@x.test d@x.test");
	free(text);
	ck_assert_str_eq(composed->envelope.sender, "pbx@acme.example");
	ck_assert_str_eq(composed->envelope.from, "pbx@acme.example");
	ck_assert_str_eq(composed->message_id, HASH_42 "@acme.example");
	ck_assert(!composed->envelope.eight_bit);
	ck_assert(!composed->envelope.smtputf8);
	composed_destroy(&composed);
	ck_assert_ptr_null(composed);
}
END_TEST

START_TEST(a_message_may_be_nearly_empty)
{
	struct mail mail = bed_mail_of(NULL);
	struct composed *composed;
	char *text;

	mail.bcc_addresses = TEXT("d@x.test");
	composed = bed_compose(&mail);
	text = bed_read_source(composed, 4096);
	ck_assert_str_eq(text, "Date: Tue, 25 Nov 2025 03:05:00 +0000\r\n"
	                       "Message-ID: <" HASH_42 "@acme.example>\r\n"
	                       "From: pbx@acme.example\r\n"
	                       "MIME-Version: 1.0\r\n"
	                       "Content-Type: text/plain; charset=utf-8\r\n"
	                       "Content-Transfer-Encoding: 7bit\r\n"
	                       "\r\n");
	free(text);
	composed_destroy(&composed);
}
END_TEST

START_TEST(a_repeat_is_the_same_and_another_row_is_not)
{
	struct mail mail = bed_mail_of(NULL);
	struct composed *one;
	struct composed *two;
	struct words words;
	char *first;
	char *second;

	mail.to_addresses = TEXT("a@x.test");
	mail.subject = TEXT("\303\204\303\226\303\234");
	mail.body_text = bed_body_of("\303\204 \n", 4);
	one = bed_compose(&mail);
	two = bed_compose(&mail);
	first = bed_read_source(one, 1);
	second = bed_read_source(two, 1000);
	ck_assert_str_eq(first, second);
	free(second);
	second = bed_read_source(one, 13);
	ck_assert_str_eq(first, second);
	free(first);
	free(second);
	composed_destroy(&two);
	mail.id = 43;
	two = bed_compose(&mail);
	ck_assert_str_ne(one->message_id, two->message_id);
	composed_destroy(&two);
	mail.id = 42;
	ck_assert_int_eq(mime_compose(&mail, &(struct compose_options){ .instance = "fedcba9876543210" },
	                              &two, &words),
	                 OK);
	ck_assert_str_ne(one->message_id, two->message_id);
	composed_destroy(&two);
	composed_destroy(&one);
}
END_TEST

static const struct encoding_case {
	const char *unit;
	size_t times;
	const char *encoding;
} encoding_cases[] = {
	{ "", 1, "7bit" },
	{ "a", 998, "7bit" },
	{ "a", 999, "quoted-printable" },
	{ "a\n", 5000, "7bit" },
	{ "From me\n.\n \n", 10, "7bit" },
	{ "M\303\244rz war es\n", 100, "quoted-printable" },
	{ "\346\227\245\346\234\254\350\252\236\n", 100, "base64" },
	{ "\303\244", 5000, "base64" },
	{ "\346\227\245\346\234\254", 1, "base64" },
};

START_TEST(the_shorter_encoding_is_taken)
{
	for (size_t i = 0; i < COUNT(encoding_cases); i++) {
		const struct encoding_case *one = &encoding_cases[i];
		struct mail mail = bed_mail_of(NULL);
		struct composed *composed;
		struct buffer body;
		char wanted[80];
		char *text;

		buffer_init(&body, 1 << 20);
		for (size_t j = 0; j < one->times; j++)
			buffer_append_text(&body, one->unit);
		mail.to_addresses = TEXT("a@x.test");
		mail.body_text = bed_body_of(body.data ? body.data : "", body.length);
		composed = bed_compose(&mail);
		text = bed_read_source(composed, 1000);
		snprintf(wanted, sizeof(wanted), "\r\nContent-Transfer-Encoding: %s\r\n\r\n", one->encoding);
		ck_assert_msg(strstr(text, wanted) != NULL, "%s:\n%s", one->encoding, text);
		ck_assert(!composed->envelope.eight_bit);
		free(text);
		composed_destroy(&composed);
		buffer_fini(&body);
	}
}
END_TEST

START_TEST(text_goes_as_it_is_where_8bitmime_is_offered)
{
	static const struct {
		const char *text;
		const char *encoding;
		bool eight_bit;
	} cases[] = {
		{ "abc\n", "7bit", false },
		{ "\303\244\n", "8bit", true },
	};
	struct compose_options options = { .instance = INSTANCE, .eight_bit_mime = true };

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct mail mail = bed_mail_of(NULL);
		struct composed *composed;
		struct words words;
		char wanted[80];
		char *text;

		mail.to_addresses = TEXT("a@x.test");
		mail.body_text = bed_body_of(cases[i].text, strlen(cases[i].text));
		ck_assert_int_eq(mime_compose(&mail, &options, &composed, &words), OK);
		text = bed_read_source(composed, 1000);
		snprintf(wanted, sizeof(wanted), "\r\nContent-Transfer-Encoding: %s\r\n\r\n",
		         cases[i].encoding);
		ck_assert_msg(strstr(text, wanted) != NULL, "%s:\n%s", cases[i].encoding, text);
		ck_assert_int_eq(composed->envelope.eight_bit, cases[i].eight_bit);
		free(text);
		composed_destroy(&composed);
	}
}
END_TEST

START_TEST(nothing_may_be_set_beside_a_whole_message)
{
	struct mail mail = bed_mail_of("From: a@x.test\nTo: b@x.test\n\n");

	mail.subject = TEXT("x");
	bed_check_refused(&mail, "message is a whole message: subject cannot be set beside it");
	mail.subject = NULL;
	mail.body_text = bed_body_of("x", 1);
	bed_check_refused(&mail, "message is a whole message: body_text cannot be set beside it");
	mail.body_text.present = false;
	mail.body_html = bed_body_of("x", 1);
	bed_check_refused(&mail, "message is a whole message: body_html cannot be set beside it");
	mail.body_html.present = false;
	mail.attachment_count = 1;
	bed_check_refused(&mail, "message is a whole message: attachments cannot be set beside it");
	mail.attachment_count = 0;
	mail.headers = TEXT("X: y");
	bed_check_refused(&mail, "message is a whole message: headers cannot be set beside it");
	mail.headers = NULL;
	mail.reply_to = TEXT("a@x.test");
	bed_check_refused(&mail, "message is a whole message: reply_to cannot be set beside it");
}
END_TEST

START_TEST(a_wrong_column_is_named)
{
	struct mail mail = bed_mail_of(NULL);
	char subject[8002];

	bed_check_refused(&mail, "there is no recipient");
	mail.to_addresses = TEXT("G:;");
	bed_check_refused(&mail, "there is no recipient");
	mail.to_addresses = TEXT("a@x.test; b@x.test");
	bed_check_refused(&mail, "to_addresses, character 9: ';' does not separate addresses, use ','");
	mail.to_addresses = TEXT("a@x.test");
	mail.cc_addresses = TEXT("a");
	bed_check_refused(&mail, "cc_addresses, character 1: a is no address: '@' is missing");
	mail.cc_addresses = NULL;
	mail.bcc_addresses = TEXT("a@");
	bed_check_refused(&mail, "bcc_addresses, character 3: a domain is expected behind '@'");
	mail.bcc_addresses = NULL;
	mail.reply_to = TEXT(",");
	bed_check_refused(&mail, "reply_to, character 1: an address is missing here");
	mail.reply_to = NULL;
	mail.envelope_from = TEXT("a@x.test, b@x.test");
	bed_check_refused(&mail, "envelope_from, character 9: only one address is allowed here");
	mail.envelope_from = NULL;
	mail.from_address = TEXT("<>");
	bed_check_refused(&mail, "from_address, character 1: there is no address between '<' and '>'");
	mail.from_address = NULL;
	bed_check_refused(&mail, "there is no from_address, neither the message's nor the tenant's");
	mail.from_address = TEXT("a@x.test");
	mail.subject = TEXT("x\r\nBcc: b@x.test");
	bed_check_refused(&mail, "subject, character 2: a line break is not allowed");
	mail.subject = TEXT("\303\244\nx");
	bed_check_refused(&mail, "subject, character 2: a line break is not allowed");
	mail.subject = TEXT("\303\244\377");
	bed_check_refused(&mail, "subject, character 2: this is not UTF-8");
	mail.subject = TEXT("\303\244\007");
	bed_check_refused(&mail, "subject, character 2: the control character U+0007 is not allowed");
	memset(subject, 'a', sizeof(subject));
	subject[8001] = '\0';
	mail.subject = subject;
	bed_check_refused(&mail, "subject is longer than 8000 octets");
	mail.subject = NULL;
	mail.body_text = bed_body_of("a\nb\rc", 5);
	bed_check_refused(&mail, "body_text, line 2: a carriage return without a line feed");
	mail.body_text = bed_body_of("a\nb\0c", 5);
	bed_check_refused(&mail, "body_text, line 2: the character NUL is not allowed");
	mail.body_text = bed_body_of("a\nb\344c", 5);
	bed_check_refused(&mail, "body_text, line 2: this is not UTF-8");
	mail.body_text = bed_body_of("a", 1);
	mail.first_queued_at_ms = -1;
	bed_check_refused(&mail, "first_queued_at_ms is no time that a Date field could hold");
}
END_TEST

START_TEST(the_envelope_sender_is_chosen)
{
	struct mail mail = bed_mail_of(NULL);
	struct composed *composed;
	struct words words;

	mail.to_addresses = TEXT("a@x.test");
	mail.envelope_from = TEXT("<>");
	composed = bed_compose(&mail);
	ck_assert_str_eq(composed->envelope.sender, "");
	ck_assert(mime_envelope_allowed("@acme.example", &composed->envelope, &words));
	composed_destroy(&composed);
	mail.envelope_from = TEXT("bounce@B\303\274cher.example");
	composed = bed_compose(&mail);
	ck_assert_str_eq(composed->envelope.sender, "bounce@xn--bcher-kva.example");
	ck_assert(!mime_envelope_allowed("@acme.example", &composed->envelope, &words));
	ck_assert_str_eq(words.text,
	                 "the tenant may not send as bounce@xn--bcher-kva.example (allowed_senders)");
	ck_assert(!mime_envelope_allowed("@b\303\274cher.example", &composed->envelope, &words));
	ck_assert_str_eq(words.text, "the tenant may not send as pbx@acme.example (allowed_senders)");
	ck_assert(mime_envelope_allowed("@b\303\274cher.example,pbx@acme.example", &composed->envelope,
	                                &words));
	composed_destroy(&composed);
}
END_TEST

START_TEST(utf8_addresses_in_the_header_are_marked)
{
	static const size_t offsets[] = {
		offsetof(struct mail, to_addresses),  offsetof(struct mail, cc_addresses),
		offsetof(struct mail, bcc_addresses), offsetof(struct mail, reply_to),
		offsetof(struct mail, from_address),  offsetof(struct mail, envelope_from),
	};

	for (size_t i = 0; i < COUNT(offsets); i++) {
		struct mail mail = bed_mail_of(NULL);
		struct composed *composed;

		mail.to_addresses = TEXT("a@x.test");
		*(char **)(void *)((char *)&mail + offsets[i]) = TEXT("j\303\266rg@x.test");
		composed = bed_compose(&mail);
		/* bcc_addresses and envelope_from show in no field */
		ck_assert_int_eq(composed->envelope.smtputf8, i != 2 && i != 5);
		ck_assert_int_eq(composed->envelope.eight_bit, i != 2 && i != 5);
		composed_destroy(&composed);
	}
}
END_TEST

START_TEST(many_recipients_are_merged_quickly)
{
	struct mail mail = bed_mail_of(NULL);
	struct composed *composed;
	struct buffer lists[3];
	bool short_lines = true;
	char *text;

	for (size_t k = 0; k < COUNT(lists); k++) {
		buffer_init(&lists[k], 1 << 20);
		for (int i = 0; i < 10000; i++)
			buffer_printf(&lists[k], "%su%zu.%d@x.test", i ? "," : "", i % 2 ? k : 9, i);
	}
	mail.to_addresses = lists[0].data;
	mail.cc_addresses = lists[1].data;
	mail.bcc_addresses = lists[2].data;
	composed = bed_compose(&mail);
	ck_assert_uint_eq(composed->envelope.recipient_count, 5000 + 3 * 5000);
	ck_assert_str_eq(composed->envelope.recipients[0], "u9.0@x.test");
	ck_assert_str_eq(composed->envelope.recipients[19999], "u2.9999@x.test");
	text = bed_read_source(composed, 4096);
	for (char *line = text; *line; line = strstr(line, "\r\n") + 2)
		short_lines = short_lines && strstr(line, "\r\n") - line <= 78;
	ck_assert(short_lines);
	free(text);
	composed_destroy(&composed);
	for (size_t k = 0; k < COUNT(lists); k++)
		buffer_fini(&lists[k]);
}
END_TEST

/* 10,000 names of 900 octets would be a header of 13 MB. */
START_TEST(a_header_has_a_limit)
{
	struct mail mail = bed_mail_of(NULL);
	struct buffer list;

	buffer_init(&list, 16 << 20);
	for (int i = 0; i < 10000; i++) {
		buffer_append_text(&list, i ? ",\"" : "\"");
		for (int j = 0; j < 450; j++)
			buffer_append_text(&list, "\303\244");
		buffer_printf(&list, "\" <a%d@x.test>", i);
	}
	mail.to_addresses = list.data;
	bed_check_refused(&mail, "the header is longer than 8388608 octets");
	buffer_fini(&list);
}
END_TEST

TCase *mime_plain_case(void)
{
	TCase *tcase = tcase_create("plain");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, text_from_the_columns);
	tcase_add_test(tcase, a_message_may_be_nearly_empty);
	tcase_add_test(tcase, a_repeat_is_the_same_and_another_row_is_not);
	tcase_add_test(tcase, the_shorter_encoding_is_taken);
	tcase_add_test(tcase, text_goes_as_it_is_where_8bitmime_is_offered);
	tcase_add_test(tcase, nothing_may_be_set_beside_a_whole_message);
	tcase_add_test(tcase, a_wrong_column_is_named);
	tcase_add_test(tcase, the_envelope_sender_is_chosen);
	tcase_add_test(tcase, utf8_addresses_in_the_header_are_marked);
	tcase_add_test(tcase, a_header_has_a_limit);
	tcase_add_test(tcase, many_recipients_are_merged_quickly);
	return tcase;
}
