/*
 * mail.h - one row of the outbox as read for sending: columns and bodies.
 *
 * Made by storage_take(), read by mime/. Owned by one worker.
 */
#ifndef OUTBOXD_COMMON_MAIL_H
#define OUTBOXD_COMMON_MAIL_H

#include <stdint.h>

#include "common/message.h"
#include "common/source.h"

/* A row of outbox_attachment; texts are NULL where the column is NULL or ''. */
struct attachment {
	char *filename;
	char *content_type;
	char *content_id; /* set = inline, for cid: in the HTML */
	struct body content;
};

struct mail {
	int64_t id;
	/* columns as they are; NULL where the column is NULL or '' */
	char *from_address; /* the one in force when it was first queued (outbox_status) */
	char *envelope_from;
	char *to_addresses, *cc_addresses, *bcc_addresses;
	char *reply_to, *subject, *headers, *reference;
	char *dsn_notify, *dsn_return; /* RFC 3461, as words */
	struct body body_text, body_html, message;
	struct attachment *attachments; /* by position; those that are there, whatever was announced */
	size_t attachment_count;
	int64_t first_queued_at_ms;
	/* what is already known of recipients (outbox_delivery): address, state, attempts,
	   once_uncertain, outcome.code */
	struct recipient *known;
	size_t known_count;
	void *lent; /* storage's own: what storage_give_back() needs */
};

#endif
