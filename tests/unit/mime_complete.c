/*
 * mime_complete.c - tests of complete messages on their way out.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/buffer.h"
#include "tests/unit/mime_test.h"

#define DATE       "Date: Mon, 1 Jan 2024 00:00:00 +0000\n"
#define ID         "Message-ID: <x@y>\n"
#define ADDED_DATE "Date: Tue, 25 Nov 2025 03:05:00 +0000\r\n"
#define ADDED_ID   "Message-ID: <" HASH_42 "@a.test>\r\n"

static const struct complete_case {
	const char *message, *result, *recipients, *message_id;
} complete_cases[] = {
	{ "From: f@a.test\nTo: t@x.test\n" DATE ID "\nbody\n",
	  "From: f@a.test\r\nTo: t@x.test\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n"
	  "Message-ID: <x@y>\r\n\r\nbody\r\n",
	  "t@x.test", "x@y" },
	/* added at the header's end */
	{ "From: f@a.test\r\nTo: t@x.test\r\n\r\nbody",
	  "From: f@a.test\r\nTo: t@x.test\r\n" ADDED_DATE ADDED_ID "\r\nbody\r\n", "t@x.test",
	  HASH_42 "@a.test" },
	{ "From: f@a.test\nTo: t@x.test\n" DATE "\n",
	  "From: f@a.test\r\nTo: t@x.test\r\n"
	  "Date: Mon, 1 Jan 2024 00:00:00 +0000\r\n" ADDED_ID "\r\n",
	  "t@x.test", HASH_42 "@a.test" },
	{ "From: f@a.test\nTo: t@x.test\n" ID "\n",
	  "From: f@a.test\r\nTo: t@x.test\r\n"
	  "Message-ID: <x@y>\r\n" ADDED_DATE "\r\n",
	  "t@x.test", "x@y" },
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
	  "X-Bcc: kept\r\n\r\nBcc: body\r\n",
	  "b@x.test c@x.test d@x.test", "x@y" },
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
	  " b=abc\r\n\r\n.\r\n..\r\nFrom \303\244\377 \r\n\r\n",
	  "t@x.test", "x@y" },
	/* an identification that is none is told as it is */
	{ "From: f@a.test\nTo: t@x.test\n" DATE "Message-ID: a  b\n\n",
	  "From: f@a.test\r\nTo: t@x.test\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n"
	  "Message-ID: a  b\r\n\r\n",
	  "t@x.test", "a b" },
};

static void check_complete(const struct complete_case *one, struct mail *mail)
{
	struct composed *composed = bed_compose(mail);

	for (size_t slice = 1; slice < 300; slice += 13) {
		char *text = bed_read_source(composed, slice);

		ck_assert_str_eq(text, one->result);
		free(text);
	}
	if (one->recipients) {
		char *recipients = bed_recipients_of(&composed->envelope);

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
		struct mail mail = bed_mail_of(one->message);
		size_t length = strlen(one->message);

		check_complete(one, &mail);
		/* the same from a spool file */
		mail.message = (struct body){ .fd = memfd_create("message", MFD_CLOEXEC),
			                      .offset = 3,
			                      .size = (int64_t)length,
			                      .present = true };
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
	{ "From: a@x.test\nBcc: b\n\n",
	  "message, line 2, Bcc, character 2: b is no address: '@' is missing" },
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
		mail = bed_mail_of(refused_cases[i].message);
		bed_check_refused(&mail, refused_cases[i].words);
	}
	mail = bed_mail_of(NULL);
	mail.message = bed_body_of("From: a@x.test\nTo: b@x.test\n\na\n\0\n", 33);
	bed_check_refused(&mail, "message, line 5: a NUL, or a carriage return without a line feed");
}
END_TEST

/* A message of a head, a unit many times, and a tail. */
static struct buffer long_message(const char *head, const char *unit, size_t times, const char *tail)
{
	struct buffer text;

	buffer_init(&text, 64 << 20);
	buffer_append_text(&text, head);
	for (size_t i = 0; i < times; i++)
		buffer_append_text(&text, unit);
	buffer_append_text(&text, tail);
	return text;
}

static void check_long(struct buffer text, const char *words)
{
	struct mail mail = bed_mail_of(text.data);

	bed_check_refused(&mail, words);
	buffer_fini(&text);
}

