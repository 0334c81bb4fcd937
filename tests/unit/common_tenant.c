/*
 * common_tenant.c - every column of outbox_tenant is a setting, and its default the contract's.
 */
#include "common/tenant.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "tests/unit/common_test.h"

enum kind { NUMBER, TEXT, WORD };

/* The table of the contract once more, written apart from the one in tenant.c. */
static const struct {
	const char *column;
	enum kind kind;
	const char *value; /* another one than the default */
	int number;        /* what that becomes */
	int initial;       /* what NULL is */
	bool connection;
	size_t offset;
} table[] = {
#define AT(member) offsetof(struct tenant_settings, member)
	{ "host", TEXT, "mail.acme.example", 0, 0, true, AT(host) },
	{ "port", NUMBER, "25", 25, 587, true, AT(port) },
	{ "tls", WORD, "none", TLS_NONE, TLS_STARTTLS, true, AT(tls) },
	{ "tls_verify", WORD, "fingerprint", TLS_VERIFY_FINGERPRINT, TLS_VERIFY_FULL, true, AT(tls_verify) },
	{ "tls_name", TEXT, "mx", 0, 0, true, AT(tls_name) },
	{ "tls_ca_file", TEXT, "/ca.pem", 0, 0, true, AT(tls_ca_file) },
	{ "tls_fingerprints", TEXT, "sha256:00", 0, 0, true, AT(tls_fingerprints) },
	{ "tls_cert_file", TEXT, "cert", 0, 0, true, AT(tls_cert_file) },
	{ "tls_key_file", TEXT, "key", 0, 0, true, AT(tls_key_file) },
	{ "tls_priority", TEXT, "NORMAL", 0, 0, true, AT(tls_priority) },
	{ "auth", WORD, "scram-sha-256", AUTH_SCRAM_SHA_256, AUTH_AUTO, true, AT(auth) },
	{ "username", TEXT, "user", 0, 0, true, AT(username) },
	{ "password_file", TEXT, "pw", 0, 0, true, AT(password_file) },
	{ "password_command", TEXT, "cmd", 0, 0, true, AT(password_command) },
	{ "oauth_token_url", TEXT, "https://x", 0, 0, true, AT(oauth_token_url) },
	{ "oauth_client_id", TEXT, "id", 0, 0, true, AT(oauth_client_id) },
	{ "oauth_client_secret_file", TEXT, "sf", 0, 0, true, AT(oauth_client_secret_file) },
	{ "oauth_scope", TEXT, "mail", 0, 0, true, AT(oauth_scope) },
	{ "oauth_refresh_token_file", TEXT, "rf", 0, 0, true, AT(oauth_refresh_token_file) },
	{ "token_command", TEXT, "tc", 0, 0, true, AT(token_command) },
	{ "from_address", TEXT, "a@acme.example", 0, 0, false, AT(from_address) },
	{ "allowed_senders", TEXT, "@acme.example", 0, 0, false, AT(allowed_senders) },
	{ "on_uncertain", WORD, "hold", ON_UNCERTAIN_HOLD, ON_UNCERTAIN_RESEND, false, AT(on_uncertain) },
	{ "ehlo_name", TEXT, "me.example", 0, 0, true, AT(ehlo_name) },
	{ "bind_address", TEXT, "0.0.0.0", 0, 0, true, AT(bind_address) },
	{ "connect_timeout", NUMBER, "31", 31, 30, true, AT(connect_timeout) },
	{ "command_timeout", NUMBER, "301", 301, 300, true, AT(command_timeout) },
	{ "data_timeout", NUMBER, "601", 601, 600, false, AT(data_timeout) },
	{ "min_rate", NUMBER, "1", 1, 1024, false, AT(min_rate) },
	{ "max_connections", NUMBER, "5", 5, 2, false, AT(max_connections) },
	{ "max_messages_per_session", NUMBER, "7", 7, 100, false, AT(max_messages_per_session) },
	{ "pipeline_depth", NUMBER, "4", 4, 1, false, AT(pipeline_depth) },
	{ "messages_per_minute", NUMBER, "60", 60, 0, false, AT(messages_per_minute) },
	{ "recipients_per_day", NUMBER, "9", 9, 0, false, AT(recipients_per_day) },
	{ "retry_min", NUMBER, "86400", 86400, 60, false, AT(retry_min) },
	{ "retry_max", NUMBER, "604800", 604800, 3600, false, AT(retry_max) },
	{ "max_age", NUMBER, "31536000", 31536000, 432000, false, AT(max_age) },
	{ "streak_guard", NUMBER, "0", 0, 5, false, AT(streak_guard) },
};

