/*
 * breaker.h - a tenant's server is well, or it is left alone for a while. Pure.
 *
 * Fed with what went wrong in scope TENANT; says how many messages may be
 * under way. Backoff: 5 s (or retry_max, if shorter), doubling, ±20 %, to
 * retry_max; a rejected login 15 minutes, doubling to 6 hours; one probe at a
 * time; afterwards 1, 2, 4 … messages up to the normal pace. Times are
 * monotonic milliseconds, dice any random number. Supervisor thread.
 */
#ifndef OUTBOXD_DAEMON_BREAKER_H
#define OUTBOXD_DAEMON_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/message.h"

enum breaker_state { BREAKER_CLOSED, BREAKER_BACKOFF, BREAKER_THROTTLED, BREAKER_AUTH_FAILED };

#define BREAKER_PACE_NORMAL 64 /* at this pace the slow start is over */

struct breaker {
	enum breaker_state state;
	int failures;        /* in a row */
	bool probing;        /* the one probe is under way */
	int64_t retry_at_ms; /* when the next probe may start */
	int64_t delay_ms;    /* without jitter */
	int pace;            /* messages at a time */
	int streak;          /* refused messages in a row with the same stage and code */
	enum stage streak_stage;
	int streak_code;
};

void breaker_init(struct breaker *breaker);

/*
 * The server is in trouble. True if this is news: the tenant has just gone
 * down, or its probe failed. False: more of the same from a session that was
 * under way, nothing changed.
 */
bool breaker_fail(struct breaker *breaker, enum trouble trouble, int retry_max_s, int64_t now_ms,
                  uint32_t dice);

/* A message was answered and the server is well. True if the tenant was down until now. */
bool breaker_succeed(struct breaker *breaker);

/* How many messages may be under way now: 0 while it is left alone, 1 for a probe. */
int breaker_allowance(const struct breaker *breaker, int64_t now_ms);

/* A probe has been handed out, or came back without an answer (untried). */
void breaker_probe_started(struct breaker *breaker);
void breaker_probe_untried(struct breaker *breaker, int64_t now_ms);

/*
 * A message was refused as a whole at stage with code. True if that completes a
 * streak of guard messages (or continues one): the trouble is the tenant's and the message
 * stays deferred. guard 0 = off.
 */
bool breaker_streak(struct breaker *breaker, enum stage stage, int code, int guard);
void breaker_streak_end(struct breaker *breaker);

/* ±20 % of delay. */
int64_t backoff_jitter(int64_t delay_ms, uint32_t dice);

/* Delay (s) after so many finished attempts (1, 2, …): minimum, doubling, to maximum, with jitter, never
 * above maximum. */
int64_t backoff_message_s(int attempts, int minimum_s, int maximum_s, uint32_t dice);

#endif
