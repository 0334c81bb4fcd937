/*
 * smtp_transport_identity.c - client certificates, and what the TLS session gives to bind a login to.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "smtp/tls_identity.h"
#include "tests/unit/smtp_transport_test.h"
#include "tests/unit/smtp_transport_tls.h"

#define HOST           "mail.acme.example"
#define DAY_2020_03_01 1583020800 /* 2020-03-01T00:00:00Z */
#define DAY_2019_01_01 1546300800

static struct identity authority, client, other;
static struct tls_trust *trust;
static struct tls_identity *identity;
static struct tls_server server;
static struct tenant_settings *tenant;
static struct words words;

static void setup(void)
{
	authority = identity_make(&(struct identity_settings){ .common_name = "Acme CA", .authority = true });
	client = identity_make(&(struct identity_settings){
		.common_name = "pbx", .issuer = &authority, .for_clients = true });
	other = identity_make(&(struct identity_settings){
		.common_name = "other", .issuer = &authority, .for_clients = true });
	ck_assert_int_eq(tls_trust_load(identity_write(&authority, "ca.pem"), &trust, &words), OK);
	memset(&server, 0, sizeof(server));
	server.chain[0] = identity_make(
		&(struct identity_settings){ .names = { HOST }, .issuer = &authority });
	server.chain_length = 1;
	tenant = peer_tenant("tls_cert_file", "acme.pem", "tls_key_file", "acme.key", NULL);
	identity = NULL;
}

static void teardown(void)
{
	tls_identity_release(&identity);
	tls_trust_release(&trust);
}

static void add_pem(struct secret *secret, const gnutls_datum_t *pem)
{
	struct buffer both;

	buffer_init(&both, 1 << 20);
	if (secret_is_set(secret))
		buffer_append(&both, secret->bytes, secret->length);
	buffer_append(&both, pem->data, pem->size);
	ck_assert(secret_set(secret, both.data, both.length));
	buffer_fini(&both);
}

static void add_certificate(struct secret *secret, const struct identity *from)
{
	gnutls_datum_t pem;

	ck_assert_int_ge(gnutls_x509_crt_export2(from->certificate, GNUTLS_X509_FMT_PEM, &pem), 0);
	add_pem(secret, &pem);
	gnutls_free(pem.data);
}

/* password NULL = not encrypted, in the form of SEC 1; else PKCS #8. */
static void add_key(struct secret *secret, const struct identity *from, const char *password)
{
	gnutls_datum_t pem;
	int rc = password ? gnutls_x509_privkey_export2_pkcs8(from->key, GNUTLS_X509_FMT_PEM, password,
	                                                      GNUTLS_PKCS_PBES2_AES_256, &pem)
	                  : gnutls_x509_privkey_export2(from->key, GNUTLS_X509_FMT_PEM, &pem);

	ck_assert_int_ge(rc, 0);
	add_pem(secret, &pem);
	gnutls_free(pem.data);
}

static enum error parse(const struct secret *certificate, const struct secret *key)
{
	enum error error = tls_identity_parse(tenant, certificate, key, &identity, &words);

	ck_assert_int_eq(error == OK, identity != NULL);
	return error;
}

static void take_identity(const struct identity *from)
{
	struct secret certificate = { NULL, 0 }, key = { NULL, 0 };

	add_certificate(&certificate, from);
	add_key(&key, from, NULL);
	ck_assert_msg(parse(&certificate, &key) == OK, "%s", words.text);
	secret_wipe(&certificate);
	secret_wipe(&key);
}

/* --- what is read ------------------------------------------------------------------------ */

START_TEST(a_pair_with_its_chain_in_two_files_or_in_one)
{
	struct secret certificate = { NULL, 0 }, key = { NULL, 0 };

	add_certificate(&certificate, &client);
	add_certificate(&certificate, &authority);
	add_key(&key, &client, NULL);
	ck_assert_int_eq(parse(&certificate, &key), OK);
	tls_identity_release(&identity);
	add_key(&certificate, &client, NULL);
	ck_assert_int_eq(parse(&certificate, &certificate), OK);
	secret_wipe(&certificate);
	secret_wipe(&key);
}
END_TEST

