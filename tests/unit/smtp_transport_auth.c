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

static const struct auth_channel clear = { .encrypted = false };
static const struct auth_channel good = { .encrypted = true, .verified = true };
static const struct auth_channel unverified = { .encrypted = true };
static const struct auth_channel opportunistic = { .encrypted = true, .opportunistic = true };
/* what a careless caller might say: opportunistic wins over verified */
static const struct auth_channel odd = { .encrypted = true, .verified = true, .opportunistic = true };

static const struct auth_channel bound = { .encrypted = true,
	                                   .verified = true,
	                                   .binding_type = "tls-exporter",
	                                   .binding = "\0\1\2\3\4\5",
	                                   .binding_length = 6 };

static const char *name;
static struct words words;

static enum error choose_for(struct tenant_settings *tenant, const char *offered,
                             const struct auth_channel *channel)
{
	const struct auth_login login = { .tenant = tenant, .offered = offered, .channel = channel };

	name = "untouched";
	strcpy(words.text, "untouched");
	return auth_choose(&login, &name, &words);
}

static enum error choose(const char *auth, const char *offered, const struct auth_channel *channel)
{
	return choose_for(peer_tenant("auth", auth, "username", "pbx", NULL), offered, channel);
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

START_TEST(auto_binds_where_both_can)
{
	ck_assert_int_eq(choose("auto", ALL " SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS", &bound), OK);
	ck_assert_str_eq(name, "SCRAM-SHA-256-PLUS");
	ck_assert_int_eq(choose("auto", ALL " SCRAM-SHA-1-PLUS", &bound), OK);
	ck_assert_str_eq(name, "SCRAM-SHA-1-PLUS");
	ck_assert_int_eq(choose("auto", ALL, &bound), OK);
	ck_assert_str_eq(name, "SCRAM-SHA-256");
	/* the way out where a server offers what it cannot do */
	ck_assert_int_eq(choose("scram-sha-256", ALL " SCRAM-SHA-256-PLUS", &bound), OK);
	ck_assert_str_eq(name, "SCRAM-SHA-256");
	ck_assert_int_eq(choose("scram-sha-256", "SCRAM-SHA-256-PLUS", &bound), ERROR_REFUSED);
}
END_TEST

START_TEST(what_takes_no_password_is_named_only)
{
	ck_assert_int_eq(choose("auto", "XOAUTH2 OAUTHBEARER EXTERNAL PLAIN", &good), OK);
	ck_assert_str_eq(name, "PLAIN");
	ck_assert_int_eq(choose("xoauth2", "OAUTHBEARER XOAUTH2", &good), OK);
	ck_assert_str_eq(name, "XOAUTH2");
	ck_assert_int_eq(choose("oauthbearer", "OAUTHBEARER XOAUTH2", &good), OK);
	ck_assert_str_eq(name, "OAUTHBEARER");
	ck_assert_int_eq(choose("xoauth2", "OAUTHBEARER", &good), ERROR_REFUSED);
	ck_assert_int_eq(choose_for(peer_tenant("auth", "external", NULL), "EXTERNAL", &good), OK);
	ck_assert_str_eq(name, "EXTERNAL");
	ck_assert_int_eq(choose_for(peer_tenant("auth", "xoauth2", NULL), "XOAUTH2", &good), ERROR_REFUSED);
	ck_assert_str_eq(words.text, "auth = xoauth2 needs a username");
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
	ck_assert_int_eq(choose_for(peer_tenant(NULL), ALL, &good), OK);
	ck_assert_ptr_null(name);
	ck_assert_int_eq(choose("none", "PLAIN", &good), OK);
	ck_assert_ptr_null(name);
}
END_TEST

START_TEST(what_cannot_be_is_told)
{
	ck_assert_int_eq(choose_for(peer_tenant("auth", "plain", NULL), ALL, &good), ERROR_REFUSED);
	ck_assert_str_eq(words.text, "auth = plain needs a username");
	ck_assert_int_eq(choose("auto", "", &good), ERROR_REFUSED);
	ck_assert_str_eq(words.text, HOST " offers no authentication, and the tenant has a username");
	ck_assert_int_eq(choose("auto", "", &clear), ERROR_REFUSED);
	ck_assert_str_eq(words.text,
	                 HOST " offers no authentication without TLS, and the tenant has a username");
	ck_assert_int_eq(choose("auto", "GSSAPI NTLM", &good), ERROR_REFUSED);
	ck_assert_str_eq(words.text, HOST " offers only GSSAPI NTLM to log in, of which outboxd knows none");
	ck_assert_int_eq(choose("auto", "XOAUTH2 EXTERNAL", &good), ERROR_REFUSED);
	ck_assert_str_eq(words.text,
	                 HOST " takes no password, only XOAUTH2 and EXTERNAL: name one of them in auth");
	ck_assert_int_eq(choose("auto", "GS\x1bSAPI \xff", &good), ERROR_REFUSED);
	ck_assert_ptr_null(strchr(words.text, '\x1b'));
}
END_TEST

/* --- a server of GNU SASL's ------------------------------------------------------------ */

struct account {
	const char *username, *password;
	const char *binding; /* in base64; NULL = the server has none */
	bool unique;         /* it is of type tls-unique */
};

static int give_password(Gsasl *context, Gsasl_session *session, Gsasl_property property)
{
	const struct account *account = gsasl_session_hook_get(session);
	const char *user;

	(void)context;
	if (account->binding && property == (account->unique ? GSASL_CB_TLS_UNIQUE : GSASL_CB_TLS_EXPORTER))
		return gsasl_property_set(session, property, account->binding);
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
	struct account account;             /* what the server knows */
	const struct auth_channel *channel; /* NULL = good */
	const char *offered;                /* NULL = the mechanism alone */
};

static struct auth *begin_as(const struct login *how)
{
	struct secret secret = { NULL, 0 };
	const struct auth_login login = { .tenant = peer_tenant("username", how->username, NULL),
		                          .password = &secret,
		                          .offered = how->offered ? how->offered : how->mechanism,
		                          .channel = how->channel ? how->channel : &good };
	struct auth *begun;

