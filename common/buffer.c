/*
 * buffer.c - bytes that grow up to a limit; allocation that ends in words.
 *
 * Promises that a refused growth changes nothing.  A buffer answers false at
 * its limit, and when the system has no memory for a large one; where a small
 * allocation fails the process ends with a sentence and exit status 71, not
 * by a signal: no message in hand is to blame for it.
 */
#include "common/buffer.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define FIRST_CAPACITY 64
#define SMALL_BYTES    65536 /* up to here, no memory means the end of the process */

static _Noreturn void memory_out(void)
{
	static const char words[] = "outboxd: out of memory\n";

	if (write(STDERR_FILENO, words, sizeof(words) - 1) < 0)
		_exit(EX_OSERR);
	_exit(EX_OSERR);
}

void *memory_alloc(size_t bytes)
{
	void *new = calloc(1, bytes ? bytes : 1);

	if (!new)
		memory_out();
	return new;
}

void *memory_resize(void *old, size_t bytes)
{
	void *new = realloc(old, bytes ? bytes : 1);

	if (!new)
		memory_out();
	return new;
}

char *memory_strdup(const char *text)
{
	return text ? memory_strndup(text, strlen(text)) : NULL;
}

char *memory_strndup(const char *text, size_t length)
{
	char *new;

	if (!text)
		return NULL;
	length = strnlen(text, length);
	new = memory_resize(NULL, length + 1);
	memcpy(new, text, length);
	new[length] = '\0';
	return new;
}

void buffer_init(struct buffer *buffer, size_t limit)
{
	*buffer = (struct buffer){ .limit = limit };
}

void buffer_fini(struct buffer *buffer)
{
	free(buffer->data);
	buffer_init(buffer, 0);
}

void buffer_clear(struct buffer *buffer)
{
	buffer->length = 0;
	if (buffer->data)
		buffer->data[0] = '\0';
}

bool buffer_reserve(struct buffer *buffer, size_t more)
{
	size_t needed, capacity;
	char *data;

	if (buffer->length > buffer->limit || more > buffer->limit - buffer->length)
		return false;
	if (more >= SIZE_MAX - buffer->length)
		return false;
	needed = buffer->length + more + 1;
	if (needed <= buffer->capacity)
		return true;
	capacity = buffer->capacity ? buffer->capacity : FIRST_CAPACITY;
	while (capacity < needed)
		capacity = capacity > SIZE_MAX / 2 ? needed : capacity * 2;
	if (buffer->limit < SIZE_MAX && capacity > buffer->limit + 1)
		capacity = buffer->limit + 1;
	data = realloc(buffer->data, capacity);
	if (!data) {
		if (capacity <= SMALL_BYTES)
			memory_out();
		return false;
	}
	buffer->data = data;
	buffer->capacity = capacity;
	buffer->data[buffer->length] = '\0';
	return true;
}

bool buffer_append(struct buffer *buffer, const void *bytes, size_t length)
{
	if (!buffer_reserve(buffer, length))
		return false;
	if (length > 0)
		memcpy(buffer->data + buffer->length, bytes, length);
	buffer->length += length;
	buffer->data[buffer->length] = '\0';
	return true;
}

bool buffer_append_text(struct buffer *buffer, const char *text)
{
	return buffer_append(buffer, text, strlen(text));
}

bool buffer_append_char(struct buffer *buffer, char c)
{
	return buffer_append(buffer, &c, 1);
}

bool buffer_printf(struct buffer *buffer, const char *format, ...)
{
	size_t room = buffer->data ? buffer->capacity - buffer->length : 0;
	va_list arguments;
	int wanted;

	va_start(arguments, format);
	wanted = vsnprintf(room > 0 ? buffer->data + buffer->length : NULL, room, format, arguments);
	va_end(arguments);
	if (wanted < 0 || (size_t)wanted >= room) {
		if (room > 0)
			buffer->data[buffer->length] = '\0';
		if (wanted < 0 || !buffer_reserve(buffer, (size_t)wanted))
			return false;
		va_start(arguments, format);
		vsnprintf(buffer->data + buffer->length, (size_t)wanted + 1, format, arguments);
		va_end(arguments);
	}
	buffer->length += (size_t)wanted;
	return true;
}

void buffer_consume(struct buffer *buffer, size_t length)
{
	if (length >= buffer->length) {
		buffer_clear(buffer);
		return;
	}
	buffer->length -= length;
	memmove(buffer->data, buffer->data + length, buffer->length + 1);
}

char *buffer_take(struct buffer *buffer)
{
	char *data = buffer->data;

	buffer_init(buffer, buffer->limit);
	return data ? data : memory_strdup("");
}
