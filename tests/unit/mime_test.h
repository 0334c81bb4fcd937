/*
 * mime_test.h - what the unit tests of mime/ share: one test case a file, and rows to compose.
 */
#ifndef OUTBOXD_TESTS_UNIT_MIME_TEST_H
#define OUTBOXD_TESTS_UNIT_MIME_TEST_H

#include <check.h>
#include <stddef.h>
#include <stdint.h>

#include "mime/compose.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TEXT(text)   ((char *)(uintptr_t)(text))
#define A10          "aaaaaaaaaa"
#define A70          A10 A10 A10 A10 A10 A10 A10

#define INSTANCE     "0123456789abcdef"
/* The left side of the Message-ID of id 42 in INSTANCE: SHA-256 of "0123456789abcdef\n42". */
#define HASH_42 "42.f933f171e61130ebe244"
/* What its boundaries begin with: SHA-256 of "0123456789abcdef\n42\nboundary". */
#define HASH_B42 "da304f5ddf27f924a69c"
#define STEM_42  "=_" HASH_B42

TCase *mime_address_case(void);
TCase *mime_complete_case(void);
TCase *mime_encode_case(void);
TCase *mime_evil_case(void);
TCase *mime_extra_case(void);
TCase *mime_field_case(void);
TCase *mime_header_case(void);
TCase *mime_media_case(void);
TCase *mime_parts_case(void);
TCase *mime_plain_case(void);

/* Row 42 of pbx@acme.example without recipients; message may be NULL. All texts stay the caller's. */
struct mail bed_mail_of(const char *message);
struct body bed_body_of(const char *text, size_t length);

/* INSTANCE, without 8BITMIME. */
extern const struct compose_options bed_options;

/* Composes, or fails the test. */
struct composed *bed_compose(const struct mail *mail);

/* base64 must decode to just these octets. */
void bed_check_base64(const char *base64, const char *octets, size_t length);

/* The row must be refused with just these words. */
void bed_check_refused(const struct mail *mail, const char *expected);

/* Reads all in slices; the size must be what was promised, and all line ends CRLF. Allocated. */
char *bed_read_source(struct composed *composed, size_t slice);

/* The envelope's recipients with spaces between. Allocated. */
char *bed_recipients_of(const struct envelope *envelope);

#endif
