/*
 * smtp_transport_tls.c - certificates made for a test, and TLS servers in threads.
 */
#include "tests/unit/smtp_transport_tls.h"

#include <arpa/inet.h>
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/smtp_transport_test.h"

#define DAY (24 * 3600)

static void must(int rc)
{
	ck_assert_msg(rc >= 0, "%s", gnutls_strerror(rc));
}

static void add_names(gnutls_x509_crt_t certificate, const char *const *names)
{
	for (int i = 0; i < 6 && names[i]; i++) {
		unsigned char address[16];
		bool six = strchr(names[i], ':') != strrchr(names[i], ':');

		if (strncmp(names[i], "ip:", 3) != 0) {
			must(gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_DNSNAME, names[i],
			                                          (unsigned)strlen(names[i]),
			                                          GNUTLS_FSAN_APPEND));
			continue;
		}
		ck_assert_int_eq(inet_pton(six ? AF_INET6 : AF_INET, names[i] + 3, address), 1);
		must(gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_IPADDRESS, address,
		                                          six ? 16 : 4, GNUTLS_FSAN_APPEND));
	}
}

static struct identity kept[64];
static size_t kept_count;

void identity_forget_all(void)
{
	while (kept_count > 0) {
		kept_count--;
		gnutls_x509_crt_deinit(kept[kept_count].certificate);
		gnutls_x509_privkey_deinit(kept[kept_count].key);
	}
}

struct identity identity_make(const struct identity_settings *settings)
{
	static unsigned char serial[4] = { 1 };
	struct identity made;
	gnutls_datum_t der;
	time_t now = time(NULL);
	const struct identity *issuer = settings->issuer ? settings->issuer : &made;

	must(gnutls_x509_privkey_init(&made.key));
	must(gnutls_x509_privkey_generate(made.key, GNUTLS_PK_ECDSA,
	                                  GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0));
	must(gnutls_x509_crt_init(&made.certificate));
	must(gnutls_x509_crt_set_version(made.certificate, 3));
	serial[3]++;
	must(gnutls_x509_crt_set_serial(made.certificate, serial, sizeof(serial)));
	must(gnutls_x509_crt_set_activation_time(made.certificate,
	                                         settings->begins ? settings->begins : now - DAY));
	must(gnutls_x509_crt_set_expiration_time(made.certificate,
	                                         settings->ends ? settings->ends : now + 30 * DAY));
	if (settings->common_name)
		must(gnutls_x509_crt_set_dn_by_oid(made.certificate, GNUTLS_OID_X520_COMMON_NAME, 0,
		                                   settings->common_name,
		                                   (unsigned)strlen(settings->common_name)));
	must(gnutls_x509_crt_set_key(made.certificate, made.key));
	must(gnutls_x509_crt_set_basic_constraints(made.certificate, settings->authority, -1));
	if (settings->authority)
		must(gnutls_x509_crt_set_key_usage(made.certificate, GNUTLS_KEY_KEY_CERT_SIGN));
	else
		must(gnutls_x509_crt_set_key_purpose_oid(
			made.certificate,
			settings->for_clients ? GNUTLS_KP_TLS_WWW_CLIENT : GNUTLS_KP_TLS_WWW_SERVER, 0));
	add_names(made.certificate, settings->names);
	must(gnutls_x509_crt_sign2(made.certificate, issuer->certificate, issuer->key, GNUTLS_DIG_SHA256, 0));
	/* read back: GnuTLS compares names only of certificates that were imported */
	must(gnutls_x509_crt_export2(made.certificate, GNUTLS_X509_FMT_DER, &der));
	gnutls_x509_crt_deinit(made.certificate);
	must(gnutls_x509_crt_init(&made.certificate));
	must(gnutls_x509_crt_import(made.certificate, &der, GNUTLS_X509_FMT_DER));
	gnutls_free(der.data);
	ck_assert_uint_lt(kept_count, COUNT(kept));
	kept[kept_count++] = made;
	return made;
}

const char *identity_write(const struct identity *identity, const char *name)
{
	gnutls_datum_t pem;
	const char *path;

	must(gnutls_x509_crt_export2(identity->certificate, GNUTLS_X509_FMT_PEM, &pem));
	path = peer_file(name, pem.data, pem.size);
	gnutls_free(pem.data);
	return path;
}

void identity_pin(const struct identity *identity, bool of_key, char pin[80])
{
	unsigned char hash[32];
	gnutls_datum_t der;
	gnutls_pubkey_t key;

	if (of_key) {
		must(gnutls_pubkey_init(&key));
		must(gnutls_pubkey_import_x509(key, identity->certificate, 0));
		must(gnutls_pubkey_export2(key, GNUTLS_X509_FMT_DER, &der));
		gnutls_pubkey_deinit(key);
	} else {
		must(gnutls_x509_crt_export2(identity->certificate, GNUTLS_X509_FMT_DER, &der));
	}
	must(gnutls_hash_fast(GNUTLS_DIG_SHA256, der.data, der.size, hash));
	gnutls_free(der.data);
	strcpy(pin, of_key ? "spki:" : "sha256:");
	for (size_t i = 0; i < sizeof(hash); i++)
		sprintf(pin + strlen(pin), "%02x", hash[i]);
}

void tls_server_echo(struct tls_server *server, gnutls_session_t session)
{
	char bytes[4096];
	ssize_t got;

	for (;;) {
		got = gnutls_record_recv(session, bytes, sizeof(bytes));
		if (got == GNUTLS_E_AGAIN) /* a message of TLS's own, as a new key */
			continue;
		if (got <= 0)
			break;
		server->octets += got;
		gnutls_record_send(session, bytes, (size_t)got);
	}
	server->ended = (int)got;
}

