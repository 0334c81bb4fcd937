/*
 * fields.c - see fields.h.
 */
#include "common/fields.h"

#include <string.h>

void fields_init(struct buffer *fields)
{
	buffer_init(fields, FIELDS_MAX_BYTES);
	(void)buffer_reserve(fields, FIELDS_MAX_BYTES);
}

void fields_fini(struct buffer *fields)
{
	if (fields->data)
		explicit_bzero(fields->data, fields->capacity);
	buffer_fini(fields);
}

static bool add(struct buffer *fields, const char *name, const void *value, size_t length)
{
	size_t name_length = strlen(name);

	if (memchr(value, '\0', length) || name_length + length + 2 > fields->limit - fields->length)
		return false;
	return buffer_append(fields, name, name_length) && buffer_append_char(fields, '=') &&
	       buffer_append(fields, value, length) && buffer_append_char(fields, '\0');
}

bool fields_add(struct buffer *fields, const char *name, const char *value)
{
	return !value || add(fields, name, value, strlen(value));
}

bool fields_add_secret(struct buffer *fields, const char *name, const struct secret *value)
{
	return !secret_is_set(value) || add(fields, name, value->bytes, value->length);
}

const char *fields_find(const struct buffer *fields, const char *name)
{
	size_t name_length = strlen(name);

	if (fields->length == 0 || fields->data[fields->length - 1] != '\0')
		return NULL;
	for (const char *at = fields->data, *end = at + fields->length; at < end; at += strlen(at) + 1)
		if (strncmp(at, name, name_length) == 0 && at[name_length] == '=')
			return at + name_length + 1;
	return NULL;
}
