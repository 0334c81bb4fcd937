/*
 * mime_compose.c - tests of mime_compose(): plain text from the columns, complete messages, envelopes.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/buffer.h"
#include "mime/compose.h"
#include "tests/unit/mime_test.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define INSTANCE "0123456789abcdef"
#define TEXT(text) ((char *)(uintptr_t)(text))

/* The left side of the Message-ID of id 42 in INSTANCE: SHA-256 of "0123456789abcdef\n42". */
#define HASH_42 "42.f933f171e61130ebe244"

static struct body body_of(const char *text, size_t length)
{
	return (struct body){ .memory = TEXT(text), .fd = -1, .size = (int64_t)length, .present = true };
}

static struct mail mail_of(const char *message)
{
	struct mail mail = { .id = 42, .first_queued_at_ms = 1764039900999,
			     .from_address = TEXT("pbx@acme.example") };

	mail.body_text.fd = mail.body_html.fd = mail.message.fd = -1;
	if (message)
		mail.message = body_of(message, strlen(message));
	return mail;
}

/* Reads all in slices; the size must be what was promised, and every LF must follow a CR. */
static char *read_source(struct composed *composed, size_t slice)
{
	struct buffer out;
	char *bytes = malloc(slice);
	bool good = true;
	size_t got;

	ck_assert_ptr_nonnull(bytes);
	buffer_init(&out, 256 << 20);
	composed->source->rewind(composed->source);
	do {
		good = composed->source->read(composed->source, bytes, slice, &got) == OK && got <= slice;
		if (good)
			buffer_append(&out, bytes, got);
	} while (good && got > 0);
	ck_assert(good);
	ck_assert_int_eq(composed->source->read(composed->source, bytes, slice, &got), OK);
	ck_assert_uint_eq(got, 0);
	ck_assert_int_eq(composed->size, (int64_t)out.length);
	for (size_t i = 0; i < out.length; i++) {
		good = good && (out.data[i] != '\n' || (i > 0 && out.data[i - 1] == '\r'));
		good = good && (out.data[i] != '\r' || out.data[i + 1] == '\n');
	}
	ck_assert_msg(good, "%s", out.data);
	ck_assert(out.length >= 2 && out.data[out.length - 1] == '\n');
	free(bytes);
	return buffer_take(&out);
}

static char *recipients_of(const struct envelope *envelope)
{
	struct buffer out;

	buffer_init(&out, 1 << 20);
	for (size_t i = 0; i < envelope->recipient_count; i++)
		buffer_printf(&out, "%s%s", i ? " " : "", envelope->recipients[i]);
	return buffer_take(&out);
}

static struct composed *compose(const struct mail *mail)
{
	struct composed *composed;
	struct words words = { "" };
	enum error error = mime_compose(mail, INSTANCE, &composed, &words);

	ck_assert_msg(error == OK, "%s", words.text);
	return composed;
}

static void check_refused(const struct mail *mail, const char *expected)
{
	struct composed *composed;
	struct words words = { "" };

	ck_assert_msg(mime_compose(mail, INSTANCE, &composed, &words) == ERROR_INVALID, "accepted, not: %s",
		      expected);
	ck_assert_ptr_null(composed);
	ck_assert_str_eq(words.text, expected);
}

/* --- plain text --------------------------------------------------------- */

