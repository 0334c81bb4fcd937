/*
 * verdict.h - the contract's table "What a reply means", as one table. Pure.
 *
 * How its scopes are written in struct outcome:
 *   TENANT              scope TENANT, verdict UNTRIED, trouble says which: no attempt is counted
 *   TENANT and MESSAGE  scope MESSAGE, verdict RETRY or UNCERTAIN, trouble PLAIN
 *   MESSAGE, RECIPIENT  that scope, trouble NONE
 *   UNTRIED             verdict UNTRIED, trouble NONE: at once
 * So a trouble other than NONE is the breaker's, whatever the scope.
 *
 * outcome is one that was zeroed or used before; its earlier text is freed.
 */
#ifndef OUTBOXD_SMTP_VERDICT_H
#define OUTBOXD_SMTP_VERDICT_H

#include <stdbool.h>

#include "common/error.h"
#include "common/outcome.h"
#include "smtp/reply.h"

/* What the place in the conversation adds to stage and reply. */
struct verdict_place {
	enum stage stage;
	bool reused;          /* the connection carried a message before this one */
	bool accepted_before; /* RCPT: a recipient of this transaction was accepted already */
	bool behind_refused;  /* a MAIL pipelined behind a refused message */
};

/*
 * Judges a reply that is not the positive one the stage waits for (or is:
 * VERDICT_SENT at STAGE_END, NONE else). A 2xx or 3xx where it has no meaning
 * counts as malformed.
 */
void verdict_from_reply(const struct verdict_place *place, const struct reply *reply,
                        struct outcome *outcome);

/*
 * Judges a loss: error is ERROR_CLOSED, ERROR_TIMEOUT, ERROR_PROTOCOL (malformed
 * reply), ERROR_INTERRUPTED (we stop: UNTRIED before STAGE_END, UNCERTAIN in it) or another local error
 * (UNTRIED). words, may be NULL, become the outcome's text.
 */
void verdict_from_loss(const struct verdict_place *place, enum error error, const struct words *words,
                       struct outcome *outcome);

#endif
