/*
 * room.c - octets of memory that many share, see room.h.
 *
 * Promises that what is taken by room_take() is never above the bound of its time, however
 * many come at once; and that who counted itself in waiting and found no room is called once
 * there is some: either it sees what was given, or the giver sees that it waits.
 */
#include "common/room.h"

#include <assert.h>

void room_init(struct room *room, int64_t max_bytes)
{
	*room = (struct room){ .max_bytes = max_bytes };
	pthread_mutex_init(&room->lock, NULL);
}

void room_fini(struct room *room)
{
	assert(!room->askers && atomic_load(&room->claimed_bytes) == 0);
	pthread_mutex_destroy(&room->lock);
}

/* How much of it may be in use with what is asked for. */
static int64_t bound_of(const struct room *room, bool small)
{
	int64_t max = atomic_load(&room->max_bytes);

	return small ? max : max - max / 4 - atomic_load(&room->claimed_bytes);
}

static int64_t bound_of_claimed(const struct room *room)
{
	int64_t max = atomic_load(&room->max_bytes);

	return max - max / 4;
}

static bool take_below(struct room *room, int64_t bytes, int64_t bound)
{
	int64_t used = atomic_load(&room->used_bytes);

	assert(bytes >= 0);
	do {
		if (bytes > 0 && used > bound - bytes)
			return false;
	} while (!atomic_compare_exchange_weak(&room->used_bytes, &used, used + bytes));
	return true;
}

bool room_take(struct room *room, int64_t bytes, bool small)
{
	return take_below(room, bytes, bound_of(room, small));
}

bool room_take_whole(struct room *room, int64_t bytes, bool claimed, int64_t *asked)
{
	int64_t half = atomic_load(&room->max_bytes) / 2;

	*asked = 0;
	if (bytes > ROOM_ANYWAY_BYTES) {
		*asked = bytes < half ? bytes : half;
		if (!take_below(room, *asked, claimed ? bound_of_claimed(room) : bound_of(room, false)))
			return false;
	}
	room_charge(room, bytes - *asked);
	return true;
}

void room_charge(struct room *room, int64_t bytes)
{
	assert(bytes >= 0);
	atomic_fetch_add(&room->used_bytes, bytes);
}

bool room_fits(const struct room *room, int64_t bytes, bool small)
{
	return atomic_load(&room->used_bytes) <= bound_of(room, small) - bytes;
}

bool room_fits_claimed(const struct room *room, int64_t bytes)
{
	return atomic_load(&room->used_bytes) <= bound_of_claimed(room) - bytes;
}

void room_claim(struct room *room, int64_t bytes)
{
	atomic_fetch_add(&room->claimed_bytes, bytes);
}

/* Of several outboxes each is the first to be called in its turn. */
static void call_askers(struct room *room)
{
	struct room_asker *first, **end = &room->askers;

	pthread_mutex_lock(&room->lock);
	for (struct room_asker *asker = room->askers; asker; asker = asker->next)
		asker->freed(asker);
	first = room->askers;
	if (first && first->next) {
		room->askers = first->next;
		while (*end)
			end = &(*end)->next;
		*end = first;
		first->next = NULL;
	}
	pthread_mutex_unlock(&room->lock);
}

void room_give(struct room *room, int64_t bytes)
{
	int64_t before = atomic_fetch_sub(&room->used_bytes, bytes);

	assert(bytes >= 0 && before >= bytes);
	(void)before;
	if (atomic_load(&room->waiting) > 0)
		call_askers(room);
}

/* What it leaves may be enough for who waits as one that may take what is not claimed. */
void room_unclaim(struct room *room, int64_t bytes)
{
	int64_t before = atomic_fetch_sub(&room->claimed_bytes, bytes);

	assert(bytes >= 0 && before >= bytes);
	(void)before;
	if (bytes > 0 && atomic_load(&room->waiting) > 0)
		call_askers(room);
}

void room_set_max(struct room *room, int64_t max_bytes)
{
	atomic_store(&room->max_bytes, max_bytes);
	if (atomic_load(&room->waiting) > 0)
		call_askers(room);
}

void room_join(struct room *room, struct room_asker *asker)
{
	pthread_mutex_lock(&room->lock);
	asker->next = room->askers;
	room->askers = asker;
	pthread_mutex_unlock(&room->lock);
}

void room_part(struct room *room, struct room_asker *asker)
{
	struct room_asker **at = &room->askers;

	pthread_mutex_lock(&room->lock);
	while (*at != asker)
		at = &(*at)->next;
	*at = asker->next;
	pthread_mutex_unlock(&room->lock);
}
