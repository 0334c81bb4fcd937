/*
 * supervisor_suspect.h - messages that were in hand when something of ours failed. Internal
 * to the supervisor: its thread alone calls these; none of them blocks but for a read of the
 * database.
 */
#ifndef OUTBOXD_DAEMON_SUPERVISOR_SUSPECT_H
#define OUTBOXD_DAEMON_SUPERVISOR_SUSPECT_H

#include "daemon/supervisor.h"

/* At the start: what the journal tells of earlier processes. */
void suspect_recover(struct supervisor *supervisor);
/*
 * One that an earlier process had past the end of its data and that an application changed before a worker
 * had read it (cancelled, or to be tried at once): true, it is as the table has it now and still uncertain.
 */
bool suspect_find_again(struct supervisor *supervisor, struct message *message);
/*
 * A message that a look has found and that is in hand now. False: it had its chances, fails,
 * and is with storage already.
 */
bool suspect_adopt(struct supervisor *supervisor, struct tenant *tenant, struct message *message);
/* Its worker ended: counted; the fifth time within a minute it fails. */
void suspect_worker_ended(struct supervisor *supervisor, struct tenant *tenant, struct message *message);
/* It is committed: remembered if it is to be tried again, else forgotten. */
void suspect_settled(struct supervisor *supervisor, struct message *message);
/* Nothing is to be done with it any more. */
void suspect_forget(struct supervisor *supervisor, struct message *message);
/* Now and then: those that somebody else has finished are forgotten. */
void suspect_check(struct supervisor *supervisor);
void suspect_free_all(struct supervisor *supervisor);

#endif
