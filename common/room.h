/*
 * room.h - octets of memory that many share: how many may be in use, how many are.
 *
 * Whoever finds no room goes another way at once (a file); nobody waits for it. The last
 * quarter is kept for what is small, so that large messages of some do not send the small
 * ones of all others to the disk. Any thread. Does not block.
 */
#ifndef OUTBOXD_COMMON_ROOM_H
#define OUTBOXD_COMMON_ROOM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define ROOM_SMALL_BYTES 16384 /* who has no more than that altogether is small */

struct room {
	_Atomic int64_t max_bytes; /* may change at any time: what is in use above it only goes down */
	_Atomic int64_t used_bytes;
	_Atomic uint64_t spilled; /* bodies that found none; counted by who puts them elsewhere */
};

/* So many octets more; false: there is no room for them, and nothing was taken. */
bool room_take(struct room *room, int64_t bytes, bool small);

/* Takes what cannot go elsewhere, room or not: others find less. */
void room_charge(struct room *room, int64_t bytes);

/* As many as were taken. */
void room_give(struct room *room, int64_t bytes);

#endif
