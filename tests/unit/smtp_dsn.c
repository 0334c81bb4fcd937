/*
 * smtp_dsn.c - what is asked of notifications, and how it is said.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smtp/dsn.h"
#include "tests/unit/smtp_test.h"

START_TEST(the_columns_are_read)
{
	static const struct {
		const char *notify, *returns;
		unsigned bits;
		enum dsn_return what;
	} good[] = {
		{ NULL, NULL, 0, DSN_RETURN_UNSAID },
		{ "never", NULL, DSN_NEVER, DSN_RETURN_UNSAID },
		{ "success", "full", DSN_SUCCESS, DSN_RETURN_FULL },
		{ "delay,failure", "headers", DSN_DELAY | DSN_FAILURE, DSN_RETURN_HEADERS },
		{ "success, failure, delay", NULL, DSN_SUCCESS | DSN_FAILURE | DSN_DELAY, DSN_RETURN_UNSAID },
		{ "success,success", NULL, DSN_SUCCESS, DSN_RETURN_UNSAID },
		{ NULL, "headers", 0, DSN_RETURN_HEADERS },
	};
	struct words words;

	for (size_t i = 0; i < COUNT(good); i++) {
		struct dsn_request request = { .notify = 77, .envelope_id = "kept" };

		ck_assert_int_eq(dsn_parse(good[i].notify, good[i].returns, &request, &words), OK);
		ck_assert_uint_eq(request.notify, good[i].bits);
		ck_assert_int_eq(request.returns, good[i].what);
		ck_assert_str_eq(request.envelope_id, "kept");
		ck_assert_int_eq(dsn_is_asked(&request), good[i].notify || good[i].returns);
	}
}
END_TEST

START_TEST(other_words_are_refused)
{
	static const char *const bad[] = { "",
		                           "always",
		                           "Never",
		                           "never,delay",
		                           "delay,never",
		                           "success,",
		                           ",success",
		                           "a",
		                           "success  ",
		                           "success,  delay",
		                           "succes",
		                           "successdelay",
		                           "success ,delay" };
	struct dsn_request request;
	struct words words;

	for (size_t i = 0; i < COUNT(bad); i++) {
		ck_assert_msg(dsn_parse(bad[i], NULL, &request, &words) == ERROR_INVALID, "%s", bad[i]);
		ck_assert_str_eq(words.text,
		                 "dsn_notify must be 'never' or a list of 'success', 'failure' and "
		                 "'delay' with commas between them");
		ck_assert_int_eq(dsn_parse(NULL, bad[i], &request, &words), ERROR_INVALID);
		ck_assert_str_eq(words.text, "dsn_return must be 'full' or 'headers'");
	}
}
END_TEST

START_TEST(mail_has_return_and_envelope_id)
{
	static const struct {
		struct dsn_request request;
		const char *text;
	} said[] = {
		{ { 0, DSN_RETURN_UNSAID, "5.abc" }, "" },
		{ { DSN_NEVER, DSN_RETURN_UNSAID, "5.abc" }, " ENVID=5.abc" },
		{ { 0, DSN_RETURN_FULL, "" }, " RET=FULL" },
		{ { DSN_DELAY, DSN_RETURN_HEADERS, "a+b=c d~\r\n\177\303\244" },
		  " RET=HDRS ENVID=a+2Bb+3Dc+20d~+0D+0A+7F+C3+A4" },
	};
	struct dsn_request request = { .notify = DSN_NEVER };
	char text[DSN_MAIL_BYTES];

	for (size_t i = 0; i < COUNT(said); i++) {
		dsn_mail_parameters(&said[i].request, text);
		ck_assert_str_eq(text, said[i].text);
	}
	/* 100 characters are the most, encoded (RFC 3461 4.4): a longer one is not said at all */
	memset(request.envelope_id, 'x', DSN_ENVID_BYTES);
	dsn_mail_parameters(&request, text);
	ck_assert_uint_eq(strlen(text), strlen(" ENVID=") + 100);
	request.envelope_id[0] = '+';
	dsn_mail_parameters(&request, text);
	ck_assert_str_eq(text, "");
}
END_TEST

