/*
 * token_test.c - the pure parts of token/, and the fields that go through pipes.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/fields.h"
#include "token/answer.h"
#include "token/request.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct secret secret_of(const char *text)
{
	struct secret secret = { NULL, 0 };

	ck_assert(secret_set(&secret, text, strlen(text)));
	return secret;
}

/* ---- fields --------------------------------------------------------------------- */

START_TEST(fields_come_out_as_they_went_in)
{
	struct secret key = secret_of("line\nline=\n"), nul = { NULL, 0 };
	struct buffer fields;

	fields_init(&fields);
	ck_assert_ptr_null(fields_find(&fields, "a"));
	ck_assert(fields_add(&fields, "long", "1"));
	ck_assert(fields_add(&fields, "absent", NULL));
	ck_assert(fields_add_secret(&fields, "key", &key));
	ck_assert(fields_add_secret(&fields, "unset", &nul));
	ck_assert(fields_add(&fields, "empty", ""));
	ck_assert_str_eq(fields_find(&fields, "key"), "line\nline=\n");
	ck_assert_str_eq(fields_find(&fields, "empty"), "");
	ck_assert_ptr_null(fields_find(&fields, "lon"));
	ck_assert_ptr_null(fields_find(&fields, "absent"));
	ck_assert_ptr_null(fields_find(&fields, "unset"));
	ck_assert_ptr_null(fields_find(&fields, "line"));
	secret_set(&nul, "a\0b", 3);
	ck_assert(!fields_add_secret(&fields, "nul", &nul));
	fields.data[fields.length - 1] = 'x'; /* the pipe ended too soon */
	ck_assert_ptr_null(fields_find(&fields, "long"));
	fields_fini(&fields);
	secret_wipe(&key);
	secret_wipe(&nul);
}
END_TEST

START_TEST(fields_have_a_limit_and_one_that_has_no_room_changes_nothing)
{
	char *large = memory_alloc(FIELDS_MAX_BYTES);
	struct buffer fields;

	memset(large, 'x', FIELDS_MAX_BYTES - 1);
	fields_init(&fields);
	ck_assert(!fields_add(&fields, "a", large));
	ck_assert_uint_eq(fields.length, 0);
	large[FIELDS_MAX_BYTES - 3] = '\0';
	ck_assert(fields_add(&fields, "a", large));
	ck_assert_uint_eq(fields.length, FIELDS_MAX_BYTES);
	ck_assert(!fields_add(&fields, "b", ""));
	ck_assert_str_eq(fields_find(&fields, "a"), large);
	fields_fini(&fields);
	free(large);
}
END_TEST

/* ---- the form ---------------------------------------------------------------------- */

START_TEST(each_octet_of_a_value_survives_the_form)
{
	struct secret secret = secret_of("a+b&c=d e%\xc3\xbc\n~-._");
	struct request request = { .grant = GRANT_CLIENT_CREDENTIALS,
		                   .url = "https://x/",
		                   .client_id = "me@acme.example",
		                   .secret = secret };
	struct buffer form;
	struct words words;

	buffer_init(&form, REQUEST_FORM_BYTES);
	ck_assert_int_eq(request_form(&request, 0, &form, &words), OK);
	ck_assert_str_eq(form.data, "grant_type=client_credentials&client_id=me%40acme.example&"
	                            "client_secret=a%2Bb%26c%3Dd%20e%25%C3%BC%0A~-._");
	buffer_fini(&form);
	buffer_init(&form, 40);
	ck_assert_int_eq(request_form(&request, 0, &form, &words), ERROR_INVALID);
	ck_assert_str_eq(words.text, "the request is too large");
	buffer_fini(&form);
	secret_wipe(&secret);
}
END_TEST

/* ---- answers ------------------------------------------------------------------------- */

