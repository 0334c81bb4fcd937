/*
 * tls_internal.h - between tls_start.c (settings, names, time) and tls.c (GnuTLS, tls_gnutls.h).
 */
#ifndef OUTBOXD_SMTP_TLS_INTERNAL_H
#define OUTBOXD_SMTP_TLS_INTERNAL_H

#include <sys/types.h>
#include <sys/uio.h>

#include "common/buffer.h"
#include "smtp/tls.h"

#define TLS_NAME_BYTES 256

/* Whom we expect at the other end. */
struct tls_peer {
	const struct tenant_settings *tenant;
	char name[TLS_NAME_BYTES]; /* without brackets and the root's dot */
	bool is_address;
};

/* What carries the records, and the first octet that came: it tells what is no TLS at all. */
struct tls_wire {
	int fd;
	bool heard;
	unsigned char first;
};
/* Never wait, never raise SIGPIPE; errno as recv(2) and sendmsg(2). */
ssize_t tls_wire_pull(void *wire, void *bytes, size_t capacity);
ssize_t tls_wire_push(void *wire, const struct iovec *parts, int count);
bool tls_wire_is_tls(const struct tls_wire *wire);

/* What the settings ask (tls_start.c). Pure. */
bool tls_verifies_chain(const struct tenant_settings *tenant);
bool tls_verifies_pins(const struct tenant_settings *tenant);

/* Authorities in PEM, NULL = the system's. ERROR_INVALID and why if there is none, ERROR_SYSTEM. */
enum error tls_trust_parse(const struct buffer *pem, struct tls_trust **trust, struct words *why);

/* ERROR_INVALID with words. */
enum error tls_check_priority(const struct tenant_settings *tenant, struct words *words);

/* A session before its handshake, during which tenant and words must live. ERROR_INVALID, ERROR_SYSTEM. */
enum error tls_create(int fd, const struct tls_peer *peer, const struct tls_settings *settings,
                      struct words *words, struct tls **tls);

/* One step without waiting: OK with *want = 0 at its good end, else as tls_start(). */
enum error tls_handshake(struct tls *tls, short *want);

#endif
