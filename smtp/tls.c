/*
 * tls.c - TLS by GnuTLS for one connection.
 *
 * Promises: TLS 1.2 at least, whatever tls_priority says; a fresh session for
 * every connection (no tickets are asked for, nothing is kept); tls_judge.c judges
 * the server inside the handshake, before its last message, so that one that does not
 * pass gets no octet of the conversation. Authorities are loaded once and shared,
 * sessions never; a client certificate (tls_identity.c) is a session's own, although
 * the authorities' object asks for it. Nothing here waits: tls_start.c does, and says
 * what a tenant's settings ask.
 *
 * Fails with ERROR_PROTOCOL (no TLS, bad certificate, broken records, a second
 * handshake), ERROR_CLOSED, ERROR_INVALID (settings).
 */
#include "smtp/tls.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "smtp/tls_gnutls.h"

#define WARNINGS_MAX    8 /* alerts and the like that change nothing, in a row */
#define NORMAL          "NORMAL"
#define NO_OLD_VERSIONS ":-VERS-SSL3.0:-VERS-TLS1.0:-VERS-TLS1.1:-VERS-DTLS-ALL"

/* --- trust and priority ------------------------------------------------------ */

/* They are shared by sessions; which certificate to show is the session's (tls_identity_show()). */
static int allocate_credentials(gnutls_certificate_credentials_t *credentials)
{
	int rc = gnutls_certificate_allocate_credentials(credentials);

	if (rc >= 0)
		gnutls_certificate_set_retrieve_function3(*credentials, tls_identity_show);
	return rc;
}

enum error tls_trust_parse(const struct buffer *pem, struct tls_trust **trust, struct words *why)
{
	gnutls_certificate_credentials_t credentials;
	gnutls_datum_t datum;
	int count, rc = allocate_credentials(&credentials);

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

/* What nearly all tenants have: one for all sessions (8 KiB each it would be), as long as the process. */
static pthread_once_t shared_once = PTHREAD_ONCE_INIT;
static gnutls_priority_t shared_priority;

static void make_shared_priority(void)
{
	/* one that cannot be made is tried anew, and told, by each session */
	if (gnutls_priority_init(&shared_priority, NORMAL NO_OLD_VERSIONS, NULL) < 0)
		shared_priority = NULL;
}

static void release_priority(gnutls_priority_t priority)
{
	if (priority != shared_priority)
		gnutls_priority_deinit(priority);
}

/* Given back by release_priority(); a session that was given it has its own count. */
static enum error make_priority(const struct tenant_settings *tenant, gnutls_priority_t *priority,
                                struct words *words)
{
	const char *base = tenant->tls_priority ? tenant->tls_priority : NORMAL;
	const char *place = NULL;
	struct buffer text;
	int rc;

	pthread_once(&shared_once, make_shared_priority);
	*priority = shared_priority;
	if (!tenant->tls_priority && shared_priority)
		return OK;
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
		release_priority(priority);
	return error;
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
		rc = allocate_credentials(&tls->credentials);
		if (rc < 0)
			return rc;
		credentials = tls->credentials;
	}
	gnutls_session_set_ptr(tls->session, tls);
	gnutls_transport_set_ptr(tls->session, &tls->wire);
	gnutls_transport_set_pull_function(tls->session, tls_wire_pull);
	gnutls_transport_set_vec_push_function(tls->session, tls_wire_push);
	gnutls_session_set_verify_function(tls->session, tls_judge_peer);
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

/* What the server's last alert says, behind the beginning of a sentence. */
static void tell_alert(const struct tls *tls, const char *host, const char *what, struct words *words)
{
	const char *name = gnutls_alert_get_name(gnutls_alert_get(tls->session));

	words_set(words, "%s%s%s", host, what, name ? name : "an unknown alert");
	tls_identity_explain(tls, words);
}

static enum error handshake_trouble(struct tls *tls, int rc)
{
	const char *host = tls->tenant->host;

	if (tls->words->text[0])
		return ERROR_PROTOCOL; /* tls_judge_peer() said why */
	if (is_lost(rc)) {
		words_set(tls->words, "%s closed the connection during the TLS handshake", host);
		tls_identity_explain(tls, tls->words);
		return ERROR_CLOSED;
	}
	if (!tls_wire_is_tls(&tls->wire) && tls->tenant->tls == TLS_IMPLICIT)
		tls_tell_clear(tls->tenant, tls->words);
	else if (!tls_wire_is_tls(&tls->wire))
		words_set(tls->words, "%s answered the TLS handshake in something that is not TLS", host);
	else if (rc == GNUTLS_E_FATAL_ALERT_RECEIVED)
		tell_alert(tls, host, " refused the TLS handshake: ", tls->words);
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

enum error tls_create(int fd, const struct tls_peer *peer, const struct tls_settings *settings,
                      struct words *words, struct tls **tls)
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
	made->trust = settings->trust ? tls_trust_hold(settings->trust) : NULL;
	made->identity = settings->identity ? tls_identity_hold(settings->identity) : NULL;
	memcpy(made->name, peer->name, sizeof(made->name));
	words->text[0] = '\0';
	rc = set_up(made, priority, peer->is_address ? NULL : peer->name);
	release_priority(priority);
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
	tls_identity_release(&closed->identity);
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

bool tls_showed_identity(const struct tls *tls)
{
	return tls->asked && tls->identity;
}

const char *tls_refusal(const struct tls *tls)
{
	return tls->refusal.text[0] ? tls->refusal.text : NULL;
}

/*
 * RFC 9266 2: tls-exporter where it is safe, which is TLS 1.3 (without a context there and with an empty
 * one are the same, in 1.2 they are not, and servers differ). RFC 5929 3 and RFC 9266 3: tls-unique
 * only of TLS 1.2, and only with the extended master secret (RFC 7627), without which somebody in
 * between could make two sessions that have the same one. Sessions here are neither resumed nor
 * renegotiated.
 */
const char *tls_binding(struct tls *tls, unsigned char bytes[TLS_BINDING_BYTES], size_t *length)
{
	bool exporter = gnutls_protocol_get_version(tls->session) == GNUTLS_TLS1_3;
	gnutls_datum_t binding = { NULL, 0 };
	bool good;

	if (!exporter && !gnutls_session_ext_master_secret_status(tls->session))
		return NULL;
	if (gnutls_session_channel_binding(
		    tls->session, exporter ? GNUTLS_CB_TLS_EXPORTER : GNUTLS_CB_TLS_UNIQUE, &binding) < 0)
		return NULL;
	good = binding.size > 0 && binding.size <= TLS_BINDING_BYTES;
	*length = good ? binding.size : 0;
	memcpy(bytes, binding.data, *length);
	gnutls_free(binding.data);
	if (!good)
		return NULL;
	return exporter ? "tls-exporter" : "tls-unique";
}

/* --- records -------------------------------------------------------------------- */

static enum error record_trouble(struct tls *tls, int rc)
{
	tls->dead = true;
	/* TLS 1.3: what the server thinks of our certificate comes behind the handshake (RFC 8446 4.4.2.4) */
	if (rc == GNUTLS_E_FATAL_ALERT_RECEIVED)
		tell_alert(tls, "", "", &tls->refusal);
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