static int number_at(const struct tenant_settings *settings, size_t row)
{
	int number;

	memcpy(&number, (const char *)settings + table[row].offset, sizeof(number));
	return number;
}

static const char *text_at(const struct tenant_settings *settings, size_t row)
{
	const char *text;

	memcpy(&text, (const char *)settings + table[row].offset, sizeof(text));
	return text;
}

static void check_defaults(const struct tenant_settings *settings)
{
	for (size_t i = 0; i < COUNT(table); i++) {
		if (table[i].kind == TEXT)
			ck_assert_ptr_null(text_at(settings, i));
		else
			ck_assert_msg(number_at(settings, i) == table[i].initial, "%s", table[i].column);
	}
	ck_assert(settings->enabled);
	ck_assert(!secret_is_set(&settings->password));
}

START_TEST(defaults_are_the_contracts_and_null_or_empty_brings_them_back)
{
	struct tenant_settings *settings = tenant_settings_create("acme");
	struct words words;

	ck_assert_str_eq(settings->name, "acme");
	check_defaults(settings);
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < COUNT(table); i++) {
			ck_assert_int_eq(
				tenant_settings_set(settings, table[i].column, table[i].value, &words), OK);
			if (table[i].kind == TEXT)
				ck_assert_str_eq(text_at(settings, i), table[i].value);
			else
				ck_assert_msg(number_at(settings, i) == table[i].number, "%s",
				              table[i].column);
		}
		ck_assert_int_eq(tenant_settings_set(settings, "enabled", "0", &words), OK);
		ck_assert(!settings->enabled);
		ck_assert_int_eq(tenant_settings_set(settings, "password", "hunter2", &words), OK);
		ck_assert_str_eq((char *)settings->password.bytes, "hunter2");
		for (size_t i = 0; i < COUNT(table); i++)
			ck_assert_int_eq(
				tenant_settings_set(settings, table[i].column, round ? "" : NULL, &words),
				OK);
		ck_assert_int_eq(tenant_settings_set(settings, "enabled", round ? "" : NULL, &words), OK);
		ck_assert_int_eq(tenant_settings_set(settings, "password", round ? "" : NULL, &words), OK);
		check_defaults(settings);
	}
	tenant_settings_release(&settings);
	ck_assert_ptr_null(settings);
	tenant_settings_release(&settings);
}
END_TEST

/* Does setting this column give another connection? */
static bool changes_digest(const char *column, const char *value)
{
	struct tenant_settings *a = tenant_settings_create("acme"), *b = tenant_settings_create("acme");
	struct words words;
	bool differ;

	ck_assert_int_eq(tenant_settings_set(b, column, value, &words), OK);
	tenant_settings_seal(a);
	tenant_settings_seal(b);
	differ = memcmp(a->connection_digest, b->connection_digest, sizeof(a->connection_digest)) != 0;
	tenant_settings_release(&a);
	tenant_settings_release(&b);
	return differ;
}

START_TEST(the_digest_covers_what_a_connection_depends_on_and_nothing_else)
{
	for (size_t i = 0; i < COUNT(table); i++)
		ck_assert_msg(changes_digest(table[i].column, table[i].value) == table[i].connection, "%s",
		              table[i].column);
	ck_assert(changes_digest("password", "hunter2"));
	ck_assert(!changes_digest("enabled", "0"));
	ck_assert(!changes_digest("tls", "starttls")); /* the same as is decided for NULL */
}
END_TEST

START_TEST(values_do_not_run_into_one_another)
{
	struct tenant_settings *a = tenant_settings_create("acme"), *b = tenant_settings_create("other");
	struct words words;

	tenant_settings_set(a, "tls_name", "x", &words);
	tenant_settings_set(b, "tls_ca_file", "x", &words);
	tenant_settings_seal(a);
	tenant_settings_seal(b);
	ck_assert_mem_ne(a->connection_digest, b->connection_digest, sizeof(a->connection_digest));
	tenant_settings_set(b, "tls_ca_file", NULL, &words);
	tenant_settings_set(b, "tls_name", "x", &words);
	tenant_settings_seal(b); /* the same row: the same digest, whatever the tenant's name */
	ck_assert_mem_eq(a->connection_digest, b->connection_digest, sizeof(a->connection_digest));
	tenant_settings_release(&a);
	tenant_settings_release(&b);
}
END_TEST