	ck_assert(secret_set(&secret, how->password, strlen(how->password)));
	ck_assert_msg(auth_begin(&login, how->mechanism, &begun, &words) == OK, "%s", words.text);
	secret_wipe(&secret);
	return begun;
}

static struct auth *begin(const char *mechanism, const char *username, const char *password)
{
	const struct login how = { .mechanism = mechanism, .username = username, .password = password };

	return begin_as(&how);
}

/* The whole exchange; true if the server accepts. *error is what auth_step() or auth_verify() said. */
static bool log_in(struct login *login, enum error *error)
{
	struct auth *auth = begin_as(login);
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
		{ .username = "pbx", .password = "secret" },
		{ .username = "pbx@acme.example", .password = "with spaces, commas = and \"quotes\"" },
		{ .username = "müller", .password = "pässwörd" },
		{ .username = "a,b=c", .password = "=2C" },
	};

	for (size_t i = 0; i < COUNT(accounts); i++) {
		struct login login = { .mechanism = mechanisms[_i],
			               .username = accounts[i].username,
			               .password = accounts[i].password,
			               .account = accounts[i] };
		enum error error;
		bool accepted = log_in(&login, &error);

		ck_assert_msg(accepted && error == OK, "%s %s: %s", mechanisms[_i], accounts[i].username,
		              words.text);
	}
}
END_TEST

START_TEST(a_wrong_password_is_the_servers_no)
{
	struct login login = { .mechanism = mechanisms[_i],
		               .username = "pbx",
		               .password = "wrong",
		               .account = { .username = "pbx", .password = "secret" } };
	enum error error;

	ck_assert(!log_in(&login, &error));
	ck_assert_int_eq(error, OK); /* no error of ours: the 535 tells */
}
END_TEST

START_TEST(scram_prepares_what_looks_alike)
{
	/* RFC 4013: a soft hyphen goes, a fullwidth letter becomes a plain one */
	struct login login = { .mechanism = mechanisms[_i],
		               .username = "pbx",
		               .password = "se\xc2\xad"
		                           "cret\xef\xbc\xa1",
		               .account = { .username = "pbx", .password = "secretA" } };
	enum error error;

	ck_assert(log_in(&login, &error));
	ck_assert_int_eq(error, OK);
}
END_TEST

