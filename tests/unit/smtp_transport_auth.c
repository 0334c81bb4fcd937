/*
 * smtp_transport_auth.c - each mechanism against GNU SASL's own server, and servers that cheat.
 */
#include "smtp/auth.h"

#include <gsasl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "tests/unit/smtp_transport_test.h"

#define HOST "mail.acme.example"
#define ALL  "SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN"

static const struct auth_channel clear = { false, false, false };
static const struct auth_channel good = { true, true, false };
static const struct auth_channel unverified = { true, false, false };
static const struct auth_channel opportunistic = { true, false, true };
/* what a careless caller might say: opportunistic wins over verified */
static const struct auth_channel odd = { true, true, true };

static const char *name;
static struct words words;

static enum error choose(const char *auth, const char *offered, const struct auth_channel *channel)
{
	struct tenant_settings *tenant = peer_tenant("auth", auth, "username", "pbx", NULL);

	name = "untouched";
	strcpy(words.text, "untouched");
	return auth_choose(tenant, offered, channel, &name, &words);
}

START_TEST(auto_takes_the_strongest_that_both_know)
{
	static const struct {
		const char *offered, *name;
	} cases[] = {
		{ ALL, "SCRAM-SHA-256" },
		{ "LOGIN PLAIN CRAM-MD5 SCRAM-SHA-1", "SCRAM-SHA-1" },
		{ "LOGIN PLAIN CRAM-MD5", "CRAM-MD5" },
		{ "LOGIN PLAIN", "PLAIN" },
		{ "GSSAPI LOGIN NTLM", "LOGIN" },
		{ "  scram-sha-256-plus   plain ", "PLAIN" },
		{ "SCRAM-SHA-256-PLUS SCRAM-SHA-25 XPLAIN PLAINX CRAM-MD5", "CRAM-MD5" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		ck_assert_int_eq(choose("auto", cases[i].offered, &good), OK);
		ck_assert_str_eq(name, cases[i].name);
	}
}
END_TEST

START_TEST(auto_never_shows_the_password_where_it_could_be_seen)
{
	static const struct {
		const struct auth_channel *channel;
		const char *why;
	} cases[] = {
		{ &clear, "on a connection without TLS" },
		{ &unverified, "on a connection that is not verified" },
		{ &opportunistic, "on a connection that tls = opportunistic does not verify" },
		{ &odd, "on a connection that tls = opportunistic does not verify" },
	};
	char wanted[200];

	for (size_t i = 0; i < COUNT(cases); i++) {
		ck_assert_int_eq(choose("auto", "PLAIN", cases[i].channel), ERROR_REFUSED);
		ck_assert_ptr_null(name);
		snprintf(wanted, sizeof(wanted), HOST " offers only PLAIN, which would show the password %s",
		         cases[i].why);
		ck_assert_str_eq(words.text, wanted);
		ck_assert_int_eq(choose("auto", "LOGIN GSSAPI PLAIN", cases[i].channel), ERROR_REFUSED);
		ck_assert_ptr_nonnull(strstr(words.text, "offers only PLAIN and LOGIN, which"));
		ck_assert_int_eq(choose("auto", ALL, cases[i].channel), OK);
		ck_assert_str_eq(name, "SCRAM-SHA-256");
		ck_assert_int_eq(choose("auto", "PLAIN CRAM-MD5", cases[i].channel), OK);
		ck_assert_str_eq(name, "CRAM-MD5");
	}
}
END_TEST

START_TEST(a_named_mechanism_is_consent_and_nothing_else_is_taken)
{
	ck_assert_int_eq(choose("plain", "LOGIN PLAIN SCRAM-SHA-256", &clear), OK);
	ck_assert_str_eq(name, "PLAIN");
	ck_assert_int_eq(choose("login", "LOGIN", &opportunistic), OK);
	ck_assert_str_eq(name, "LOGIN");
	ck_assert_int_eq(choose("scram-sha-256", "PLAIN SCRAM-SHA-1", &good), ERROR_REFUSED);
	ck_assert_str_eq(words.text, HOST " does not offer SCRAM-SHA-256 (auth = scram-sha-256); "
	                                  "it offers PLAIN SCRAM-SHA-1");
	ck_assert_int_eq(choose("cram-md5", "", &good), ERROR_REFUSED);
	ck_assert_str_eq(words.text,
	                 HOST " does not offer CRAM-MD5 (auth = cram-md5); it offers no authentication");
}
END_TEST

START_TEST(no_login_where_none_is_wanted)
{
	name = "untouched";
	ck_assert_int_eq(auth_choose(peer_tenant(NULL), ALL, &good, &name, &words), OK);
	ck_assert_ptr_null(name);
	name = "untouched";
	ck_assert_int_eq(choose("none", "PLAIN", &good), OK);
	ck_assert_ptr_null(name);
}
END_TEST

START_TEST(what_cannot_be_is_told)
{
	static const char *const later[] = { "xoauth2", "oauthbearer", "external" };
	char wanted[80];

	for (size_t i = 0; i < COUNT(later); i++) {
		snprintf(wanted, sizeof(wanted), "auth = %s is not built yet", later[i]);
		ck_assert_int_eq(choose(later[i], "XOAUTH2 OAUTHBEARER EXTERNAL PLAIN", &good),
		                 ERROR_REFUSED);
		ck_assert_str_eq(words.text, wanted);
	}
	ck_assert_int_eq(auth_choose(peer_tenant("auth", "plain", NULL), ALL, &good, &name, &words),
	                 ERROR_REFUSED);
	ck_assert_str_eq(words.text, "auth = plain needs a username");
	ck_assert_int_eq(choose("auto", "", &good), ERROR_REFUSED);
	ck_assert_str_eq(words.text, HOST " offers no authentication, and the tenant has a username");
	ck_assert_int_eq(choose("auto", "", &clear), ERROR_REFUSED);
	ck_assert_str_eq(words.text,
	                 HOST " offers no authentication without TLS, and the tenant has a username");
	ck_assert_int_eq(choose("auto", "GSSAPI NTLM", &good), ERROR_REFUSED);
	ck_assert_str_eq(words.text, HOST " offers only GSSAPI NTLM to log in, of which outboxd knows none");
	ck_assert_int_eq(choose("auto", "GS\x1bSAPI \xff", &good), ERROR_REFUSED);
	ck_assert_ptr_null(strchr(words.text, '\x1b'));
}
END_TEST

/* --- a server of GNU SASL's ------------------------------------------------------------ */

struct account {
	const char *username, *password;
};

static int give_password(Gsasl *context, Gsasl_session *session, Gsasl_property property)
{
	const struct account *account = gsasl_session_hook_get(session);
	const char *user;

	(void)context;
	if (property != GSASL_PASSWORD)
		return GSASL_NO_CALLBACK;
	user = gsasl_property_fast(session, GSASL_AUTHID);
	if (!user || strcmp(user, account->username) != 0)
		return GSASL_NO_PASSWORD;
	return gsasl_property_set(session, GSASL_PASSWORD, account->password);
}

struct sasl_server {
	Gsasl *context;
	Gsasl_session *session;
};

static void open_server(struct sasl_server *server, const char *mechanism, struct account *account)
{
	ck_assert_int_eq(gsasl_init(&server->context), GSASL_OK);
	gsasl_callback_set(server->context, give_password);
	ck_assert_int_eq(gsasl_server_start(server->context, mechanism, &server->session), GSASL_OK);
	gsasl_session_hook_set(server->session, account);
}

static void close_server(struct sasl_server *server)
{
	gsasl_finish(server->session);
	gsasl_done(server->context);
}

/* The client's text in, the server's challenge out (base64), GNU SASL's answer. */
static int server_step(struct sasl_server *server, const struct buffer *from_client, char challenge[4096])
{
	char *out = NULL;
	const char *in = from_client->length == 1 && from_client->data[0] == '=' ? ""
	                 : from_client->data                                     ? from_client->data
	                                                                         : "";
	int rc = gsasl_step64(server->session, in, &out);

	snprintf(challenge, 4096, "%s", (rc == GSASL_OK || rc == GSASL_NEEDS_MORE) && out ? out : "");
	gsasl_free(out);
	return rc;
}

struct login {
	const char *mechanism, *username;
	const char *password;
	struct account account; /* what the server knows */
};

static struct auth *begin(const char *mechanism, const char *username, const char *password)
{
	struct secret secret = { NULL, 0 };
	struct auth *auth;

	ck_assert(secret_set(&secret, password, strlen(password)));
	ck_assert_msg(
		auth_begin(mechanism, peer_tenant("username", username, NULL), &secret, &auth, &words) == OK,
		"%s", words.text);
	secret_wipe(&secret);
	return auth;
}

/* The whole exchange; true if the server accepts. *error is what auth_step() or auth_verify() said. */
static bool log_in(struct login *login, enum error *error)
{
	struct auth *auth = begin(login->mechanism, login->username, login->password);
	struct sasl_server server;
	struct buffer out;
	char challenge[4096];
	bool complete = false, first = true;
	int rc = GSASL_NEEDS_MORE;

	open_server(&server, login->mechanism, &login->account);
	buffer_init(&out, 65536);
	*error = auth_step(auth, NULL, &out, &complete, &words);
	while (*error == OK) {
		if (rc == GSASL_NEEDS_MORE)
			rc = server_step(&server, &out, challenge);
		if (rc != GSASL_OK && rc != GSASL_NEEDS_MORE)
			break;
		/* at its end a server that has nothing more to say says 235; SCRAM's signature comes before
		 * it */
		if (rc == GSASL_OK && (!challenge[0] || !first))
			break;
		if (rc == GSASL_OK)
			first = false;
		buffer_clear(&out);
		*error = auth_step(auth, challenge, &out, &complete, &words);
	}
	if (*error == OK && rc == GSASL_OK)
		*error = auth_verify(auth, &words);
	buffer_fini(&out);
	auth_end(&auth);
	ck_assert_ptr_null(auth);
	close_server(&server);
	return rc == GSASL_OK;
}

static const char *const mechanisms[] = { "SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN" };

START_TEST(each_mechanism_logs_in)
{
	static const struct account accounts[] = {
		{ "pbx", "secret" },
		{ "pbx@acme.example", "with spaces, commas = and \"quotes\"" },
		{ "müller", "pässwörd" },
		{ "a,b=c", "=2C" },
	};

	for (size_t i = 0; i < COUNT(accounts); i++) {
		struct login login = { mechanisms[_i], accounts[i].username, accounts[i].password,
			               accounts[i] };
		enum error error;
		bool accepted = log_in(&login, &error);

		ck_assert_msg(accepted && error == OK, "%s %s: %s", mechanisms[_i], accounts[i].username,
		              words.text);
	}
}
END_TEST

START_TEST(a_wrong_password_is_the_servers_no)
{
	struct login login = { mechanisms[_i], "pbx", "wrong", { "pbx", "secret" } };
	enum error error;

	ck_assert(!log_in(&login, &error));
	ck_assert_int_eq(error, OK); /* no error of ours: the 535 tells */
}
END_TEST

START_TEST(scram_prepares_what_looks_alike)
{
	/* RFC 4013: a soft hyphen goes, a fullwidth letter becomes a plain one */
	struct login login = { mechanisms[_i],
		               "pbx",
		               "se\xc2\xad"
		               "cret\xef\xbc\xa1",
		               { "pbx", "secretA" } };
	enum error error;

	ck_assert(log_in(&login, &error));
	ck_assert_int_eq(error, OK);
}
END_TEST

START_TEST(a_forbidden_character_is_told_without_the_secret)
{
	struct auth *auth = begin("SCRAM-SHA-256", "pbx\x07", "hidden\x07");
	struct buffer out;
	bool complete;

	buffer_init(&out, 4096);
	ck_assert_int_eq(auth_step(auth, NULL, &out, &complete, &words), ERROR_INVALID);
	ck_assert_str_eq(words.text, "username or password have a character that SASL forbids (RFC 4013)");
	ck_assert_uint_eq(out.length, 0);
	buffer_fini(&out);
	auth_end(&auth);
}
END_TEST

START_TEST(credentials_that_cannot_be_sent_are_refused)
{
	struct secret none = { NULL, 0 }, empty = { NULL, 0 }, nul = { NULL, 0 };
	struct tenant_settings *tenant = peer_tenant("username", "pbx", NULL);
	struct auth *auth;

	ck_assert(secret_set(&empty, "", 0));
	ck_assert(secret_set(&nul, "a\0b", 3));
	ck_assert_int_eq(auth_begin("PLAIN", tenant, NULL, &auth, &words), ERROR_INVALID);
	ck_assert_ptr_null(auth);
	ck_assert_str_eq(words.text, "there is no password to log in to " HOST " with");
	ck_assert_int_eq(auth_begin("PLAIN", tenant, &none, &auth, &words), ERROR_INVALID);
	ck_assert_int_eq(auth_begin("PLAIN", tenant, &empty, &auth, &words), ERROR_INVALID);
	ck_assert_int_eq(auth_begin("PLAIN", tenant, &nul, &auth, &words), ERROR_INVALID);
	ck_assert_str_eq(words.text, "the password for " HOST " has a NUL in it");
	ck_assert_int_eq(auth_begin("PLAIN", peer_tenant(NULL), &nul, &auth, &words), ERROR_INVALID);
	ck_assert_str_eq(words.text, "there is no username to log in to " HOST " with");
	secret_wipe(&empty);
	secret_wipe(&nul);
}
END_TEST

/* --- step by step ------------------------------------------------------------------------ */

static struct auth *auth;
static struct buffer out;
static bool complete;

static void open_exchange(const char *mechanism)
{
	auth = begin(mechanism, "pbx", "secret");
	buffer_init(&out, 65536);
	complete = true;
	ck_assert_int_eq(auth_step(auth, NULL, &out, &complete, &words), OK);
}

static void close_exchange(void)
{
	ck_assert_ptr_null(strstr(words.text, "secret"));
	buffer_fini(&out);
	auth_end(&auth);
}

/* A challenge in plain text. */
static enum error challenge(const char *text)
{
	struct buffer encoded;
	enum error error;

	buffer_init(&encoded, 65536);
	text_base64_encode(&encoded, text, strlen(text));
	buffer_clear(&out);
	strcpy(words.text, "untouched");
	error = auth_step(auth, encoded.data ? encoded.data : "", &out, &complete, &words);
	buffer_fini(&encoded);
	return error;
}

START_TEST(plain_says_all_at_once)
{
	open_exchange("PLAIN");
	ck_assert_str_eq(out.data, "AHBieABzZWNyZXQ="); /* NUL pbx NUL secret */
	ck_assert(complete);
	ck_assert_int_eq(auth_verify(auth, &words), OK);
	ck_assert_int_eq(challenge("more?"), ERROR_PROTOCOL);
	ck_assert_str_eq(words.text, HOST " asks for more after all of PLAIN was said");
	close_exchange();
}
END_TEST

START_TEST(login_waits_to_be_asked_and_takes_any_prompt)
{
	open_exchange("LOGIN");
	ck_assert_uint_eq(out.length, 0);
	ck_assert(!complete);
	ck_assert_int_eq(auth_step(auth, "Username:", &out, &complete, &words), OK); /* no base64 */
	ck_assert_str_eq(out.data, "cGJ4");
	ck_assert(!complete);
	ck_assert_int_eq(auth_verify(auth, &words), ERROR_PROTOCOL);
	ck_assert_str_eq(words.text, HOST " accepted LOGIN before it was complete");
	buffer_clear(&out);
	ck_assert_int_eq(auth_step(auth, "", &out, &complete, &words), OK);
	ck_assert_str_eq(out.data, "c2VjcmV0");
	ck_assert(complete);
	ck_assert_int_eq(auth_verify(auth, &words), OK);
	ck_assert_int_eq(auth_step(auth, "Zm9v", &out, &complete, &words), ERROR_PROTOCOL);
	close_exchange();
}
END_TEST

START_TEST(cram_md5_is_as_in_the_rfc)
{
	struct buffer decoded;

	auth = begin("CRAM-MD5", "tim", "tanstaaftanstaaf"); /* RFC 2195 2 */
	buffer_init(&out, 4096);
	ck_assert_int_eq(auth_step(auth, NULL, &out, &complete, &words), OK);
	ck_assert_uint_eq(out.length, 0);
	ck_assert_int_eq(challenge("<1896.697170952@postoffice.reston.mci.net>"), OK);
	buffer_init(&decoded, 4096);
	ck_assert(text_base64_decode(&decoded, out.data, out.length));
	ck_assert_str_eq(decoded.data, "tim b913a602c7eda7a495b4e6e7334d3890");
	ck_assert(complete);
	ck_assert_int_eq(auth_verify(auth, &words), OK);
	buffer_fini(&decoded);
	close_exchange();
}
END_TEST

/* The server's first SCRAM message for the client's nonce, with so many rounds. */
static void server_first(char text[512], const char *extra_nonce, const char *rest)
{
	struct buffer decoded;
	const char *nonce;

	buffer_init(&decoded, 4096);
	ck_assert(text_base64_decode(&decoded, out.data, out.length));
	nonce = strstr(decoded.data, "r=");
	ck_assert_ptr_nonnull(nonce);
	snprintf(text, 512, "%s%s,%s", nonce, extra_nonce, rest);
	buffer_fini(&decoded);
}

START_TEST(scram_without_the_servers_proof_is_no_login)
{
	char first[512];

	open_exchange("SCRAM-SHA-256");
	ck_assert(!complete);
	ck_assert_int_eq(auth_verify(auth, &words), ERROR_PROTOCOL); /* 235 at once */
	server_first(first, "abc", "s=c2FsdA==,i=4096");
	ck_assert_int_eq(challenge(first), OK);
	ck_assert_uint_gt(out.length, 0);
	ck_assert(!complete);
	ck_assert_int_eq(auth_verify(auth, &words), ERROR_PROTOCOL); /* 235 instead of the signature */
	ck_assert_str_eq(words.text, HOST " accepted SCRAM-SHA-256 before it was complete: "
	                                  "it does not prove that it knows the password");
	close_exchange();
}
END_TEST

START_TEST(scram_with_a_wrong_proof_is_no_login)
{
	char first[512];

	open_exchange("SCRAM-SHA-1");
	server_first(first, "abc", "s=c2FsdA==,i=4096");
	ck_assert_int_eq(challenge(first), OK);
	ck_assert_int_eq(challenge("v=AAAAAAAAAAAAAAAAAAAAAAAAAAA="), ERROR_PROTOCOL);
	ck_assert_str_eq(words.text, HOST " does not prove that it knows the password (SCRAM-SHA-1)");
	ck_assert(!complete);
	ck_assert_int_eq(auth_verify(auth, &words), ERROR_PROTOCOL);
	close_exchange();
}
END_TEST

START_TEST(scram_with_a_foreign_nonce_is_no_login)
{
	open_exchange("SCRAM-SHA-256");
	ck_assert_int_eq(challenge("r=somebodyelses,s=c2FsdA==,i=4096"), ERROR_PROTOCOL);
	ck_assert_uint_eq(out.length, 0);
	close_exchange();
}
END_TEST

START_TEST(scram_cannot_make_us_compute_for_ever)
{
	static const char *const rounds[] = {
		"s=c2FsdA==,i=1000001", "s=c2FsdA==,i=2000000000",  "s=c2FsdA==,i=99999999999999999999999",
		"i=1000001,s=c2FsdA==", "s=c2FsdA==,i=1,i=1000001",
	};
	char first[512];

	for (size_t i = 0; i < COUNT(rounds); i++) {
		open_exchange("SCRAM-SHA-256");
		server_first(first, "abc", rounds[i]);
		ck_assert_int_eq(challenge(first), ERROR_PROTOCOL);
		ck_assert_str_eq(words.text, HOST " asks for more than 1000000 rounds of SCRAM-SHA-256");
		ck_assert_uint_eq(out.length, 0);
		close_exchange();
	}
}
END_TEST

START_TEST(scram_tells_why_the_server_ended_it)
{
	char first[512];

	open_exchange("SCRAM-SHA-256");
	server_first(first, "abc", "s=c2FsdA==,i=4096");
	ck_assert_int_eq(challenge(first), OK);
	ck_assert_int_eq(challenge("e=invalid-proof\r\n"), ERROR_PROTOCOL);
	ck_assert_str_eq(words.text, HOST " refused SCRAM-SHA-256: invalid-proof");
	close_exchange();
}
END_TEST

START_TEST(nonsense_is_refused_with_words)
{
	static const char *const texts[] = { "",     "r=", "r=,s=,i=", "nonsense", "v=", "s=c2FsdA==,i=4096",
		                             ",,,,", "i=" };

	for (size_t i = 0; i < COUNT(texts); i++) {
		open_exchange("SCRAM-SHA-256");
		ck_assert_msg(challenge(texts[i]) == ERROR_PROTOCOL, "%s", texts[i]);
		ck_assert_int_eq(strncmp(words.text, HOST, strlen(HOST)), 0);
		close_exchange();
	}
	open_exchange("SCRAM-SHA-256");
	ck_assert_int_eq(auth_step(auth, "%%%", &out, &complete, &words), ERROR_PROTOCOL);
	ck_assert_str_eq(words.text, HOST " sent a challenge of SCRAM-SHA-256 that is not base64");
	close_exchange();
}
END_TEST

static void *log_in_often(void *context)
{
	struct secret secret = { NULL, 0 };
	struct words why;
	intptr_t done = 0;

	secret_set(&secret, "secret", 6);
	for (int i = 0; i < 20; i++) {
		struct buffer mine;
		struct auth *own;
		bool all;

		buffer_init(&mine, 4096);
		if (auth_begin(mechanisms[i % 5], context, &secret, &own, &why) == OK) {
			done += auth_step(own, NULL, &mine, &all, &why) == OK;
			auth_end(&own);
		}
		buffer_fini(&mine);
	}
	secret_wipe(&secret);
	return (void *)done;
}

START_TEST(threads_share_the_library)
{
	struct tenant_settings *tenant = peer_tenant("username", "pbx", NULL);
	pthread_t threads[8];

	for (size_t i = 0; i < COUNT(threads); i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, log_in_often, tenant), 0);
	for (size_t i = 0; i < COUNT(threads); i++) {
		void *done;

		pthread_join(threads[i], &done);
		ck_assert_int_eq((intptr_t)done, 20);
	}
}
END_TEST

