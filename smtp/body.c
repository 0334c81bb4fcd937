/*
 * body.c - dots and line ends of a message on the wire.
 *
 * Promises: the result is the same wherever the input is cut; no bare CR and no
 * bare LF ever leaves, so that no server can see the end of the data where we
 * do not (SMTP smuggling). Fails with ERROR_INVALID on a bare CR and on NUL.
 */
#include "smtp/body.h"

#include <string.h>

#include "common/octets.h"

void body_transform_begin(struct body_transform *transform, bool chunks)
{
	transform->chunks = chunks;
	transform->line_start = true;
	transform->cr = false;
}

enum error body_transform_feed(struct body_transform *transform, const char *bytes, size_t length, char *out,
                               size_t *done)
{
	size_t at = 0, i = 0;

	*done = 0;
	while (i < length) {
		char c = bytes[i];
		size_t run;

		if (c == '\0' || (transform->cr && c != '\n'))
			return ERROR_INVALID;
		if (c == '\r') {
			transform->cr = true;
			i++;
			continue;
		}
		if (c == '\n') {
			out[at++] = '\r';
			out[at++] = '\n';
			transform->cr = false;
			transform->line_start = true;
			i++;
			continue;
		}
		if (c == '.' && transform->line_start && !transform->chunks)
			out[at++] = '.'; /* RFC 5321 4.5.2 */
		transform->line_start = false;
		run = octets_of_line(bytes + i, length - i);
		memcpy(out + at, bytes + i, run);
		at += run;
		i += run;
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
