/*
 * authorize_url.h - where a person consents, and what the browser is told. Pure.
 */
#ifndef OUTBOXD_CLI_AUTHORIZE_URL_H
#define OUTBOXD_CLI_AUTHORIZE_URL_H

#include "common/buffer.h"
#include "common/error.h"
#include "common/tenant.h"

/*
 * A provider's endpoints beside its token endpoint, allocated; NULL = not known, or there is none
 * (authorize_no_device() says why).
 */
char *authorize_device_url(const char *token_url);
char *authorize_browser_url(const char *token_url);
/* Whether this is Google, whose device flow takes no scope for mail. */
bool authorize_is_google(const char *token_url);

struct authorize_question {
	const char *url; /* the authorization endpoint; may have a query */
	const char *redirect_uri, *state, *challenge;
	bool google; /* which gives a refresh token only to who asks for offline access */
};

/* The URL for the browser (RFC 6749 4.1.1, RFC 7636 4.3). False: out is too small. */
bool authorize_question_url(const struct authorize_question *question, const struct tenant_settings *tenant,
                            struct buffer *out);

/* RFC 7636 4.1 and 4.2: 43 octets and a NUL; and base64url of any 32 octets likewise. */
#define AUTHORIZE_CODE_BYTES 44
void authorize_base64url(const unsigned char octets[32], char out[AUTHORIZE_CODE_BYTES]);
void authorize_challenge(const char *verifier, char out[AUTHORIZE_CODE_BYTES]);

#endif
