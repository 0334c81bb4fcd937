/*
 * limit.h - a message's transactions under its tenant's quota (quota.h; NULL = none).
 *
 * Whoever has the message in hand: its worker, or the supervisor. Do not block.
 */
#ifndef OUTBOXD_DAEMON_LIMIT_H
#define OUTBOXD_DAEMON_LIMIT_H

#include <stdbool.h>

#include "common/message.h"
#include "daemon/quota.h"

struct quota_moment limit_now(void);

/*
 * Just before MAIL. Recipients for whom there is no room sit this attempt out (untried,
 * message->limited). False: nobody may go now.
 */
bool limit_begin(struct quota *quota, struct message *message);

/* After the transaction, with its outcomes: what was named to the server is counted, the rest given back. */
void limit_end(struct quota *quota, struct message *message);

/* It was past its end when an earlier process was killed: everybody who is uncertain counts. */
void limit_recovered(struct quota *quota, struct message *message);

/* The supervisor has it back: a start that was not used, a transaction that was never ended. */
void limit_returned(struct quota *quota, struct message *message);

#endif
