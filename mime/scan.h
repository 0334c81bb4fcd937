/*
 * scan.h - what is in a text, before anything is written: UTF-8, lines, sizes.
 *
 * Internal to mime/. Pure; may be fed in slices cut anywhere.
 */
#ifndef OUTBOXD_MIME_SCAN_H
#define OUTBOXD_MIME_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/source.h"

/* UTF-8 that comes octet by octet. All zero = nothing read. */
struct utf8_stream {
	char held[4]; /* an unfinished character */
	size_t count;
};

/* False: this octet makes the text no UTF-8 (text_utf8_next()). */
bool utf8_stream_octet(struct utf8_stream *stream, char octet);

/* False: the text ends within a character. */
bool utf8_stream_end(const struct utf8_stream *stream);

/* Something wrong with a text; what is NULL if nothing is. */
struct text_fault {
	const char *what; /* constant words */
	int64_t line;     /* from 1 */
};

/* What scan_body() found. Lines end with LF or CRLF. */
struct text_facts {
	struct text_fault unfit;    /* a NUL, or a CR without LF: reading stopped there */
	struct text_fault not_utf8; /* the first octet that makes it none */
	bool ascii;
	bool head_ascii; /* up to the first empty line, where the header of a message ends */
	bool marked;     /* a line begins with the mark */
	bool open;       /* there is a last line, and it has no end */
	size_t longest;  /* octets of the longest line, without its end */
	int64_t octets;  /* with CRLF at the end of each line that has one */
};

/*
 * Reads a whole body. mark: see text_facts, NULL = none. ERROR_SYSTEM if its
 * file cannot be read; whatever is wrong with the text is told in facts.
 */
enum error scan_body(const struct body *body, const char *mark, struct text_facts *facts);

/*
 * Octets of a text that was scanned and is in order in quoted-printable: counted by making it, so that
 * there is one account of how long it is. ERROR_SYSTEM if its file cannot be read.
 */
enum error scan_quoted(const struct body *body, int64_t *octets);

/*
 * The same for a text that must be in order: ERROR_INVALID, with words that
 * begin with column and name the line, if it is unfit or not UTF-8;
 * ERROR_SYSTEM, with words too.
 */
enum error scan_text(const char *column, const struct body *body, const char *mark, struct text_facts *facts,
                     struct words *words);

#endif
