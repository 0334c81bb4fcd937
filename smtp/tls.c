/*
 * tls.c - TLS by GnuTLS for one connection.
 *
 * Promises: TLS 1.2 at least, whatever tls_priority says; a fresh session for
 * every connection (no tickets are asked for, nothing is kept); chain, name and
 * time, or the pins, are judged inside the handshake, before its last message,
 * so that a server that does not pass gets no octet of the conversation; what is
 * wrong is told in words that name the host, the date or the name that did not fit.
 * Authorities are loaded once and shared, sessions never.  (Longer than other
 * files because no other file of smtp/ may know GnuTLS.)
 *
 * Fails with ERROR_PROTOCOL (no TLS, bad certificate, broken records, a second
 * handshake), ERROR_CLOSED, ERROR_TIMEOUT, ERROR_INTERRUPTED, ERROR_INVALID (settings).
 */
#include "smtp/tls.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/text.h"
#include "smtp/certificate.h"
#include "smtp/fingerprint.h"
#include "smtp/pem_file.h"

#define NAME_BYTES 256
#define CHAIN_MAX 16		/* certificates of a peer that are looked at for the words */
#define NAMES_MAX 1000
#define WARNINGS_MAX 16		/* alerts and the like that change nothing, in a row */
#define NO_OLD_VERSIONS ":-VERS-SSL3.0:-VERS-TLS1.0:-VERS-TLS1.1:-VERS-DTLS-ALL"

struct tls_trust {
	atomic_int references;
	gnutls_certificate_credentials_t credentials;
};

struct tls {
	int fd;
	gnutls_session_t session;
	struct tls_trust *trust;			/* held: the session points into it */
	gnutls_certificate_credentials_t credentials;	/* own ones, where there is no trust */
	const struct tenant_settings *tenant;		/* during the handshake only */
	struct words *words;				/* likewise */
	char name[NAME_BYTES];				/* for SNI and verification */
	bool judged;		/* the certificate was shown to judge_peer() and passed */
	bool verified;
	bool write_waits;	/* a record is made and not wholly written */
	bool dead;		/* an error ended it: no close_notify */
	bool heard;
	unsigned char first;	/* octet of the server's: tells what is no TLS at all */
	char description[96];
};

/* --- trust -------------------------------------------------------------------- */

static enum error load_ca_file(gnutls_certificate_credentials_t credentials, const char *path,
			       struct words *words)
{
	struct buffer pem;
	gnutls_datum_t datum;
	enum error error = pem_file_read("tls_ca_file", path, &pem, words);
	int count;

	if (error == OK) {
		datum.data = (unsigned char *)pem.data;
		datum.size = (unsigned)pem.length;
		count = gnutls_certificate_set_x509_trust_mem(credentials, &datum, GNUTLS_X509_FMT_PEM);
		if (count <= 0) {
			words_set(words, "tls_ca_file %s holds no certificate in PEM%s%s", path,
				  count < 0 ? ": " : "", count < 0 ? gnutls_strerror(count) : "");
			error = ERROR_INVALID;
		}
	}
	buffer_fini(&pem);
	return error;
}

enum error tls_trust_load(const char *ca_file, struct tls_trust **trust, struct words *words)
{
	gnutls_certificate_credentials_t credentials;
	enum error error = OK;
	int rc = gnutls_certificate_allocate_credentials(&credentials);

