/*
 * body.h - what a message becomes on the wire (RFC 5321 4.5.2, 2.3.8; RFC 3030). Pure.
 *
 * For DATA dots at the start of a line are doubled; in chunks (BDAT) they stay as they are. A
 * missing last line end is added. A bare LF becomes CRLF; a bare CR is an error: neither ever leaves.
 */
#ifndef OUTBOXD_SMTP_BODY_H
#define OUTBOXD_SMTP_BODY_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

struct body_transform {
	bool line_start; /* the next octet begins a line */
	bool cr;         /* the last octet was CR, held back */
	bool chunks;     /* for BDAT */
};

void body_transform_begin(struct body_transform *transform, bool chunks);

/*
 * Transforms length octets into out (room for 2 × length + 1), *done = octets
 * written, which is 0 unless OK. May be cut anywhere: the result is the same. ERROR_INVALID: a bare CR or a
 * NUL.
 */
enum error body_transform_feed(struct body_transform *transform, const char *bytes, size_t length, char *out,
                               size_t *done);

/* The last line end if it is missing, and for DATA the lone dot: at most 6 octets. */
enum error body_transform_end(struct body_transform *transform, char *out, size_t *done);

#endif
