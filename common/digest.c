/*
 * digest.c - SHA-256 and random bytes, by GnuTLS.
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
