/*
 * sqlite_places.c - places for copying bodies to files, see sqlite_places.h.
 *
 * Promises: a place that is free is somebody's at once if anybody may have it, so that who comes
 * finds a free one only where nobody waits for it; each tenant's messages stand behind one another,
 * and the tenant goes to the end of the line after each of its turns. Nobody is woken for nothing.
 */
#include "storage/sqlite_places.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uthash.h>
#include <utlist.h>

#include "common/buffer.h"
#include "common/clock.h"

/* However many wait: those who give memory back look at so many tenants and no further. */
#define TURNS_LOOKED_AT 32

/* A tenant that has a place, or waits for one of that kind. */
struct place_turn {
	char *tenant;
	bool has_place;
	int64_t ticket;           /* its place in the line of turns, as long as it has waits */
	struct place_wait *waits; /* the first one first */
	struct place_turn *prev, *next;
	UT_hash_handle hh;
};

static void room_freed(struct room_asker *asker);

void places_init(struct spool_places *places, const int count[SPOOL_KINDS], struct room *room)
{
	memset(places, 0, sizeof *places);
	pthread_mutex_init(&places->lock, NULL);
	pthread_condattr_init(&places->on_monotonic);
	pthread_condattr_setclock(&places->on_monotonic, CLOCK_MONOTONIC);
	memcpy(places->free, count, sizeof places->free);
	places->room = room;
	places->asker.freed = room_freed;
	room_join(room, &places->asker);
}

void places_fini(struct spool_places *places)
{
	for (int kind = 0; kind < SPOOL_KINDS; kind++)
		assert(!places->tenants[kind]);
	room_part(places->room, &places->asker);
	pthread_condattr_destroy(&places->on_monotonic);
	pthread_mutex_destroy(&places->lock);
}

bool places_sleep(pthread_cond_t *given, pthread_mutex_t *lock, int64_t deadline_ms)
{
	int left = deadline_left_ms(deadline_ms);
	struct timespec until;

	if (left < 0)
		return pthread_cond_wait(given, lock) == 0;
	if (left == 0)
		return false;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += left / 1000;
	until.tv_nsec += (left % 1000) * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000L;
	}
	(void)pthread_cond_timedwait(given, lock, &until);
	return true;
}

/* --- the line; all of it under the lock ------------------------------------------------ */

static struct place_turn *turn_of(struct spool_places *places, enum spooling kind, const char *tenant)
{
	struct place_turn *turn;

	HASH_FIND_STR(places->tenants[kind], tenant, turn);
	if (turn)
		return turn;
	turn = memory_alloc(sizeof *turn);
	turn->tenant = memory_strdup(tenant);
	HASH_ADD_KEYPTR(hh, places->tenants[kind], turn->tenant, strlen(turn->tenant), turn);
	return turn;
}

static void drop_idle(struct spool_places *places, enum spooling kind, struct place_turn *turn)
{
	if (turn->has_place || turn->waits)
		return;
	HASH_DEL(places->tenants[kind], turn);
	free(turn->tenant);
	free(turn);
}

/* Who has been in the line before comes to where it was; all others to the end. */
static void line_up(struct place_turn **turns, struct place_turn *turn)
{
	struct place_turn *at = *turns;

	if (at && at->prev->ticket < turn->ticket)
		at = NULL;
	while (at && at->ticket < turn->ticket)
		at = at->next;
	if (at)
		DL_PREPEND_ELEM(*turns, at, turn);
	else
		DL_APPEND(*turns, turn);
}

static void add_wait(struct spool_places *places, struct place_turn *turn, struct place_wait *wait)
{
	struct place_turn **turns = &places->turns[wait->kind];
	bool first = !turn->waits || (wait->ticket != 0 && wait->ticket < turn->ticket);

	wait->got = PLACE_NONE;
	if (!first) {
		DL_APPEND(turn->waits, wait);
		return;
	}
	if (turn->waits)
		DL_DELETE(*turns, turn);
	turn->ticket = wait->ticket != 0 ? wait->ticket : ++places->tickets;
	DL_PREPEND(turn->waits, wait);
	line_up(turns, turn);
}

static void remove_wait(struct spool_places *places, struct place_turn *turn, struct place_wait *wait)
{
	DL_DELETE(turn->waits, wait);
	if (!turn->waits)
		DL_DELETE(places->turns[wait->kind], turn);
}

/* Its turn is over: what else it has comes after all who wait now. */
static void go_behind(struct spool_places *places, enum spooling kind, struct place_turn *turn)
{
	if (!turn->waits)
		return;
	DL_DELETE(places->turns[kind], turn);
	turn->ticket = ++places->tickets;
	DL_APPEND(places->turns[kind], turn);
}

static void serve_first(struct spool_places *places, struct place_turn *turn, enum place_given got)
{
	struct place_wait *first = turn->waits;

	remove_wait(places, turn, first);
	first->ticket = turn->ticket;
	first->got = got;
	pthread_cond_signal(&first->given);
}

