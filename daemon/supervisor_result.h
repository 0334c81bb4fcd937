/*
 * supervisor_result.h - letters of workers and storage. Internal to the supervisor: its
 * thread alone calls these; none of them blocks but for a read of the database.
 */
#ifndef OUTBOXD_DAEMON_SUPERVISOR_RESULT_H
#define OUTBOXD_DAEMON_SUPERVISOR_RESULT_H

#include "daemon/supervisor.h"

/* True if there was any. What the results come to goes to storage together. */
bool take_results(struct supervisor *supervisor);
/* To storage, whatever was decided and is not yet given. */
void result_give_judged(struct supervisor *supervisor);
bool take_settled(struct supervisor *supervisor);
void take_exits(struct supervisor *supervisor);
/* It was decided without a worker: to storage. The tenant has settings. */
void settle_as_it_is(struct supervisor *supervisor, struct tenant *tenant, struct message *message);

#endif
