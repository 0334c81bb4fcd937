/*
 * digest.h - SHA-256 and random bytes, by GnuTLS.
 *
 * Any thread. A failure of the library here ends the process with words: no
 * caller could go on without them.
 */
#ifndef OUTBOXD_COMMON_DIGEST_H
#define OUTBOXD_COMMON_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define DIGEST_SHA256_BYTES 32

void digest_sha256(const void *bytes, size_t length, unsigned char out[DIGEST_SHA256_BYTES]);

/* Unpredictable octets (GNUTLS_RND_NONCE quality: boundaries, jitter, names). */
void digest_random(void *bytes, size_t length);

/* A number from 0 to below (exclusive); below > 0. */
uint32_t digest_random_below(uint32_t below);

#endif
