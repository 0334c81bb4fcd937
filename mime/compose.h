/*
 * compose.h - from a row to an envelope and a stream of bytes.
 *
 * Strict: what RFC 5322 does not allow is refused with words that name the
 * column and the place. A repeat is byte for byte the same: Message-ID, Date
 * and boundaries are functions of the row, the encodings of it and of the options. One thread at a time; does
 * not block but for reading a spool file.
 */
#ifndef OUTBOXD_MIME_COMPOSE_H
#define OUTBOXD_MIME_COMPOSE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/mail.h"
#include "common/source.h"

struct envelope {
	char *sender;      /* "" = null sender */
	char **recipients; /* without duplicates (recipient_same_address), To, Cc, Bcc in order */
	size_t recipient_count;
	char *from;     /* address of the From field, the first if there are several */
	char **authors; /* all addresses of the From field, and those of a Sender field */
	size_t author_count;
	char *unjudged; /* why the Sender field of a complete message says nobody's address; NULL = it does */
	bool eight_bit; /* the message has octets over 127 */
	bool smtputf8;  /* the header needs RFC 6531; sender and recipients speak for themselves */
};

struct composed {
	struct envelope envelope;
	char *message_id;      /* without <> */
	int64_t size;          /* octets on the wire, CRLF line ends, before dot stuffing */
	struct source *source; /* lines end with CRLF; reads from the mail, which must live longer */
};

/* What a message depends on besides its row. */
struct compose_options {
	const char *instance; /* storage_instance() */
	bool eight_bit_mime;  /* the server offers 8BITMIME (RFC 6152): text may go unencoded */
};

/*
 * Parses the columns and prepares the stream.
 * ERROR_INVALID with words: the message ends failed (message.invalid).
 * ERROR_SYSTEM: a spool file could not be read, try again.
 */
enum error mime_compose(const struct mail *mail, const struct compose_options *options,
                        struct composed **composed, struct words *words);
void composed_destroy(struct composed **composed);

/*
 * Whether address may be used by a tenant: allowed is the column allowed_senders
 * (NULL = any). The null sender ("") is nobody's and may always be used.
 */
bool mime_sender_allowed(const char *allowed, const char *address);

/* Whether each entry of the column is an address or an @domain; words name the first that is neither. */
bool mime_senders_check(const char *allowed, struct words *words);

/*
 * mime_sender_allowed() for the sender and every address of the From and Sender fields; words name the one
 * that may not. A Sender field that cannot be read is allowed only to who may send as anybody.
 */
bool mime_envelope_allowed(const char *allowed, const struct envelope *envelope, struct words *words);

#endif
