/*
 * media.h - what an attachment's columns say of it: content_type, filename, content_id.
 *
 * For mime/, and for who checks such columns before they are written. Pure; any thread. place is what the
 * words begin with, as in "attachment 2, content_type".
 */
#ifndef OUTBOXD_MIME_MEDIA_H
#define OUTBOXD_MIME_MEDIA_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "mime/field.h"

#define MEDIA_LENGTH_MAX     900 /* octets of a column: a parameter must fit in a line of 998 */
#define MEDIA_PARAMETERS_MAX 32
#define FILENAME_LENGTH_MAX  1020 /* octets of UTF-8: the schema takes 255 characters */

/* RFC 2045 5.1, as it is written into the field: the parts between ';'. */
struct media {
	char *type;     /* "application/pdf", in lower case */
	char **written; /* the type as given, then "name=value" */
	size_t count;
};

/* How a type is handled that cannot be treated as octets. */
enum media_kind {
	MEDIA_OCTETS,
	MEDIA_MESSAGE, /* RFC 2046 5.2: message/rfc822 and others, never encoded */
	MEDIA_GLOBAL,  /* RFC 6532 3.7: message/global…, encoded where it must be */
};

/*
 * Parses type/subtype and parameters, strictly. ERROR_INVALID, with words, for
 * what is malformed, for comments, for a parameter given twice, and for what an
 * attachment cannot be: multipart/… (it has parts), message/partial and
 * message/external-body (they tell a reader to fetch something).
 */
enum error media_parse(const char *place, const char *text, struct media *media, struct words *words);
void media_fini(struct media *media);
enum media_kind media_kind(const struct media *media);

/*
 * "Content-Type: …" behind field_begin(). Where filename (NULL = none) can only be written by RFC 2231, a
 * name of ASCII is added for readers that do not know it, unless there is one already.
 */
void media_put(struct field *field, const struct media *media, const char *filename);

/* A file name can be shown: UTF-8, no control characters, of FILENAME_LENGTH_MAX. */
enum error filename_check(const char *place, const char *filename, struct words *words);

/* Whether it can be written as a quoted string that every reader takes for what it is. */
bool filename_is_plain(const char *filename);

/*
 * "; filename=…" behind field_token(…, "attachment"): quoted if it is plain, else by RFC 2231 4, in pieces
 * cut between code points if it is long.
 */
void filename_put(struct field *field, const char *filename);

/*
 * "; name=…" with what ASCII can say of it. Not beside filename* in one field: GMime and Python's email
 * package take the two for one parameter given twice, and GMime then shows the first of them, whichever it
 * is.
 */
void filename_put_fallback(struct field *field, const char *filename);

/* RFC 2045 7, RFC 2392: what stands between '<' and '>' and behind "cid:"; '@' and a right side may be
 * missing. */
enum error content_id_check(const char *place, const char *content_id, struct words *words);

#endif
