/*
 * supervisor_turn.h - tenants with one credential: whose turn it is.
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
/* In between: it cannot ask just now, for no fault of its own, and keeps what it has. */
void turn_keep(struct tenant *tenant);
/* Out of its line: it has had its turn, or wants none; the next one is called. */
void turn_over(struct supervisor *supervisor, struct tenant *tenant);
/* The same, and nothing is kept for it: it can send nothing for a while. */
void turn_leave(struct supervisor *supervisor, struct tenant *tenant);

/* Of room for so many messages, how many are its own just now: those before it in the line have theirs. */
int turn_share(const struct tenant *tenant, int room);
/* To the end of the line, unless it stands in it. True: it is the first. */
bool turn_ask(struct supervisor *supervisor, struct tenant *tenant, enum turn turn);
/* There is room: the first of the line looks at once. */
void turn_wake(struct supervisor *supervisor, struct credential *credential, enum turn turn);

#endif
