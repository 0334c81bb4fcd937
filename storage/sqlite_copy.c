/*
 * sqlite_copy.c - bodies of a message out of a read transaction, into borrowed
 * memory or one unlinked file.
 *
 * Promises: a mail holds at most COPY_BLOCKS_MAX blocks and one descriptor,
 * however many bodies it has, and in memory no more than there is room for; what it has of
 * that goes back with it, to the octet; a copy needs one block besides; no blob handle is
 * left open. Fails with ERROR_UNAVAILABLE (the message waits) or, where it is
 * larger than a message may be, ERROR_INVALID.
 */
#include <stdlib.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/pool.h"
#include "storage/sqlite_copy.h"
#include "storage/sqlite_spool.h"

#define SLOWEST_OCTETS_A_MS 1024 /* a disk that needs longer makes the message wait */
#define SPILL_BYTES_MAX     ((int64_t)COPY_BLOCKS_MAX * STORAGE_BLOCK_BYTES)

struct small_body {
	struct small_body *next;
	char bytes[];
};

struct lent *lent_create(void)
{
	struct lent *lent = memory_alloc(sizeof *lent);

	lent->fd = -1;
	return lent;
}

void lent_return(struct storage *storage, struct lent **lent)
{
	while ((*lent)->small) {
		struct small_body *small = (*lent)->small;

		(*lent)->small = small->next;
		free(small);
	}
	for (size_t i = 0; i < (*lent)->block_count; i++)
		pool_give(storage->readers.blocks, (*lent)->blocks[i]);
	if ((*lent)->fd >= 0)
		close((*lent)->fd);
	if ((*lent)->fd_counted)
		room_give(storage->files, 1);
	room_give(storage->room, (*lent)->charged);
	free(*lent);
	*lent = NULL;
}

void lent_charge(struct storage *storage, struct lent *lent, int64_t bytes)
{
	if (bytes > 0)
		room_charge(storage->room, bytes);
	lent->charged += bytes;
}

bool copy_begin(struct copying *copying, int64_t octets)
{
	struct room *room = copying->storage->room;

	copying->needs_room = (copying->in_company && !room_fits(room, 0, true)) ||
	                      !room_take_whole(room, octets, copying->claimed_bytes > 0,
	                                       &copying->wants_bytes);
	copying->wants_small = false;
	if (copying->needs_room)
		return false;
	copying->lent->charged += octets;
	return true;
}

static enum error memory_is_short(struct copying *copying)
{
	words_set(copying->words, "memory is short");
	return ERROR_UNAVAILABLE;
}

/* Whether a body has its place in memory, in the last block or in a further one. */
static bool fits_memory(const struct lent *lent, int64_t size, bool behind)
{
	if (lent->block_count > 0 && size <= (int64_t)(STORAGE_BLOCK_BYTES - lent->block_used))
		return true;
	if (size > STORAGE_BLOCK_BYTES || lent->block_count == COPY_BLOCKS_MAX)
		return false;
	return lent->block_count == 0 || !behind;
}

/* A block costs what of it is used, in steps of ROOM_SMALL_BYTES. */
static int64_t cost_of(size_t used)
{
	return (int64_t)((used + ROOM_SMALL_BYTES - 1) / ROOM_SMALL_BYTES * ROOM_SMALL_BYTES);
}

/* Room for a body that fits; false = there is none now. */
static bool take_room(struct copying *copying, size_t size)
{
	struct lent *lent = copying->lent;
	bool behind = lent->block_count > 0 && size <= STORAGE_BLOCK_BYTES - lent->block_used;
	size_t before = behind ? lent->block_used : 0;
	int64_t cost = cost_of(before + size) - cost_of(before);
	bool small = lent->block_count == (size_t)behind && before + size <= ROOM_SMALL_BYTES;

	if (!room_take(copying->storage->room, cost, small)) {
		copying->wants_bytes = lent->charged + cost;
		copying->wants_small = small;
		return false;
	}
	lent->charged += cost;
	return true;
}

/* Ahead of its turn it waits for its server: what many such hold is not to be missing to all others. */
static bool is_too_much_ahead(const struct copying *copying, int64_t size)
{
	return copying->deadline_ms == STORAGE_AT_ONCE && copying->lent->charged + size > ROOM_SMALL_BYTES;
}

/* Where a body goes; SPOOL_NOTHING: into memory, and room for it was taken. */
static enum spooling place_of(struct copying *copying, int64_t size, bool behind)
{
	if (is_too_much_ahead(copying, size) || !fits_memory(copying->lent, size, behind))
		return SPOOL_LARGE;
	if (take_room(copying, (size_t)size))
		return SPOOL_NOTHING;
	return copying->lent->spooled + size <= SPILL_BYTES_MAX ? SPOOL_SPILL : SPOOL_LARGE;
}