static const struct {
	int status;
	const char *body, *token;
	int expires_in_s;
	const char *refresh, *words;
	bool refused;
} answers[] = {
	{ 200, "{\"access_token\":\"a.b-c~\",\"token_type\":\"bearer\",\"expires_in\":3599}", "a.b-c~", 3599,
	  NULL, NULL, false },
	{ 201, "{\"access_token\":\"a\",\"refresh_token\":\"r\"}", "a", ANSWER_LIFE_S, "r", NULL, false },
	{ 200, "{\"access_token\":\"a\",\"refresh_token\":null,\"expires_in\":\"60\"}", "a", 60, NULL, NULL,
	  false },
	{ 200, "{\"error\":\"invalid_scope\"}", NULL, 0, NULL, "h gives no token: invalid_scope", true },
	{ 400, "{\"error\":\"invalid_grant\",\"error_description\":\"AADSTS70008: s3cret expired\"}", NULL, 0,
	  NULL, "h gives no token: invalid_grant (AADSTS70008: *** expired)", true },
	{ 400, "{\"error\":\"x\\u001b[2J\\ny\",\"error_description\":7}", NULL, 0, NULL,
	  "h gives no token: x [2J y", true },
	{ 503, "{\"error\":\"invalid_grant\"}", NULL, 0, NULL, "h gives no token: invalid_grant", false },
	{ 400, "{\"error\":\"temporarily_unavailable\"}", NULL, 0, NULL,
	  "h gives no token: temporarily_unavailable", false },
	{ 400, "{\"error\":{\"code\":401}}", NULL, 0, NULL,
	  "h answers HTTP 400, and what it says is no answer of a token endpoint", false },
	{ 302, "{\"error\":\"x\",\"access_token\":\"a\"}", NULL, 0, NULL,
	  "h answers HTTP 302, a redirect, which is not followed: is oauth_token_url right?", false },
	{ 200, "{\"access_token\":\"a\\u0000b\"}", NULL, 0, NULL,
	  "h answers HTTP 200, and what it says is no answer of a token endpoint", false },
	{ 200, "{\"access_token\":\"a\"} more", NULL, 0, NULL,
	  "h answers HTTP 200, and what it says is no answer of a token endpoint", false },
	{ 200, "", NULL, 0, NULL, "h answers HTTP 200, and what it says is no answer of a token endpoint",
	  false },
	{ 200, "{\"access_token\":\"a\\nb\"}", NULL, 0, NULL,
	  "h gives a token with characters that no bearer token has (RFC 6750)", false },
};

START_TEST(an_answer_is_a_token_or_words)
{
	struct secret secret = secret_of("s3cret");
	const struct secret *const masks[] = { &secret, NULL };
	struct answer answer;

	answer_read(answers[_i].status, answers[_i].body, strlen(answers[_i].body), "h", masks, &answer);
	if (answers[_i].token) {
		ck_assert_str_eq((const char *)answer.token.bytes, answers[_i].token);
		ck_assert_int_eq(answer.expires_in_s, answers[_i].expires_in_s);
	} else {
		ck_assert(!secret_is_set(&answer.token));
		ck_assert_str_eq(answer.words.text, answers[_i].words);
	}
	ck_assert_int_eq(answer.refused, answers[_i].refused);
	ck_assert_int_eq(secret_is_set(&answer.refresh_token), answers[_i].refresh != NULL);
	if (answers[_i].refresh)
		ck_assert_str_eq((const char *)answer.refresh_token.bytes, answers[_i].refresh);
	answer_fini(&answer);
	secret_wipe(&secret);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("token");
	TCase *cases = tcase_create("token");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(cases, fields_come_out_as_they_went_in);
	tcase_add_test(cases, fields_have_a_limit_and_one_that_has_no_room_changes_nothing);
	tcase_add_test(cases, each_octet_of_a_value_survives_the_form);
	tcase_add_loop_test(cases, an_answer_is_a_token_or_words, 0, (int)COUNT(answers));
	suite_add_tcase(suite, cases);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
