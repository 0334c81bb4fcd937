/*
 * tls.c - TLS by GnuTLS for one connection.
 *
 * Promises: TLS 1.2 at least, whatever tls_priority says; a fresh session for
 * every connection (no tickets are asked for, nothing is kept); chain, name and
 * time, or the pins, are judged inside the handshake, before its last message,
 * so that a server that does not pass gets no octet of the conversation; what is
 * wrong is told in words that name the host, the date or the name that did not fit.
 * Authorities are loaded once and shared, sessions never.  Nothing here waits:
 * tls_start.c does, and says what a tenant's settings ask.
 *
 * Fails with ERROR_PROTOCOL (no TLS, bad certificate, broken records, a second
 * handshake), ERROR_CLOSED, ERROR_INVALID (settings).
 */
#include "smtp/tls.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "smtp/certificate.h"
#include "smtp/fingerprint.h"
#include "smtp/tls_internal.h"

#define CHAIN_MAX       16 /* certificates of a peer that are looked at for the words */
#define NAMES_MAX       1000
#define WARNINGS_MAX    8 /* alerts and the like that change nothing, in a row */
#define NO_OLD_VERSIONS ":-VERS-SSL3.0:-VERS-TLS1.0:-VERS-TLS1.1:-VERS-DTLS-ALL"

struct tls_trust {
	atomic_int references;
	gnutls_certificate_credentials_t credentials;
};

struct tls {
	struct tls_wire wire;
	gnutls_session_t session;
	struct tls_trust *trust;                      /* held: the session points into it */
	gnutls_certificate_credentials_t credentials; /* own ones, where there is no trust */
	const struct tenant_settings *tenant;         /* during the handshake only */
	struct words *words;                          /* likewise */
	char name[TLS_NAME_BYTES];                    /* for SNI and verification */
	bool judged; /* the certificate was shown to judge_peer() and passed */
	bool verified;
	bool write_waits; /* a record is made and not wholly written */
	bool dead;        /* no close_notify: not begun yet, or ended by an error */
	char description[96];
};

/* --- trust and priority ------------------------------------------------------ */

enum error tls_trust_parse(const struct buffer *pem, struct tls_trust **trust, struct words *why)
{
	gnutls_certificate_credentials_t credentials;
	gnutls_datum_t datum;
	int count, rc = gnutls_certificate_allocate_credentials(&credentials);

	*trust = NULL;
	if (rc < 0) {
		words_set(why, "GnuTLS: %s", gnutls_strerror(rc));
		return ERROR_SYSTEM;
	}
	if (pem) {
		datum.data = (unsigned char *)pem->data;
		datum.size = (unsigned)pem->length;
		count = gnutls_certificate_set_x509_trust_mem(credentials, &datum, GNUTLS_X509_FMT_PEM);
	} else {
		count = gnutls_certificate_set_x509_system_trust(credentials);
	}
	if (count <= 0) {
		words_set(why, "%s", count < 0 ? gnutls_strerror(count) : "there is none");
		gnutls_certificate_free_credentials(credentials);
		return ERROR_INVALID;
	}
	*trust = memory_alloc(sizeof(**trust));
	atomic_init(&(*trust)->references, 1);
	(*trust)->credentials = credentials;
	return OK;
}

struct tls_trust *tls_trust_hold(struct tls_trust *trust)
{
	atomic_fetch_add(&trust->references, 1);
	return trust;
}

void tls_trust_release(struct tls_trust **trust)
{
	struct tls_trust *released = *trust;

	*trust = NULL;
	if (!released || atomic_fetch_sub(&released->references, 1) > 1)
		return;
	gnutls_certificate_free_credentials(released->credentials);
	free(released);
}

static enum error make_priority(const struct tenant_settings *tenant, gnutls_priority_t *priority,
                                struct words *words)
{
	const char *base = tenant->tls_priority ? tenant->tls_priority : "NORMAL";
	const char *place = NULL;
	struct buffer text;
	int rc;

