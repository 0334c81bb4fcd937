/*
 * quota.c - see quota.h. Two rings of counts: seconds, and quarters of an hour.
 *
 * Promise: the starts that are counted within 60 s and those that are reserved are
 * never more than the limit when a further one is reserved, so that at no later
 * moment more than the limit have started within 60 s, however late each reserved
 * one starts.
 */
#include "daemon/quota.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/buffer.h"

#define MINUTE_PARTS 61 /* seconds: a part leaves when all of it is 60 s old */
#define DAY_PARTS    (24 * 3600 / QUOTA_PART_S + 1)
#define SOON_MS      1000 /* what is under way decides */

struct ring {
	int64_t number[DAY_PARTS]; /* of the part of time that a place counts */
	int64_t count[DAY_PARTS];
	int64_t parts; /* in use */
	int64_t last;  /* the part of the last roll */
	int64_t sum;
};

struct quota {
	atomic_int references;
	pthread_mutex_t lock;
	int messages_per_minute, recipients_per_day; /* 0 = no limit */
	int64_t reserved;                            /* messages handed out, not started */
	int64_t pending;                             /* recipients of transactions under way */
	struct ring minute, day;
};

_Static_assert(MINUTE_PARTS <= DAY_PARTS, "both rings have the same places");

/* ---- a ring ------------------------------------------------------------------ */

static void ring_add(struct ring *ring, int64_t part, int64_t count)
{
	int64_t place = part % ring->parts;

	if (ring->number[place] != part) {
		ring->sum -= ring->count[place];
		ring->count[place] = 0;
		ring->number[place] = part;
	}
	ring->count[place] += count;
	ring->sum += count;
}

/* The present part is now: older ones than the ring has places leave. */
static void ring_roll(struct ring *ring, int64_t part)
{
	ring->last = part;
	for (int64_t i = 0; i < ring->parts; i++) {
		if (ring->number[i] > part - ring->parts)
			continue;
		ring->sum -= ring->count[i];
		ring->count[i] = 0;
	}
}

/* The first part at which no more than `most` are left of the sum; the last one known if there is none. */
static int64_t ring_part_when(const struct ring *ring, int64_t most)
{
	int64_t left = ring->sum;
	int64_t part = ring->last - ring->parts + 1;

	for (; part <= ring->last && left > most; part++) {
		if (ring->number[part % ring->parts] == part)
			left -= ring->count[part % ring->parts];
	}
	return part - 1 + ring->parts;
}

/* ---- life -------------------------------------------------------------------- */

struct quota *quota_create(void)
{
	struct quota *quota = memory_alloc(sizeof(*quota));

	atomic_init(&quota->references, 1);
	pthread_mutex_init(&quota->lock, NULL);
	quota->minute.parts = MINUTE_PARTS;
	quota->day.parts = DAY_PARTS;
	return quota;
}

struct quota *quota_hold(struct quota *quota)
{
	atomic_fetch_add(&quota->references, 1);
	return quota;
}

void quota_release(struct quota **quota)
{
	struct quota *last = *quota;

	*quota = NULL;
	if (!last || atomic_fetch_sub(&last->references, 1) > 1)
		return;
	pthread_mutex_destroy(&last->lock);
	free(last);
}

/* A machine that has just started has an earlier minute, too: no number is below 0. */
static int64_t minute_part(int64_t monotonic_ms)
{
	return monotonic_ms / 1000 + MINUTE_PARTS;
}

/* Of the time since boot; what was used in the day before has a number above 0, too. */
static int64_t day_part(int64_t boot_s)
{
	return boot_s / QUOTA_PART_S + 2 * DAY_PARTS;
}

static void enter(struct quota *quota, const struct quota_moment *now)
{
	int64_t second, part;

	pthread_mutex_lock(&quota->lock);
	if (!now)
		return;
	second = minute_part(now->monotonic_ms);
	part = day_part(now->boot_s);
	/* Threads read their clocks before they wait for one another: a little earlier is the same. */
	if (second > quota->minute.last)
		ring_roll(&quota->minute, second);
	if (part > quota->day.last)
		ring_roll(&quota->day, part);
}

