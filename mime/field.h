/*
 * field.h - writes header fields: folding, encoded-words, names, addresses, dates.
 *
 * Internal to mime/. Pure; one field by one thread at a time. Text given to it
 * is valid UTF-8 without control characters but TAB (address.h, text_check in
 * plain.c see to that).
 */
#ifndef OUTBOXD_MIME_FIELD_H
#define OUTBOXD_MIME_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "mime/address.h"

#define FIELD_LINE         78 /* octets, RFC 5322 2.1.1 */
#define FIELD_LINE_ENCODED 76 /* of a line with an encoded-word, RFC 2047 2 */
#define FIELD_WORD_MAX     60 /* a longer word of a text is encoded, so that it can be folded */
#define FIELD_DATE_MAX     64

struct field {
	struct buffer *out;
	size_t column;
	bool first;   /* nothing stands behind the name yet */
	bool encoded; /* the line has an encoded-word */
	bool full;    /* out took no more: field_end() tells */
};

void field_begin(struct field *field, struct buffer *out, const char *name);

/* Adds a space, or a fold, and a token of ASCII that is never broken. */
void field_token(struct field *field, const char *token, size_t length);

/* Unstructured text (Subject): a reader shows exactly this text. */
void field_text(struct field *field, const char *text);

/*
 * ASCII without white space at its ends, as it is: only folded. Whoever calls
 * sees to it that each word fits in a line (RFC 5322 2.1.1).
 */
void field_plain(struct field *field, const char *text);

/* A name (RFC 5322 3.2.5 phrase) and what stands behind it, "" = nothing. */
void field_phrase(struct field *field, const char *text, const char *suffix);

void field_mailbox(struct field *field, const struct address *address);
void field_addresses(struct field *field, const struct address_list *list);

/* The line end. False if the buffer's limit was reached. */
bool field_end(struct field *field);

/* RFC 5322 3.3, in +0000: "Tue, 25 Nov 2025 03:05:00 +0000". False: a year of more than four digits. */
bool field_date(char out[FIELD_DATE_MAX], int64_t ms);

#endif
