/*
 * pool.c - blocks of one size, borrowed and given back.
 *
 * Promises that at most `keep` free blocks stay.  The list of free blocks lies
 * outside of them, and under AddressSanitizer none is kept: so a block that is
 * used after it was given back is found.  NULL if memory is short.
 */
#include "common/pool.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "common/buffer.h"

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define KEEP_NONE 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define KEEP_NONE 1
#endif

struct pool {
	pthread_mutex_t lock;
	size_t block_bytes;
	size_t keep;
	size_t lent;
	size_t free_count;
	void **free_blocks; /* room for keep */
};

static void lock(struct pool *pool)
{
	int rc = pthread_mutex_lock(&pool->lock);

	assert(rc == 0);
	(void)rc;
}

static void unlock(struct pool *pool)
{
	int rc = pthread_mutex_unlock(&pool->lock);

	assert(rc == 0);
	(void)rc;
}

struct pool *pool_create(size_t block_bytes, size_t keep)
{
	struct pool *pool = memory_alloc(sizeof(*pool));
	int rc = pthread_mutex_init(&pool->lock, NULL);

	assert(rc == 0);
	assert(block_bytes > 0);
	(void)rc;
#ifdef KEEP_NONE
	keep = 0;
#endif
	pool->block_bytes = block_bytes;
	pool->keep = keep;
	pool->free_blocks = memory_alloc(keep * sizeof(*pool->free_blocks));
	return pool;
}

void pool_destroy(struct pool **pool)
{
	if (!*pool)
		return;
	assert((*pool)->lent == 0);
	for (size_t i = 0; i < (*pool)->free_count; i++)
		free((*pool)->free_blocks[i]);
	free((*pool)->free_blocks);
	pthread_mutex_destroy(&(*pool)->lock);
	free(*pool);
	*pool = NULL;
}

void *pool_take(struct pool *pool)
{
	void *block = NULL;

	lock(pool);
	if (pool->free_count > 0)
		block = pool->free_blocks[--pool->free_count];
	pool->lent++;
	unlock(pool);
	if (block)
		return block;

	block = malloc(pool->block_bytes);
	if (!block) {
		lock(pool);
		pool->lent--;
		unlock(pool);
	}
	return block;
}

void pool_give(struct pool *pool, void *block)
{
	if (!block)
		return;
	lock(pool);
	assert(pool->lent > 0);
	pool->lent--;
	if (pool->free_count < pool->keep) {
		pool->free_blocks[pool->free_count++] = block;
		block = NULL;
	}
	unlock(pool);
	free(block);
}

size_t pool_block_bytes(const struct pool *pool)
{
	return pool->block_bytes;
}
