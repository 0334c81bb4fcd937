/*
 * supervisor_wait.h - when the supervisor wakes, and when it asks the table. Internal to the supervisor.
 *
 * Letters that follow close on others lie for a moment, so that one wake-up takes them all. After an event
 * on the -wal file the commit cannot be seen yet: the table is asked again and again, each time after a part
 * of the time that has passed, first when earlier commits could be seen.
 */
#ifndef OUTBOXD_DAEMON_SUPERVISOR_WAIT_H
#define OUTBOXD_DAEMON_SUPERVISOR_WAIT_H

#include <stdbool.h>
#include <stdint.h>

struct supervisor;

/* Pure but for what is told it: times in microseconds of one clock. */
struct waking {
	int64_t event_us;   /* of the event whose commit is awaited; -1 = none */
	int64_t ask_us;     /* the table is asked then */
	int64_t wait_us;    /* how long from the ask before */
	int64_t heard_us;   /* of the last event that an ask found */
	int64_t usual_us;   /* from an event until its commit could be seen, rather short than long */
	int64_t apart_us;   /* not asked before then … */
	bool put_off;       /* … for which the next ask waits */
	int64_t letters_us; /* letters lie until then */
	bool seen;          /* a commit was seen since the event: another one may be behind it */
	bool keen;          /* ask often: nothing is in hand, and what is awaited may well be mail */
	int credit;         /* what commits brought lately: while it is above 0 they are worth being keen */
};

void waking_init(struct waking *waking);
/* An event came. Nothing new if one is awaited closely already. */
void waking_event(struct waking *waking, int64_t now_us);
bool waking_is_due(const struct waking *waking, int64_t now_us);
/* The table was asked. more: there were further events since; changed: what it said. */
void waking_answered(struct waking *waking, int64_t now_us, bool more, bool changed);
/* What a change that was seen came to: mail, after which the table is not asked for a moment, or nothing. */
void waking_brought(struct waking *waking, int64_t now_us, bool mail);
/* Whether further events would be told now; while the table is asked often they wait for that. */
bool waking_hears_events(const struct waking *waking);

/* Once, in the supervisor's thread: short waits end when they should. */
void supervisor_wait_setup(void);
/* Whether the outbox has changed or is to be asked anyway (poll). Reads the database. */
bool supervisor_asks(struct supervisor *supervisor, bool poll);
/* Letters were taken: those that come within the next moment are taken together. */
void supervisor_gathers(struct supervisor *supervisor);
/* Blocks until there is something to do, or wait_us have passed. */
void supervisor_wait(struct supervisor *supervisor, int64_t wait_us);

#endif
