/*
 * parts.h - the body of a message from the columns: its parts, and how they nest.
 *
 *   mixed ( related-or-alternative , attachment … )      RFC 2046 5.1.3
 *   alternative ( text , html-or-related )               RFC 2046 5.1.4
 *   related ( html , inline attachment … )               RFC 2387
 *
 * with no level that has nothing to hold together; a message of attachments
 * alone is mixed. Internal to mime/. One thread at a time.
 */
#ifndef OUTBOXD_MIME_PARTS_H
#define OUTBOXD_MIME_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"
#include "common/mail.h"
#include "mime/compose.h"
#include "mime/encode.h"
#include "mime/media.h"
#include "mime/pieces.h"

#define ATTACHMENTS_MAX    1000 /* as the schema has it */
#define BOUNDARY_OCTETS    10   /* of SHA-256 */
#define BOUNDARY_STEM_SIZE (2 + 2 * BOUNDARY_OCTETS + 1)

/* One part that holds no others. */
struct part {
	const struct body *body;
	struct media media;
	const char *filename;   /* NULL = none */
	const char *content_id; /* NULL = none */
	bool attached;          /* it has a Content-Disposition */
	bool inlined;           /* which is inline: the HTML shows it */
	enum encoding encoding;
	bool eight_bit; /* ENCODING_NONE, and not ASCII */
	bool open;      /* ENCODING_NONE or quoted-printable: the last line has no end */
	int64_t size;   /* octets, encoded, without an end for an open line */
};

struct parts {
	struct part text, html;
	bool has_text, has_html;
	struct part *attachments;
	size_t attachment_count;
	size_t inlined_count;
	char stem[BOUNDARY_STEM_SIZE]; /* what all boundaries begin with */
};

/*
 * Checks the attachments' columns, and chooses each part's encoding by reading
 * the texts once. Errors are those of mime_compose(), words name the column.
 * To be ended by parts_fini(), whatever it answers.
 */
enum error parts_prepare(struct parts *parts, const struct mail *mail, const struct compose_options *options,
                         struct words *words);
void parts_fini(struct parts *parts);

/*
 * Adds the Content- fields and the body behind header, the fields so far, which
 * is empty then. Adds to *size and, if any octet is above 127, sets *eight_bit.
 * ERROR_LIMIT if header is full. The bodies must live longer than pieces.
 */
enum error parts_write(const struct parts *parts, struct buffer *header, struct pieces *pieces, int64_t *size,
                       bool *eight_bit);

#endif
