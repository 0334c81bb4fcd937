/*
 * sqlite_readers.c - the connections that workers borrow for one short read.
 *
 * Promises: at most READERS_MAX are open, opened at need; a worker waits for
 * one until its deadline and holds it across no wait on a socket; copies of
 * large bodies, which take long, hold at most half of them and one a tenant, so
 * that no tenant's large mail keeps the others' small mail waiting; what is small
 * and found no room in memory has two places of its own, and waits for no large
 * copy; so a spool_dir that hangs leaves two connections to all other mail.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include <utlist.h> /* of uthash */

#include "common/buffer.h"
#include "common/clock.h"
#include "common/pool.h"
#include "storage/sqlite_internal.h"

/* Each has a condition of its own, so that what is given wakes one, however many wait. */
struct reader_waiter {
	struct reader_waiter *prev, *next;
	pthread_cond_t given;
	bool woken;
};

/* What is being copied: see above, and sqlite_places.h. */
static const int places_of_kinds[SPOOL_KINDS] = {
	[SPOOL_SPILL] = READERS_SPILL, [SPOOL_LARGE] = READERS_LARGE
};

enum error storage_readers_init(struct storage *storage, struct words *words)
{
	struct readers *readers = &storage->readers;

	pthread_mutex_init(&readers->lock, NULL);
	pthread_condattr_init(&readers->on_monotonic);
	pthread_condattr_setclock(&readers->on_monotonic, CLOCK_MONOTONIC);
	readers->blocks = pool_create(STORAGE_BLOCK_BYTES, 2 * READERS_MAX);
	if (readers->blocks) {
		places_init(&storage->places, places_of_kinds, storage->room);
		return OK;
	}
	words_set(words, "memory is short");
	return ERROR_UNAVAILABLE;
}

void storage_readers_fini(struct storage *storage)
{
	struct readers *readers = &storage->readers;

	for (int i = 0; i < READERS_MAX; i++) {
		assert(!readers->busy[i]);
		connection_close(&readers->connections[i]);
	}
	places_fini(&storage->places);
	pool_destroy(&readers->blocks);
	pthread_condattr_destroy(&readers->on_monotonic);
	pthread_mutex_destroy(&readers->lock);
}

/* Under the lock. */
static void wake_first(struct reader_waiter **waiters)
{
	struct reader_waiter *first = *waiters;

	if (!first)
		return;
	DL_DELETE(*waiters, first);
	first->woken = true;
	pthread_cond_signal(&first->given);
}

static void wake_all(struct reader_waiter **waiters)
{
	while (*waiters)
		wake_first(waiters);
}

/*
 * Under the lock: waits until somebody gave something back; false when the deadline has passed. Whoever was
 * woken and came too late (again) is the first to be woken next.
 */
static bool wait_for_giver(struct readers *readers, struct reader_waiter **waiters, bool again,
                           int64_t deadline_ms)
{
	struct reader_waiter self = { .woken = false };

	if (again)
		DL_PREPEND(*waiters, &self);
	else
		DL_APPEND(*waiters, &self);
	pthread_cond_init(&self.given, &readers->on_monotonic);
	while (!self.woken && places_sleep(&self.given, &readers->lock, deadline_ms))
		;
	pthread_cond_destroy(&self.given);
	if (!self.woken)
		DL_DELETE(*waiters, &self);
	return self.woken;
}

/* Under the lock: one that is free, best one that is open already; -1 = none. */
static int find_free(const struct readers *readers, bool open_only)
{
	int best = -1;

	for (int i = 0; i < READERS_MAX; i++) {
		if (readers->busy[i])
			continue;
		if (readers->connections[i].db)
			return i;
		if (best < 0 && !open_only)
			best = i;
	}
	return best;
}

/* A free one, waited for; NULL at the deadline, or where only an open one would do and there is none. */
static struct connection *wait_for_one(struct readers *readers, bool open_only, int64_t deadline_ms)
{
	bool again = false;
	int found;

	pthread_mutex_lock(&readers->lock);
	readers->particular += open_only;
	while ((found = find_free(readers, open_only)) < 0 && (!open_only || readers->open > 0) &&
	       wait_for_giver(readers, &readers->waiters, again, deadline_ms))
		again = true;
	readers->particular -= open_only;
	if (found >= 0)
		readers->busy[found] = true;
	pthread_mutex_unlock(&readers->lock);
	return found >= 0 ? &readers->connections[found] : NULL;
}

/* The caller's own, not open yet. */
static bool open_one(struct storage *storage, struct connection *connection, int64_t deadline_ms,
                     struct words *words)
{
	if (connection_open(connection, storage_file_path(storage->file), storage_take_sql, deadline_ms,
	                    words) != OK)
		return false;
	pthread_mutex_lock(&storage->readers.lock);
	storage->readers.open++;
	pthread_mutex_unlock(&storage->readers.lock);
	return true;
}

enum error readers_borrow(struct storage *storage, int64_t deadline_ms, struct connection **connection,
                          struct words *words)
{
	struct readers *readers = &storage->readers;
	struct connection *found = wait_for_one(readers, deadline_ms == STORAGE_AT_ONCE, deadline_ms);

	if (!found)
		words_set(words, "all %d reading connections are in use", READERS_MAX);
	/* one that cannot be opened (no descriptor is free) is no harm as long as another one goes round */
	if (found && !found->db && !open_one(storage, found, deadline_ms, words)) {
		readers_give(storage, found, false);
		found = wait_for_one(readers, true, deadline_ms);
	}
	if (!found)
		return ERROR_UNAVAILABLE; /* whatever it is now, it was well when the outbox was opened */
	found->deadline_ms = deadline_ms;
	*connection = found;
	return OK;
}

void readers_give(struct storage *storage, struct connection *connection, bool well)
{
	struct readers *readers = &storage->readers;
	bool closed = !well && connection->db;

	if (closed)
		connection_close(connection);
	pthread_mutex_lock(&readers->lock);
	readers->open -= closed;
	readers->busy[connection - readers->connections] = false;
	/* one is given, so one is woken; unless that one might have no use for it */
	if (readers->particular > 0)
		wake_all(&readers->waiters);
	else
		wake_first(&readers->waiters);
	pthread_mutex_unlock(&readers->lock);
}