START_TEST(tls_that_is_null_follows_the_port)
{
	static const struct {
		const char *port, *tls;
		enum tls_mode mode;
	} cases[] = {
		{ NULL, NULL, TLS_STARTTLS },        { "465", NULL, TLS_IMPLICIT },
		{ "25", NULL, TLS_STARTTLS },        { "465", "none", TLS_NONE },
		{ "587", "implicit", TLS_IMPLICIT }, { "465", "opportunistic", TLS_OPPORTUNISTIC },
		{ "465", "", TLS_IMPLICIT },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct tenant_settings *settings = tenant_settings_create("acme");
		struct words words;

		tenant_settings_set(settings, "tls", "none", &words);
		ck_assert_int_eq(tenant_settings_set(settings, "tls", cases[i].tls, &words), OK);
		ck_assert_int_eq(tenant_settings_set(settings, "port", cases[i].port, &words), OK);
		tenant_settings_seal(settings);
		ck_assert_int_eq(settings->tls, cases[i].mode);
		tenant_settings_release(&settings);
	}
}
END_TEST

START_TEST(what_is_no_value_is_refused_with_words_and_changes_nothing)
{
	static const struct {
		const char *column, *value, *words;
	} cases[] = {
		{ "port", "0", "port must be a whole number from 1 to 65535" },
		{ "port", "65536", "port must be a whole number from 1 to 65535" },
		{ "port", "smtp", "port must be a whole number from 1 to 65535" },
		{ "retry_min", "86401", "retry_min must be a whole number from 1 to 86400" },
		{ "max_age", "59", "max_age must be a whole number from 60 to 31536000" },
		{ "streak_guard", "-1", "streak_guard must be a whole number from 0 to 1000000" },
		{ "enabled", "2", "enabled must be 0 or 1" },
		{ "tls", "ssl", "tls must be starttls, implicit, opportunistic or none" },
		{ "tls_verify", "Full", "tls_verify must be full, fingerprint or none" },
		{ "on_uncertain", "drop", "on_uncertain must be resend or hold" },
		{ "auth", "ntlm",
		  "auth must be auto, none, plain, login, cram-md5, scram-sha-1, "
		  "scram-sha-256, xoauth2, oauthbearer or external" },
		{ "ehlo_name", "me\r\nMAIL", "ehlo_name must be one line of text, without CR or LF" },
		{ "password", "hunter2\n", "password must be one line of text, without CR or LF" },
	};
	struct tenant_settings *settings = tenant_settings_create("acme");
	struct words words;

	for (size_t i = 0; i < COUNT(cases); i++) {
		ck_assert_int_eq(tenant_settings_set(settings, cases[i].column, cases[i].value, &words),
		                 ERROR_INVALID);
		ck_assert_str_eq(words.text, cases[i].words);
	}
	check_defaults(settings);
	ck_assert_int_eq(tenant_settings_set(settings, "colour", "red", &words), ERROR_NOT_FOUND);
	ck_assert_str_eq(words.text, "colour is not a setting of a tenant");
	ck_assert_int_eq(tenant_settings_set(settings, "name", "other", &words), ERROR_NOT_FOUND);
	ck_assert_str_eq(settings->name, "acme");
	tenant_settings_release(&settings);
}
END_TEST

START_TEST(a_password_that_is_too_long_is_not_in_the_words)
{
	struct tenant_settings *settings = tenant_settings_create("acme");
	char *password = memory_alloc(SECRET_MAX_BYTES + 2);
	struct words words;

	memset(password, 'x', SECRET_MAX_BYTES + 1);
	ck_assert_int_eq(tenant_settings_set(settings, "password", password, &words), ERROR_INVALID);
	ck_assert_str_eq(words.text, "password is longer than 65536 octets");
	tenant_settings_release(&settings);
	free(password);
}
END_TEST

START_TEST(packed_settings_say_the_same_in_one_block)
{
	struct tenant_settings *loose = tenant_settings_create("acme"),
			       *packed = tenant_settings_create("acme");
	struct words words;

	for (size_t i = 0; i < COUNT(table); i++) {
		ck_assert_int_eq(tenant_settings_set(loose, table[i].column, table[i].value, &words), OK);
		ck_assert_int_eq(tenant_settings_set(packed, table[i].column, table[i].value, &words), OK);
	}
	ck_assert_int_eq(tenant_settings_set(packed, "password", "hunter2", &words), OK);
	ck_assert_int_eq(tenant_settings_set(loose, "password", "hunter2", &words), OK);
	tenant_settings_seal(loose);
	packed = tenant_settings_pack(packed);
	ck_assert_str_eq(packed->name, "acme");
	ck_assert_str_eq(packed->host, loose->host);
	ck_assert_str_eq(packed->allowed_senders, loose->allowed_senders);
	ck_assert_ptr_eq(packed->name, (char *)(packed + 1));
	tenant_settings_seal(packed); /* each column has its part in the digest */
	ck_assert_mem_eq(packed->digest, loose->digest, sizeof(loose->digest));
	tenant_settings_release(&loose);
	tenant_settings_release(&packed);
}
END_TEST

