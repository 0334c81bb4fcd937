/*
 * room.c - octets of memory that many share, see room.h.
 *
 * Promises that what is taken by room_take() is never above the bound of its time, however
 * many come at once.
 */
#include "common/room.h"

#include <assert.h>

bool room_take(struct room *room, int64_t bytes, bool small)
{
	int64_t max = atomic_load(&room->max_bytes);
	int64_t bound = small ? max : max - max / 4;
	int64_t used = atomic_load(&room->used_bytes);

	assert(bytes >= 0);
	do {
		if (bytes > 0 && used > bound - bytes)
			return false;
	} while (!atomic_compare_exchange_weak(&room->used_bytes, &used, used + bytes));
	return true;
}

void room_charge(struct room *room, int64_t bytes)
{
	assert(bytes >= 0);
	atomic_fetch_add(&room->used_bytes, bytes);
}

void room_give(struct room *room, int64_t bytes)
{
	int64_t before = atomic_fetch_sub(&room->used_bytes, bytes);

	assert(bytes >= 0 && before >= bytes);
	(void)before;
}
