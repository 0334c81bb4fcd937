/*
 * supervisor_place.h - places for workers: who has one, who waits. Internal to the
 * supervisor: its thread alone calls these; none of them blocks.
 */
#ifndef OUTBOXD_DAEMON_SUPERVISOR_PLACE_H
#define OUTBOXD_DAEMON_SUPERVISOR_PLACE_H

#include "daemon/supervisor.h"

/* It has a worker in a place: a further one is a wish, not a need. */
bool place_is_had(const struct tenant *tenant);
/* A place for one more worker of the tenant. False: none is free, the tenant has its turn in the line for
 * one. */
bool place_take(struct supervisor *supervisor, struct tenant *tenant, bool probe);
/* One that was taken, and no worker came of it. */
void place_return(struct supervisor *supervisor, bool probe);
/* The worker has ended. */
void place_give(struct supervisor *supervisor, const struct worker *worker);
/* Into the line, without having asked. */
void place_wait(struct supervisor *supervisor, struct tenant *tenant, bool probe);
/* The tenants in the line get what is free, in the order of their waiting. */
void places_share_out(struct supervisor *supervisor);
/* Where tenants wait, of whatever outbox: parked workers go, further sessions, and those whose turn is over;
 * the place of one that does not come to its end is given to others while it waits for its server.
 */
void places_make_room(struct supervisor *supervisor);
/* Who leaves sooner where others wait: the parked, then further sessions, then those whose turn is over. */
enum { PLACE_LEAVES_PARKED, PLACE_LEAVES_FURTHER, PLACE_LEAVES_AFTER_TURN, PLACE_STAYS };
/* sessions: how many of its tenant stay otherwise. */
int place_when_to_leave(const struct worker *worker, int sessions, int64_t now);
/* After its message: a place for probes is left as soon as there is an answer. */
void place_after_probe(struct supervisor *supervisor, struct worker *worker);
/* Nobody of this outbox waits any more. */
void places_forget(struct supervisor *supervisor);
/* Ends after the message in hand, and counts no longer for its tenant. */
void worker_retire(struct worker *worker);

#endif