TCase *smtp_transport_auth_cases(void)
{
	TCase *cases = tcase_create("auth");

	tcase_add_test(cases, auto_takes_the_strongest_that_both_know);
	tcase_add_test(cases, auto_never_shows_the_password_where_it_could_be_seen);
	tcase_add_test(cases, a_named_mechanism_is_consent_and_nothing_else_is_taken);
	tcase_add_test(cases, no_login_where_none_is_wanted);
	tcase_add_test(cases, what_cannot_be_is_told);
	tcase_add_loop_test(cases, each_mechanism_logs_in, 0, COUNT(mechanisms));
	tcase_add_loop_test(cases, a_wrong_password_is_the_servers_no, 0, COUNT(mechanisms));
	tcase_add_loop_test(cases, scram_prepares_what_looks_alike, 0, 2);
	tcase_add_test(cases, a_forbidden_character_is_told_without_the_secret);
	tcase_add_test(cases, credentials_that_cannot_be_sent_are_refused);
	tcase_add_test(cases, plain_says_all_at_once);
	tcase_add_test(cases, login_waits_to_be_asked_and_takes_any_prompt);
	tcase_add_test(cases, cram_md5_is_as_in_the_rfc);
	tcase_add_test(cases, scram_without_the_servers_proof_is_no_login);
	tcase_add_test(cases, scram_with_a_wrong_proof_is_no_login);
	tcase_add_test(cases, scram_with_a_foreign_nonce_is_no_login);
	tcase_add_test(cases, scram_cannot_make_us_compute_for_ever);
	tcase_add_test(cases, scram_tells_why_the_server_ended_it);
	tcase_add_test(cases, nonsense_is_refused_with_words);
	tcase_add_test(cases, threads_share_the_library);
	return cases;
}
