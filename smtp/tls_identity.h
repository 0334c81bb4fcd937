/*
 * tls_identity.h - a client certificate with its key, as tls_cert_file and tls_key_file have them.
 *
 * Constant once made, counted by reference: any thread may hold and release.
 */
#ifndef OUTBOXD_SMTP_TLS_IDENTITY_H
#define OUTBOXD_SMTP_TLS_IDENTITY_H

#include "common/error.h"
#include "common/secret.h"
#include "common/tenant.h"

struct tls_identity;

/*
 * Both in PEM; the certificate may bring its chain behind it, and both may be the same text.
 * ERROR_INVALID with words that name the column and its file, never the key: no certificate, no
 * key, an encrypted key, a key that is not the first certificate's. Does not block.
 */
enum error tls_identity_parse(const struct tenant_settings *tenant, const struct secret *certificate,
                              const struct secret *key, struct tls_identity **identity, struct words *words);

struct tls_identity *tls_identity_hold(struct tls_identity *identity);
/* Leaves NULL; the last one wipes and frees. */
void tls_identity_release(struct tls_identity **identity);

#endif
