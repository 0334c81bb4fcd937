/*
 * supervisor_limit.h - messages_per_minute and recipients_per_day. Internal to the
 * supervisor: its thread alone calls these; none of them blocks but for a read of the
 * database.
 */
#ifndef OUTBOXD_DAEMON_SUPERVISOR_LIMIT_H
#define OUTBOXD_DAEMON_SUPERVISOR_LIMIT_H

#include "daemon/supervisor.h"

/* The tenant's settings are new; NULL ones: it is gone. */
void limit_adopt(struct tenant *tenant);
/* Reads what earlier processes sent, once, before anything is given to a worker. */
void limit_prepare(struct supervisor *supervisor, struct tenant *tenant);
/* How many of most messages may go to workers now; 0: its timer is set for when there may be room. */
int limit_allowance(struct supervisor *supervisor, struct tenant *tenant, int most);
/* A message that goes to the worker needs a start. */
void limit_give(const struct worker *worker, struct message *message);
/* No use in looking for mail yet: the day's recipients are used up. */
bool limit_keeps_waiting(const struct tenant *tenant);
/* Nothing waits for the limit any more. */
void limit_idle(struct supervisor *supervisor, struct tenant *tenant);
/* Whether it is limited, and the words for its administrator. */
bool limit_describe(const struct tenant *tenant, struct words *words);

#endif