START_TEST(what_is_no_pair_is_told)
{
	struct secret certificate = { NULL, 0 }, key = { NULL, 0 }, locked = { NULL, 0 }, none = { NULL, 0 },
		      chain = { NULL, 0 }, strange = { NULL, 0 }, many = { NULL, 0 };

	secret_set(&none, "nothing of the kind\n", 20);
	add_certificate(&certificate, &client);
	add_key(&key, &client, NULL);
	add_key(&locked, &client, "hidden");
	add_key(&strange, &other, NULL);
	add_certificate(&chain, &authority);
	add_certificate(&chain, &client);
	for (int i = 0; i < 17; i++)
		add_certificate(&many, &client);
	ck_assert_int_eq(parse(&none, &key), ERROR_INVALID);
	ck_assert_str_eq(words.text, "the file of tls_cert_file = acme.pem holds no certificate in PEM");
	ck_assert_int_eq(parse(&certificate, &none), ERROR_INVALID);
	ck_assert_int_eq(
		strncmp(words.text, "the file of tls_key_file = acme.key holds no private key in PEM", 62),
		0);
	ck_assert_int_eq(parse(&certificate, &certificate), ERROR_INVALID);
	ck_assert_int_eq(parse(&certificate, &locked), ERROR_INVALID);
	ck_assert_str_eq(words.text,
	                 "the key in the file of tls_key_file = acme.key is encrypted, and outboxd has no "
	                 "password for it (openssl pkey takes the encryption off)");
	ck_assert_int_eq(parse(&certificate, &strange), ERROR_INVALID);
	ck_assert_str_eq(words.text, "the key of tls_key_file = acme.key is not that of the certificate of "
	                             "tls_cert_file = acme.pem");
	ck_assert_int_eq(parse(&chain, &key), ERROR_INVALID);
	ck_assert_str_eq(words.text, "the certificate of the key must be the first one in the file of "
	                             "tls_cert_file = acme.pem");
	ck_assert_int_eq(parse(&many, &key), ERROR_INVALID);
	ck_assert_str_eq(words.text, "the file of tls_cert_file = acme.pem holds more than 16 certificates");
	secret_wipe(&certificate);
	secret_wipe(&key);
	secret_wipe(&locked);
	secret_wipe(&none);
	secret_wipe(&chain);
	secret_wipe(&strange);
	secret_wipe(&many);
}
END_TEST

START_TEST(a_file_cut_at_any_place_is_no_pair)
{
	struct secret certificate = { NULL, 0 }, key = { NULL, 0 }, cut = { NULL, 0 };

	add_certificate(&certificate, &client);
	add_key(&key, &client, NULL);
	for (size_t length = 0; length + 20 < key.length; length += 7) {
		secret_set(&cut, key.bytes, length);
		ck_assert_int_eq(parse(&certificate, &cut), ERROR_INVALID);
	}
	for (size_t length = 0; length + 20 < certificate.length; length += 7) {
		secret_set(&cut, certificate.bytes, length);
		ck_assert_int_eq(parse(&cut, &key), ERROR_INVALID);
	}
	secret_wipe(&certificate);
	secret_wipe(&key);
	secret_wipe(&cut);
}
END_TEST

/* --- what is shown ----------------------------------------------------------------------- */

static struct stream *stream;

/* One connection as far as an echo of four octets. */
static enum error meet(void)
{
	const struct tls_settings settings = { tenant, trust, identity };
	int64_t deadline_ms = deadline_after_ms(LONG_MS);
	size_t length = 0;
	enum error error;
	int ends[2];

	peer_pair(ends);
	tls_server_start(&server, ends[1]);
	stream = stream_create(ends[0], NULL);
	words.text[0] = '\0';
	error = stream_start_tls(stream, &settings, deadline_ms, &words);
	if (error == OK)
		error = stream_write(stream, "EHLO", 4, deadline_ms);
	while (error == OK && length < 4) {
		error = stream_fill(stream, deadline_ms);
		stream_input(stream, &length);
	}
	return error;
}

static void part(void)
{
	stream_close(&stream);
	tls_server_join(&server);
}

static const char *const versions[] = { "NORMAL", "NORMAL:-VERS-TLS1.3" };

START_TEST(a_server_that_asks_is_shown_it)
{
	char pin[80];

	server.priority = versions[_i];
	server.asks = TLS_SERVER_REQUIRES;
	server.authority = &authority;
	take_identity(&client);
	ck_assert_msg(meet() == OK, "%s", words.text);
	ck_assert(tls_showed_identity(stream_tls(stream)));
	ck_assert(tls_is_verified(stream_tls(stream)));
	part();
	identity_pin(&client, false, pin);
	ck_assert_str_eq(server.client_pin, pin);
}
END_TEST

START_TEST(a_server_that_does_not_ask_is_shown_nothing)
{
	server.priority = versions[_i];
	take_identity(&client);
	ck_assert_int_eq(meet(), OK);
	ck_assert(!tls_showed_identity(stream_tls(stream)));
	part();
	ck_assert_str_eq(server.client_pin, "");
}
END_TEST

