/*
 * judge.h - from the recipients' outcomes to what the table shall say. Pure.
 */
#ifndef OUTBOXD_DAEMON_JUDGE_H
#define OUTBOXD_DAEMON_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/message.h"
#include "common/tenant.h"

#define UNCERTAIN_PAUSE_S 600 /* on_uncertain = resend: due again after ten minutes */

struct judge_moment {
	int64_t now_s; /* wall clock */
	uint32_t dice;
};

/* What the outcomes of one attempt say of the message and of its server. */
struct attempt_summary {
	bool tried;         /* a recipient got an answer, or may have */
	bool accepted;      /* one was accepted */
	bool refused_whole; /* nothing accepted, everything that was tried refused for good */
	enum stage stage;   /* of the refusal */
	int code;
};
void judge_summarize(const struct message *message, struct attempt_summary *summary);

/* The streak guard says that the refusals are the tenant's trouble: refused becomes deferred. */
void judge_soften(struct message *message);

/*
 * Sets each recipient's state and attempts and the message's state, attempts,
 * due_at and result. Only for a message that was tried, is invalid or has expired.
 */
void judge_message(struct message *message, const struct tenant_settings *settings,
                   const struct judge_moment *moment);

/* When the message fails as expired: seconds since 1970. */
int64_t judge_expiry(const struct message *message, int max_age_s);

#endif