	*trust = NULL;
	if (rc < 0) {
		words_set(words, "GnuTLS: %s", gnutls_strerror(rc));
		return ERROR_SYSTEM;
	}
	if (ca_file) {
		error = load_ca_file(credentials, ca_file, words);
	} else if (gnutls_certificate_set_x509_system_trust(credentials) <= 0) {
		words_set(words, "this system has no list of trusted authorities (Debian: ca-certificates)");
		error = ERROR_INVALID;
	}
	if (error != OK) {
		gnutls_certificate_free_credentials(credentials);
		return error;
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

/* --- settings ----------------------------------------------------------------- */

static bool verifies_chain(const struct tenant_settings *tenant)
{
	return tenant->tls != TLS_OPPORTUNISTIC && tenant->tls_verify == TLS_VERIFY_FULL;
}

static bool verifies_pins(const struct tenant_settings *tenant)
{
	if (tenant->tls == TLS_OPPORTUNISTIC || tenant->tls_verify == TLS_VERIFY_NONE)
		return false;
	return tenant->tls_verify == TLS_VERIFY_FINGERPRINT || tenant->tls_fingerprints;
}

static enum error make_priority(const struct tenant_settings *tenant, gnutls_priority_t *priority,
				struct words *words)
{
	const char *base = tenant->tls_priority ? tenant->tls_priority : "NORMAL";
	const char *place = NULL;
	const unsigned *versions;
	struct buffer text;
	int rc;

	buffer_init(&text, SIZE_MAX);
	buffer_append_text(&text, base);
	buffer_append_text(&text, NO_OLD_VERSIONS);
	rc = gnutls_priority_init(priority, text.data, &place);
	if (rc < 0 && rc == GNUTLS_E_INVALID_REQUEST && place && place < text.data + strlen(base))
		words_set(words, "tls_priority: GnuTLS does not understand '%s'", base + (place - text.data));
	else if (rc < 0)
		words_set(words, "tls_priority '%s': %s", base, gnutls_strerror(rc));
	buffer_fini(&text);
	if (rc < 0)
		return ERROR_INVALID;
	if (gnutls_priority_protocol_list(*priority, &versions) > 0)
		return OK;
	gnutls_priority_deinit(*priority);
	words_set(words, "tls_priority '%s' leaves no version of TLS from 1.2 on", base);
	return ERROR_INVALID;
}

static enum error check_pins(const struct tenant_settings *tenant, struct words *words)
{
	if (tenant->tls_fingerprints)
		return fingerprint_check(tenant->tls_fingerprints, words);
	if (!verifies_pins(tenant))
		return OK;
	words_set(words, "tls_verify = fingerprint needs tls_fingerprints");
	return ERROR_INVALID;
}

enum error tls_settings_check(const struct tenant_settings *tenant, struct words *words)
{
	gnutls_priority_t priority;
	enum error error = check_pins(tenant, words);

	if (error == OK)
		error = make_priority(tenant, &priority, words);
	if (error != OK)
		return error;
	gnutls_priority_deinit(priority);
	if (tenant->tls_cert_file || tenant->tls_key_file) {
		words_set(words, "%s is not built yet", tenant->tls_cert_file ? "tls_cert_file" : "tls_key_file");
		return ERROR_REFUSED;
	}
	return OK;
}

/* --- what is wrong with a certificate ------------------------------------------- */

/* The common name, else the organisation, else all of the subject's or the issuer's name. */
static void take_authority(gnutls_x509_crt_t from, bool issuer, char name[CERTIFICATE_NAME_BYTES])
{
	static const char *const oids[] = { GNUTLS_OID_X520_COMMON_NAME, GNUTLS_OID_X520_ORGANIZATION_NAME };
	char raw[512];
	size_t size;
	int rc = GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE;

	for (size_t i = 0; i < sizeof(oids) / sizeof(oids[0]) && rc < 0; i++) {
		size = sizeof(raw);
		rc = issuer ? gnutls_x509_crt_get_issuer_dn_by_oid(from, oids[i], 0, 0, raw, &size)
			    : gnutls_x509_crt_get_dn_by_oid(from, oids[i], 0, 0, raw, &size);
	}
	if (rc < 0) {
		size = sizeof(raw);
		rc = issuer ? gnutls_x509_crt_get_issuer_dn(from, raw, &size)
			    : gnutls_x509_crt_get_dn(from, raw, &size);
	}
	if (rc < 0)
		size = 0;
	certificate_set_name(name, size > 0 ? raw : "nameless", size > 0 ? strnlen(raw, size) : 8);
}

static void take_facts(const gnutls_x509_crt_t from, struct certificate *facts)
{
	take_authority(from, false, facts->subject);
	take_authority(from, true, facts->issuer);
	facts->own_issuer = gnutls_x509_crt_check_issuer(from, from) != 0;
	facts->begins_s = gnutls_x509_crt_get_activation_time(from);
	facts->ends_s = gnutls_x509_crt_get_expiration_time(from);
}

/* DNS names and addresses; the common name counts only where there is none (RFC 6125 6.4.4). */
static void take_names(gnutls_x509_crt_t from, struct certificate_names *names)
{
	char raw[512], address[INET6_ADDRSTRLEN];
	size_t size;

	for (unsigned i = 0; i < NAMES_MAX; i++) {
		int type;

		size = sizeof(raw);
		type = gnutls_x509_crt_get_subject_alt_name(from, i, raw, &size, NULL);
		if (type == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
			break;
		if (type == GNUTLS_SAN_DNSNAME)
			certificate_add_name(names, raw, strnlen(raw, size));
		else if (type == GNUTLS_SAN_IPADDRESS && (size == 4 || size == 16) &&
			 inet_ntop(size == 4 ? AF_INET : AF_INET6, raw, address, sizeof(address)))
			certificate_add_name(names, address, strlen(address));
	}
	size = sizeof(raw);
	if (names->count == 0 &&
	    gnutls_x509_crt_get_dn_by_oid(from, GNUTLS_OID_X520_COMMON_NAME, 0, 0, raw, &size) >= 0)
		certificate_add_name(names, raw, strnlen(raw, size));
}

static void tell_faults(struct tls *tls, unsigned status, gnutls_x509_crt_t *chain, unsigned count)
{
	static const struct { unsigned bit; const char *text; } plain[] = {
		{ GNUTLS_CERT_REVOKED, "was revoked" },
		{ GNUTLS_CERT_SIGNER_NOT_CA, "is signed by a certificate that is no authority" },
		{ GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE, "is for a name that its authority may not sign" },
		{ GNUTLS_CERT_INSECURE_ALGORITHM, "is signed with an algorithm that is no longer secure" },
		{ GNUTLS_CERT_SIGNATURE_FAILURE, "has a signature that is not its authority's" },
		{ GNUTLS_CERT_PURPOSE_MISMATCH, "is not meant for a server" },
		{ GNUTLS_CERT_MISSING_OCSP_STATUS, "demands a proof from its authority that the server does not send" },
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
		certificate_fault_owner(tls->words, tls->name, &names);
	}
	if (!tls->words->text[0])
		certificate_fault(tls->words, tls->name, "is not good (GnuTLS status 0x%x)", status);
}

/* --- judging the server ----------------------------------------------------------- */

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
	char whole_hex[2 * FINGERPRINT_BYTES + 1], key_hex[2 * FINGERPRINT_BYTES + 1];
	size_t whole_size = sizeof(whole), key_size = sizeof(key);

	if (gnutls_x509_crt_get_fingerprint(certificate, GNUTLS_DIG_SHA256, whole, &whole_size) < 0 ||
	    gnutls_x509_crt_get_key_id(certificate, GNUTLS_KEYID_USE_SHA256, key, &key_size) < 0) {
		certificate_fault(tls->words, tls->name, "has no fingerprint that could be computed");
		return false;
	}
	if (fingerprint_match(tls->tenant->tls_fingerprints, whole, key))
		return true;
	text_hex(whole, whole_size, whole_hex);
	text_hex(key, key_size, key_hex);
	certificate_fault(tls->words, tls->name, "is not one of tls_fingerprints: it is sha256:%s, its key spki:%s",
			  whole_hex, key_hex);
	return false;
}

/* GnuTLS calls it when the server has shown and proved its certificate, before our last message. */
static int judge_peer(gnutls_session_t session)
{
	struct tls *tls = gnutls_session_get_ptr(session);
	bool by_chain = verifies_chain(tls->tenant), by_pins = verifies_pins(tls->tenant);
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

static ssize_t pull(gnutls_transport_ptr_t context, void *bytes, size_t capacity)
{
	struct tls *tls = context;
	ssize_t got = recv(tls->fd, bytes, capacity, MSG_DONTWAIT);

	if (got > 0 && !tls->heard) {
		tls->heard = true;
		tls->first = *(unsigned char *)bytes;
	}
	if (got < 0)
		gnutls_transport_set_errno(tls->session, errno);
	return got;
}

static ssize_t push(gnutls_transport_ptr_t context, const giovec_t *parts, int count)
{
	struct tls *tls = context;
	struct msghdr message = { .msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)count };
	ssize_t sent = sendmsg(tls->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent < 0)
		gnutls_transport_set_errno(tls->session, errno);
	return sent;
}

/* The name without brackets and the root's dot, as certificates and SNI (RFC 6066 3) have it. */
static bool take_name(struct tls *tls)
{
	const char *name = tls->tenant->tls_name ? tls->tenant->tls_name : tls->tenant->host;
	size_t length = strlen(name);

	if (length > 1 && name[0] == '[' && name[length - 1] == ']') {
		name++;
		length -= 2;
	} else if (length > 1 && name[length - 1] == '.') {
		length--;
	}
	if (length == 0 || length >= sizeof(tls->name))
		return false;
	memcpy(tls->name, name, length);
	return true;
}

static bool is_address(const char *name)
{
	struct in6_addr address;

	return inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1;
}

static int set_up(struct tls *tls, gnutls_priority_t priority)
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
	gnutls_transport_set_ptr(tls->session, tls);
	gnutls_transport_set_pull_function(tls->session, pull);
	gnutls_transport_set_vec_push_function(tls->session, push);
	gnutls_session_set_verify_function(tls->session, judge_peer);
	rc = gnutls_priority_set(tls->session, priority);
	if (rc >= 0)
		rc = gnutls_credentials_set(tls->session, GNUTLS_CRD_CERTIFICATE, credentials);
	if (rc >= 0 && !is_address(tls->name))	/* RFC 6066 3: no literal in SNI */
		rc = gnutls_server_name_set(tls->session, GNUTLS_NAME_DNS, tls->name, strlen(tls->name));
	return rc;
}

static short direction(const struct tls *tls)
{
	return gnutls_record_get_direction(tls->session) ? POLLOUT : POLLIN;
}

static enum error handshake_trouble(struct tls *tls, int rc)
{
	const char *host = tls->tenant->host;

