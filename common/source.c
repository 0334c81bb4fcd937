/*
 * source.c - bytes of a column, in memory or in a spool file, and a source over memory.
 *
 * Promises to read without moving anything.  ERROR_SYSTEM if the file cannot be
 * read or is shorter than the body that was put there.
 */
#include "common/source.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static enum error read_file(const struct body *body, int64_t position, void *bytes, size_t wanted,
                            size_t *length)
{
	ssize_t got;

	do
		got = pread(body->fd, bytes, wanted, (off_t)(body->offset + position));
	while (got < 0 && errno == EINTR);
	if (got <= 0)
		return ERROR_SYSTEM;
	*length = (size_t)got;
	return OK;
}

enum error body_look(const struct body *body, int64_t position, void *room, size_t capacity,
                     const char **bytes, size_t *length)
{
	uint64_t left;

	*length = 0;
	*bytes = room;
	if (position < 0)
		return ERROR_INVALID;
	if (!body->present || position >= body->size || capacity == 0)
		return OK;
	left = (uint64_t)(body->size - position);
	if (left > capacity)
		left = capacity;
	if (!body->memory)
		return read_file(body, position, room, (size_t)left, length);
	*bytes = body->memory + position;
	*length = (size_t)left;
	return OK;
}

enum error body_read(const struct body *body, int64_t position, void *bytes, size_t capacity, size_t *length)
{
	const char *from;
	enum error error = body_look(body, position, bytes, capacity, &from, length);

	if (error == OK && *length > 0 && from != bytes)
		memcpy(bytes, from, *length);
	return error;
}

static enum error read_memory(struct source *source, void *bytes, size_t capacity, size_t *length)
{
	struct source_memory *memory = (struct source_memory *)(void *)source;
	size_t left = memory->length - memory->position;

	*length = left < capacity ? left : capacity;
	if (*length > 0)
		memcpy(bytes, memory->bytes + memory->position, *length);
	memory->position += *length;
	return OK;
}

static void rewind_memory(struct source *source)
{
	((struct source_memory *)(void *)source)->position = 0;
}

void source_memory_init(struct source_memory *source, const void *bytes, size_t length)
{
	*source = (struct source_memory){
		.source = { .read = read_memory, .rewind = rewind_memory },
		.bytes = bytes,
		.length = length,
	};
}
