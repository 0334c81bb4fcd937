/*
 * header.h - reads the header of a complete message, field by field.
 *
 * Internal to mime/. Strict: what RFC 5322 2.2 does not call a header field is
 * refused with the line's number, since a server might read it otherwise than
 * we do. Constant memory: one chunk, and one field's value up to
 * HEADER_VALUE_MAX. One reader by one thread at a time.
 */
#ifndef OUTBOXD_MIME_HEADER_H
#define OUTBOXD_MIME_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"
#include "common/source.h"
#include "mime/scan.h"

#define HEADER_NAME_MAX   77            /* octets kept of a name */
#define HEADER_VALUE_MAX  (1024 * 1024) /* octets kept of a value */
#define HEADER_FIELDS_MAX 10000
#define HEADER_CHUNK_MAX  4096

struct header_field {
	char name[HEADER_NAME_MAX + 1]; /* as written, cut if longer */
	const char *value;              /* unfolded, terminated; valid until the next call */
	size_t length;
	bool eight_bit;     /* it has octets above 127 */
	bool cut;           /* the value is longer than HEADER_VALUE_MAX */
	int64_t start, end; /* in the body, with its last line end */
	int64_t line;       /* of its name, from 1 */
};

struct header_reader {
	const struct body *body;
	size_t chunk_octets; /* read at once */
	char chunk[HEADER_CHUNK_MAX];
	size_t have, used;
	int64_t position; /* of the next octet */
	int64_t line;     /* that it stands in */
	size_t fields;
	struct utf8_stream utf8;
	struct buffer value;
	struct words *words;
};

/* chunk_octets: 1 to HEADER_CHUNK_MAX; the result does not depend on it. */
void header_begin(struct header_reader *reader, const struct body *body, size_t chunk_octets);
void header_fini(struct header_reader *reader);

/*
 * The next field; *more = false at the end, where position and line are those
 * of the empty line, or of the end of the body if there is none.
 * ERROR_INVALID with words "message, line N: …"; ERROR_LIMIT over
 * HEADER_FIELDS_MAX; ERROR_SYSTEM if a spool file fails.
 */
enum error header_next(struct header_reader *reader, struct header_field *field, bool *more,
                       struct words *words);

#endif