	buffer_init(&text, SIZE_MAX);
	buffer_append_text(&text, base);
	buffer_append_text(&text, NO_OLD_VERSIONS);
	rc = gnutls_priority_init(priority, text.data, &place);
	if (rc == GNUTLS_E_NO_PRIORITIES_WERE_SET)
		words_set(words, "tls_priority '%s' leaves nothing to use with TLS from 1.2 on", base);
	else if (rc < 0 && place && place < text.data + strlen(base))
		words_set(words, "tls_priority: GnuTLS does not understand '%s'", base + (place - text.data));
	else if (rc < 0)
		words_set(words, "tls_priority '%s': %s", base, gnutls_strerror(rc));
	buffer_fini(&text);
	return rc < 0 ? ERROR_INVALID : OK;
}

enum error tls_check_priority(const struct tenant_settings *tenant, struct words *words)
{
	gnutls_priority_t priority;
	enum error error = make_priority(tenant, &priority, words);

	if (error == OK)
		gnutls_priority_deinit(priority);
	return error;
}

/* --- judging a certificate, and what is wrong with it ---------------------------- */

static void take_authority(gnutls_x509_crt_t from, bool issuer, char name[CERTIFICATE_NAME_BYTES])
{
	gnutls_datum_t whole = { NULL, 0 };

	if (issuer)
		gnutls_x509_crt_get_issuer_dn3(from, &whole, 0);
	else
		gnutls_x509_crt_get_dn3(from, &whole, 0);
	certificate_set_authority(name, (const char *)whole.data, whole.size);
	gnutls_free(whole.data);
}

static void take_facts(const gnutls_x509_crt_t from, struct certificate *facts)
{
	take_authority(from, false, facts->subject);
	take_authority(from, true, facts->issuer);
	facts->own_issuer = gnutls_x509_crt_check_issuer(from, from) != 0;
	facts->begins_s = gnutls_x509_crt_get_activation_time(from);
	facts->ends_s = gnutls_x509_crt_get_expiration_time(from);
}