	tls->dead = true;
	if (tls->words->text[0])
		return ERROR_PROTOCOL;	/* judge_peer() said why */
	if (rc == GNUTLS_E_PREMATURE_TERMINATION || rc == GNUTLS_E_PULL_ERROR || rc == GNUTLS_E_PUSH_ERROR) {
		words_set(tls->words, "%s closed the connection during the TLS handshake", host);
		return ERROR_CLOSED;
	}
	if (tls->heard && tls->first != 22 && tls->first != 21)	/* RFC 8446 5.1: handshake, alert */
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

static enum error shake_hands(struct tls *tls, int64_t deadline_ms, const struct interrupt *interrupt)
{
	for (int warnings = 0;;) {
		enum error error;
		int rc = gnutls_handshake(tls->session);

		if (rc == GNUTLS_E_SUCCESS)
			break;
		if (gnutls_error_is_fatal(rc) || warnings == WARNINGS_MAX) {
			gnutls_alert_send_appropriate(tls->session, rc);
			return handshake_trouble(tls, rc);
		}
		if (rc != GNUTLS_E_AGAIN && rc != GNUTLS_E_INTERRUPTED) {
			warnings++;
			continue;
		}
		error = wait_for(tls->fd, direction(tls), deadline_ms, interrupt);
		if (error == OK)
			continue;
		tls->dead = true;
		words_set(tls->words, "%s%s", tls->tenant->host, error == ERROR_TIMEOUT ?
			  " did not finish the TLS handshake in time" : ": the TLS handshake was called off");
		return error;
	}
	/* a handshake without a certificate (a pre-shared key, anonymous) would never have been judged */
	if (!tls->judged) {
		tls->dead = true;
		words_set(tls->words, "%s showed no certificate", tls->tenant->host);
		return ERROR_PROTOCOL;
	}
	return OK;
}

static void describe(struct tls *tls)
{
	const char *version = gnutls_protocol_get_name(gnutls_protocol_get_version(tls->session));
	const char *suite = gnutls_ciphersuite_get(tls->session);

	snprintf(tls->description, sizeof(tls->description), "%s %s", version ? version : "TLS",
		 suite ? suite : "?");
}

enum error tls_start(int fd, const struct tenant_settings *tenant, struct tls_trust *trust,
		     int64_t deadline_ms, const struct interrupt *interrupt, struct tls **tls,
		     struct words *words)
{
	struct tls *made;
	gnutls_priority_t priority;
	enum error error = check_pins(tenant, words);
	int rc;

