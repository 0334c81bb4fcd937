/*
 * timers.h - a heap of times: which tenant is to be looked at next.
 *
 * A struct timer is a member of what it wakes; at most one time each. Monotonic
 * milliseconds. One thread.
 */
#ifndef OUTBOXD_DAEMON_TIMERS_H
#define OUTBOXD_DAEMON_TIMERS_H

#include <stddef.h>
#include <stdint.h>

struct timer {
	int64_t at_ms;
	size_t place; /* in the heap, from 1; 0 = not set */
};

struct timers {
	struct timer **heap; /* heap[1] is the earliest */
	size_t count, room;
};

void timers_init(struct timers *timers);
void timers_fini(struct timers *timers); /* no timer may be touched through it afterwards */

/* Sets or moves; to the earlier of both times if it was set already (timers_set_earlier). */
void timers_set(struct timers *timers, struct timer *timer, int64_t at_ms);
void timers_set_earlier(struct timers *timers, struct timer *timer, int64_t at_ms);
void timers_clear(struct timers *timers, struct timer *timer);

/* The earliest time, INT64_MAX if none. */
int64_t timers_next(const struct timers *timers);
/* Takes out the earliest that is due, NULL if none is. */
struct timer *timers_take(struct timers *timers, int64_t now_ms);

#endif
