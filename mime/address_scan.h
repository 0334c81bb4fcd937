/*
 * address_scan.h - the tokens of RFC 5322 3.2 for mime/address.c.
 *
 * Internal to mime/. Pure; any thread, one scan by one thread at a time.
 */
#ifndef OUTBOXD_MIME_ADDRESS_SCAN_H
#define OUTBOXD_MIME_ADDRESS_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "common/error.h"
#include "mime/address.h"

#define SCAN_END    (-1) /* scan_peek() behind the last octet */
#define ADDRESS_MAX 254  /* octets, RFC 5321 4.5.3.1.3: a path is 256 with its brackets */
#define DISPLAY_MAX 998  /* octets of a display name or a group's name */

struct address_scan {
	const char *column; /* named in the words */
	const char *text;
	size_t length;
	size_t at;          /* the next octet */
	bool dots_in_names; /* RFC 5322 4.1 obs-phrase: let "J. Doe" pass without quotes */
	struct words *words;
};

enum token_kind {
	TOKEN_ATOM,   /* atext and dots (checked by whoever needs an atom or a dot-atom) */
	TOKEN_QUOTED, /* a quoted string */
};

struct token {
	enum token_kind kind;
	size_t start, end; /* in the text, with the quotes */
};

/*
 * ERROR_INVALID with words "COLUMN, character N: …"; at is an octet's offset,
 * N counts code points from 1.
 */
enum error scan_fail(const struct address_scan *scan, size_t at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Refuses what may stand nowhere in an address list: invalid UTF-8, control characters but TAB. */
enum error scan_check_text(const struct address_scan *scan);

/* The next octet (0 to 255), or SCAN_END. */
int scan_peek(const struct address_scan *scan);

/* Skips white space and comments (RFC 5322 3.2.2 CFWS; comments may nest). */
enum error scan_cfws(struct address_scan *scan);

/* Whether an atom or a quoted string begins here; scan_token() then reads it. */
bool scan_at_token(const struct address_scan *scan);
enum error scan_token(struct address_scan *scan, struct token *token);

/* Appends what a quoted string means: without its quotes and backslashes. False if out is full. */
bool scan_unquote(const struct address_scan *scan, const struct token *token, struct buffer *out);

/* Reads "@domain" at the scan, local being the word before it, into address. */
enum error scan_at_domain(struct address_scan *scan, const struct token *local, struct address *address);

/* Reads "<local@domain>" at the scan into address. */
enum error scan_angle(struct address_scan *scan, struct address *address);

/* RFC 5322 3.2.3 atext, with RFC 6532 3.2 UTF-8. */
bool scan_is_atext(unsigned char c);

#endif