START_TEST(limits_are_kept)
{
	struct buffer lists = long_message("To: ", "a@x.test,\n ", 9999, "a@x.test\n");
	struct buffer four = long_message("From: a@x.test\n", lists.data, 4, "\n");

	check_long(four, "more than 30000 recipients");
	buffer_fini(&lists);
	check_long(long_message("From: a@x.test\nTo: ", "a@x.test,\n ", 10000, "a@x.test\n\n"),
	           "message, line 2, To: more than 10000 addresses");
	check_long(long_message("To: a@x.test\nFrom: ", "a@x.test,\n ", 100, "a@x.test\n\n"),
	           "message, line 2, From: more than 100 addresses");
	check_long(long_message("From: a@x.test\nTo: (", "12345678", 131072, ") a@x.test\n\n"),
	           "message, line 2, To: longer than 1 MiB");
	check_long(long_message("From: a@x.test\n", "Bcc: a@x.test\n", 10000, "\n"),
	           "message, line 10001: more than 10000 header fields");
}
END_TEST

START_TEST(a_spool_file_that_fails_is_no_fault_of_the_message)
{
	static const char text[] = "From: f@a.test\nTo: t@x.test\n\nbody\n";
	struct composed *composed;
	struct words words;

	for (off_t left = 0; left < (off_t)sizeof(text) - 1; left++) {
		struct mail mail = bed_mail_of(NULL);
		int fd = memfd_create("message", MFD_CLOEXEC);

		ck_assert_int_ge(fd, 0);
		ck_assert_int_eq(write(fd, text, (size_t)left), left);
		mail.message = (struct body){ .fd = fd, .size = sizeof(text) - 1, .present = true };
		ck_assert_int_eq(mime_compose(&mail, &bed_options, &composed, &words), ERROR_SYSTEM);
		ck_assert_str_eq(words.text, "message cannot be read from its spool file");
		mail.body_text = mail.message;
		mail.message.present = false;
		mail.to_addresses = TEXT("t@x.test");
		ck_assert_int_eq(mime_compose(&mail, &bed_options, &composed, &words), ERROR_SYSTEM);
		ck_assert_str_eq(words.text, "body_text cannot be read from its spool file");
		close(fd);
	}
}
END_TEST

START_TEST(the_columns_are_the_whole_envelope)
{
	struct mail mail = bed_mail_of("From: f@a.test\nTo: nonsense\nBcc: b@x.test\n"
	                               "Resent-To: c@x.test\n" DATE ID "\n");
	struct composed *composed;
	char *text;

	mail.cc_addresses = TEXT("\"Z\" <z@x.test>");
	composed = bed_compose(&mail);
	text = bed_read_source(composed, 100);
	ck_assert_str_eq(text, "From: f@a.test\r\nTo: nonsense\r\nResent-To: c@x.test\r\n"
	                       "Date: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-ID: <x@y>\r\n\r\n");
	free(text);
	text = bed_recipients_of(&composed->envelope);
	ck_assert_str_eq(text, "z@x.test");
	free(text);
	composed_destroy(&composed);
	mail.cc_addresses = TEXT("G:;");
	bed_check_refused(&mail, "there is no recipient");
	mail.cc_addresses = TEXT("z");
	bed_check_refused(&mail, "cc_addresses, character 1: z is no address: '@' is missing");
}
END_TEST

START_TEST(every_author_must_be_allowed)
{
	struct mail mail = bed_mail_of("From: F <f@a.test>, g@b.test\nSender: g@b.test\nTo: t@x.test\n\n");
	struct composed *composed;
	struct words words;

	mail.from_address = NULL;
	composed = bed_compose(&mail);
	ck_assert_str_eq(composed->envelope.sender, "f@a.test");
	ck_assert_uint_eq(composed->envelope.author_count, 3);
	ck_assert(!mime_envelope_allowed("@a.test", &composed->envelope, &words));
	ck_assert_str_eq(words.text, "the tenant may not send as g@b.test (allowed_senders)");
	ck_assert(mime_envelope_allowed("@a.test,@b.test", &composed->envelope, &words));
	ck_assert(mime_envelope_allowed(NULL, &composed->envelope, &words));
	composed_destroy(&composed);
}
END_TEST

