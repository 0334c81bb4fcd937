/*
 * supervisor_limit.h - messages_per_minute and recipients_per_day. Internal to the
 * supervisor: its thread alone calls these; none of them blocks but for a read of the
 * database.
 */
#ifndef OUTBOXD_DAEMON_SUPERVISOR_LIMIT_H
#define OUTBOXD_DAEMON_SUPERVISOR_LIMIT_H

#include "daemon/supervisor.h"

/* The tenant's settings are new; NULL ones: it is gone. */
void limit_adopt(struct supervisor *supervisor, struct tenant *tenant);
/* It goes by this quota (NULL: none) from now on; what it waited for is forgotten. */
void limit_use(struct tenant *tenant, struct quota *quota);
/* Counts in the quota what the tenant's earlier sessions sent. False: it cannot be read just now. */
bool limit_read_usage(struct supervisor *supervisor, struct tenant *tenant, struct quota *quota);
/* Reads what earlier processes sent, once, before anything is given to a worker. */
void limit_prepare(struct supervisor *supervisor, struct tenant *tenant);
/* How many of most messages may go to workers now; 0: its timer is set for when there may be room. */
int limit_allowance(struct supervisor *supervisor, struct tenant *tenant, int most);
/*
 * It could go, but for a session or a place: one start stays reserved for it until it has them,
 * so that who waits for one thing does not lose its turn at the other.
 */
void limit_hold_start(struct tenant *tenant);
void limit_drop_start(struct tenant *tenant);
/* The worker was told to leave before it began with the message: its tenant keeps the start. */
void limit_called_off(const struct worker *worker, struct message *message);
/* A message that goes to the worker needs a start. */
void limit_give(const struct worker *worker, struct message *message);
/* No use in looking for mail yet: the day's recipients are used up. */
bool limit_keeps_waiting(const struct tenant *tenant);
/* Nothing waits for the limit any more. */
void limit_idle(struct supervisor *supervisor, struct tenant *tenant);
/* Whether it is limited, and the words for its administrator. */
bool limit_describe(const struct tenant *tenant, struct words *words);

#endif
