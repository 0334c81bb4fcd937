/*
 * smtp_bearer.c - bearer tokens in SASL: the RFC's and Google's examples, and what a refusal says.
 */
#include "smtp/bearer.h"

#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "tests/unit/smtp_test.h"

#define TOKEN "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="

static struct secret token;
static struct buffer out;
static struct words words;

static void setup(void)
{
	secret_set(&token, TOKEN, strlen(TOKEN));
	buffer_init(&out, 65536);
}

static void teardown(void)
{
	secret_wipe(&token);
	buffer_fini(&out);
}

static void expect_base64(const char *wanted)
{
	struct buffer encoded;

	buffer_init(&encoded, 65536);
	text_base64_encode(&encoded, out.data, out.length);
	ck_assert_str_eq(encoded.data, wanted);
	buffer_fini(&encoded);
}

START_TEST(oauthbearer_is_as_in_rfc_7628)
{
	struct bearer bearer = { true, "user@example.com", "server.example.com", 143, &token };

	ck_assert_int_eq(bearer_message(&bearer, &out, &words), OK);
	expect_base64("bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1"
	              "dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB");
	buffer_clear(&out);
	bearer_answer(&bearer, &out);
	expect_base64("AQ==");
}
END_TEST

START_TEST(xoauth2_is_as_google_has_it)
{
	static const char google[] = "vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg==";
	struct bearer bearer = { false, "someuser@example.com", "smtp.example.com", 587, &token };

	secret_set(&token, google, strlen(google));
	ck_assert_int_eq(bearer_message(&bearer, &out, &words), OK);
	expect_base64("dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB2RjlkZnQ0cW1UYzJOdmIzUmxj"
	              "a0JoZEhSaGRtbHpkR0V1WTI5dENnPT0BAQ==");
	buffer_clear(&out);
	bearer_answer(&bearer, &out);
	ck_assert_uint_eq(out.length, 0);
}
END_TEST

START_TEST(a_name_is_escaped_where_the_standard_says_so)
{
	struct bearer bearer = { true, "a,b=c", "mail", 25, &token };

	ck_assert_int_eq(bearer_message(&bearer, &out, &words), OK);
	ck_assert_int_eq(strncmp(out.data,
	                         "n,a=a=2Cb=3Dc,\x01"
	                         "host=mail\x01"
	                         "port=25\x01"
	                         "auth=Bearer ",
	                         41),
	                 0);
	bearer.standard = false;
	buffer_clear(&out);
	ck_assert_int_eq(bearer_message(&bearer, &out, &words), OK);
	ck_assert_int_eq(strncmp(out.data, "user=a,b=c\x01", 11), 0);
}
END_TEST

START_TEST(nothing_is_injected)
{
	static const char *const tokens[] = { "a\x01"
		                              "auth=other",
		                              "a b", "a\r\nb", "t\xc3\xb6ken", "\x7f" };
	struct bearer bearer = { false, "user", "mail", 25, &token };

	for (size_t i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {
		secret_set(&token, tokens[i], strlen(tokens[i]));
		bearer.standard = i & 1;
		ck_assert_int_eq(bearer_message(&bearer, &out, &words), ERROR_INVALID);
		ck_assert_str_eq(words.text, "the token (password) for mail has a character that no bearer "
		                             "token has (RFC 6750)");
		ck_assert_uint_eq(out.length, 0);
	}
	secret_set(&token, TOKEN, strlen(TOKEN));
	bearer.username = "a\x01"
			  "auth=Bearer x";
	ck_assert_int_eq(bearer_message(&bearer, &out, &words), ERROR_INVALID);
	ck_assert_str_eq(words.text, "the username for mail has a control character in it");
}
END_TEST

static const struct {
	const char *text, *told;
} refusals[] = {
	/* RFC 7628 4.3, and what Google and Microsoft send */
	{ "{\"status\":\"invalid_token\",\"scope\":\"example_scope\",\"openid-configuration\":"
	  "\"https://example.com/.well-known/openid-configuration\"}",
	  "status invalid_token, scope example_scope" },
	{ "{\"status\":\"401\",\"schemes\":\"bearer mac\",\"scope\":\"https://mail.google.com/\"}",
	  "status 401, scope https://mail.google.com/" },
	{ " { \"status\" : 400 , \"more\" : [ \"a]\", {\"b\":\"}\\\"\"}, 3 ], \"error\":\"x\\u0041\\n\" } ",
	  "status 400, error xA" },
	{ "{\"status\":\"sp\\u00e4t \\ud83d\\ude00\"}", "status sp?t ??" },
	{ "{}", "" },
	{ "{\"schemes\":\"bearer\"}", "" },
	{ "", "" },
	{ "token expired", "token expired" },
	{ "token \x1b[31mexpired", "token [31mexpired" },
	/* no JSON: told as it is, but for what escapes could hide */
	{ "{\"status\":\"401\"", "{\"status\":\"401\"" },
	{ "{\"status\":\"4\\/01\"", "" },
	{ "{\"status\":{\"status\":\"1\"}}", "" },
	{ "[[[[", "[[[[" },
	/* the token, plain, in base64 and in escapes */
	{ "{\"status\":\"no " TOKEN "!\"}", "status no ***!" },
	{ "{\"status\":\"\\u0076F9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\"}", "status ***" },
	{ "{\"status\":\"dkY5ZGZ0NHFtVGMyTnZiM1JsY2tCaGJIUmhkbWx6ZEdFdVkyOXRDZz09\"}", "status ***" },
	{ "what is " TOKEN, "what is ***" },
};

START_TEST(a_refusal_in_words)
{
	char *told = bearer_refusal(&token, refusals[_i].text, strlen(refusals[_i].text));

	ck_assert_str_eq(told, refusals[_i].told);
	free(told);
}
END_TEST

START_TEST(a_refusal_cut_at_every_octet_is_told_without_the_token)
{
	static const char text[] = "{\"status\":\"no \\/ " TOKEN "\",\"scope\":[{\"a\":\"b\"}],\"x\":1}";

	for (size_t length = 0; length < sizeof(text); length++) {
		char *told = bearer_refusal(&token, text, length);

		ck_assert_ptr_nonnull(told);
		ck_assert_ptr_null(strstr(told, TOKEN));
		free(told);
	}
}
END_TEST

TCase *smtp_bearer_cases(void)
{
	TCase *cases = tcase_create("bearer");

	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, oauthbearer_is_as_in_rfc_7628);
	tcase_add_test(cases, xoauth2_is_as_google_has_it);
	tcase_add_test(cases, a_name_is_escaped_where_the_standard_says_so);
	tcase_add_test(cases, nothing_is_injected);
	tcase_add_loop_test(cases, a_refusal_in_words, 0, sizeof(refusals) / sizeof(refusals[0]));
	tcase_add_test(cases, a_refusal_cut_at_every_octet_is_told_without_the_token);
	return cases;
}
