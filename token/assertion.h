/*
 * assertion.h - a signed JSON Web Token that says who we are (RFC 7519, RFC 7523). RS256 by GnuTLS.
 */
#ifndef OUTBOXD_TOKEN_ASSERTION_H
#define OUTBOXD_TOKEN_ASSERTION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"
#include "common/secret.h"

#define ASSERTION_BYTES  (64 * 1024)
#define ASSERTION_LIFE_S 600 /* Microsoft: five to ten minutes; Google: an hour at most */

struct assertion {
	const char *issuer;  /* NULL: the name that the key brings */
	const char *subject; /* NULL: none */
	const char *audience, *scope;
	int64_t now_s;
	bool certificate; /* the key brings its certificate, whose digest goes into the header (x5t#S256) */
};

/*
 * Appends the token. key: an RSA key in PEM, with its certificate where that is asked for, or
 * the JSON of a Google service account. ERROR_INVALID with words that never hold the key: no
 * RSA key, under 2048 bits, encrypted; no certificate, another key's, expired.
 */
enum error assertion_sign(const struct assertion *assertion, const struct secret *key, struct buffer *token,
                          struct words *words);

#endif