START_TEST(text_from_the_columns)
{
	struct mail mail = mail_of(NULL);
	struct composed *composed;
	char *text;

	mail.from_address = TEXT("Acme PBX <pbx@acme.example>");
	mail.to_addresses = TEXT("J\303\266rg <j@x.test>, b@x.test");
	mail.cc_addresses = TEXT("G: c@x.test, b@X.TEST;");
	mail.bcc_addresses = TEXT("d@x.test, j@x.test");
	mail.reply_to = TEXT("r@x.test");
	mail.subject = TEXT("Hello");
	mail.body_text = body_of("one\ntwo", 7);
	composed = compose(&mail);
	text = read_source(composed, 7);
	ck_assert_str_eq(text,
			 "Date: Tue, 25 Nov 2025 03:05:00 +0000\r\n"
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
	text = recipients_of(&composed->envelope);
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
	struct mail mail = mail_of(NULL);
	struct composed *composed;
	char *text;

	mail.bcc_addresses = TEXT("d@x.test");
	composed = compose(&mail);
	text = read_source(composed, 4096);
	ck_assert_str_eq(text,
			 "Date: Tue, 25 Nov 2025 03:05:00 +0000\r\n"
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
	struct mail mail = mail_of(NULL);
	struct composed *one;
	struct composed *two;
	struct words words;
	char *first;
	char *second;

	mail.to_addresses = TEXT("a@x.test");
	mail.subject = TEXT("\303\204\303\226\303\234");
	mail.body_text = body_of("\303\204 \n", 4);
	one = compose(&mail);
	two = compose(&mail);
	first = read_source(one, 1);
	second = read_source(two, 1000);
	ck_assert_str_eq(first, second);
	free(second);
	second = read_source(one, 13);
	ck_assert_str_eq(first, second);
	free(first);
	free(second);
	composed_destroy(&two);
	mail.id = 43;
	two = compose(&mail);
	ck_assert_str_ne(one->message_id, two->message_id);
	composed_destroy(&two);
	mail.id = 42;
	ck_assert_int_eq(mime_compose(&mail, "fedcba9876543210", &two, &words), OK);
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
};

START_TEST(the_shorter_encoding_is_taken)
{
	for (size_t i = 0; i < COUNT(encoding_cases); i++) {
		const struct encoding_case *one = &encoding_cases[i];
		struct mail mail = mail_of(NULL);
		struct composed *composed;
		struct buffer body;
		char wanted[80];
		char *text;

		buffer_init(&body, 1 << 20);
		for (size_t j = 0; j < one->times; j++)
			buffer_append_text(&body, one->unit);
		mail.to_addresses = TEXT("a@x.test");
		mail.body_text = body_of(body.data ? body.data : "", body.length);
		composed = compose(&mail);
		text = read_source(composed, 1000);
		snprintf(wanted, sizeof(wanted), "\r\nContent-Transfer-Encoding: %s\r\n\r\n", one->encoding);
		ck_assert_msg(strstr(text, wanted) != NULL, "%s:\n%s", one->encoding, text);
		ck_assert(!composed->envelope.eight_bit);
		free(text);
		composed_destroy(&composed);
		buffer_fini(&body);
	}
}
END_TEST

START_TEST(what_is_not_built_is_refused_with_words)
{
	struct mail mail = mail_of(NULL);

	mail.to_addresses = TEXT("a@x.test");
	mail.body_html = body_of("<p>", 3);
	check_refused(&mail, "body_html is not built yet");
	mail.body_html.present = false;
	mail.attachments = 1;
	check_refused(&mail, "attachments are not built yet");
	mail.attachments = 0;
	mail.headers = TEXT("X-A: b");
	check_refused(&mail, "headers is not built yet");
	mail = mail_of("From: a@x.test\nTo: b@x.test\n\n");
	mail.subject = TEXT("x");
	check_refused(&mail, "message is a whole message: subject cannot be set beside it");
	mail.subject = NULL;
	mail.body_text = body_of("x", 1);
	check_refused(&mail, "message is a whole message: body_text cannot be set beside it");
}
END_TEST

START_TEST(a_wrong_column_is_named)
{
	struct mail mail = mail_of(NULL);
	char subject[8002];

	check_refused(&mail, "there is no recipient");
	mail.to_addresses = TEXT("G:;");
	check_refused(&mail, "there is no recipient");
	mail.to_addresses = TEXT("a@x.test; b@x.test");
	check_refused(&mail, "to_addresses, character 9: ';' does not separate addresses, use ','");
	mail.to_addresses = TEXT("a@x.test");
	mail.cc_addresses = TEXT("a");
	check_refused(&mail, "cc_addresses, character 1: a is no address: '@' is missing");
	mail.cc_addresses = NULL;
	mail.bcc_addresses = TEXT("a@");
	check_refused(&mail, "bcc_addresses, character 3: a domain is expected behind '@'");
	mail.bcc_addresses = NULL;
	mail.reply_to = TEXT(",");
	check_refused(&mail, "reply_to, character 1: an address is missing here");
	mail.reply_to = NULL;
	mail.envelope_from = TEXT("a@x.test, b@x.test");
	check_refused(&mail, "envelope_from, character 9: only one address is allowed here");
	mail.envelope_from = NULL;
	mail.from_address = TEXT("<>");
	check_refused(&mail, "from_address, character 1: there is no address between '<' and '>'");
	mail.from_address = NULL;
	check_refused(&mail, "there is no from_address, neither the message's nor the tenant's");
	mail.from_address = TEXT("a@x.test");
	mail.subject = TEXT("x\r\nBcc: b@x.test");
	check_refused(&mail, "subject, character 2: a line break is not allowed");
	mail.subject = TEXT("\303\244\nx");
	check_refused(&mail, "subject, character 2: a line break is not allowed");
	mail.subject = TEXT("\303\244\377");
	check_refused(&mail, "subject, character 2: this is not UTF-8");
	mail.subject = TEXT("\303\244\007");
	check_refused(&mail, "subject, character 2: the control character U+0007 is not allowed");
	memset(subject, 'a', sizeof(subject));
	subject[8001] = '\0';
	mail.subject = subject;
	check_refused(&mail, "subject is longer than 8000 octets");
	mail.subject = NULL;
	mail.body_text = body_of("a\nb\rc", 5);
	check_refused(&mail, "body_text, line 2: a carriage return without a line feed");
	mail.body_text = body_of("a\nb\0c", 5);
	check_refused(&mail, "body_text, line 2: the character NUL is not allowed");
	mail.body_text = body_of("a\nb\344c", 5);
	check_refused(&mail, "body_text, line 2: this is not UTF-8");
	mail.body_text = body_of("a", 1);
	mail.first_queued_at_ms = -1;
	check_refused(&mail, "first_queued_at_ms is no time that a Date field could hold");
}
END_TEST

START_TEST(the_envelope_sender_is_chosen)
{
	struct mail mail = mail_of(NULL);
	struct composed *composed;
	struct words words;

	mail.to_addresses = TEXT("a@x.test");
	mail.envelope_from = TEXT("<>");
	composed = compose(&mail);
	ck_assert_str_eq(composed->envelope.sender, "");
	ck_assert(mime_envelope_allowed("@acme.example", &composed->envelope, &words));
	composed_destroy(&composed);
	mail.envelope_from = TEXT("bounce@B\303\274cher.example");
	composed = compose(&mail);
	ck_assert_str_eq(composed->envelope.sender, "bounce@xn--bcher-kva.example");
	ck_assert(!mime_envelope_allowed("@acme.example", &composed->envelope, &words));
	ck_assert_str_eq(words.text, "the tenant may not send as bounce@xn--bcher-kva.example (allowed_senders)");
	ck_assert(!mime_envelope_allowed("@b\303\274cher.example", &composed->envelope, &words));
	ck_assert_str_eq(words.text, "the tenant may not send as pbx@acme.example (allowed_senders)");
	ck_assert(mime_envelope_allowed("@b\303\274cher.example,pbx@acme.example", &composed->envelope, &words));
	composed_destroy(&composed);
}
END_TEST

START_TEST(utf8_addresses_are_marked)
{
	static const size_t offsets[] = {
		offsetof(struct mail, to_addresses), offsetof(struct mail, cc_addresses),
		offsetof(struct mail, bcc_addresses), offsetof(struct mail, reply_to),
		offsetof(struct mail, from_address), offsetof(struct mail, envelope_from),
	};

	for (size_t i = 0; i < COUNT(offsets); i++) {
		struct mail mail = mail_of(NULL);
		struct composed *composed;

		mail.to_addresses = TEXT("a@x.test");
		*(char **)(void *)((char *)&mail + offsets[i]) = TEXT("j\303\266rg@x.test");
		composed = compose(&mail);
		ck_assert(composed->envelope.smtputf8);
		/* bcc_addresses and envelope_from show in no field */
		ck_assert_int_eq(composed->envelope.eight_bit, i != 2 && i != 5);
		composed_destroy(&composed);
	}
}
END_TEST

START_TEST(many_recipients_are_merged_quickly)
{
	struct mail mail = mail_of(NULL);
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
	composed = compose(&mail);
	ck_assert_uint_eq(composed->envelope.recipient_count, 5000 + 3 * 5000);
	ck_assert_str_eq(composed->envelope.recipients[0], "u9.0@x.test");
	ck_assert_str_eq(composed->envelope.recipients[19999], "u2.9999@x.test");
	text = read_source(composed, 4096);
	for (char *line = text; *line; line = strstr(line, "\r\n") + 2)
		short_lines = short_lines && strstr(line, "\r\n") - line <= 78;
	ck_assert(short_lines);
	free(text);
	composed_destroy(&composed);
	for (size_t k = 0; k < COUNT(lists); k++)
		buffer_fini(&lists[k]);
}
END_TEST

/* --- complete messages ---------------------------------------------------- */

#define DATE "Date: Mon, 1 Jan 2024 00:00:00 +0000\n"
#define ID "Message-ID: <x@y>\n"
#define ADDED_DATE "Date: Tue, 25 Nov 2025 03:05:00 +0000\r\n"
#define ADDED_ID "Message-ID: <" HASH_42 "@a.test>\r\n"

static const struct complete_case {
	const char *message, *result, *recipients, *message_id;
} complete_cases[] = {
	{ "From: f@a.test\nTo: t@x.test\n" DATE ID "\nbody\n",
	  "From: f@a.test\r\nTo: t@x.test\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n"
	  "Message-ID: <x@y>\r\n\r\nbody\r\n", "t@x.test", "x@y" },
	/* added at the header's end */
	{ "From: f@a.test\r\nTo: t@x.test\r\n\r\nbody",
	  "From: f@a.test\r\nTo: t@x.test\r\n" ADDED_DATE ADDED_ID "\r\nbody\r\n", "t@x.test",
	  HASH_42 "@a.test" },
	{ "From: f@a.test\nTo: t@x.test\n" DATE "\n", "From: f@a.test\r\nTo: t@x.test\r\n"
	  "Date: Mon, 1 Jan 2024 00:00:00 +0000\r\n" ADDED_ID "\r\n", "t@x.test", HASH_42 "@a.test" },
	{ "From: f@a.test\nTo: t@x.test\n" ID "\n", "From: f@a.test\r\nTo: t@x.test\r\n"
	  "Message-ID: <x@y>\r\n" ADDED_DATE "\r\n", "t@x.test", "x@y" },
	/* no empty line; no last line end */
	{ "From: f@a.test\nTo: t@x.test\n", "From: f@a.test\r\nTo: t@x.test\r\n" ADDED_DATE ADDED_ID,
	  "t@x.test", HASH_42 "@a.test" },
	{ "From: f@a.test\nTo: t@x.test", "From: f@a.test\r\nTo: t@x.test\r\n" ADDED_DATE ADDED_ID,
	  "t@x.test", HASH_42 "@a.test" },
	{ "From: f@a.test\nBcc: t@x.test", "From: f@a.test\r\n" ADDED_DATE ADDED_ID, "t@x.test",
	  HASH_42 "@a.test" },
	/* Bcc and Return-Path go, wherever, however often and however folded */
	{ "Return-Path: <r@x.test>\nbcc: b@x.test,\n c@x.test\n" DATE ID "BCC:\n\td@x.test\nFrom: f@a.test\n"
	  "RETURN-PATH:\n <q@x.test>\nX-Bcc: kept\nBcc: \n\nBcc: body\n",
	  "Date: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-ID: <x@y>\r\nFrom: f@a.test\r\n"
	  "X-Bcc: kept\r\n\r\nBcc: body\r\n", "b@x.test c@x.test d@x.test", "x@y" },
	/* To, Cc, Bcc in this order, each once */
	{ "Bcc: b@x.test, t@X.test\nCc: c@x.test\nTo: G: t@x.test;,\r\n (x) \"T, 2\" <t2@x.test>\n"
	  "To:\nFrom: f@a.test\n" DATE ID "\n",
	  "Cc: c@x.test\r\nTo: G: t@x.test;,\r\n (x) \"T, 2\" <t2@x.test>\r\nTo:\r\nFrom: f@a.test\r\n"
	  "Date: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-ID: <x@y>\r\n\r\n",
	  "t@x.test t2@x.test c@x.test b@x.test", "x@y" },
	/* every other octet stays: trailing space, folding, case, dots, 8 bit in the body */
	{ "from: J. Doe <f@a.test> \nTO:t@x.test\nSubject:  a \n\tb\t\n" DATE "message-id:\n <x@y> (z)\n"
	  "DKIM-Signature: v=1;\n b=abc\n\n.\n..\nFrom \303\244\377 \n\n",
	  "from: J. Doe <f@a.test> \r\nTO:t@x.test\r\nSubject:  a \r\n\tb\t\r\n"
	  "Date: Mon, 1 Jan 2024 00:00:00 +0000\r\nmessage-id:\r\n <x@y> (z)\r\nDKIM-Signature: v=1;\r\n"
	  " b=abc\r\n\r\n.\r\n..\r\nFrom \303\244\377 \r\n\r\n", "t@x.test", "x@y" },
	/* an identification that is none is told as it is */
	{ "From: f@a.test\nTo: t@x.test\n" DATE "Message-ID: a  b\n\n",
	  "From: f@a.test\r\nTo: t@x.test\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n"
	  "Message-ID: a  b\r\n\r\n", "t@x.test", "a b" },
};

static void check_complete(const struct complete_case *one, struct mail *mail)
{
	struct composed *composed = compose(mail);

	for (size_t slice = 1; slice < 300; slice += 13) {
		char *text = read_source(composed, slice);

		ck_assert_str_eq(text, one->result);
		free(text);
	}
	if (one->recipients) {
		char *recipients = recipients_of(&composed->envelope);

		ck_assert_str_eq(recipients, one->recipients);
		free(recipients);
	}
	ck_assert_str_eq(composed->message_id, one->message_id);
	ck_assert_str_eq(composed->envelope.from, "f@a.test");
	ck_assert_str_eq(composed->envelope.sender, "pbx@acme.example");
	ck_assert_int_eq(composed->envelope.eight_bit, strstr(one->message, "\377") != NULL);
	ck_assert(!composed->envelope.smtputf8);
	composed_destroy(&composed);
}

START_TEST(complete_messages_go_out)
{
	for (size_t i = 0; i < COUNT(complete_cases); i++) {
		const struct complete_case *one = &complete_cases[i];
		struct mail mail = mail_of(one->message);
		size_t length = strlen(one->message);

		check_complete(one, &mail);
		/* the same from a spool file */
		mail.message = (struct body){ .fd = memfd_create("message", MFD_CLOEXEC), .offset = 3,
					      .size = (int64_t)length, .present = true };
		ck_assert_int_ge(mail.message.fd, 0);
		ck_assert_int_eq(pwrite(mail.message.fd, one->message, length, 3), (ssize_t)length);
		check_complete(one, &mail);
		close(mail.message.fd);
	}
}
END_TEST

static const struct refused_case {
	const char *message, *words;
} refused_cases[] = {
	{ "", "message has no From field" },
	{ "\nFrom: a@x.test\n", "message has no From field" },
	{ "To: a@x.test\n\nFrom: a@x.test\n", "message has no From field" },
	{ "From: a@x.test\n\n", "there is no recipient" },
	{ "From: a@x.test\nTo: G:;\nBcc:\n\n", "there is no recipient" },
	{ "From: a@x.test\nTo: b@x.test\nFrom: c@x.test\n\n", "message, line 3, From: a second From field" },
	{ "From:\nTo: b@x.test\n\n", "message, line 1, From, character 1: an address is missing here" },
	{ "From: G:;\nTo: b@x.test\n\n", "message, line 1, From: no address" },
	{ "From: a@x.test\nTo: b@x.test; c@x.test\n\n",
	  "message, line 2, To, character 10: ';' does not separate addresses, use ','" },
	{ "From: a@x.test\nTo: b@x.test,\n c;\n\n",
	  "message, line 2, To, character 12: c is no address: '@' is missing" },
	{ "From: a@x.test\nBcc: b\n\n", "message, line 2, Bcc, character 2: b is no address: '@' is missing" },
	{ "From: a@x.test\nTo: b@x.test\nMessage-ID: \n\n", "message, line 3, Message-ID: empty" },
	{ "From: a@x.test\nTo: b@x.test\nResent-To: c@x.test\n\n",
	  "message, line 3, Resent-To: a message that is sent again needs to_addresses, cc_addresses or "
	  "bcc_addresses" },
	{ "From: a@x.test\nresent-date: x\nTo: b@x.test\n\n",
	  "message, line 2, resent-date: a message that is sent again needs to_addresses, cc_addresses or "
	  "bcc_addresses" },
	{ "From: a@x.test\nTo: b@x.test\nBcc : c@x.test\n\n",
	  "message, line 3: white space between a header field's name and ':'" },
	{ "From: a@x.test\nTo: b@x.test\n\na\nb\rc\n",
	  "message, line 5: a NUL, or a carriage return without a line feed" },
	{ "From: a@x.test\nTo: b@x.test\n\na\nb\r",
	  "message, line 5: a NUL, or a carriage return without a line feed" },
	{ "From: a@x.test\nTo: b@x.test\n\rBcc: c@x.test\n\n",
	  "message, line 3: a NUL, or a carriage return without a line feed" },
	{ "From: a@x.test\nBcc: b@x.test,\n c@x.test\nX: y\n\na\n\r\r\n",
	  "message, line 7: a NUL, or a carriage return without a line feed" },
	{ "From: a@x.test\nTo: b@x.test\rBcc: c@x.test\n\n",
	  "message, line 2: a carriage return without a line feed" },
};

START_TEST(wrong_messages_are_refused)
{
	struct mail mail;

	for (size_t i = 0; i < COUNT(refused_cases); i++) {
		mail = mail_of(refused_cases[i].message);
		check_refused(&mail, refused_cases[i].words);
	}
	mail = mail_of(NULL);
	mail.message = body_of("From: a@x.test\nTo: b@x.test\n\na\n\0\n", 33);
	check_refused(&mail, "message, line 5: a NUL, or a carriage return without a line feed");
}
END_TEST

START_TEST(the_columns_are_the_whole_envelope)
{
	struct mail mail = mail_of("From: f@a.test\nTo: nonsense\nBcc: b@x.test\n"
				   "Resent-To: c@x.test\n" DATE ID "\n");
	struct composed *composed;
	char *text;

	mail.cc_addresses = TEXT("\"Z\" <z@x.test>");
	composed = compose(&mail);
	text = read_source(composed, 100);
	ck_assert_str_eq(text, "From: f@a.test\r\nTo: nonsense\r\nResent-To: c@x.test\r\n"
			       "Date: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-ID: <x@y>\r\n\r\n");
	free(text);
	text = recipients_of(&composed->envelope);
	ck_assert_str_eq(text, "z@x.test");
	free(text);
	composed_destroy(&composed);
	mail.cc_addresses = TEXT("G:;");
	check_refused(&mail, "there is no recipient");
	mail.cc_addresses = TEXT("z");
	check_refused(&mail, "cc_addresses, character 1: z is no address: '@' is missing");
}
END_TEST

START_TEST(every_author_must_be_allowed)
{
	struct mail mail = mail_of("From: F <f@a.test>, g@b.test\nSender: g@b.test\nTo: t@x.test\n\n");
	struct composed *composed;
	struct words words;

	mail.from_address = NULL;
	composed = compose(&mail);
	ck_assert_str_eq(composed->envelope.sender, "f@a.test");
	ck_assert_uint_eq(composed->envelope.author_count, 2);
	ck_assert(!mime_envelope_allowed("@a.test", &composed->envelope, &words));
	ck_assert_str_eq(words.text, "the tenant may not send as g@b.test (allowed_senders)");
	ck_assert(mime_envelope_allowed("@a.test,@b.test", &composed->envelope, &words));
	ck_assert(mime_envelope_allowed(NULL, &composed->envelope, &words));
	composed_destroy(&composed);
}
END_TEST

START_TEST(a_header_of_utf8_needs_smtputf8)
{
	struct mail mail = mail_of("From: f@a.test\nTo: t@x.test\nSubject: M\303\244rz\n\n");
	struct composed *composed = compose(&mail);

	ck_assert(composed->envelope.smtputf8);
	ck_assert(composed->envelope.eight_bit);
	composed_destroy(&composed);
	mail = mail_of("From: f@a.test\nBcc: \"\303\204\" <t@x.test>\n\n");
	composed = compose(&mail);
	ck_assert(!composed->envelope.smtputf8);
	ck_assert(!composed->envelope.eight_bit);
	composed_destroy(&composed);
}
END_TEST

/* 64 MiB go through in memory of a few KiB: the body stands in a file, and is read three times. */
START_TEST(large_messages_are_streamed)
{
	static char line[1024 * 1024];
	struct mail mail = mail_of(NULL);
	int fd = memfd_create("message", MFD_CLOEXEC);
	static const char header[] = "From: f@a.test\nTo: t@x.test\n\n";
	struct composed *composed;
	char bytes[65536];
	int64_t total = 0;
	enum error error;
	size_t got;

	ck_assert_int_ge(fd, 0);
	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	ck_assert_int_eq(write(fd, header, sizeof(header) - 1), sizeof(header) - 1);
	for (int i = 0; i < 64; i++)
		ck_assert_int_eq(write(fd, line, sizeof(line)), sizeof(line));
	mail.message = (struct body){ .fd = fd, .size = (int64_t)sizeof(header) - 1 + 64 * (int64_t)sizeof(line),
				      .present = true };
	composed = compose(&mail);
	do {
		error = composed->source->read(composed->source, bytes, sizeof(bytes), &got);
		total += (int64_t)got;
	} while (error == OK && got > 0);
	ck_assert_int_eq(error, OK);
	ck_assert_int_eq(total, composed->size);
	/* a file that shrinks under us is told, not taken for the end */
	composed->source->rewind(composed->source);
	ck_assert_int_eq(ftruncate(fd, 1000000), 0);
	do
		error = composed->source->read(composed->source, bytes, sizeof(bytes), &got);
	while (error == OK && got > 0);
	ck_assert_int_eq(error, ERROR_SYSTEM);
	composed_destroy(&composed);
	close(fd);
}
END_TEST

TCase *mime_compose_case(void)
{
	TCase *tcase = tcase_create("compose");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, text_from_the_columns);
	tcase_add_test(tcase, a_message_may_be_nearly_empty);
	tcase_add_test(tcase, a_repeat_is_the_same_and_another_row_is_not);
	tcase_add_test(tcase, the_shorter_encoding_is_taken);
	tcase_add_test(tcase, what_is_not_built_is_refused_with_words);
	tcase_add_test(tcase, a_wrong_column_is_named);
	tcase_add_test(tcase, the_envelope_sender_is_chosen);
	tcase_add_test(tcase, utf8_addresses_are_marked);
	tcase_add_test(tcase, many_recipients_are_merged_quickly);
	tcase_add_test(tcase, complete_messages_go_out);
	tcase_add_test(tcase, wrong_messages_are_refused);
	tcase_add_test(tcase, the_columns_are_the_whole_envelope);
	tcase_add_test(tcase, every_author_must_be_allowed);
	tcase_add_test(tcase, a_header_of_utf8_needs_smtputf8);
	tcase_add_test(tcase, large_messages_are_streamed);
	return tcase;
}
