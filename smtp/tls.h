/*
 * tls.h - TLS by GnuTLS, which smtp/tls*.c alone know.
 *
 * A fresh session for every connection: there is no way here to use one again.
 */
#ifndef OUTBOXD_SMTP_TLS_H
#define OUTBOXD_SMTP_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/tenant.h"
#include "common/wait.h"
#include "smtp/tls_trust.h"

/*
 * Checks what the columns of TLS say without a connection or a file. ERROR_INVALID with
 * words. Any thread.
 */
enum error tls_settings_check(const struct tenant_settings *tenant, struct words *words);

struct tls;

struct tls_settings {
	const struct tenant_settings *tenant;
	struct tls_trust *trust;       /* NULL only where nothing is verified by chain */
	struct tls_identity *identity; /* of tls_identity.h; shown to a server that asks; NULL = none */
};

/*
 * Handshake and verification on a connected non-blocking socket, TLS 1.2 at
 * least. tls_name or host for SNI and verification, which is part of the handshake:
 * a server that does not pass it gets no octet of ours. Fingerprints that are set count
 * under tls_verify = full too.
 * Blocks until done, the deadline or interrupt. ERROR_PROTOCOL (no TLS, or its
 * certificate is not good), ERROR_CLOSED, ERROR_TIMEOUT, ERROR_INTERRUPTED, ERROR_INVALID
 * (as tls_settings_check), always with words for the tenant's administrator ("the
 * certificate of mail.acme.example expired on 2026-11-01"). The socket stays the caller's.
 */
enum error tls_start(int fd, const struct tls_settings *settings, int64_t deadline_ms,
                     const struct interrupt *interrupt, struct tls **tls, struct words *words);

/*
 * The words for a server that speaks in clear where tls = implicit expects TLS, whether it spoke before our
 * ClientHello or after it. Any thread.
 */
void tls_tell_clear(const struct tenant_settings *tenant, struct words *words);

/* close_notify without waiting, then frees; leaves NULL. */
void tls_close(struct tls **tls);

/* "TLS1.3 TLS_AES_256_GCM_SHA384" style text, valid as long as tls. */
const char *tls_describe(const struct tls *tls);
/* By chain, name and time, or by fingerprint; false under none and opportunistic. */
bool tls_is_verified(const struct tls *tls);
/* The server asked for a client certificate and was given it. */
bool tls_showed_identity(const struct tls *tls);

/*
 * Channel binding of this very session (RFC 5056): its octets, and its type as the return
 * ("tls-exporter", RFC 9266; "tls-unique" of TLS 1.2, RFC 5929), NULL where none is safe.
 */
#define TLS_BINDING_BYTES 64
const char *tls_binding(struct tls *tls, unsigned char bytes[TLS_BINDING_BYTES], size_t *length);

/* The words of a fatal alert that ended the session after its handshake (TLS 1.3 refuses a client certificate
 * so), NULL = none did. */
const char *tls_refusal(const struct tls *tls);

/*
 * One non-blocking step. OK with *done > 0; OK with *done = 0 and *want =
 * POLLIN/POLLOUT: call again when ready; ERROR_CLOSED at the peer's end.
 * A renegotiation or a second handshake ends with ERROR_PROTOCOL. After a write with
 * *done = 0 the next one gives the same octets again (more may follow them).
 */
enum error tls_read(struct tls *tls, void *bytes, size_t capacity, size_t *done, short *want);
enum error tls_write(struct tls *tls, const void *bytes, size_t length, size_t *done, short *want);
/* Octets that are decrypted and can be read without the socket. */
size_t tls_pending(const struct tls *tls);

#endif
