/*
 * room.h - octets of memory that many share: how many may be in use, how many are.
 *
 * Whoever finds no room goes another way at once (a file). Who must wait there tells so, and
 * hears of octets that are given back meanwhile. The last quarter is kept for what is small,
 * so that large messages of some do not send the small ones of all others to the disk. Who has no
 * other way than to wait claims what it waits for: what is not small leaves that alone meanwhile, and
 * goes its other way. Any thread. Does not block, but for a lock that is held for a moment where
 * somebody waits.
 */
#ifndef OUTBOXD_COMMON_ROOM_H
#define OUTBOXD_COMMON_ROOM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define ROOM_SMALL_BYTES  16384 /* who has no more than that altogether is small */
#define ROOM_ANYWAY_BYTES 65536 /* up to that, what cannot go elsewhere waits for nobody */

/* Who would have octets if there were any. */
struct room_asker {
	struct room_asker *next;
	/* There may be some now (room_fits()): called by who gave them back, who holds no lock but the
	   room's own; must not take, charge, give, join or part. */
	void (*freed)(struct room_asker *asker);
};

struct room {
	_Atomic int64_t max_bytes; /* may change at any time: what is in use above it only goes down */
	_Atomic int64_t used_bytes;
	_Atomic int64_t claimed_bytes;
	_Atomic uint64_t spilled;  /* bodies that found none; counted by who puts them elsewhere */
	atomic_int waiting;        /* askers are called while it is above 0; counted by them, before they
	                              look at room_fits() for the last time */
	pthread_mutex_t lock;      /* of what follows */
	struct room_asker *askers; /* the one whose turn is next first */
};

/* Before its first use. */
void room_init(struct room *room, int64_t max_bytes);
void room_fini(struct room *room); /* all was given back, nobody asks */

void room_set_max(struct room *room, int64_t max_bytes);

/* So many octets more; false: there is no room for them, and nothing was taken. */
bool room_take(struct room *room, int64_t bytes, bool small);

/* Takes what cannot go elsewhere, room or not: others find less. */
void room_charge(struct room *room, int64_t bytes);

/* As many as were taken. */
void room_give(struct room *room, int64_t bytes);

/* Whether room_take() would find them now. */
bool room_fits(const struct room *room, int64_t bytes, bool small);

/*
 * Takes what cannot go elsewhere and may be large: room or not up to ROOM_ANYWAY_BYTES, and what of it is
 * more than half of all there is (so that it goes when little else is in hand). False: *asked octets must be
 * free for it. claimed: these are claimed by the caller.
 */
bool room_take_whole(struct room *room, int64_t bytes, bool claimed, int64_t *asked);

/* So many are waited for, until they are unclaimed. */
void room_claim(struct room *room, int64_t bytes);
void room_unclaim(struct room *room, int64_t bytes);
bool room_fits_claimed(const struct room *room, int64_t bytes);

/* Is called from now on, until it parts; after that no call of it is under way. */
void room_join(struct room *room, struct room_asker *asker);
void room_part(struct room *room, struct room_asker *asker);

#endif