	*tls = NULL;
	assert(trust || !verifies_chain(tenant));
	if (error == OK)
		error = make_priority(tenant, &priority, words);
	if (error != OK)
		return error;
	made = memory_alloc(sizeof(*made));
	made->fd = fd;
	made->tenant = tenant;
	made->words = words;
	made->trust = trust ? tls_trust_hold(trust) : NULL;
	words->text[0] = '\0';
	if (!take_name(made)) {
		words_set(words, "tls_name (or host) is not the name of a server");
		error = ERROR_INVALID;
	} else if ((rc = set_up(made, priority)) < 0) {
		words_set(words, "TLS cannot be set up: %s", gnutls_strerror(rc));
		error = ERROR_SYSTEM;
	} else {
		error = shake_hands(made, deadline_ms, interrupt);
	}
	gnutls_priority_deinit(priority);
	made->tenant = NULL;
	made->words = NULL;
	if (error != OK) {
		made->dead = true;
		tls_close(&made);
		return error;
	}
	describe(made);
	*tls = made;
	return OK;
}

void tls_close(struct tls **tls)
{
	struct tls *closed = *tls;

	if (!closed)
		return;
	if (closed->session && !closed->dead)
		gnutls_bye(closed->session, GNUTLS_SHUT_WR);	/* one try: nobody waits for a farewell */
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
	if (rc == GNUTLS_E_PREMATURE_TERMINATION || rc == GNUTLS_E_PULL_ERROR || rc == GNUTLS_E_PUSH_ERROR ||
	    rc == GNUTLS_E_SESSION_EOF)
		return ERROR_CLOSED;
	return ERROR_PROTOCOL;
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
	/* a record that is half written is finished first: GnuTLS has its octets and says how many they were */
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
