/*
 * supervisor_connection.h - the sessions of tenants with one credential. Internal to the
 * supervisor: its thread alone calls these; none of them blocks.
 */
#ifndef OUTBOXD_DAEMON_SUPERVISOR_CONNECTION_H
#define OUTBOXD_DAEMON_SUPERVISOR_CONNECTION_H

#include "daemon/supervisor.h"

/* Others may have sessions with its credential, too; where it is alone it counts its own as if there were
 * none. */
bool connections_are_shared(const struct tenant *tenant);
/* Whether its server may not have one session more. */
bool connections_are_full(const struct credential *credential);
/* Whether a worker of it may get a session; else it has its turn in the line, if it has no session. */
bool connection_is_allowed(struct supervisor *supervisor, struct tenant *tenant);
/* It was allowed one, and waits for a place: one is kept for it, so that nobody behind it is called for
 * nothing, as long as each further attempt comes to the same. */
void connection_hold(struct tenant *tenant);
void connection_drop(struct supervisor *supervisor, struct tenant *tenant);
/* How many there are once those have ended that were told to, with those that are kept. */
int connections_staying(const struct credential *credential);
/* The worker may have a session from now on, until it has ended. */
void connection_take(struct tenant *tenant, struct worker *worker);
void connection_leaving(struct worker *worker); /* it was told to leave */
void connection_give(struct supervisor *supervisor, struct worker *worker);
/* Where sessions are waited for: idle ones are ended, further ones, and those whose turn is over. */
void connections_make_room(struct supervisor *supervisor);
/* Its sessions are looked at: there may be too many, or somebody waits for one. */
void connections_contend(struct supervisor *supervisor, struct credential *credential);

#endif
