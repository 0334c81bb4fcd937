/*
 * fingerprint.h - the column tls_fingerprints: pins of a certificate or its key. Pure.
 *
 * Comma separated: "sha256:HEX" of the certificate or "spki:HEX" of its public
 * key (RFC 7469 2.4), 32 octets each, in either case, colons allowed.
 */
#ifndef OUTBOXD_SMTP_FINGERPRINT_H
#define OUTBOXD_SMTP_FINGERPRINT_H

#include <stdbool.h>

#include "common/error.h"

#define FINGERPRINT_BYTES 32

/* OK if every entry is one; ERROR_INVALID with words that name the entry. */
enum error fingerprint_check(const char *list, struct words *words);

/* Whether one entry of a good list is the SHA-256 of the certificate or of its public key. */
bool fingerprint_match(const char *list, const unsigned char certificate[FINGERPRINT_BYTES],
                       const unsigned char key[FINGERPRINT_BYTES]);

#endif
