/*
 * clock.h - the two clocks, and deadlines.
 *
 * A deadline is an absolute time of the monotonic clock in milliseconds.  It
 * is made once for a whole step and given down unchanged, so that a peer that
 * trickles cannot stretch it.  Wall-clock time is only for what people and
 * tables read.  Any thread; does not block.
 */
#ifndef OUTBOXD_COMMON_CLOCK_H
#define OUTBOXD_COMMON_CLOCK_H

#include <stdint.h>

#define DEADLINE_NEVER INT64_MAX

/* Milliseconds of CLOCK_MONOTONIC, plus what tests have moved it by. */
int64_t clock_monotonic_ms(void);
int64_t clock_monotonic_us(void); /* microseconds of the same clock */

/* Milliseconds since boot, sleep included, plus what tests have moved both clocks by: nobody sets it. */
int64_t clock_boot_ms(void);

/* Milliseconds, or seconds, since 1970 (UTC), plus what tests have moved it by. */
int64_t clock_wall_ms(void);
int64_t clock_wall_s(void);

/* By how much the wall clock is ahead of the time since boot, sleep included: only setting it changes that.
 */
int64_t clock_wall_ahead_ms(void);

/* Microseconds of CPU time that the calling thread has had: what a piece of work costs on a busy machine. */
int64_t clock_thread_us(void);

/* The deadline so many milliseconds from now; saturates at DEADLINE_NEVER. */
int64_t deadline_after_ms(int64_t ms);

/* What is left, 0 if it has passed, capped at INT_MAX; -1 for DEADLINE_NEVER (as poll likes it). */
int deadline_left_ms(int64_t deadline_ms);

/* Tests only: moves both clocks forward (or the wall clock alone, by a jump). */
void clock_move_ms(int64_t by_ms);
void clock_jump_wall_ms(int64_t by_ms);

/* Writes "2026-11-22T12:00:00.123Z" (25 octets with the NUL) for wall-clock milliseconds. */
#define CLOCK_TEXT_BYTES 32
void clock_format_utc(int64_t wall_ms, char text[CLOCK_TEXT_BYTES]);

#endif
