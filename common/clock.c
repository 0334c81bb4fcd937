/*
 * clock.c - the two clocks, and deadlines.
 *
 * Promises that arithmetic on deadlines saturates instead of overflowing.
 * Tests move the clocks by offsets; in production these stay 0.  Cannot fail.
 */
#include "common/clock.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static _Atomic int64_t moved_ms;  /* both clocks */
static _Atomic int64_t jumped_ms; /* the wall clock alone */

static int64_t read_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now); /* cannot fail for these clocks, of the calling thread or of all */
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t read_ms(clockid_t clock)
{
	return read_us(clock) / 1000;
}

int64_t clock_monotonic_ms(void)
{
	return read_ms(CLOCK_MONOTONIC) + atomic_load(&moved_ms);
}

int64_t clock_monotonic_us(void)
{
	return read_us(CLOCK_MONOTONIC) + atomic_load(&moved_ms) * 1000;
}

int64_t clock_boot_ms(void)
{
	return read_ms(CLOCK_BOOTTIME) + atomic_load(&moved_ms);
}

int64_t clock_wall_ms(void)
{
	return read_ms(CLOCK_REALTIME) + atomic_load(&moved_ms) + atomic_load(&jumped_ms);
}

int64_t clock_wall_s(void)
{
	return clock_wall_ms() / 1000;
}

int64_t clock_wall_ahead_ms(void)
{
	return read_ms(CLOCK_REALTIME) + atomic_load(&jumped_ms) - read_ms(CLOCK_BOOTTIME);
}

int64_t clock_thread_us(void)
{
	return read_us(CLOCK_THREAD_CPUTIME_ID);
}

int64_t deadline_after_ms(int64_t ms)
{
	int64_t now = clock_monotonic_ms();

	if (ms <= 0)
		return now;
	return ms > DEADLINE_NEVER - now ? DEADLINE_NEVER : now + ms;
}

int deadline_left_ms(int64_t deadline_ms)
{
	int64_t now;

	if (deadline_ms == DEADLINE_NEVER)
		return -1;
	now = clock_monotonic_ms();
	if (deadline_ms <= now)
		return 0;
	return deadline_ms - now > INT_MAX ? INT_MAX : (int)(deadline_ms - now);
}

void clock_move_ms(int64_t by_ms)
{
	atomic_fetch_add(&moved_ms, by_ms);
}

void clock_jump_wall_ms(int64_t by_ms)
{
	atomic_fetch_add(&jumped_ms, by_ms);
}

/* The last second of the thread and its text: lines of a log come many a second. */
static _Thread_local int64_t told_s = INT64_MIN;
static _Thread_local char told[CLOCK_TEXT_BYTES];

static void format_utc(int64_t wall_ms, char text[CLOCK_TEXT_BYTES])
{
	int64_t rest_ms = wall_ms % 1000;
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;

	if (rest_ms < 0) { /* before 1970: milliseconds still count upwards */
		rest_ms += 1000;
		seconds--;
	}
	/* A year that does not fit the form is nothing anybody stored in earnest. */
	if (!gmtime_r(&seconds, &tm) || tm.tm_year < -1900 || tm.tm_year > 9999 - 1900) {
		snprintf(text, CLOCK_TEXT_BYTES, "0000-00-00T00:00:00.000Z");
		return;
	}
	snprintf(text, CLOCK_TEXT_BYTES, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
	         (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)(tm.tm_mon + 1) % 100,
	         (unsigned)tm.tm_mday % 100, (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100,
	         (unsigned)tm.tm_sec % 100, (unsigned)rest_ms % 1000);
}

void clock_format_utc(int64_t wall_ms, char text[CLOCK_TEXT_BYTES])
{
	int64_t second = wall_ms / 1000, rest_ms = wall_ms % 1000;
	char *fraction = text + sizeof("2026-11-22T12:00:00.") - 1;

	if (rest_ms < 0 || second != told_s) {
		format_utc(wall_ms, text);
		told_s = rest_ms < 0 ? INT64_MIN : second;
		memcpy(told, text, CLOCK_TEXT_BYTES);
		return;
	}
	memcpy(text, told, CLOCK_TEXT_BYTES);
	if (told[0] == '0' && told[1] == '0' && told[2] == '0' && told[3] == '0')
		return; /* no year that the form can hold: nothing in it counts */
	fraction[0] = (char)('0' + rest_ms / 100);
	fraction[1] = (char)('0' + rest_ms / 10 % 10);
	fraction[2] = (char)('0' + rest_ms % 10);
}
