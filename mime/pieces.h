/*
 * pieces.h - a message as a row of pieces: texts of ours, and encoded ranges
 * of bodies. The source that the composer hands out.
 *
 * Internal to mime/. Constant memory beyond the texts. One thread at a time.
 */
#ifndef OUTBOXD_MIME_PIECES_H
#define OUTBOXD_MIME_PIECES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/source.h"
#include "mime/encode.h"

struct piece {
	char *text;              /* owned; or NULL, and then: */
	const struct body *body; /* the mail's, not ours */
	int64_t start, end;      /* in text or body */
	enum encoding encoding;  /* of a body */
	bool exact;              /* encode.h struct encoder */
	int64_t line;            /* number of the first line, for words */
};

struct pieces {
	struct source source; /* first member */
	struct piece *items;
	size_t count, capacity;
	size_t current;
	int64_t position; /* in the current piece */
	bool begun;       /* the encoder belongs to the current piece */
	struct encoder encoder;
	struct buffer ready; /* encoded, not yet given */
	size_t given;        /* octets of ready that were */
};

struct pieces *pieces_create(void);
void pieces_destroy(struct pieces **pieces);

/* Takes text, allocated, with lines that end with CRLF. */
void pieces_add_text(struct pieces *pieces, char *text, size_t length);

/* The text from start to end of body, which must live longer, as it is; line: struct piece. */
void pieces_add_body(struct pieces *pieces, const struct body *body, int64_t start, int64_t end,
                     int64_t line);

/* All of body, which must live longer; exact: encode.h struct encoder. */
void pieces_add_encoded(struct pieces *pieces, const struct body *body, enum encoding encoding, bool exact);

/*
 * Reads all once, and rewinds: *size octets, *eight_bit if any is above 127.
 * ERROR_INVALID with words "COLUMN, line N: …" for a NUL or a lone CR,
 * ERROR_SYSTEM if a spool file fails.
 */
enum error pieces_measure(struct pieces *pieces, const char *column, int64_t *size, bool *eight_bit,
                          struct words *words);

#endif
