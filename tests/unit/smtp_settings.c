/*
 * smtp_settings.c - what is not built yet is refused, in words that name the column.
 */
#include "smtp/session.h"

#include <string.h>

#include "tests/unit/smtp_test.h"

static const struct {
	const char *column, *value, *words;
} refused[] = {
	{ "tls_cert_file", "a.pem", "tls_cert_file is not built yet" },
	{ "tls_key_file", "a.key", "tls_key_file is not built yet" },
	{ "oauth_token_url", "https://x.example/token", "oauth_token_url is not built yet" },
	{ "oauth_client_id", "x", "oauth_client_id is not built yet" },
	{ "oauth_client_secret_file", "x", "oauth_client_secret_file is not built yet" },
	{ "oauth_scope", "x", "oauth_scope is not built yet" },
	{ "oauth_refresh_token_file", "x", "oauth_refresh_token_file is not built yet" },
	{ "token_command", "x", "token_command is not built yet" },
	{ "auth", "xoauth2", "auth = xoauth2 is not built yet" },
	{ "auth", "oauthbearer", "auth = oauthbearer is not built yet" },
	{ "auth", "external", "auth = external is not built yet" },
};

static enum error check_with(const char *column, const char *value, struct words *words)
{
	struct tenant_settings *settings = tenant_settings_create("acme");
	enum error error;

	words->text[0] = '\0';
	ck_assert_int_eq(tenant_settings_set(settings, "host", "mail.acme.example", words), OK);
	ck_assert_int_eq(tenant_settings_set(settings, column, value, words), OK);
	error = session_settings_check(settings, words);
	tenant_settings_release(&settings);
	return error;
}

START_TEST(not_built)
{
	struct words words;

	ck_assert_int_eq(check_with(refused[_i].column, refused[_i].value, &words), ERROR_REFUSED);
	ck_assert_str_eq(words.text, refused[_i].words);
}
END_TEST

START_TEST(built)
{
	static const char *const good[][2] = {
		{ "auth", "auto" }, { "auth", "scram-sha-256" }, { "pipeline_depth", "16" },
		{ "tls", "opportunistic" }, { "ehlo_name", "[IPv6:2001:db8::1]" }, { "ehlo_name", "a.example" },
		{ "password_file", "x" }, { "password_command", "x" }, { "tls_fingerprints", "sha256:00" },
	};
	struct words words;

	for (size_t i = 0; i < COUNT(good); i++)
		ck_assert_msg(check_with(good[i][0], good[i][1], &words) == OK, "%s: %s", good[i][0], words.text);
}
END_TEST

START_TEST(ehlo_name_is_one_word)
{
	static const char *const bad[] = { "a b", "a\r\nMAIL", "\x80", "a\tb" };

	for (size_t i = 0; i < COUNT(bad); i++) {
		struct tenant_settings *settings = tenant_settings_create("acme");
		struct words words;

		ck_assert_int_eq(tenant_settings_set(settings, "host", "mail.acme.example", &words), OK);
		/* either door may refuse it */
		if (tenant_settings_set(settings, "ehlo_name", bad[i], &words) == OK)
			ck_assert_int_eq(session_settings_check(settings, &words), ERROR_INVALID);
		tenant_settings_release(&settings);
	}
}
END_TEST

TCase *smtp_settings_cases(void)
{
	TCase *tcase = tcase_create("settings");

	tcase_add_loop_test(tcase, not_built, 0, COUNT(refused));
	tcase_add_test(tcase, built);
	tcase_add_test(tcase, ehlo_name_is_one_word);
	return tcase;
}