static void *hold_and_release(void *argument)
{
	struct tenant_settings *shared = argument;

	for (int i = 0; i < 10000; i++) {
		struct tenant_settings *mine = tenant_settings_hold(shared);

		ck_assert_str_eq(mine->name, "acme");
		tenant_settings_release(&mine);
	}
	tenant_settings_release(&shared);
	return NULL;
}

START_TEST(the_last_reference_frees)
{
	struct tenant_settings *settings = tenant_settings_create("acme");
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(
			pthread_create(&threads[i], NULL, hold_and_release, tenant_settings_hold(settings)),
			0);
	tenant_settings_release(&settings); /* who is last is not known */
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}
END_TEST

static char *credential_of(const char *host, const char *port, const char *auth, const char *username)
{
	struct tenant_settings *settings = tenant_settings_create("acme");
	struct words words;
	char *key;

	ck_assert_int_eq(tenant_settings_set(settings, "host", host, &words), OK);
	ck_assert_int_eq(tenant_settings_set(settings, "port", port, &words), OK);
	ck_assert_int_eq(tenant_settings_set(settings, "auth", auth, &words), OK);
	ck_assert_int_eq(tenant_settings_set(settings, "username", username, &words), OK);
	tenant_settings_seal(settings);
	key = tenant_settings_credential(settings);
	tenant_settings_release(&settings);
	return key;
}

START_TEST(a_credential_is_host_port_and_username_where_there_is_a_login)
{
	static const struct {
		const char *host, *port, *auth, *username;
		bool same;
	} cases[] = {
		{ "mail.acme.example", "587", "plain", "me", true },
		{ "MAIL.Acme.example", "587", "xoauth2", "ME", true },
		{ "mail.acme.example", "465", "plain", "me", false },
		{ "mail.acme.exampl", "587", "plain", "eme", false },
		{ "mail.acme.example", "58", "plain", "7me", false },
		{ "mail.acme.example", "587", "plain", "you", false },
	};
	char *first = credential_of("mail.acme.example", "587", "auto", "me");

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *key = credential_of(cases[i].host, cases[i].port, cases[i].auth, cases[i].username);

		ck_assert_int_eq(strcmp(first, key) == 0, cases[i].same);
		free(key);
	}
	ck_assert_ptr_null(credential_of("mail.acme.example", "587", "none", "me"));
	ck_assert_ptr_null(credential_of("mail.acme.example", "587", "auto", ""));
	ck_assert_ptr_null(credential_of("mail.acme.example", "587", "external", NULL));
	free(first);
}
END_TEST

START_TEST(words_for_people)
{
	ck_assert_str_eq(auth_choice_name(AUTH_CRAM_MD5), "cram-md5");
	ck_assert_str_eq(auth_choice_name(AUTH_EXTERNAL), "external");
	ck_assert_str_eq(tls_mode_name(TLS_OPPORTUNISTIC), "opportunistic");
	ck_assert_str_eq(tls_mode_name(TLS_NONE), "none");
}
END_TEST

TCase *common_tenant_cases(void)
{
	TCase *cases = tcase_create("tenant");

	tcase_add_test(cases, defaults_are_the_contracts_and_null_or_empty_brings_them_back);
	tcase_add_test(cases, the_digest_covers_what_a_connection_depends_on_and_nothing_else);
	tcase_add_test(cases, values_do_not_run_into_one_another);
	tcase_add_test(cases, tls_that_is_null_follows_the_port);
	tcase_add_test(cases, what_is_no_value_is_refused_with_words_and_changes_nothing);
	tcase_add_test(cases, a_password_that_is_too_long_is_not_in_the_words);
	tcase_add_test(cases, packed_settings_say_the_same_in_one_block);
	tcase_add_test(cases, the_last_reference_frees);
	tcase_add_test(cases, a_credential_is_host_port_and_username_where_there_is_a_login);
	tcase_add_test(cases, words_for_people);
	return cases;
}
