/*
 * buffer.h - bytes that grow up to a limit, and a pool of large ones.
 *
 * A struct buffer belongs to one thread at a time.  Growth beyond the limit
 * answers false and changes nothing: whoever lets a peer or a row size a buffer
 * gives it a limit.  Small allocations that fail end the process with words
 * (exit status 71); a buffer that has no memory beyond 64 KiB answers false.
 * What is appended must not lie in the buffer itself.
 */
#ifndef OUTBOXD_COMMON_BUFFER_H
#define OUTBOXD_COMMON_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

struct buffer {
	char *data; /* length octets, always followed by a NUL once anything was appended */
	size_t length;
	size_t capacity;
	size_t limit;
};

void buffer_init(struct buffer *buffer, size_t limit);
void buffer_fini(struct buffer *buffer);  /* frees; the buffer is as after buffer_init(…, 0) */
void buffer_clear(struct buffer *buffer); /* length 0, keeps the memory */

/* Makes room for so many more octets at once, so that adding them moves nothing. */
bool buffer_reserve(struct buffer *buffer, size_t more);

bool buffer_append(struct buffer *buffer, const void *bytes, size_t length);
bool buffer_append_text(struct buffer *buffer, const char *text);
bool buffer_append_char(struct buffer *buffer, char c);
bool buffer_printf(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Removes the first octets (all if more than there are). */
void buffer_consume(struct buffer *buffer, size_t length);

/* Gives the terminated bytes to the caller, who frees them; the buffer is empty after it. Never NULL. */
char *buffer_take(struct buffer *buffer);

/* malloc, calloc, realloc, strdup that end the process with words when memory is out: for small things. */
void *memory_alloc(size_t bytes); /* zeroed */
void *memory_resize(void *old, size_t bytes);
char *memory_strdup(const char *text); /* NULL gives NULL */
char *memory_strndup(const char *text, size_t length);

#endif
