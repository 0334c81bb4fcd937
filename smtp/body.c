/*
 * body.c - dots and line ends of a message on the wire.
 *
 * Promises: the result is the same wherever the input is cut; no bare CR and no
 * bare LF ever leaves, so that no server can see the end of the data where we
 * do not (SMTP smuggling). Fails with ERROR_INVALID on a bare CR and on NUL.
 */
#include "smtp/body.h"

#include <string.h>

void body_transform_begin(struct body_transform *transform, bool chunks)
{
	transform->chunks = chunks;
	transform->line_start = true;
	transform->cr = false;
}

enum error body_transform_feed(struct body_transform *transform, const char *bytes, size_t length, char *out,
                               size_t *done)
{
	size_t at = 0;

	*done = 0;
	for (size_t i = 0; i < length; i++) {
		char c = bytes[i];

		if (c == '\0' || (transform->cr && c != '\n'))
			return ERROR_INVALID;
		if (c == '\r') {
			transform->cr = true;
			continue;
		}
		if (c == '\n') {
			out[at++] = '\r';
			transform->cr = false;
			transform->line_start = true;
		} else {
			if (c == '.' && transform->line_start && !transform->chunks)
				out[at++] = '.'; /* RFC 5321 4.5.2 */
			transform->line_start = false;
		}
		out[at++] = c;
	}
	*done = at;
	return OK;
}

enum error body_transform_end(struct body_transform *transform, char *out, size_t *done)
{
	const char *end = transform->line_start ? "" : "\r\n";

	*done = 0;
	if (transform->cr)
		return ERROR_INVALID;
	*done = strlen(end);
	memcpy(out, end, *done);
	if (!transform->chunks) {
		memcpy(out + *done, ".\r\n", 3);
		*done += 3;
	}
	transform->line_start = true;
	return OK;
}