static void leave(struct quota *quota)
{
	assert(quota->reserved >= 0 && quota->pending >= 0);
	pthread_mutex_unlock(&quota->lock);
}

void quota_set(struct quota *quota, int messages_per_minute, int recipients_per_day)
{
	enter(quota, NULL);
	quota->messages_per_minute = messages_per_minute;
	quota->recipients_per_day = recipients_per_day;
	leave(quota);
}

void quota_remember(struct quota *quota, const struct quota_moment *now, int64_t ago_s, int64_t recipients)
{
	int64_t part;

	enter(quota, now);
	part = ago_s < 0 ? quota->day.last : quota->day.last - ago_s / QUOTA_PART_S;
	if (recipients > 0 && part > quota->day.last - DAY_PARTS)
		ring_add(&quota->day, part, recipients);
	leave(quota);
}

/* ---- questions ---------------------------------------------------------------- */

static int64_t minute_room(const struct quota *quota, int64_t most)
{
	return quota->messages_per_minute == 0
	               ? most
	               : quota->messages_per_minute - quota->minute.sum - quota->reserved;
}

static int64_t day_room(const struct quota *quota, int64_t most)
{
	/* Each message that was handed out has a recipient at least: no other takes its last one. */
	return quota->recipients_per_day == 0
	               ? most
	               : quota->recipients_per_day - quota->day.sum - quota->pending - quota->reserved;
}

static int64_t smaller(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void say_wait(const struct quota *quota, const struct quota_moment *now, struct quota_wait *wait)
{
	*wait = (struct quota_wait){ .next_ms = now->monotonic_ms + SOON_MS };
	/* The day first: who waits for it does not care for the minute. */
	if (day_room(quota, 1) <= 0) {
		int64_t part = ring_part_when(&quota->day, quota->recipients_per_day - 1);

		if (quota->day.sum < quota->recipients_per_day)
			return;
		wait->limit = QUOTA_DAY;
		wait->most = quota->recipients_per_day;
		wait->next_ms = now->monotonic_ms +
		                ((part - day_part(0)) * QUOTA_PART_S - now->boot_s) * 1000;
	} else {
		int64_t part = ring_part_when(&quota->minute, quota->messages_per_minute - 1);

		if (quota->minute.sum < quota->messages_per_minute)
			return;
		wait->limit = QUOTA_MINUTE;
		wait->most = quota->messages_per_minute;
		wait->next_ms = (part - minute_part(0)) * 1000;
	}
}

int quota_room(struct quota *quota, const struct quota_moment *now, int most, struct quota_wait *wait)
{
	int64_t room;

	enter(quota, now);
	room = smaller(most, smaller(minute_room(quota, most), day_room(quota, most)));
	if (room <= 0)
		say_wait(quota, now, wait);
	leave(quota);
	return room > 0 ? (int)room : 0;
}

void quota_reserve(struct quota *quota, int count)
{
	enter(quota, NULL);
	quota->reserved += count;
	leave(quota);
}

void quota_unreserve(struct quota *quota, int count)
{
	quota_reserve(quota, -count);
}

size_t quota_begin(struct quota *quota, const struct quota_moment *now, bool reserved, size_t recipients)
{
	int64_t granted = (int64_t)recipients;
	/* A reserved start has its room, unless the limit became smaller since then. */
	bool room = false;

	enter(quota, now);
	if (quota->messages_per_minute == 0)
		room = true;
	else if (reserved)
		room = quota->minute.sum < quota->messages_per_minute;
	else
		room = minute_room(quota, 1) > 0;
	granted = room ? smaller(granted, day_room(quota, granted) + reserved) : 0;
	if (granted > 0) {
		ring_add(&quota->minute, quota->minute.last, 1);
		quota->reserved -= reserved;
		quota->pending += granted;
	}
	leave(quota);
	return granted > 0 ? (size_t)granted : 0;
}

size_t quota_end(struct quota *quota, const struct quota_moment *now, size_t granted, size_t used)
{
	enter(quota, now);
	quota->pending -= (int64_t)granted;
	if (quota->recipients_per_day == 0)
		used = 0;
	if (used > 0)
		ring_add(&quota->day, quota->day.last, (int64_t)used);
	leave(quota);
	return used;
}