START_TEST(without_one_a_server_that_only_asks_is_content)
{
	server.priority = versions[_i];
	server.asks = TLS_SERVER_REQUESTS;
	ck_assert_int_eq(meet(), OK);
	ck_assert(!tls_showed_identity(stream_tls(stream)));
	part();
	ck_assert_str_eq(server.client_pin, "");
}
END_TEST

/* The words of the handshake (TLS 1.2), or of the alert behind it (TLS 1.3). */
static const char *told(void)
{
	const char *refusal = stream_tls(stream) ? tls_refusal(stream_tls(stream)) : NULL;

	return refusal ? refusal : words.text;
}

START_TEST(without_one_a_server_that_requires_it_is_told)
{
	server.priority = versions[_i];
	server.asks = TLS_SERVER_REQUIRES;
	ck_assert_int_ne(meet(), OK);
	ck_assert_msg(strstr(told(), "(it asks for a client certificate, and tls_cert_file is not set)") !=
	                      NULL,
	              "%s", told());
	part();
}
END_TEST

START_TEST(one_that_the_server_refuses_is_named)
{
	server.priority = versions[_i];
	server.asks = TLS_SERVER_REFUSES;
	take_identity(&client);
	ck_assert_int_ne(meet(), OK);
	ck_assert_msg(strstr(told(), "(it was shown the client certificate of tls_cert_file = acme.pem)") !=
	                      NULL,
	              "%s", told());
	part();
}
END_TEST

START_TEST(one_that_has_expired_is_told_with_its_day)
{
	struct identity old = identity_make(&(struct identity_settings){ .common_name = "old",
	                                                                 .issuer = &authority,
	                                                                 .for_clients = true,
	                                                                 .begins = DAY_2019_01_01,
	                                                                 .ends = DAY_2020_03_01 });

	server.priority = versions[_i];
	server.asks = TLS_SERVER_REQUIRES;
	server.authority = &authority;
	take_identity(&old);
	ck_assert_int_ne(meet(), OK);
	ck_assert_msg(strstr(told(), "(the client certificate of tls_cert_file = acme.pem expired on "
	                             "2020-03-01)") != NULL,
	              "%s", told());
	part();
}
END_TEST

/* --- channel binding --------------------------------------------------------------------- */

static const struct {
	const char *priority, *type;
} bindings[] = {
	{ "NORMAL", "tls-exporter" },
	{ "NORMAL:-VERS-TLS1.3", "tls-unique" },
	/* RFC 7627: without it two sessions can have the same tls-unique */
	{ "NORMAL:-VERS-TLS1.3:%NO_SESSION_HASH", NULL },
};

START_TEST(the_binding_is_the_same_at_both_ends_and_only_there)
{
	unsigned char first[TLS_BINDING_BYTES], second[TLS_BINDING_BYTES];
	size_t first_length = 0, second_length = 0;
	const char *type;

	server.priority = bindings[_i].priority;
	server.binding_unique = bindings[_i].type && strcmp(bindings[_i].type, "tls-unique") == 0;
	ck_assert_int_eq(meet(), OK);
	type = tls_binding(stream_tls(stream), first, &first_length);
	part();
	if (!bindings[_i].type) {
		ck_assert_ptr_null(type);
		return;
	}
	ck_assert_str_eq(type, bindings[_i].type);
	ck_assert_uint_ge(first_length, 12);
	ck_assert_uint_eq(first_length, server.binding_length);
	ck_assert_mem_eq(first, server.binding, first_length);
	ck_assert_int_eq(meet(), OK);
	ck_assert_str_eq(tls_binding(stream_tls(stream), second, &second_length), bindings[_i].type);
	part();
	ck_assert_mem_ne(first, second, first_length);
}
END_TEST

TCase *smtp_transport_identity_cases(void)
{
	TCase *cases = tcase_create("identity");

	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, a_pair_with_its_chain_in_two_files_or_in_one);
	tcase_add_test(cases, what_is_no_pair_is_told);
	tcase_add_test(cases, a_file_cut_at_any_place_is_no_pair);
	tcase_add_loop_test(cases, a_server_that_asks_is_shown_it, 0, COUNT(versions));
	tcase_add_loop_test(cases, a_server_that_does_not_ask_is_shown_nothing, 0, COUNT(versions));
	tcase_add_loop_test(cases, without_one_a_server_that_only_asks_is_content, 0, COUNT(versions));
	tcase_add_loop_test(cases, without_one_a_server_that_requires_it_is_told, 0, COUNT(versions));
	tcase_add_loop_test(cases, one_that_the_server_refuses_is_named, 0, COUNT(versions));
	tcase_add_loop_test(cases, one_that_has_expired_is_told_with_its_day, 0, COUNT(versions));
	tcase_add_loop_test(cases, the_binding_is_the_same_at_both_ends_and_only_there, 0, COUNT(bindings));
	return cases;
}
