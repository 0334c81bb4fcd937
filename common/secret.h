/*
 * secret.h - the only type that holds a password or a token.
 *
 * It cannot be formatted by accident (its bytes are not a char pointer in
 * reach of printf without saying so), lies in pages that no core file has
 * (secret_memory.h), and is wiped when it ends.  Files that
 * include this header do not include common/log.h.  One owner at a time.
 */
#ifndef OUTBOXD_COMMON_SECRET_H
#define OUTBOXD_COMMON_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

struct secret {
	unsigned char *bytes; /* NUL after the last one, for libraries that want a string */
	size_t length;
};

#define SECRET_MAX_BYTES 65536

/* Copies; false if longer than SECRET_MAX_BYTES. The old content is wiped. */
bool secret_set(struct secret *secret, const void *bytes, size_t length);
/* length octets of zero, to be filled, at most SECRET_MAX_BYTES; the old content is wiped. */
void secret_make(struct secret *secret, size_t length);
bool secret_copy(struct secret *to, const struct secret *from);

/*
 * All that is left of a file, at most limit_bytes: the content is set, if only to nothing, and no copy of it
 * is left elsewhere. Blocks for the file. ERROR_LIMIT: it is longer; ERROR_SYSTEM: errno says why; both leave
 * the secret as it was.
 */
enum error secret_read(int fd, size_t limit_bytes, struct secret *secret);

/* Wipes (explicit_bzero) and frees; the secret is empty after it. length must be what it was made with. */
void secret_wipe(struct secret *secret);

static inline bool secret_is_set(const struct secret *secret)
{
	return secret->bytes != NULL;
}

/*
 * Replaces each occurrence of the secret, plain or in base64 (RFC 4648, also at
 * the three offsets it can have inside a longer encoding, if it has 4 octets or
 * more), in a terminated text by "***", in place. Secrets of under 4 octets are
 * masked only where they stand alone (one of 1 or 2 octets by as many stars).
 * Call it on what a peer said before that is cleaned or cut: a cut secret is
 * not recognised. An empty secret masks nothing.
 */
void secret_mask(const struct secret *secret, char *text);

#endif