/* What the server's own end of TLS has, and what the client says of its own. */
static const struct {
	const char *mechanism, *offered;
	const struct auth_channel *channel;
	const char *binding;
	bool unique, accepted;
} bindings[] = {
	{ "SCRAM-SHA-256-PLUS", NULL, &bound, "AAECAwQF", false, true },
	{ "SCRAM-SHA-1-PLUS", NULL, &bound, "AAECAwQF", false, true },
	/* somebody in between: two TLS sessions */
	{ "SCRAM-SHA-256-PLUS", NULL, &bound, "AAECAwQG", false, false },
	{ "SCRAM-SHA-1-PLUS", NULL, &bound, "AAECAwQG", false, false },
	/* a server that has the other type */
	{ "SCRAM-SHA-256-PLUS", NULL, &bound, "AAECAwQF", true, false },
	/* both can, and somebody took -PLUS out of the offer: "y" tells */
	{ "SCRAM-SHA-256", NULL, &bound, "AAECAwQF", false, false },
	/* the server cannot: "y" is nothing to it */
	{ "SCRAM-SHA-256", NULL, &bound, NULL, false, true },
	{ "SCRAM-SHA-1", NULL, &bound, NULL, false, true },
	/* named without -PLUS although it was offered: "n" */
	{ "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS SCRAM-SHA-256", &bound, "AAECAwQF", false, true },
	{ "SCRAM-SHA-256", NULL, &good, "AAECAwQF", false, true },
};

START_TEST(scram_is_bound_to_its_tls_session)
{
	struct login login = { .mechanism = bindings[_i].mechanism,
		               .username = "pbx",
		               .password = "secret",
		               .account = { "pbx", "secret", bindings[_i].binding, bindings[_i].unique },
		               .channel = bindings[_i].channel,
		               .offered = bindings[_i].offered };
	enum error error;

	ck_assert_int_eq(log_in(&login, &error), bindings[_i].accepted);
	ck_assert_int_eq(error, OK);
}
END_TEST

START_TEST(external_needs_a_certificate_that_was_asked_for)
{
	const struct auth_channel with = { .encrypted = true, .verified = true, .certificate = true };
	struct tenant_settings *tenant = peer_tenant("tls_cert_file", "c", "tls_key_file", "k", NULL);
	struct auth_login login = { .tenant = tenant, .offered = "EXTERNAL", .channel = &clear };
	struct auth *begun;
	struct buffer said;
	bool all;

	ck_assert_int_eq(auth_begin(&login, "EXTERNAL", &begun, &words), ERROR_REFUSED);
	ck_assert_str_eq(words.text, "auth = external needs TLS, and the connection to " HOST " has none");
	login.channel = &good;
	ck_assert_int_eq(auth_begin(&login, "EXTERNAL", &begun, &words), ERROR_REFUSED);
	ck_assert_str_eq(words.text, HOST " did not ask for the client certificate, without which auth = "
	                                  "external says nothing");
	login.tenant = peer_tenant(NULL);
	ck_assert_int_eq(auth_begin(&login, "EXTERNAL", &begun, &words), ERROR_REFUSED);
	ck_assert_str_eq(words.text,
	                 "auth = external needs a client certificate (tls_cert_file, tls_key_file)");
	ck_assert_ptr_null(begun);
	login.tenant = tenant;
	login.channel = &with;
	buffer_init(&said, 4096);
	ck_assert_int_eq(auth_begin(&login, "EXTERNAL", &begun, &words), OK);
	ck_assert_int_eq(auth_step(begun, NULL, &said, &all, &words), OK);
	ck_assert_str_eq(said.data, "=");
	ck_assert(all);
	ck_assert_int_eq(auth_verify(begun, &words), OK);
	ck_assert_int_eq(auth_step(begun, "", &said, &all, &words), ERROR_PROTOCOL);
	auth_end(&begun);
	buffer_fini(&said);
}
END_TEST

static enum error try_begin(const char *mechanism, struct tenant_settings *tenant,
                            const struct secret *password)
{
	const struct auth_login login = {
		.tenant = tenant, .password = password, .offered = mechanism, .channel = &good
	};
	struct auth *begun;
	enum error error = auth_begin(&login, mechanism, &begun, &words);

	ck_assert_ptr_null(begun);
	return error;
}

START_TEST(a_forbidden_character_is_told_without_the_secret)
{
	struct secret secret = { NULL, 0 };

	ck_assert(secret_set(&secret, "hidden\x07", 7));
	ck_assert_int_eq(try_begin("SCRAM-SHA-256", peer_tenant("username", "pbx\x07", NULL), &secret),
	                 ERROR_INVALID);
	ck_assert_str_eq(words.text, "username or password have a character that SASL forbids (RFC 4013)");
	secret_wipe(&secret);
}
END_TEST

