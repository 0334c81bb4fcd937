/*
 * digest.c - hashes, what SCRAM makes of them, and random bytes, by GnuTLS.
 *
 * Promises an answer or the end of the process with words (exit status 71):
 * nobody could go on with a digest or a dice that failed.
 */
#include "common/digest.h"

#include <assert.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

static void check(int rc, const char *what)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "outboxd: %s: %s\n", what, gnutls_strerror(rc));
	_exit(EX_OSERR);
}

void digest_sha256(const void *bytes, size_t length, unsigned char out[DIGEST_SHA256_BYTES])
{
	check(gnutls_hash_fast(GNUTLS_DIG_SHA256, length ? bytes : "", length, out), "SHA-256");
}

size_t digest_bytes(enum digest digest)
{
	return digest == DIGEST_SHA1 ? 20 : DIGEST_SHA256_BYTES;
}

void digest_hash(enum digest digest, const void *bytes, size_t length, unsigned char out[DIGEST_MAX_BYTES])
{
	check(gnutls_hash_fast(digest == DIGEST_SHA1 ? GNUTLS_DIG_SHA1 : GNUTLS_DIG_SHA256,
	                       length ? bytes : "", length, out),
	      "hash");
}

static gnutls_mac_algorithm_t mac_of(enum digest digest)
{
	return digest == DIGEST_SHA1 ? GNUTLS_MAC_SHA1 : GNUTLS_MAC_SHA256;
}

void digest_hmac(enum digest digest, const void *key, size_t key_length, const void *bytes, size_t length,
                 unsigned char out[DIGEST_MAX_BYTES])
{
	check(gnutls_hmac_fast(mac_of(digest), key_length ? key : "", key_length, length ? bytes : "", length,
	                       out),
	      "HMAC");
}

bool digest_pbkdf2(enum digest digest, const void *password, size_t password_length, const void *salt,
                   size_t salt_length, unsigned rounds, unsigned char out[DIGEST_MAX_BYTES])
{
	const gnutls_datum_t key = { (unsigned char *)password, (unsigned)password_length };
	const gnutls_datum_t seed = { (unsigned char *)salt, (unsigned)salt_length };

	return rounds > 0 &&
	       gnutls_pbkdf2(mac_of(digest), &key, &seed, rounds, out, digest_bytes(digest)) >= 0;
}

void digest_random(void *bytes, size_t length)
{
	if (length > 0)
		check(gnutls_rnd(GNUTLS_RND_NONCE, bytes, length), "random bytes");
}

uint32_t digest_random_below(uint32_t below)
{
	uint32_t number, fair;

	assert(below > 0);
	/* numbers of the last, incomplete round would be more likely: throw again */
	fair = UINT32_MAX - UINT32_MAX % below;
	do
		digest_random(&number, sizeof(number));
	while (number >= fair);
	return number % below;
}
