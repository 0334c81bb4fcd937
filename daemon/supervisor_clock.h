/*
 * supervisor_clock.h - a wall clock that was set by a minute or more. Internal to the
 * supervisor: its thread alone calls these; none of them blocks.
 *
 * Whoever compares a message's age with the wall clock reads the clock first and calls
 * one of these then: a clock that is set between the two is noticed, or was not read.
 */
#ifndef OUTBOXD_DAEMON_SUPERVISOR_CLOCK_H
#define OUTBOXD_DAEMON_SUPERVISOR_CLOCK_H

#include "daemon/supervisor.h"

/* Looks whether it was set: tells it (clock.jumped), lets the table follow; and whether that is done. */
void clock_follow(struct supervisor *supervisor);

/* The same; a message that was read before the table followed is no older by the time that did not pass. */
void clock_adopt(struct supervisor *supervisor, struct message *message);
/* The same for one that was in hand when the clock was set; once, when it has its result. */
void clock_result(struct supervisor *supervisor, struct message *message);

#endif
