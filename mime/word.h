/*
 * word.h - encoded-words, RFC 2047: UTF-8 in a header of ASCII.
 *
 * Internal to mime/. Pure; any thread.
 */
#ifndef OUTBOXD_MIME_WORD_H
#define OUTBOXD_MIME_WORD_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"

#define WORD_MAX      75 /* octets, RFC 2047 2 */
#define WORD_ROOM_MIN 24 /* octets that hold one code point, however it is encoded */

enum word_encoding { WORD_Q, WORD_B };

/* The encoding that makes this text shorter; Q, which people can read, where both are equal. */
enum word_encoding word_choose(const char *text, size_t length);

/*
 * Appends one encoded-word of at most room octets (WORD_ROOM_MIN to WORD_MAX)
 * with as much from the start of text as fits, cut between code points; a word
 * of B that is not the last of its text has no padding, or Q stands instead
 * (for GMime: word.c). text is
 * valid UTF-8 and not empty. Returns the octets of text taken, at least one
 * code point; 0 only if out is full.
 */
size_t word_encode(struct buffer *out, enum word_encoding encoding, size_t room, const char *text,
                   size_t length);

/*
 * Appends to out what an encoded-word says, in UTF-8. False, and nothing is
 * appended, if text is not one whole encoded-word, if its charset is not UTF-8,
 * US-ASCII or ISO-8859-1, or if it hides a control character other than TAB.
 */
bool word_decode(struct buffer *out, const char *text, size_t length);

#endif
