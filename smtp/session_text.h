/*
 * session_text.h - the message itself: after DATA, or in chunks.
 *
 * Internal to the session; the thread that has it. Each blocks for at most the time that a
 * transfer is allowed. The flight may be over afterwards, by a refusal, a loss, or the observer.
 */
#ifndef OUTBOXD_SMTP_SESSION_TEXT_H
#define OUTBOXD_SMTP_SESSION_TEXT_H

#include "smtp/session_window.h"

/* After the 354: the text without its end, which is held back. */
void session_give_text(struct session *session, struct flight *flight);
/* The end of the data, to be flushed with whatever follows it. */
void session_give_end(struct session *session, struct flight *flight);
/* A 354 although no recipient was accepted (RFC 2920 3.1): a lone dot, and its reply is ignored. */
void session_give_nothing(struct session *session, struct flight *flight);
/* The transfer's deadline begins (the contract: 180 s + size / min_rate). */
void session_allow_transfer(struct session *session, struct flight *flight, int64_t size);
/* Whether the observer lets the end of the data go; if not, the flight is cut. */
bool session_may_end(struct session *session, struct flight *flight);

/* --- session_chunk.c: BDAT (RFC 3030) ---------------------------------------------- */

/* Measures the text. False: it cannot be sent, the outcome is set and nothing was said. */
bool session_measure(struct session *session, struct flight *flight);
/* Whether the text is so short that it goes with the envelope. */
bool session_goes_along(const struct session *session, const struct flight *flight);
/* BDAT: all of the text; its last reply is not waited for. */
void session_give_chunks(struct session *session, struct flight *flight);

#endif
