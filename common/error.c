/*
 * error.c - names of errors, and words for people.
 *
 * Promises that words are always terminated and never end in the middle of a
 * UTF-8 character.  Cannot fail: what does not fit is cut.
 */
#include "common/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/text.h"

static const char *const names[] = {
	[OK] = "ok",
	[ERROR_TIMEOUT] = "the time limit passed",
	[ERROR_INTERRUPTED] = "called off",
	[ERROR_CLOSED] = "the connection was closed",
	[ERROR_PROTOCOL] = "protocol violation",
	[ERROR_INVALID] = "invalid input",
	[ERROR_LIMIT] = "a limit was reached",
	[ERROR_NOT_FOUND] = "not found",
	[ERROR_EXISTS] = "exists already",
	[ERROR_BUSY] = "held by another process",
	[ERROR_PERMISSION] = "permission denied",
	[ERROR_REFUSED] = "refused",
	[ERROR_UNAVAILABLE] = "not available now",
	[ERROR_SYSTEM] = "system error",
};

bool error_is_shortage(int errno_value)
{
	return errno_value == EMFILE || errno_value == ENFILE || errno_value == ENOBUFS ||
	       errno_value == ENOMEM;
}

const char *error_text(enum error error)
{
	if ((size_t)error >= sizeof(names) / sizeof(names[0]))
		return "unknown error";
	return names[error];
}

/* Takes away the beginning of a character that snprintf cut; answers the new length. */
static size_t words_trim(struct words *words)
{
	size_t length = sizeof(words->text) - 1, start = length;
	uint32_t code_point;

	do
		start--;
	while (length - start < 4 && ((unsigned char)words->text[start] & 0xc0) == 0x80);
	if (text_utf8_next(words->text + start, length - start, &code_point) == 0)
		length = start;
	words->text[length] = '\0';
	return length;
}

/* Appends at the offset; answers the new length. */
static size_t __attribute__((format(printf, 3, 0)))
words_add(struct words *words, size_t offset, const char *format, va_list arguments)
{
	size_t room = sizeof(words->text) - offset;
	int wanted = vsnprintf(words->text + offset, room, format, arguments);

	if (wanted < 0) {
		words->text[offset] = '\0';
		return offset;
	}
	if ((size_t)wanted < room)
		return offset + (size_t)wanted;
	return words_trim(words);
}

void words_vset(struct words *words, const char *format, va_list arguments)
{
	words_add(words, 0, format, arguments);
}

void words_set(struct words *words, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	words_add(words, 0, format, arguments);
	va_end(arguments);
}

static void __attribute__((format(printf, 3, 4)))
words_append(struct words *words, size_t offset, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	words_add(words, offset, format, arguments);
	va_end(arguments);
}

void words_set_errno(struct words *words, int errno_value, const char *format, ...)
{
	char reason[128];
	va_list arguments;
	size_t length;

	va_start(arguments, format);
	length = words_add(words, 0, format, arguments);
	va_end(arguments);
	words_append(words, length, ": %s", strerror_r(errno_value, reason, sizeof(reason)));
}
