/*
 * auth.h - SASL for SMTP (RFC 4954): which mechanism, and what it says.
 *
 * auth.c alone knows GNU SASL. Order of preference: SCRAM-SHA-256-PLUS, SCRAM-SHA-1-PLUS,
 * SCRAM-SHA-256, SCRAM-SHA-1, CRAM-MD5, PLAIN, LOGIN; XOAUTH2, OAUTHBEARER and EXTERNAL
 * where they are named. It does not touch the network: smtp/session_auth.c carries the lines.
 */
#ifndef OUTBOXD_SMTP_AUTH_H
#define OUTBOXD_SMTP_AUTH_H

#include <stdbool.h>

#include "common/buffer.h"
#include "common/error.h"
#include "common/secret.h"
#include "common/tenant.h"

/* What the connection is: decides which mechanisms may show a password. */
struct auth_channel {
	bool encrypted;
	bool verified; /* by chain, name, time or fingerprint, or the operator asked for none on a required
	                  TLS */
	bool opportunistic;
	bool certificate; /* the server asked for our client certificate and has it */
	/* channel binding of this TLS session (RFC 5056): its type ("tls-exporter"), NULL = none */
	const char *binding_type;
	const void *binding;
	size_t binding_length;
};

/* What a login is made of. All of it must live as long as the exchange. */
struct auth_login {
	const struct tenant_settings *tenant;
	const struct secret *password; /* or token; NULL = none */
	const char *offered;           /* as it stood behind AUTH in the EHLO reply */
	const struct auth_channel *channel;
};

/*
 * The mechanism to use. *name = NULL and OK: log in with none (auth = none, or auto without a
 * username). ERROR_REFUSED with words: the server offers none that we may use
 * ("mail.acme.example offers only PLAIN, which would show the password on a connection without
 * TLS"). A mechanism that is named is that one: scram-sha-256 is not SCRAM-SHA-256-PLUS.
 */
enum error auth_choose(const struct auth_login *login, const char **name, struct words *words);

struct auth;

/*
 * Begins an exchange. ERROR_INVALID with words: no username or secret, or one that cannot be
 * sent; ERROR_REFUSED: EXTERNAL without a client certificate; ERROR_SYSTEM.
 */
enum error auth_begin(const struct auth_login *login, const char *mechanism, struct auth **auth,
                      struct words *words);

/*
 * One step: challenge (base64 text from a 334, or NULL for the initial response)
 * in, response (base64, "=" for an empty initial response) appended to out; for
 * challenge NULL nothing appended = AUTH is sent without an initial response (LOGIN,
 * CRAM-MD5), else nothing appended = an empty line. An initial response that makes the
 * command longer than 512 octets is kept and sent after an empty 334 (RFC 4954 4).
 * *complete: the client has nothing more to say. ERROR_PROTOCOL with words when
 * the server's challenge is wrong (also a wrong SCRAM server signature, or an absurd
 * number of rounds); ERROR_INVALID: username or password are not SASLprep's (RFC 4013).
 * Does not block, but up to a second of SCRAM's rounds.
 */
enum error auth_step(struct auth *auth, const char *challenge, struct buffer *out, bool *complete,
                     struct words *words);

/* What the server said of a token that it refuses, clean and without it; NULL = nothing. Lives as long as
 * auth. */
const char *auth_refusal(const struct auth *auth);

/*
 * After the 235: OK only if the mechanism is satisfied (a SCRAM server that
 * skipped its signature is not: ERROR_PROTOCOL with words, and no message goes to it).
 */
enum error auth_verify(struct auth *auth, struct words *words);
/* Wipes and frees; leaves NULL. */
void auth_end(struct auth **auth);

#endif
