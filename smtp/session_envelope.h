/*
 * session_envelope.h - what may be said in MAIL and RCPT, and how.
 *
 * Internal to the session; the thread that has it.
 */
#ifndef OUTBOXD_SMTP_SESSION_ENVELOPE_H
#define OUTBOXD_SMTP_SESSION_ENVELOPE_H

#include "smtp/session_internal.h"

/* False: the server cannot be asked to take it; the transaction's, or the recipient's, outcome is set. */
bool session_check_message(const struct session *session, struct transaction *transaction);
bool session_check_recipient(const struct session *session, struct recipient *recipient);
/* As session_say(), with the parameters that the server offers. */
enum error session_say_mail(struct session *session, const struct transaction *transaction);
enum error session_say_rcpt(struct session *session, const struct transaction *transaction,
                            const struct recipient *recipient);

#endif