/* RFC 5077's session_ticket, and without psk_key_exchange_modes nothing can be resumed (RFC 8446 4.2.9). */
static int note_extension(void *context, unsigned number, const unsigned char *data, unsigned size)
{
	struct tls_server *server = context;

	(void)data;
	(void)size;
	server->ticket_wanted |= number == 35 || number == 45;
	return 0;
}

static int note_hello(gnutls_session_t session, unsigned type, unsigned when, unsigned incoming,
                      const gnutls_datum_t *message)
{
	(void)type;
	(void)when;
	(void)incoming;
	return gnutls_ext_raw_parse(gnutls_session_get_ptr(session), note_extension, message,
	                            GNUTLS_EXT_RAW_FLAG_TLS_CLIENT_HELLO);
}

static gnutls_session_t open_session(struct tls_server *server, gnutls_certificate_credentials_t credentials)
{
	gnutls_session_t session;

	must(gnutls_init(&session, GNUTLS_SERVER | GNUTLS_NO_SIGNAL));
	must(gnutls_priority_set_direct(session, server->priority ? server->priority : "NORMAL", NULL));
	must(gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials));
	if (server->ticket_key.data)
		must(gnutls_session_ticket_enable_server(session, &server->ticket_key));
	if (server->record_size > 0)
		must((int)gnutls_record_set_max_size(session, (size_t)server->record_size));
	gnutls_session_set_ptr(session, server);
	gnutls_handshake_set_hook_function(session, GNUTLS_HANDSHAKE_CLIENT_HELLO, GNUTLS_HOOK_PRE,
	                                   note_hello);
	gnutls_transport_set_int(session, server->fd);
	return session;
}

static int judge_client(gnutls_session_t session)
{
	struct tls_server *server = gnutls_session_get_ptr(session);
	unsigned status = 0, count;

	if (server->asks == TLS_SERVER_REFUSES)
		return GNUTLS_E_CERTIFICATE_ERROR;
	if (!gnutls_certificate_get_peers(session, &count))
		return 0; /* GNUTLS_CERT_REQUIRE sees to it */
	if (server->authority && (gnutls_certificate_verify_peers2(session, &status) < 0 || status != 0))
		return GNUTLS_E_CERTIFICATE_ERROR;
	return 0;
}

static void ask_for_certificate(struct tls_server *server, gnutls_session_t session,
                                gnutls_certificate_credentials_t credentials)
{
	if (server->asks == TLS_SERVER_ASKS_NOT)
		return;
	if (server->authority) {
		gnutls_x509_crt_t trusted = server->authority->certificate;

		must(gnutls_certificate_set_x509_trust(credentials, &trusted, 1));
	}
	gnutls_certificate_server_set_request(
		session, server->asks == TLS_SERVER_REQUESTS ? GNUTLS_CERT_REQUEST : GNUTLS_CERT_REQUIRE);
	gnutls_session_set_verify_function(session, judge_client);
}

static void note_client(struct tls_server *server, gnutls_session_t session)
{
	gnutls_channel_binding_t kind = server->binding_unique ? GNUTLS_CB_TLS_UNIQUE
	                                                       : GNUTLS_CB_TLS_EXPORTER;
	unsigned count = 0;
	const gnutls_datum_t *peers = gnutls_certificate_get_peers(session, &count);
	unsigned char hash[32];
	gnutls_datum_t binding;

	server->client_pin[0] = '\0';
	if (peers && count > 0) {
		must(gnutls_hash_fast(GNUTLS_DIG_SHA256, peers[0].data, peers[0].size, hash));
		strcpy(server->client_pin, "sha256:");
		for (size_t i = 0; i < sizeof(hash); i++)
			sprintf(server->client_pin + strlen(server->client_pin), "%02x", hash[i]);
	}
	server->binding_length = 0;
	if (gnutls_session_channel_binding(session, kind, &binding) < 0)
		return;
	ck_assert_uint_le(binding.size, sizeof(server->binding));
	memcpy(server->binding, binding.data, binding.size);
	server->binding_length = binding.size;
	gnutls_free(binding.data);
}

static void *run(void *context)
{
	struct tls_server *server = context;
	gnutls_certificate_credentials_t credentials;
	gnutls_x509_crt_t chain[3];
	gnutls_session_t session;
	size_t size = sizeof(server->sni);
	unsigned type;

	for (int i = 0; i < server->chain_length; i++)
		chain[i] = server->chain[i].certificate;
	must(gnutls_certificate_allocate_credentials(&credentials));
	must(gnutls_certificate_set_x509_key(credentials, chain, server->chain_length, server->chain[0].key));
	session = open_session(server, credentials);
	ask_for_certificate(server, session, credentials);
	do {
		server->handshake = gnutls_handshake(session);
	} while (server->handshake < 0 && !gnutls_error_is_fatal(server->handshake));
	if (gnutls_server_name_get(session, server->sni, &size, &type, 0) < 0)
		server->sni[0] = '\0';
	if (server->handshake < 0)
		gnutls_alert_send_appropriate(session, server->handshake);
	if (server->handshake >= 0) {
		note_client(server, session);
		server->resumed = gnutls_session_is_resumed(session);
		(server->serve ? server->serve : tls_server_echo)(server, session);
	}
	gnutls_deinit(session);
	gnutls_certificate_free_credentials(credentials);
	close(server->fd);
	return NULL;
}

void tls_server_start(struct tls_server *server, int fd)
{
	server->fd = fd;
	server->octets = 0;
	ck_assert_int_eq(pthread_create(&server->thread, NULL, run, server), 0);
}

void tls_server_join(struct tls_server *server)
{
	ck_assert_int_eq(pthread_join(server->thread, NULL), 0);
}
