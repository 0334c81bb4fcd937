/*
 * tls_gnutls.h - what the files of TLS share that know GnuTLS; nobody else includes it.
 *
 * tls.c           the session: credentials, handshake, records
 * tls_judge.c     the server's certificate, and what is wrong with it
 * tls_identity.c  the client's certificate
 * tls_dates.c     until when those of a file are good
 */
#ifndef OUTBOXD_SMTP_TLS_GNUTLS_H
#define OUTBOXD_SMTP_TLS_GNUTLS_H

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdatomic.h>

#include "smtp/certificate.h"
#include "smtp/tls_identity.h"
#include "smtp/tls_internal.h"

struct tls_trust {
	atomic_int references;
	gnutls_certificate_credentials_t credentials;
};

struct tls {
	struct tls_wire wire;
	gnutls_session_t session;
	struct tls_trust *trust;                      /* held: the session points into it */
	gnutls_certificate_credentials_t credentials; /* own ones, where there is no trust */
	struct tls_identity *identity;                /* held; NULL = none to show */
	bool asked;                                   /* the server wanted to see one */
	const struct tenant_settings *tenant;         /* during the handshake only */
	struct words *words;                          /* likewise */
	char name[TLS_NAME_BYTES];                    /* for SNI and verification */
	bool judged; /* the certificate was shown to judge_peer() and passed */
	bool verified;
	bool write_waits; /* a record is made and not wholly written */
	bool dead;        /* no close_notify: not begun yet, or ended by an error */
	char description[96];
	struct words refusal; /* the alert that ended it, "" = none did */
};

/* GnuTLS calls it when the server has shown and proved its certificate, before our last message. */
int tls_judge_peer(gnutls_session_t session);

/* Whose it is, whose signature it has, from when to when. */
void tls_take_facts(gnutls_x509_crt_t from, struct certificate *facts);

/* GnuTLS calls it when the server asks for a certificate of ours. */
int tls_identity_show(gnutls_session_t session, const struct gnutls_cert_retr_st *info,
                      gnutls_pcert_st **chain, unsigned *count, gnutls_ocsp_data_st **ocsp,
                      unsigned *ocsp_count, gnutls_privkey_t *key, unsigned *flags);

/*
 * After a fatal alert of the server's: " (…)" with what it was shown, or that it asked and the
 * tenant has none; appended to words.
 */
void tls_identity_explain(const struct tls *tls, struct words *words);

#endif
