/*
 * domain.h - the right side of an address, as the envelope needs it.
 *
 * Pure; any thread.
 */
#ifndef OUTBOXD_MIME_DOMAIN_H
#define OUTBOXD_MIME_DOMAIN_H

#include <stddef.h>

#include "common/error.h"

/*
 * A domain as RFC 5321 4.1.2 writes it, U-labels turned into A-labels
 * (RFC 5891, by libidn2); an ASCII name stays as it is. *ascii is allocated and
 * the caller's. ERROR_INVALID with words that say what is wrong with the name
 * (no place: the caller knows it).
 */
enum error domain_to_ascii(const char *name, size_t length, char **ascii, struct words *words);

/* "[192.0.2.1]" or "[IPv6:2001:db8::1]", brackets included; as above. */
enum error domain_literal(const char *literal, size_t length, char **ascii, struct words *words);

#endif
