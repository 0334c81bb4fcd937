/*
 * digest.h - hashes, what SCRAM makes of them, and random bytes, by GnuTLS.
 *
 * Any thread. A failure of the library here ends the process with words: no
 * caller could go on without them.
 */
#ifndef OUTBOXD_COMMON_DIGEST_H
#define OUTBOXD_COMMON_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIGEST_SHA256_BYTES 32

void digest_sha256(const void *bytes, size_t length, unsigned char out[DIGEST_SHA256_BYTES]);

/* What SCRAM needs (RFC 5802 2.2), of either hash: out is digest_bytes() long. */
enum digest { DIGEST_SHA1, DIGEST_SHA256 };
#define DIGEST_MAX_BYTES 32
size_t digest_bytes(enum digest digest);
void digest_hash(enum digest digest, const void *bytes, size_t length, unsigned char out[DIGEST_MAX_BYTES]);
void digest_hmac(enum digest digest, const void *key, size_t key_length, const void *bytes, size_t length,
                 unsigned char out[DIGEST_MAX_BYTES]);
/*
 * PBKDF2 (RFC 8018 5.2) to digest_bytes(). False if the library refuses: rounds and salt may
 * be a peer's. Does not block, but about a second for a million rounds.
 */
bool digest_pbkdf2(enum digest digest, const void *password, size_t password_length, const void *salt,
                   size_t salt_length, unsigned rounds, unsigned char out[DIGEST_MAX_BYTES]);

/* Unpredictable octets (GNUTLS_RND_NONCE quality: boundaries, jitter, names). */
void digest_random(void *bytes, size_t length);

/* A number from 0 to below (exclusive); below > 0. */
uint32_t digest_random_below(uint32_t below);

#endif
