/*
 * source.h - a stream of bytes that can be read again from its start.
 *
 * How a message goes from the composer (mime/) to the wire (smtp/) without
 * either knowing the other, in constant memory. One thread at a time.
 */
#ifndef OUTBOXD_COMMON_SOURCE_H
#define OUTBOXD_COMMON_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct source {
	/*
	 * Fills up to capacity octets; *length = 0 at the end. Does not wait for
	 * a network. ERROR_SYSTEM if a spool file cannot be read.
	 */
	enum error (*read)(struct source *source, void *bytes, size_t capacity, size_t *length);
	/* Back to the first octet: a second reading gives the same bytes. */
	void (*rewind)(struct source *source);
};

/*
 * A column's bytes: in memory, or (large ones) in an unlinked file. Owned by
 * whoever has the struct mail; reading does not move anything.
 */
struct body {
	char *memory;   /* or NULL */
	int fd;         /* spool file, -1 if in memory */
	int64_t offset; /* where the body starts in the file */
	int64_t size;   /* octets; 0 = empty or NULL column */
	bool present;   /* the column is not NULL */
};

/* Copies up to capacity octets from position; *length = 0 at the end. ERROR_SYSTEM if the file fails. */
enum error body_read(const struct body *body, int64_t position, void *bytes, size_t capacity, size_t *length);

/* The same without a copy of what is in memory: *bytes are there, or else in room, which has capacity. */
enum error body_look(const struct body *body, int64_t position, void *room, size_t capacity,
                     const char **bytes, size_t *length);

/* A source over text in memory, which stays the caller's (tests, small things). */
struct source_memory {
	struct source source; /* first member */
	const char *bytes;
	size_t length;
	size_t position;
};
void source_memory_init(struct source_memory *source, const void *bytes, size_t length);

#endif