START_TEST(rcpt_has_notify_and_the_original_recipient)
{
	static const struct {
		unsigned notify;
		const char *address, *text;
	} said[] = {
		{ 0, "bob@example.net", " ORCPT=rfc822;bob@example.net" },
		{ DSN_NEVER, "bob@example.net", " NOTIFY=NEVER ORCPT=rfc822;bob@example.net" },
		{ DSN_DELAY | DSN_SUCCESS | DSN_FAILURE, "bob+x=y@example.net",
		  " NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;bob+2Bx+3Dy@example.net" },
		{ DSN_FAILURE, "\"a b\\\"\"@example.net",
		  " NOTIFY=FAILURE ORCPT=rfc822;\"a+20b\\\"\"@example.net" },
		{ DSN_DELAY | DSN_FAILURE, "j\303\266rg@example.net",
		  " NOTIFY=FAILURE,DELAY ORCPT=utf-8;j\\x{F6}rg@example.net" },
		{ DSN_SUCCESS, "\342\202\254+=\\ \360\237\223\247@example.net",
		  " NOTIFY=SUCCESS ORCPT=utf-8;\\x{20AC}\\x{2B}\\x{3D}\\x{5C}\\x{20}\\x{1F4E7}@example.net" },
		{ DSN_SUCCESS, "\377@example.net", " NOTIFY=SUCCESS" },
	};

	for (size_t i = 0; i < COUNT(said); i++) {
		struct dsn_request request = { said[i].notify, DSN_RETURN_FULL, "" };
		char text[DSN_RCPT_BYTES];

		dsn_rcpt_parameters(&request, said[i].address, text);
		ck_assert_str_eq(text, said[i].text);
	}
}
END_TEST

/* 500 characters with the type (RFC 3461 4.2); what does not fit is not said, and the rest is. */
START_TEST(an_original_recipient_that_is_too_long_is_left_out)
{
	struct dsn_request request = { .notify = DSN_SUCCESS | DSN_FAILURE | DSN_DELAY };
	char address[DSN_ORCPT_BYTES + 1], text[DSN_RCPT_BYTES];

	for (size_t pluses = 0; pluses < 200; pluses++) {
		size_t encoded = strlen("rfc822;") + 3 * pluses + strlen("a@b");

		memset(address, '+', pluses);
		strcpy(address + pluses, "a@b");
		dsn_rcpt_parameters(&request, address, text);
		ck_assert_int_eq(strstr(text, "ORCPT") != NULL, encoded <= 500);
		ck_assert_int_eq(strncmp(text, " NOTIFY=SUCCESS,FAILURE,DELAY", 29), 0);
		ck_assert_uint_lt(strlen(text), sizeof(text));
	}
}
END_TEST

/* Printable, and as many spaces as parameters. */
static bool is_one_line(const char *text, size_t parameters)
{
	size_t spaces = 0;

	for (const char *at = text; *at; at++) {
		spaces += *at == ' ';
		if (*at < ' ' || *at > '~')
			return false;
	}
	return spaces <= parameters;
}

/* Check writes a line for each assertion: it asks once. */
START_TEST(nothing_can_be_smuggled_through_a_value)
{
	struct dsn_request request = { .notify = DSN_NEVER };
	char address[64], rcpt[DSN_RCPT_BYTES], mail[DSN_MAIL_BYTES];
	unsigned dice = 1;
	int bad = 0;

	for (size_t round = 0; round < 20000; round++) {
		size_t length = round % (sizeof(address) - 1);

		for (size_t i = 0; i < length; i++) {
			dice = dice * 1103515245 + 12345;
			address[i] = (char)(1 + (dice >> 16) % 255);
		}
		address[length] = '\0';
		snprintf(request.envelope_id, sizeof(request.envelope_id), "%s", address);
		dsn_rcpt_parameters(&request, address, rcpt);
		dsn_mail_parameters(&request, mail);
		bad += !is_one_line(rcpt, 2) || !is_one_line(mail, 1);
	}
	ck_assert_int_eq(bad, 0);
}
END_TEST

TCase *smtp_dsn_cases(void)
{
	TCase *cases = tcase_create("dsn");

	tcase_add_test(cases, the_columns_are_read);
	tcase_add_test(cases, other_words_are_refused);
	tcase_add_test(cases, mail_has_return_and_envelope_id);
	tcase_add_test(cases, rcpt_has_notify_and_the_original_recipient);
	tcase_add_test(cases, an_original_recipient_that_is_too_long_is_left_out);
	tcase_add_test(cases, nothing_can_be_smuggled_through_a_value);
	return cases;
}
