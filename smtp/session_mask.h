/*
 * session_mask.h - secrets in what the server says: the password and what SASL said.
 */
#ifndef OUTBOXD_SMTP_SESSION_MASK_H
#define OUTBOXD_SMTP_SESSION_MASK_H

#include "common/buffer.h"
#include "smtp/session_internal.h"

/* A response of SASL in base64 that is about to be said: masked from now on. A name alone is no secret. */
void session_remember(struct session *session, const struct buffer *response);

/* Masks all of them in a terminated text, in place. */
void session_mask(const struct session *session, char *text);
/* The same in session->reply, and in what was cut off it. */
void session_mask_reply(struct session *session);

#endif
