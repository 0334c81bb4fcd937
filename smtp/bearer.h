/*
 * bearer.h - bearer tokens in SASL: OAUTHBEARER (RFC 7628) and XOAUTH2. Pure.
 *
 * XOAUTH2 has no standard; Google wrote it down and others took it over. A refused token
 * comes as a challenge first, in JSON, which wants an answer before the reply that counts.
 */
#ifndef OUTBOXD_SMTP_BEARER_H
#define OUTBOXD_SMTP_BEARER_H

#include <stdbool.h>

#include "common/buffer.h"
#include "common/error.h"
#include "common/secret.h"

struct bearer {
	bool standard; /* OAUTHBEARER, else XOAUTH2 */
	const char *username;
	const char *host;
	int port;
	const struct secret *token;
};

/*
 * The client's only message. ERROR_INVALID with words, without the token: a name or token
 * with what the message cannot hold (a token is visible ASCII, RFC 6750 2.1).
 */
enum error bearer_message(const struct bearer *bearer, struct buffer *out, struct words *words);

/* What is answered to the challenge that refuses: nothing, or one octet 0x01 (RFC 7628 3.2.3). */
void bearer_answer(const struct bearer *bearer, struct buffer *out);

/*
 * What such a challenge says, for people: "status invalid_token, scope mail". The
 * JSON's words if it is JSON (RFC 7628 3.2.2), else its text; cleaned, cut, the token masked;
 * nothing if there is nothing to tell. Caller frees, never NULL.
 */
char *bearer_refusal(const struct secret *token, const char *text, size_t length);

#endif