START_TEST(credentials_that_cannot_be_sent_are_refused)
{
	struct secret none = { NULL, 0 }, empty = { NULL, 0 }, nul = { NULL, 0 };
	struct tenant_settings *tenant = peer_tenant("username", "pbx", NULL);

	ck_assert(secret_set(&empty, "", 0));
	ck_assert(secret_set(&nul, "a\0b", 3));
	ck_assert_int_eq(try_begin("PLAIN", tenant, NULL), ERROR_INVALID);
	ck_assert_str_eq(words.text, "there is no password to log in to " HOST " with");
	ck_assert_int_eq(try_begin("PLAIN", tenant, &none), ERROR_INVALID);
	ck_assert_int_eq(try_begin("PLAIN", tenant, &empty), ERROR_INVALID);
	ck_assert_int_eq(try_begin("XOAUTH2", tenant, &empty), ERROR_INVALID);
	ck_assert_str_eq(words.text, "there is no token (password) to log in to " HOST " with");
	ck_assert_int_eq(try_begin("PLAIN", tenant, &nul), ERROR_INVALID);
	ck_assert_str_eq(words.text, "the password for " HOST " has a NUL in it");
	ck_assert_int_eq(try_begin("PLAIN", peer_tenant(NULL), &nul), ERROR_INVALID);
	ck_assert_str_eq(words.text, "there is no username to log in to " HOST " with");
	ck_assert_int_eq(try_begin("NONE-SUCH", tenant, &nul), ERROR_SYSTEM);
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

START_TEST(external_says_whom_to_act_as)
{
	const struct auth_channel with = { .encrypted = true, .certificate = true };
	const struct auth_login login = {
		.tenant = peer_tenant("username", "pbx", "tls_cert_file", "c", "tls_key_file", "k", NULL),
		.offered = "",
		.channel = &with,
	};

	buffer_init(&out, 4096);
	ck_assert_int_eq(auth_begin(&login, "EXTERNAL", &auth, &words), OK);
	ck_assert_int_eq(auth_step(auth, NULL, &out, &complete, &words), OK);
	ck_assert_str_eq(out.data, "cGJ4");
	close_exchange();
}
END_TEST

START_TEST(a_token_that_is_refused_is_answered_and_told)
{
	static const char *const answers[][2] = { { "XOAUTH2", "" }, { "OAUTHBEARER", "AQ==" } };

	open_exchange(answers[_i][0]);
	ck_assert(complete);
	ck_assert_int_eq(auth_verify(auth, &words), OK);
	ck_assert_ptr_null(auth_refusal(auth));
	ck_assert_int_eq(challenge("{\"status\":\"401\",\"scope\":\"for secret\"}"), OK);
	ck_assert_str_eq(out.length > 0 ? out.data : "", answers[_i][1]);
	ck_assert_str_eq(auth_refusal(auth), "status 401, scope for ***");
	/* it cannot be accepted any more */
	ck_assert_int_eq(auth_verify(auth, &words), ERROR_PROTOCOL);
	ck_assert_ptr_nonnull(strstr(words.text, "after it had refused the token"));
	ck_assert_int_eq(challenge("{}"), ERROR_PROTOCOL);
	ck_assert_ptr_nonnull(strstr(words.text, "asks for more"));
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
		"s=c2FsdA==,i=1000001",
		"s=c2FsdA==,i=2000000000",
		"s=c2FsdA==,i=99999999999999999999999",
		"s=c2FsdA==,i=1000001,i=1",
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
		const struct auth_login login = {
			.tenant = context, .password = &secret, .offered = "", .channel = &good
		};

		if (auth_begin(&login, mechanisms[i % 5], &own, &why) == OK) {
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
	tcase_add_test(cases, auto_binds_where_both_can);
	tcase_add_test(cases, what_takes_no_password_is_named_only);
	tcase_add_loop_test(cases, scram_is_bound_to_its_tls_session, 0, COUNT(bindings));
	tcase_add_test(cases, external_needs_a_certificate_that_was_asked_for);
	tcase_add_test(cases, external_says_whom_to_act_as);
	tcase_add_loop_test(cases, a_token_that_is_refused_is_answered_and_told, 0, 2);
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