static void take_names(gnutls_x509_crt_t from, struct certificate_names *names)
{
	char raw[512];

	for (unsigned i = 0; i < NAMES_MAX; i++) {
		size_t size = sizeof(raw);
		int type = gnutls_x509_crt_get_subject_alt_name(from, i, raw, &size, NULL);

		if (type == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
			break;
		if (type == GNUTLS_SAN_DNSNAME)
			certificate_add_name(names, raw, strnlen(raw, size));
		else if (type == GNUTLS_SAN_IPADDRESS)
			certificate_add_address(names, raw, size);
	}
}

static void tell_faults(struct tls *tls, unsigned status, gnutls_x509_crt_t *chain, unsigned count)
{
	static const struct {
		unsigned bit;
		const char *text;
	} plain[] = {
		{ GNUTLS_CERT_REVOKED, "was revoked" },
		{ GNUTLS_CERT_SIGNER_NOT_CA, "is signed by a certificate that is no authority" },
		{ GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE, "is for a name that its authority may not sign" },
		{ GNUTLS_CERT_INSECURE_ALGORITHM, "is signed with an algorithm that is no longer secure" },
		{ GNUTLS_CERT_SIGNATURE_FAILURE, "has a signature that is not its authority's" },
		{ GNUTLS_CERT_PURPOSE_MISMATCH, "is not meant for a server" },
		{ GNUTLS_CERT_MISSING_OCSP_STATUS,
		  "demands a proof from its authority that the server does not send" },
		{ GNUTLS_CERT_UNKNOWN_CRIT_EXTENSIONS, "has a critical extension that is not understood" },
	};
	struct certificate facts[CHAIN_MAX];
	struct certificate_names names = { .count = 0 };

	for (unsigned i = 0; i < count; i++)
		take_facts(chain[i], &facts[i]);
	if (status & (GNUTLS_CERT_EXPIRED | GNUTLS_CERT_NOT_ACTIVATED))
		certificate_fault_time(tls->words, tls->name, facts, count, clock_wall_s());
	if (status & GNUTLS_CERT_SIGNER_NOT_FOUND)
		certificate_fault_signer(tls->words, tls->name, facts, count);
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (status & plain[i].bit)
			certificate_fault(tls->words, tls->name, "%s", plain[i].text);
	if (status & GNUTLS_CERT_UNEXPECTED_OWNER) {
		take_names(chain[0], &names);
		if (names.count == 0) /* RFC 6125 6.4.4: only then the common name counts */
			certificate_add_name(&names, facts[0].subject, strlen(facts[0].subject));
		certificate_fault_owner(tls->words, tls->name, &names);
	}
	if (!tls->words->text[0])
		certificate_fault(tls->words, tls->name, "is not good (GnuTLS status 0x%x)", status);
}

static unsigned import_chain(gnutls_session_t session, gnutls_x509_crt_t chain[CHAIN_MAX])
{
	unsigned size = 0, count = 0;
	const gnutls_datum_t *raw = gnutls_certificate_get_peers(session, &size);

	while (raw && count < size && count < CHAIN_MAX) {
		if (gnutls_x509_crt_init(&chain[count]) < 0)
			break;
		if (gnutls_x509_crt_import(chain[count], &raw[count], GNUTLS_X509_FMT_DER) < 0) {
			gnutls_x509_crt_deinit(chain[count]);
			break;
		}
		count++;
	}
	return count;
}

static bool judge_chain(struct tls *tls, gnutls_x509_crt_t *chain, unsigned count)
{
	gnutls_typed_vdata_st wanted[] = {
		{ .type = GNUTLS_DT_DNS_HOSTNAME, .data = (unsigned char *)tls->name },
		{ .type = GNUTLS_DT_KEY_PURPOSE_OID, .data = (unsigned char *)GNUTLS_KP_TLS_WWW_SERVER },
	};
	unsigned status = 0;
	int rc = gnutls_certificate_verify_peers(tls->session, wanted, 2, &status);

	if (rc < 0) {
		certificate_fault(tls->words, tls->name, "cannot be verified (%s)", gnutls_strerror(rc));
		return false;
	}
	if (status != 0)
		tell_faults(tls, status, chain, count);
	return status == 0;
}

static bool judge_pins(struct tls *tls, gnutls_x509_crt_t certificate)
{
	unsigned char whole[FINGERPRINT_BYTES], key[FINGERPRINT_BYTES];
	size_t whole_size = sizeof(whole), key_size = sizeof(key);

	if (gnutls_x509_crt_get_fingerprint(certificate, GNUTLS_DIG_SHA256, whole, &whole_size) < 0 ||
	    gnutls_x509_crt_get_key_id(certificate, GNUTLS_KEYID_USE_SHA256, key, &key_size) < 0) {
		certificate_fault(tls->words, tls->name, "has no fingerprint that could be computed");
		return false;
	}
	if (fingerprint_match(tls->tenant->tls_fingerprints, whole, key))
		return true;
	certificate_fault_pins(tls->words, tls->name, whole, key);
	return false;
}

/* GnuTLS calls it when the server has shown and proved its certificate, before our last message. */
static int judge_peer(gnutls_session_t session)
{
	struct tls *tls = gnutls_session_get_ptr(session);
	bool by_chain = tls_verifies_chain(tls->tenant), by_pins = tls_verifies_pins(tls->tenant);
	gnutls_x509_crt_t chain[CHAIN_MAX];
	unsigned count = 0;
	bool good = true;

	tls->words->text[0] = '\0';
	if (by_chain || by_pins) {
		count = import_chain(session, chain);
		if (count == 0)
			certificate_fault(tls->words, tls->name, "cannot be read");
		good = count > 0;
	}
	if (good && by_chain)
		good = judge_chain(tls, chain, count);
	if (good && by_pins)
		good = judge_pins(tls, chain[0]);
	for (unsigned i = 0; i < count; i++)
		gnutls_x509_crt_deinit(chain[i]);
	tls->judged = good;
	tls->verified = good && (by_chain || by_pins);
	return good ? 0 : GNUTLS_E_CERTIFICATE_ERROR;
}

/* --- the session ---------------------------------------------------------------- */

static int set_up(struct tls *tls, gnutls_priority_t priority, const char *sni)
{
	gnutls_certificate_credentials_t credentials;
	int rc = gnutls_init(&tls->session, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_TICKETS);

	if (rc < 0) {
		tls->session = NULL;
		return rc;
	}
	if (tls->trust) {
		credentials = tls->trust->credentials;
	} else {
		rc = gnutls_certificate_allocate_credentials(&tls->credentials);
		if (rc < 0)
			return rc;
		credentials = tls->credentials;
	}
	gnutls_session_set_ptr(tls->session, tls);
	gnutls_transport_set_ptr(tls->session, &tls->wire);
	gnutls_transport_set_pull_function(tls->session, tls_wire_pull);
	gnutls_transport_set_vec_push_function(tls->session, tls_wire_push);
	gnutls_session_set_verify_function(tls->session, judge_peer);
	rc = gnutls_priority_set(tls->session, priority);
	if (rc >= 0)
		rc = gnutls_credentials_set(tls->session, GNUTLS_CRD_CERTIFICATE, credentials);
	if (rc >= 0 && sni)
		rc = gnutls_server_name_set(tls->session, GNUTLS_NAME_DNS, sni, strlen(sni));
	return rc;
}

static bool is_lost(int rc)
{
	return rc == GNUTLS_E_PREMATURE_TERMINATION || rc == GNUTLS_E_PULL_ERROR || rc == GNUTLS_E_PUSH_ERROR;
}

static short direction(const struct tls *tls)
{
	return gnutls_record_get_direction(tls->session) ? POLLOUT : POLLIN;
}

static enum error handshake_trouble(struct tls *tls, int rc)
{
	const char *host = tls->tenant->host;

	if (tls->words->text[0])
		return ERROR_PROTOCOL; /* judge_peer() said why */
	if (is_lost(rc)) {
		words_set(tls->words, "%s closed the connection during the TLS handshake", host);
		return ERROR_CLOSED;
	}
	if (!tls_wire_is_tls(&tls->wire))
		words_set(tls->words, "%s answered the TLS handshake in something that is not TLS", host);
	else if (rc == GNUTLS_E_FATAL_ALERT_RECEIVED)
		words_set(tls->words, "%s refused the TLS handshake: %s", host,
		          gnutls_alert_get_name(gnutls_alert_get(tls->session)));
	else if (rc == GNUTLS_E_UNSUPPORTED_VERSION_PACKET)
		words_set(tls->words, "%s does not speak TLS 1.2 or later", host);
	else
		words_set(tls->words, "the TLS handshake with %s failed: %s", host, gnutls_strerror(rc));
	return ERROR_PROTOCOL;
}

enum error tls_handshake(struct tls *tls, short *want)
{
	int rc;

	*want = 0;
	for (int warnings = 0;; warnings++) {
		rc = gnutls_handshake(tls->session);
		if (rc == GNUTLS_E_AGAIN || rc == GNUTLS_E_INTERRUPTED) {
			*want = direction(tls);
			return OK;
		}
		if (rc == GNUTLS_E_SUCCESS)
			break;
		if (gnutls_error_is_fatal(rc) || warnings == WARNINGS_MAX) {
			gnutls_alert_send_appropriate(tls->session, rc);
			return handshake_trouble(tls, rc);
		}
	}
	/* a handshake without a certificate (a pre-shared key, anonymous) would never have been judged */
	if (!tls->judged) {
		words_set(tls->words, "%s showed no certificate", tls->tenant->host);
		return ERROR_PROTOCOL;
	}
	snprintf(tls->description, sizeof(tls->description), "%s %s",
	         gnutls_protocol_get_name(gnutls_protocol_get_version(tls->session)),
	         gnutls_ciphersuite_get(tls->session));
	tls->dead = false;
	tls->tenant = NULL;
	tls->words = NULL;
	return OK;
}

enum error tls_create(int fd, const struct tls_peer *peer, struct tls_trust *trust, struct words *words,
                      struct tls **tls)
{
	struct tls *made;
	gnutls_priority_t priority;
	enum error error = make_priority(peer->tenant, &priority, words);
	int rc;

	*tls = NULL;
	if (error != OK)
		return error;
	made = memory_alloc(sizeof(*made));
	made->wire.fd = fd;
	made->dead = true; /* until the handshake is through: no farewell before */
	made->tenant = peer->tenant;
	made->words = words;
	made->trust = trust ? tls_trust_hold(trust) : NULL;
	memcpy(made->name, peer->name, sizeof(made->name));
	words->text[0] = '\0';
	rc = set_up(made, priority, peer->is_address ? NULL : peer->name);
	gnutls_priority_deinit(priority);
	if (rc >= 0) {
		*tls = made;
		return OK;
	}
	words_set(words, "TLS cannot be set up: %s", gnutls_strerror(rc));
	tls_close(&made);
	return ERROR_SYSTEM;
}

void tls_close(struct tls **tls)
{
	struct tls *closed = *tls;

	if (!closed)
		return;
	if (closed->session && !closed->dead)
		gnutls_bye(closed->session, GNUTLS_SHUT_WR); /* one try: nobody waits for a farewell */
	if (closed->session)
		gnutls_deinit(closed->session);
	if (closed->credentials)
		gnutls_certificate_free_credentials(closed->credentials);
	tls_trust_release(&closed->trust);
	free(closed);
	*tls = NULL;
}

const char *tls_describe(const struct tls *tls)
{
	return tls->description;
}

bool tls_is_verified(const struct tls *tls)
{
	return tls->verified;
}

/* --- records -------------------------------------------------------------------- */

static enum error record_trouble(struct tls *tls, int rc)
{
	tls->dead = true;
	return is_lost(rc) ? ERROR_CLOSED : ERROR_PROTOCOL;
}

enum error tls_read(struct tls *tls, void *bytes, size_t capacity, size_t *done, short *want)
{
	*done = 0;
	*want = 0;
	for (int warnings = 0; warnings < WARNINGS_MAX; warnings++) {
		ssize_t rc = gnutls_record_recv(tls->session, bytes, capacity);

		if (rc > 0) {
			*done = (size_t)rc;
			return OK;
		}
		if (rc == 0)
			return ERROR_CLOSED;
		if (rc == GNUTLS_E_AGAIN || rc == GNUTLS_E_INTERRUPTED) {
			*want = direction(tls);
			return OK;
		}
		/* HelloRequest of TLS 1.2: not fatal for GnuTLS, but no second handshake here */
		if (rc == GNUTLS_E_REHANDSHAKE || gnutls_error_is_fatal((int)rc))
			return record_trouble(tls, (int)rc);
	}
	return record_trouble(tls, GNUTLS_E_TOO_MANY_EMPTY_PACKETS);
}

enum error tls_write(struct tls *tls, const void *bytes, size_t length, size_t *done, short *want)
{
	ssize_t rc;

	*done = 0;
	*want = 0;
	/* a record that is half written is finished first: GnuTLS has its octets and says how many they were
	 */
	rc = tls->write_waits ? gnutls_record_send(tls->session, NULL, 0)
	                      : gnutls_record_send(tls->session, bytes, length);
	tls->write_waits = rc == GNUTLS_E_AGAIN || rc == GNUTLS_E_INTERRUPTED;
	if (tls->write_waits) {
		*want = direction(tls);
		return OK;
	}
	if (rc < 0)
		return record_trouble(tls, (int)rc);
	*done = (size_t)rc;
	return OK;
}

size_t tls_pending(const struct tls *tls)
{
	return gnutls_record_check_pending(tls->session);
}