/* Whoever a reader shows as the sender is judged too; a field that says nobody is no way around that. */
START_TEST(a_sender_field_must_be_allowed)
{
	static const struct {
		const char *fields, *refusal; /* for @a.test; NULL = allowed */
	} cases[] = {
		{ "From: f@a.test\nSender: S <s@a.test>\n", NULL },
		{ "Sender: s@a.test\nFrom: f@a.test\n", NULL },
		{ "From: f@a.test\nSender: ceo@b.test\n",
		  "the tenant may not send as ceo@b.test (allowed_senders)" },
		{ "sender: \"f@a.test\"\n <ceo@b.test>\nFrom: f@a.test\n",
		  "the tenant may not send as ceo@b.test (allowed_senders)" },
		{ "From: f@a.test\nSender: s@a.test, ceo@b.test\n",
		  "the tenant may not send as ceo@b.test (allowed_senders)" },
		{ "From: f@a.test\nSender: s@a.test\nSENDER: ceo@b.test\n",
		  "message, line 3, SENDER: a second Sender field; it must be among allowed_senders" },
		{ "From: f@a.test\nSender: \n",
		  "message, line 2, Sender, character 2: an address is missing here; it must be among "
		  "allowed_senders" },
		{ "From: f@a.test\nSender: The CEO\n",
		  "message, line 2, Sender, character 2: behind the name that begins with The an address in '<>' is "
		  "missing; it must be among allowed_senders" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		char text[256];
		struct mail mail;
		struct composed *composed;
		struct words words = { "" };
		bool allowed;

		snprintf(text, sizeof(text), "%sTo: t@x.test\n\n", cases[i].fields);
		mail = bed_mail_of(text);
		mail.from_address = NULL;
		composed = bed_compose(&mail);
		ck_assert_str_eq(composed->envelope.from, "f@a.test");
		ck_assert_str_eq(composed->envelope.sender, "f@a.test");
		allowed = mime_envelope_allowed("@a.test", &composed->envelope, &words);
		ck_assert_str_eq(words.text, cases[i].refusal ? cases[i].refusal : "");
		ck_assert(allowed == !cases[i].refusal);
		/* who may send as anybody keeps what cannot be read as it is */
		ck_assert(mime_envelope_allowed(NULL, &composed->envelope, &words));
		composed_destroy(&composed);
	}
}
END_TEST

START_TEST(a_header_of_utf8_needs_smtputf8)
{
	struct mail mail = bed_mail_of("From: f@a.test\nTo: t@x.test\nSubject: M\303\244rz\n\n");
	struct composed *composed = bed_compose(&mail);

	ck_assert(composed->envelope.smtputf8);
	ck_assert(composed->envelope.eight_bit);
	composed_destroy(&composed);
	mail = bed_mail_of("From: f@a.test\nBcc: \"\303\204\" <t@x.test>\n\n");
	composed = bed_compose(&mail);
	ck_assert(!composed->envelope.smtputf8);
	ck_assert(!composed->envelope.eight_bit);
	composed_destroy(&composed);
}
END_TEST

/* 64 MiB go through in memory of a few KiB: the body stands in a file, and is read three times. */
START_TEST(large_messages_are_streamed)
{
	static char line[1024 * 1024];
	struct mail mail = bed_mail_of(NULL);
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
	mail.message = (struct body){ .fd = fd,
		                      .size = (int64_t)sizeof(header) - 1 + 64 * (int64_t)sizeof(line),
		                      .present = true };
	composed = bed_compose(&mail);
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

TCase *mime_complete_case(void)
{
	TCase *tcase = tcase_create("complete");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, complete_messages_go_out);
	tcase_add_test(tcase, wrong_messages_are_refused);
	tcase_add_test(tcase, limits_are_kept);
	tcase_add_test(tcase, a_spool_file_that_fails_is_no_fault_of_the_message);
	tcase_add_test(tcase, the_columns_are_the_whole_envelope);
	tcase_add_test(tcase, every_author_must_be_allowed);
	tcase_add_test(tcase, a_sender_field_must_be_allowed);
	tcase_add_test(tcase, a_header_of_utf8_needs_smtputf8);
	tcase_add_test(tcase, large_messages_are_streamed);
	return tcase;
}
