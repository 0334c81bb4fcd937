/*
 * sqlite_places.h - places for copying bodies to files: who has one, who waits, in which order.
 *
 * A tenant has one place of a kind at a time. A place that becomes free goes to the tenant that
 * has waited longest since its last turn, whoever comes meanwhile and however many of another's
 * messages stand in line. Who waits with what memory could hold is told when some is given back.
 * Workers' threads.
 */
#ifndef OUTBOXD_STORAGE_SQLITE_PLACES_H
#define OUTBOXD_STORAGE_SQLITE_PLACES_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/room.h"

/* What of a message may be copied to a file: each a place of its kind, since large copies take long. */
enum spooling {
	SPOOL_NOTHING, /* there is no such place: who waits for one waits for memory */
	SPOOL_SPILL, /* what is small and found no room in memory, together no more than fits there otherwise
	              */
	SPOOL_LARGE, /* anything */
	SPOOL_KINDS
};

enum place_given {
	PLACE_NONE,  /* not until the deadline */
	PLACE_GIVEN, /* until places_give() */
	PLACE_ROOM   /* none is needed: there may be memory now */
};

struct place_turn;

/* A message that wants a place; the caller's, zero but for the first members. */
struct place_wait {
	enum spooling kind;
	const char *tenant;
	int64_t bytes; /* with so many octets of the room it needs none; 0 = nothing else would do */
	bool small;    /* see room_take() */

	/* places' own; what is kept from one call to the next is its turn, after PLACE_ROOM */
	int64_t ticket;
	struct place_wait *prev, *next;
	pthread_cond_t given;
	enum place_given got;
};

struct spool_places {
	pthread_mutex_t lock; /* of all that follows */
	pthread_condattr_t on_monotonic;
	int free[SPOOL_KINDS];
	struct place_turn *tenants[SPOOL_KINDS]; /* by name: those that have one or wait */
	struct place_turn *turns[SPOOL_KINDS];   /* those that wait, the lowest ticket first */
	int64_t tickets;
	struct room *room;
	struct room_asker asker;
};

/* So many places of each kind; the room lives longer. */
void places_init(struct spool_places *places, const int count[SPOOL_KINDS], struct room *room);
/* Nobody has one or waits. */
void places_fini(struct spool_places *places);

/*
 * Blocks until the deadline at most. After PLACE_ROOM the same wait may come again, and is
 * where it was in the line; before any other call its ticket is set to 0.
 */
enum place_given places_wait(struct spool_places *places, struct place_wait *wait, int64_t deadline_ms);
void places_give(struct spool_places *places, enum spooling kind, const char *tenant);

/* Waits under lock for the condition (of CLOCK_MONOTONIC); false when the deadline has passed. */
bool places_sleep(pthread_cond_t *given, pthread_mutex_t *lock, int64_t deadline_ms);

#endif
