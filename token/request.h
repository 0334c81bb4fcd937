/*
 * request.h - what outboxd-token is asked for, and the form that it posts. Pure but for the clock's time it
 * is given.
 *
 * The fields (common/fields.h) of a request:
 *
 *   grant          client_credentials, certificate, refresh_token or jwt_bearer; of a person who
 *                  consents: device_code (asks for one), device_poll (whether it was entered),
 *                  authorization_code
 *   url            the token endpoint (device_code: the device authorization endpoint), https alone
 *   client_id      not needed where the key brings its name (a Google service account)
 *   secret         client_credentials: the client's secret; refresh_token, device_poll,
 *                  authorization_code: likewise, if it has one;
 *                  certificate: an RSA key and its certificate in PEM;
 *                  jwt_bearer: a Google service account's JSON, or an RSA key in PEM
 *   scope          may be missing
 *   refresh_token  with that grant
 *   code           device_poll: the device's; authorization_code: what came back (RFC 6749 4.1.2)
 *   verifier       authorization_code: of its code challenge (RFC 7636 4.1)
 *   redirect_uri   authorization_code: where it came back to
 *   subject        jwt_bearer: the mailbox on whose behalf, may be missing
 *   ca_file        authorities in PEM instead of the system's
 *   timeout_ms     for everything, 20000 if missing
 */
#ifndef OUTBOXD_TOKEN_REQUEST_H
#define OUTBOXD_TOKEN_REQUEST_H

#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"
#include "common/secret.h"

#define REQUEST_TIMEOUT_MS 20000
#define REQUEST_MAX_MS     120000
#define REQUEST_FORM_BYTES (512 * 1024) /* each octet of a secret may become three */

enum grant {
	GRANT_CLIENT_CREDENTIALS,
	GRANT_CERTIFICATE,
	GRANT_REFRESH_TOKEN,
	GRANT_JWT_BEARER,
	GRANT_DEVICE_CODE,
	GRANT_DEVICE_POLL,
	GRANT_AUTHORIZATION_CODE,
};

struct request {
	enum grant grant;
	const char *url, *client_id, *scope, *subject, *redirect_uri,
		*ca_file; /* in the fields; NULL = missing */
	struct secret secret, refresh_token, code, verifier;
	int64_t timeout_ms;
};

/* ERROR_INVALID with words that name the field. Either way the caller ends it with request_fini(). */
enum error request_read(const struct buffer *fields, struct request *request, struct words *words);
void request_fini(struct request *request);

/*
 * The body of the POST (application/x-www-form-urlencoded). now_s: the wall clock, for
 * assertions. ERROR_INVALID with words that never hold the key.
 */
enum error request_form(const struct request *request, int64_t now_s, struct buffer *form,
                        struct words *words);

#endif
