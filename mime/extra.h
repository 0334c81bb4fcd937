/*
 * extra.h - the column headers: further header fields, one a line.
 *
 * Internal to mime/. Pure; one thread at a time.
 */
#ifndef OUTBOXD_MIME_EXTRA_H
#define OUTBOXD_MIME_EXTRA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"
#include "mime/address.h"

#define EXTRA_LENGTH_MAX 400000 /* octets: the schema takes 100,000 characters */
#define EXTRA_FIELDS_MAX 1000
#define EXTRA_NAME_MAX   76  /* octets: with ':' and a space it fits in a line */
#define EXTRA_WORD_MAX   900 /* octets of a word, which is never broken: a line has 998 at most */

/* How a field is read and written. */
enum extra_kind {
	EXTRA_TEXT,       /* for people: UTF-8 in encoded-words, ASCII as it is */
	EXTRA_PLAIN,      /* for programs: ASCII, as it is */
	EXTRA_ADDRESSES,  /* RFC 5322 3.4 */
	EXTRA_SENDER,     /* one mailbox */
	EXTRA_PHRASES,    /* RFC 5322 3.6.5 Keywords */
	EXTRA_IDS,        /* RFC 5322 3.6.4, other people's */
	EXTRA_MESSAGE_ID, /* ours, instead of the one that we would make */
	EXTRA_DATE,       /* likewise */
};

struct extra_field {
	char *name;
	char *value; /* without white space at its ends */
	enum extra_kind kind;
	int64_t line;
	struct address_list addresses; /* EXTRA_ADDRESSES, EXTRA_SENDER */
};

struct extra {
	struct extra_field *items;
	size_t count, capacity;
};

/*
 * Parses headers (NULL = none). ERROR_INVALID, with words that name line and
 * field, for what is no "Name: value", for fields that other columns or we
 * ourselves make, for a second one where only one may be, and for values that
 * are not what the field needs; ERROR_LIMIT. To be ended by extra_fini(),
 * whatever it answers.
 */
enum error extra_parse(struct extra *extra, const char *headers, struct words *words);
void extra_fini(struct extra *extra);

/* The field of that kind (EXTRA_SENDER, EXTRA_MESSAGE_ID, EXTRA_DATE), or NULL. */
const struct extra_field *extra_find(const struct extra *extra, enum extra_kind kind);

/* Whether any address needs RFC 6531. */
bool extra_needs_smtputf8(const struct extra *extra);

/* Writes one field, folded. False if out is full. */
bool extra_put(struct buffer *out, const struct extra_field *field);

/* What extra.c asks of a value; place is what the words begin with (extra_value.c). */
enum error extra_check_value(const char *place, struct extra_field *field, struct words *words);

#endif
