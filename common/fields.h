/*
 * fields.h - what outboxd and its helper programs tell one another by pipes. Pure.
 *
 * "name=value", each ended by a NUL, in any order; the end of the pipe ends them. Values are
 * any octets but NUL, so that a key in PEM goes as it is.
 */
#ifndef OUTBOXD_COMMON_FIELDS_H
#define OUTBOXD_COMMON_FIELDS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "common/secret.h"

#define FIELDS_MAX_BYTES (256 * 1024)

/*
 * A buffer for fields with all its room at once: secrets in it are moved nowhere, and
 * fields_fini() wipes them.
 */
void fields_init(struct buffer *fields);
void fields_fini(struct buffer *fields);

/* False: no room, or a secret with a NUL in it; nothing is added. A value that is NULL or unset is left out.
 */
bool fields_add(struct buffer *fields, const char *name, const char *value);
bool fields_add_secret(struct buffer *fields, const char *name, const struct secret *value);

/* The value of the first field of that name, terminated, in the bytes; NULL: none, or the last NUL is
 * missing. */
const char *fields_find(const struct buffer *fields, const char *name);

#endif
