/*
 * pool.h - blocks of one size, borrowed and given back.
 *
 * For what is large and needed only while a message is in hand: workers that
 * wait hold none.  Any thread.  Does not block.
 */
#ifndef OUTBOXD_COMMON_POOL_H
#define OUTBOXD_COMMON_POOL_H

#include <stddef.h>

struct pool;

/* block_bytes a block; at most keep free blocks are kept, the rest goes back to the system. */
struct pool *pool_create(size_t block_bytes, size_t keep);
void pool_destroy(struct pool **pool); /* all blocks must have been given back */

/* A block with undefined content, NULL if memory is short (the caller's message waits). */
void *pool_take(struct pool *pool);
void pool_give(struct pool *pool, void *block); /* NULL is allowed */

size_t pool_block_bytes(const struct pool *pool);

#endif