/* NULL: memory is short. */
static void *lend_small(struct lent *lent, size_t size)
{
	struct small_body *small = malloc(sizeof *small + size);

	if (!small)
		return NULL;
	small->next = lent->small;
	lent->small = small;
	return small->bytes;
}

static void *lend_memory(struct copying *copying, size_t size)
{
	struct lent *lent = copying->lent;
	void **block;
	size_t at;

	if (lent->block_count == 0 || STORAGE_BLOCK_BYTES - lent->block_used < size) {
		lent->block_count++;
		lent->block_used = 0;
	}
	at = lent->block_used;
	lent->block_used += size;
	if (size <= COPY_SMALL_BYTES)
		return lend_small(lent, size);
	block = &lent->blocks[lent->block_count - 1];
	if (!*block)
		*block = pool_take(copying->storage->readers.blocks);
	return *block ? (char *)*block + at : NULL;
}

static enum error count(struct copying *copying, int64_t size)
{
	copying->copied += size;
	if (copying->copied <= copying->storage->largest_bytes)
		return OK;
	words_set(copying->words, "its bodies and attachments are together longer than %lld octets",
	          (long long)copying->storage->largest_bytes);
	return ERROR_INVALID;
}

static enum error copy_to_memory(struct copying *copying, sqlite3_blob *blob, struct body *body)
{
	body->memory = lend_memory(copying, (size_t)body->size);
	if (!body->memory)
		return memory_is_short(copying);
	copying->rc = sqlite3_blob_read(blob, body->memory, (int)body->size, 0);
	return OK;
}

/* In company the worker's own file is another's: one more is of those that are counted. */
static enum error open_file(struct copying *copying)
{
	struct room *files = copying->storage->files;
	struct lent *lent = copying->lent;

	if (files && copying->in_company) {
		if (!room_take(files, 1, true)) {
			words_set(copying->words, "no file is free for a further message");
			return ERROR_BUSY;
		}
		lent->fd_counted = true;
	}
	return spool_open(copying->storage->spool_dir, &lent->fd, copying->words);
}

static enum error copy_to_file(struct copying *copying, sqlite3_blob *blob, struct body *body,
                               enum spooling spooling)
{
	const char *dir = copying->storage->spool_dir;
	struct lent *lent = copying->lent;
	enum error error = OK;
	void *slice;

	if (lent->fd < 0)
		error = open_file(copying);
	if (error != OK)
		return error;
	slice = pool_take(copying->storage->readers.blocks);
	if (!slice)
		return memory_is_short(copying);
	body->fd = lent->fd;
	body->offset = lent->spooled;
	if (copying->deadline_ms != DEADLINE_NEVER)
		copying->deadline_ms += body->size / SLOWEST_OCTETS_A_MS;
	for (int64_t at = 0; at < body->size && error == OK && copying->rc == SQLITE_OK;) {
		int length = body->size - at < STORAGE_BLOCK_BYTES ? (int)(body->size - at)
		                                                   : STORAGE_BLOCK_BYTES;

		copying->rc = sqlite3_blob_read(blob, slice, length, (int)at);
		if (copying->rc == SQLITE_OK)
			error = spool_write(lent->fd, dir, slice, (size_t)length, body->offset + at,
			                    copying->words);
		at += length;
		if (error == OK && at < body->size && deadline_left_ms(copying->deadline_ms) == 0) {
			words_set(copying->words, "a large message could not be copied in time");
			error = ERROR_UNAVAILABLE;
		}
	}
	lent->spooled += body->size;
	if (spooling == SPOOL_SPILL && error == OK)
		atomic_fetch_add(&copying->storage->room->spilled, 1);
	pool_give(copying->storage->readers.blocks, slice);
	return error;
}

enum error copy_body(struct copying *copying, const struct copy_place *place, bool behind, struct body *body)
{
	sqlite3_blob *blob = NULL;
	enum spooling spooling;
	enum error error = OK;

	copying->rc = sqlite3_blob_open(copying->connection->db, "main", place->table, place->column,
	                                place->rowid, 0, &blob);
	if (copying->rc == SQLITE_OK) {
		body->size = sqlite3_blob_bytes(blob);
		error = count(copying, body->size);
		spooling = error == OK && body->size > 0 ? place_of(copying, body->size, behind)
		                                         : SPOOL_NOTHING;
		if (error != OK || body->size == 0)
			; /* nothing to copy */
		else if (spooling == SPOOL_NOTHING)
			error = copy_to_memory(copying, blob, body);
		else if (spooling <= copying->may_spool)
			error = copy_to_file(copying, blob, body, spooling);
		else
			copying->needs = spooling;
	}
	(void)sqlite3_blob_close(blob);
	return error;
}
