/*
 * scram.h - the client's side of SCRAM (RFC 5802, RFC 7677), with channel binding. Pure.
 *
 * Our own, because GNU SASL 2.2 cannot say "y" (RFC 5802 6: the client could bind and
 * saw no -PLUS offered), which is what shows the server that somebody in between
 * took -PLUS out of its offer. The nonce is the caller's: no dice in here.
 */
#ifndef OUTBOXD_SMTP_SCRAM_H
#define OUTBOXD_SMTP_SCRAM_H

#include "common/buffer.h"
#include "common/digest.h"
#include "common/error.h"

/*
 * RFC 5802 lets the server say how many rounds of a hash we compute, without a
 * bound: a million takes about a second, and nobody stores passwords with more.
 */
#define SCRAM_ROUNDS_MAX 1000000

/* All texts are copied; name and password are SASLprep's (RFC 4013). */
struct scram_settings {
	enum digest digest;
	const char *name;     /* of the mechanism, for words */
	const char *host;     /* likewise */
	const char *username; /* as it is: "=" and "," are escaped here */
	const char *password;
	const char *nonce; /* visible ASCII without a comma */
	/* RFC 5802 7: NULL = "n" or, with could_bind, "y"; else the type after "p=" and its octets */
	const char *binding_type;
	bool could_bind;
	const void *binding;
	size_t binding_length;
};

struct scram;

struct scram *scram_create(const struct scram_settings *settings);
/* Wipes and frees; leaves NULL. */
void scram_destroy(struct scram **scram);

/* client-first-message. */
void scram_first(struct scram *scram, struct buffer *out);

/*
 * The server's next message (not in base64 any more), our answer appended to out: first
 * server-first-message, then server-final-message, which wants no answer. ERROR_PROTOCOL with
 * words: not one of SCRAM, a nonce that is not ours, too many rounds, the server's refusal
 * ("e="), no proof that it knows the password, more than two. ERROR_SYSTEM: the library.
 */
enum error scram_hear(struct scram *scram, const char *text, size_t length, struct buffer *out,
                      struct words *words);

/* The server has proved that it knows the password. */
bool scram_is_proved(const struct scram *scram);

#endif
