/*
 * file_type.c - what a file is, told by its content.
 *
 * Promises: always a type that may stand in an attachment's content_type. A
 * charset is only told where a reader would be wrong without it, and where
 * libmagic does not guess.
 */
#include <magic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/file_type.h"
#include "common/buffer.h"

#define UNKNOWN "application/octet-stream"

struct file_types {
	magic_t magic;
};

enum error file_types_open(struct file_types **types, struct words *words)
{
	magic_t magic = magic_open(MAGIC_MIME | MAGIC_ERROR);

	*types = NULL;
	if (!magic) {
		words_set(words, "libmagic cannot be used");
		return ERROR_SYSTEM;
	}
	if (magic_load(magic, NULL) != 0) {
		words_set(words, "the magic database cannot be loaded: %s", magic_error(magic));
		magic_close(magic);
		return ERROR_SYSTEM;
	}
	*types = memory_alloc(sizeof **types);
	(*types)->magic = magic;
	return OK;
}

void file_types_close(struct file_types **types)
{
	if (!*types)
		return;
	magic_close((*types)->magic);
	free(*types);
	*types = NULL;
}

/* What libmagic calls by names of its own is the nearest that RFC 2046 and others know. */
static const char *charset_of(const char *told)
{
	if (strcmp(told, "us-ascii") == 0 || strcmp(told, "utf-8") == 0)
		return "utf-8";
	if (strcmp(told, "utf-16le") == 0 || strcmp(told, "utf-16be") == 0)
		return "utf-16"; /* it begins with a mark of its order, else it would not have been known */
	return NULL;             /* iso-8859-1 and the like are guesses */
}

/* RFC 2045 5.1: one slash, and nothing but token characters around it. */
static bool is_type(const char *text, size_t length)
{
	const char *slash = memchr(text, '/', length);

	if (!slash || slash == text || slash + 1 == text + length || length > 127)
		return false;
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c <= ' ' || c >= 0x7f || (strchr("()<>@,;:\\\"/[]?=", c) && text + i != slash))
			return false;
	}
	return true;
}

/* Nothing at all, and inode/ things, have no type of theirs; multipart/ and other kinds of message/ are no
 * attachment's. */
static bool is_attachable(const char *type, size_t length)
{
	static const char mail[] = "message/rfc822", nothing[] = "application/x-empty";

	if (length == sizeof nothing - 1 && memcmp(type, nothing, length) == 0)
		return false;
	if (strncmp(type, "inode/", 6) == 0 || strncmp(type, "multipart/", 10) == 0)
		return false;
	return strncmp(type, "message/", 8) != 0 ||
	       (length == sizeof mail - 1 && memcmp(type, mail, length) == 0);
}

char *file_type(struct file_types *types, int fd)
{
	static const char mark[] = "; charset=";
	const char *told = lseek(fd, 0, SEEK_SET) == 0 ? magic_descriptor(types->magic, fd) : NULL;
	const char *charset;
	size_t length;
	struct buffer type;

	length = told ? strcspn(told, ";") : 0;
	if (!told || !is_type(told, length) || !is_attachable(told, length))
		return memory_strdup(UNKNOWN);
	buffer_init(&type, 255);
	(void)buffer_append(&type, told, length);
	charset = strstr(told, mark);
	charset = charset && strncmp(told, "text/", 5) == 0 ? charset_of(charset + sizeof mark - 1) : NULL;
	if (charset)
		(void)buffer_printf(&type, "%s%s", mark, charset);
	return buffer_take(&type);
}
