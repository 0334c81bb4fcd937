/*
 * sink_tls.c - the server's end of STARTTLS, with session tickets as servers have them.
 */
#include "tests/bench/sink.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>

struct sink_tls {
	gnutls_session_t session;
	bool ready;
	bool writing; /* GnuTLS holds the octets of a write that was not finished */
};

static gnutls_certificate_credentials_t credentials;
static gnutls_datum_t ticket_key;

static void must(int rc, const char *what)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "bench-sink: %s: %s\n", what, gnutls_strerror(rc));
	exit(1);
}

void sink_tls_setup(const char *certificate, const char *key)
{
	must(gnutls_certificate_allocate_credentials(&credentials), "credentials");
	must(gnutls_certificate_set_x509_key_file(credentials, certificate, key, GNUTLS_X509_FMT_PEM),
	     certificate);
	must(gnutls_session_ticket_key_generate(&ticket_key), "ticket key");
}

struct sink_tls *sink_tls_create(int fd)
{
	struct sink_tls *tls = calloc(1, sizeof(*tls));

	if (tls == NULL)
		sink_die("TLS");
	must(gnutls_init(&tls->session, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL), "session");
	must(gnutls_set_default_priority(tls->session), "priority");
	must(gnutls_credentials_set(tls->session, GNUTLS_CRD_CERTIFICATE, credentials), "credentials");
	must(gnutls_session_ticket_enable_server(tls->session, &ticket_key), "tickets");
	gnutls_handshake_set_timeout(tls->session, GNUTLS_INDEFINITE_TIMEOUT);
	gnutls_transport_set_int(tls->session, fd);
	return tls;
}

void sink_tls_destroy(struct sink_tls *tls)
{
	if (tls == NULL)
		return;
	if (tls->ready)
		gnutls_bye(tls->session, GNUTLS_SHUT_WR);
	gnutls_deinit(tls->session);
	free(tls);
}

/* A result of GnuTLS's in the words of read(2). */
static long as_errno(long rc)
{
	if (rc >= 0)
		return rc;
	errno = rc == GNUTLS_E_AGAIN || rc == GNUTLS_E_INTERRUPTED ? EAGAIN : EIO;
	return -1;
}

static long shake(struct sink_tls *tls)
{
	int rc;

	if (tls->ready)
		return 0;
	do
		rc = gnutls_handshake(tls->session);
	while (rc < 0 && rc != GNUTLS_E_AGAIN && !gnutls_error_is_fatal(rc));
	if (rc < 0)
		return as_errno(rc);
	tls->ready = true;
	sink_add(&sink_numbers.handshakes, 1);
	sink_add(&sink_numbers.resumed, gnutls_session_is_resumed(tls->session) ? 1 : 0);
	return 0;
}

long sink_tls_read(struct sink_tls *tls, char *data, size_t length)
{
	return shake(tls) < 0 ? -1 : as_errno(gnutls_record_recv(tls->session, data, length));
}

long sink_tls_write(struct sink_tls *tls, const char *data, size_t length)
{
	ssize_t rc;

	if (shake(tls) < 0)
		return -1;
	rc = tls->writing ? gnutls_record_send(tls->session, NULL, 0)
	                  : gnutls_record_send(tls->session, data, length);
	tls->writing = rc == GNUTLS_E_AGAIN || rc == GNUTLS_E_INTERRUPTED;
	return as_errno(rc);
}
