/*
 * sqlite_copy.c - bodies of a message out of a read transaction, into borrowed
 * memory or one unlinked file.
 *
 * Promises: a mail holds at most COPY_BLOCKS_MAX blocks and one descriptor,
 * however many bodies it has; a copy needs one block besides; no blob handle is
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

struct lent *lent_create(void)
{
	struct lent *lent = memory_alloc(sizeof *lent);

	lent->fd = -1;
	return lent;
}

void lent_return(struct storage *storage, struct lent **lent)
{
	for (size_t i = 0; i < (*lent)->block_count; i++)
		pool_give(storage->readers.blocks, (*lent)->blocks[i]);
	if ((*lent)->fd >= 0)
		close((*lent)->fd);
	free(*lent);
	*lent = NULL;
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

static void *lend_memory(struct copying *copying, size_t size)
{
	struct lent *lent = copying->lent;
	char *room;

	if (lent->block_count == 0 || STORAGE_BLOCK_BYTES - lent->block_used < size) {
		void *block = pool_take(copying->storage->readers.blocks);

		if (!block)
			return NULL;
		lent->blocks[lent->block_count++] = block;
		lent->block_used = 0;
	}
	room = (char *)lent->blocks[lent->block_count - 1] + lent->block_used;
	lent->block_used += size;
	return room;
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

static enum error copy_to_file(struct copying *copying, sqlite3_blob *blob, struct body *body)
{
	const char *dir = copying->storage->spool_dir;
	struct lent *lent = copying->lent;
	enum error error = OK;
	void *slice;

	if (lent->fd < 0)
		error = spool_open(dir, &lent->fd, copying->words);
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
	pool_give(copying->storage->readers.blocks, slice);
	return error;
}

enum error copy_body(struct copying *copying, const struct copy_place *place, bool behind, struct body *body)
{
	sqlite3_blob *blob = NULL;
	enum error error = OK;

	copying->rc = sqlite3_blob_open(copying->connection->db, "main", place->table, place->column,
	                                place->rowid, 0, &blob);
	if (copying->rc == SQLITE_OK) {
		body->size = sqlite3_blob_bytes(blob);
		error = count(copying, body->size);
		if (error != OK || body->size == 0)
			; /* nothing to copy */
		else if (fits_memory(copying->lent, body->size, behind))
			error = copy_to_memory(copying, blob, body);
		else if (copying->may_spool)
			error = copy_to_file(copying, blob, body);
		else
			copying->is_large = true;
	}
	(void)sqlite3_blob_close(blob);
	return error;
}