/* Those in line that have a place already are as many as there are places, at most. */
static void hand_out(struct spool_places *places, enum spooling kind)
{
	struct place_turn *turn, *next;

	for (turn = places->turns[kind]; turn && places->free[kind] > 0; turn = next) {
		next = turn->next;
		if (turn->has_place)
			continue;
		turn->has_place = true;
		places->free[kind]--;
		serve_first(places, turn, PLACE_GIVEN);
	}
}

/* Who waits for nothing but memory has claimed it. */
static bool fits(const struct spool_places *places, const struct place_wait *wait, int64_t promised)
{
	if (wait->kind == SPOOL_NOTHING)
		return room_fits_claimed(places->room, promised + wait->bytes);
	return room_fits(places->room, promised + wait->bytes, wait->small);
}

/*
 * As many as have room are told, a tenant's first, then the next one's; what is promised to them is added.
 * Who waits for nothing else is overtaken by nobody: one that is large would never have its turn.
 */
static void tell_of_room(struct spool_places *places, enum spooling kind, int64_t *promised)
{
	struct place_turn *turn, *next;
	int looked_at = 0;

	for (turn = places->turns[kind]; turn && looked_at < TURNS_LOOKED_AT; turn = next) {
		const struct place_wait *wait = turn->waits;

		looked_at++;
		next = turn->next;
		if (wait->bytes == 0 || !fits(places, wait, *promised)) {
			if (kind == SPOOL_NOTHING)
				break;
			continue;
		}
		*promised += wait->bytes;
		serve_first(places, turn, PLACE_ROOM);
		go_behind(places, kind, turn);
		if (!next && turn->waits)
			next = turn; /* it was the last, and is again */
		drop_idle(places, kind, turn);
	}
}

/* Under the room's lock. First those for whom nothing else would do. */
static void room_freed(struct room_asker *asker)
{
	struct spool_places *places = (struct spool_places *)(void *)((char *)asker -
	                                                              offsetof(struct spool_places, asker));
	int64_t promised = 0;

	pthread_mutex_lock(&places->lock);
	tell_of_room(places, SPOOL_NOTHING, &promised);
	tell_of_room(places, SPOOL_SPILL, &promised);
	pthread_mutex_unlock(&places->lock);
}

/* --- who wants one ------------------------------------------------------------------------ */

/* Where nobody may be overtaken: whether it stands before all others. */
static bool is_next(const struct spool_places *places, const struct place_turn *turn,
                    const struct place_wait *wait)
{
	return wait->kind != SPOOL_NOTHING || (places->turns[SPOOL_NOTHING] == turn && turn->waits == wait);
}

/* Counted before the last look at the room: see room.c. */
static enum place_given wait_in_line(struct spool_places *places, struct place_turn *turn,
                                     struct place_wait *wait, int64_t deadline_ms)
{
	bool asks = wait->bytes > 0;

	add_wait(places, turn, wait);
	if (asks)
		atomic_fetch_add(&places->room->waiting, 1);
	if (asks && deadline_left_ms(deadline_ms) != 0 && is_next(places, turn, wait) &&
	    fits(places, wait, 0)) {
		wait->ticket = turn->ticket;
		remove_wait(places, turn, wait);
		drop_idle(places, wait->kind, turn);
		wait->got = PLACE_ROOM;
	}
	while (wait->got == PLACE_NONE && places_sleep(&wait->given, &places->lock, deadline_ms))
		;
	if (wait->got == PLACE_NONE) {
		remove_wait(places, turn, wait);
		drop_idle(places, wait->kind, turn);
	}
	if (asks)
		atomic_fetch_sub(&places->room->waiting, 1);
	return wait->got;
}

enum place_given places_wait(struct spool_places *places, struct place_wait *wait, int64_t deadline_ms)
{
	enum spooling kind = wait->kind;
	enum place_given got = PLACE_GIVEN;
	struct place_turn *turn;

	pthread_mutex_lock(&places->lock);
	turn = turn_of(places, kind, wait->tenant);
	if (places->free[kind] > 0 && !turn->has_place) {
		turn->has_place = true;
		places->free[kind]--;
	} else {
		pthread_cond_init(&wait->given, &places->on_monotonic);
		got = wait_in_line(places, turn, wait, deadline_ms);
		pthread_cond_destroy(&wait->given);
	}
	pthread_mutex_unlock(&places->lock);
	return got;
}

void places_give(struct spool_places *places, enum spooling kind, const char *tenant)
{
	struct place_turn *turn;

	pthread_mutex_lock(&places->lock);
	turn = turn_of(places, kind, tenant);
	assert(turn->has_place);
	turn->has_place = false;
	places->free[kind]++;
	go_behind(places, kind, turn);
	drop_idle(places, kind, turn);
	hand_out(places, kind);
	pthread_mutex_unlock(&places->lock);
}
