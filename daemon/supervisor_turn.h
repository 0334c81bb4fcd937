/*
 * supervisor_turn.h - tenants with one credential: whose turn it is, and its sessions.
 * Internal to the supervisor: its thread alone calls these; none of them blocks.
 *
 * A tenant that finds a shared limit used up, or all sessions in use, waits in a line;
 * dispatch() begins and ends each attempt, and who did not ask again stands in no line, so that
 * nobody waits behind one that wants nothing.
 */
#ifndef OUTBOXD_DAEMON_SUPERVISOR_TURN_H
#define OUTBOXD_DAEMON_SUPERVISOR_TURN_H

#include "daemon/supervisor.h"

/* Around each attempt to give its messages to workers. */
void turn_begin(struct tenant *tenant);
void turn_end(struct supervisor *supervisor, struct tenant *tenant);
/* Out of its line: it can send nothing for a while. */
void turn_leave(struct supervisor *supervisor, struct tenant *tenant);

/* Of room for so many messages, how many are its own just now: those before it in the line have theirs. */
int turn_share(const struct tenant *tenant, int room);
/* To the end of the line, unless it stands in it. True: it is the first. */
bool turn_ask(struct supervisor *supervisor, struct tenant *tenant, enum turn turn);
/* Its sessions are looked at: there may be too many, or somebody waits for one. */
void turn_contend(struct supervisor *supervisor, struct credential *credential);
/* There is room: the first of the line looks at once. */
void turn_wake(struct supervisor *supervisor, struct credential *credential, enum turn turn);

/* Others may have sessions with its credential, too; where it is alone it counts its own as if there were
 * none. */
bool connections_are_shared(const struct tenant *tenant);
/* Whether its server may not have one session more. */
bool connections_are_full(const struct credential *credential);
/* Whether a worker of it may get a session; else it has its turn in the line, if it has no session. */
bool connection_is_allowed(struct supervisor *supervisor, struct tenant *tenant);
/* The worker may have a session from now on, until it has ended. */
void connection_take(struct tenant *tenant, struct worker *worker);
void connection_leaving(struct worker *worker); /* it was told to leave */
void connection_give(struct supervisor *supervisor, struct worker *worker);
/* Where sessions are waited for: idle ones are ended, further ones, and those whose turn is over. */
void connections_make_room(struct supervisor *supervisor);

#endif
