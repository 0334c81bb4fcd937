/*
 * supervisor_dispatch.h - who sends what, and the places. Internal to the supervisor: its
 * thread alone calls these; none of them blocks but for a read of the database.
 */
#ifndef OUTBOXD_DAEMON_SUPERVISOR_DISPATCH_H
#define OUTBOXD_DAEMON_SUPERVISOR_DISPATCH_H

#include "daemon/supervisor.h"

/* Gives the tenant's ready messages to its workers, starting one if there is a place. */
void dispatch(struct supervisor *supervisor, struct tenant *tenant);
/* Puts a message (back) into the tenant's line, by priority and due time. */
void ready_add(struct tenant *tenant, struct message *message);
/* Everything that is ready leaves our hands (suspended, gone, stopping). */
void ready_drop(struct supervisor *supervisor, struct tenant *tenant);
/* They end after the message in hand, or before its end of data: it goes back to the line. */
void retire_workers(struct supervisor *supervisor, struct tenant *tenant, bool at_once);
/* Who is past its deadline by so much has stalled: told, its messages marked, and the service ends. */
void watch_workers(struct supervisor *supervisor, int64_t grace_ms);

#endif
