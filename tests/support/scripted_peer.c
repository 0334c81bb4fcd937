/*
 * scripted_peer.c - see scripted_peer.h.
 */
#include "tests/support/scripted_peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/x509.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define IN_LIMIT (64 << 20)

static void must(int rc, const char *what)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, gnutls_strerror(rc));
	abort();
}

static void name_certificate(gnutls_x509_crt_t crt)
{
	struct in_addr loopback = { .s_addr = htonl(INADDR_LOOPBACK) };
	const char *names[] = { "localhost", "mail.test.example" };

	must(gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, "test", 4), "name");
	for (int i = 0; i < 2; i++)
		must(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, names[i],
		                                          (unsigned)strlen(names[i]), GNUTLS_FSAN_APPEND),
		     "name");
	must(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, &loopback, sizeof(loopback),
	                                          GNUTLS_FSAN_APPEND),
	     "address");
}

void test_certificate_make(struct test_certificate *certificate)
{
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t crt;
	gnutls_datum_t pem;

	must(gnutls_x509_privkey_init(&key), "key");
	must(gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
	                                  GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
	     "key");
	must(gnutls_x509_crt_init(&crt), "certificate");
	must(gnutls_x509_crt_set_version(crt, 3), "version");
	must(gnutls_x509_crt_set_serial(crt, "\x01", 1), "serial");
	must(gnutls_x509_crt_set_activation_time(crt, time(NULL) - 3600), "time");
	must(gnutls_x509_crt_set_expiration_time(crt, time(NULL) + 86400), "time");
	must(gnutls_x509_crt_set_basic_constraints(crt, 1, -1), "constraints");
	name_certificate(crt);
	must(gnutls_x509_crt_set_key(crt, key), "key");
	must(gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0), "signature");
	must(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem), "PEM");
	certificate->pem = memory_strndup((const char *)pem.data, pem.size);
	gnutls_free(pem.data);
	must(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem), "PEM");
	certificate->key_pem = memory_strndup((const char *)pem.data, pem.size);
	gnutls_free(pem.data);
	must(gnutls_certificate_allocate_credentials(&certificate->credentials), "credentials");
	must(gnutls_certificate_set_x509_key(certificate->credentials, &crt, 1, key), "credentials");
	gnutls_x509_crt_deinit(crt);
	gnutls_x509_privkey_deinit(key);
}

void test_certificate_free(struct test_certificate *certificate)
{
	gnutls_certificate_free_credentials(certificate->credentials);
	free(certificate->pem);
	free(certificate->key_pem);
}

void peer_init(struct peer *peer, int fd)
{
	*peer = (struct peer){ .fd = fd };
	buffer_init(&peer->in, IN_LIMIT);
}

void peer_close(struct peer *peer)
{
	if (peer->tls) {
		gnutls_bye(peer->tls, GNUTLS_SHUT_WR);
		gnutls_deinit(peer->tls);
	}
	if (peer->fd >= 0)
		close(peer->fd);
	buffer_fini(&peer->in);
	*peer = (struct peer){ .fd = -1 };
}

void peer_reset(struct peer *peer)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(peer->fd);
	peer->fd = -1;
	if (peer->tls)
		gnutls_deinit(peer->tls);
	peer->tls = NULL;
	peer_close(peer);
}

bool peer_start_tls(struct peer *peer, const struct test_certificate *certificate, const char *asks)
{
	int rc;

	must(gnutls_init(&peer->tls, GNUTLS_SERVER), "TLS");
	must(gnutls_set_default_priority(peer->tls), "TLS");
	must(gnutls_credentials_set(peer->tls, GNUTLS_CRD_CERTIFICATE, certificate->credentials), "TLS");
	if (*asks)
		gnutls_certificate_server_set_request(
			peer->tls, strcmp(asks, "require") == 0 ? GNUTLS_CERT_REQUIRE : GNUTLS_CERT_REQUEST);
	gnutls_transport_set_int(peer->tls, peer->fd);
	gnutls_handshake_set_timeout(peer->tls, PEER_WAIT_MS);
	do {
		rc = gnutls_handshake(peer->tls);
	} while (rc < 0 && !gnutls_error_is_fatal(rc));
	if (rc == 0)
		return true;
	gnutls_alert_send_appropriate(peer->tls, rc);
	gnutls_deinit(peer->tls);
	peer->tls = NULL;
	return false;
}

static ssize_t read_some(struct peer *peer, char *octets, size_t capacity)
{
	ssize_t got;

	if (!peer->tls)
		return recv(peer->fd, octets, capacity, 0);
	do {
		got = gnutls_record_recv(peer->tls, octets, capacity);
	} while (got == GNUTLS_E_AGAIN || got == GNUTLS_E_INTERRUPTED);
	return got;
}

enum peer_event peer_fill(struct peer *peer, int ms)
{
	struct pollfd fd = { .fd = peer->fd, .events = POLLIN };
	char octets[16384];
	ssize_t got;
	int ready;

	if (!peer->tls || gnutls_record_check_pending(peer->tls) == 0) {
		do {
			ready = poll(&fd, 1, ms);
		} while (ready < 0 && errno == EINTR);
		if (ready <= 0)
			return PEER_SILENCE;
	}
	got = read_some(peer, octets, sizeof(octets));
	if (got <= 0)
		return PEER_END;
	if (!buffer_append(&peer->in, octets, (size_t)got))
		abort();
	return PEER_OCTETS;
}

static bool write_piece(struct peer *peer, const char *octets, size_t length)
{
	while (length > 0) {
		struct pollfd fd = { .fd = peer->fd, .events = POLLOUT };
		ssize_t done;

		if (poll(&fd, 1, PEER_WAIT_MS) <= 0)
			return false;
		done = peer->tls ? gnutls_record_send(peer->tls, octets, length)
		                 : send(peer->fd, octets, length, MSG_NOSIGNAL);
		if (done == GNUTLS_E_AGAIN || done == GNUTLS_E_INTERRUPTED)
			continue;
		if (done <= 0)
			return false;
		octets += done;
		length -= (size_t)done;
	}
	return true;
}

bool peer_say(struct peer *peer, const char *octets, size_t length)
{
	while (length > 0) {
		size_t piece = peer->write_bytes > 0 && peer->write_bytes < length ? peer->write_bytes
		                                                                   : length;

		if (!write_piece(peer, octets, piece))
			return false;
		octets += piece;
		length -= piece;
	}
	return true;
}
