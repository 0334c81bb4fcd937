/*
 * authorize.h - what the two ways to a refresh token share: who asks, where, until when.
 */
#ifndef OUTBOXD_CLI_AUTHORIZE_H
#define OUTBOXD_CLI_AUTHORIZE_H

#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"
#include "common/secret.h"
#include "common/tenant.h"

struct authorize {
	const struct tenant_settings *tenant;
	const char *program, *ca_file; /* outboxd-token; NULL = the system's authorities */
	struct secret client;          /* the client's secret, unset = it has none */
	const char *url;               /* the device or authorization endpoint */
	int64_t deadline_ms;
};

/* What a request has beside what all have (token/request.h); NULL = not. */
struct authorize_more {
	const struct secret *code, *verifier;
	const char *redirect_uri;
};

/*
 * Asks outboxd-token; result is one of fields_init(). OK: the endpoint gave what was asked for.
 * ERROR_REFUSED, with its word in error ("" = none), where asking again changes nothing;
 * ERROR_PROTOCOL likewise where it may; ERROR_INVALID; those of token_ask().
 */
enum error authorize_ask(const struct authorize *authorize, const char *grant, const char *url,
                         const struct authorize_more *more, struct buffer *result, char error[64],
                         struct words *words);

/* Both block for the person, until the deadline, and tell on standard output what to do. OK: result has
 * the token that was given. */
enum error authorize_by_device(const struct authorize *authorize, struct buffer *result, struct words *words);
enum error authorize_by_loopback(const struct authorize *authorize, struct buffer *result,
                                 struct words *words);

#endif
