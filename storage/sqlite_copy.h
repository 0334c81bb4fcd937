/*
 * sqlite_copy.h - bodies of a message out of a read transaction, into borrowed
 * memory or one unlinked file.
 *
 * One copying is one thread's, within one verb. Blocks for disk work.
 */
#ifndef OUTBOXD_STORAGE_SQLITE_COPY_H
#define OUTBOXD_STORAGE_SQLITE_COPY_H

#include "storage/sqlite_internal.h"

#define COPY_BLOCKS_MAX  3     /* of STORAGE_BLOCK_BYTES: as many as a row of outbox has bodies */
#define COPY_SMALL_BYTES 16384 /* a body of at most that has memory of its own size */

struct small_body;

/*
 * What a mail has borrowed, until lent_return(). Bodies have their places in blocks, one behind the other;
 * one that is small has memory of its own, and a block that has no other is NULL: a message of a page costs
 * no block.
 */
struct lent {
	struct small_body *small;
	void *blocks[COPY_BLOCKS_MAX];
	size_t block_count;
	size_t block_used; /* octets of the last one */
	int fd;            /* spool file of all that is not in memory, -1 = none */
	bool fd_counted;   /* in storage's files */
	int64_t spooled;   /* its octets */
	int64_t charged;   /* octets of storage's room */
	/* storage_still_is(): of the WAL-index before the transaction, unless that cannot be had */
	bool has_header;
	uint32_t header[WAL_HEADER_WORDS];
	int64_t expiry_s; /* it was not expired then */
};
struct lent *lent_create(void);
void lent_return(struct storage *storage, struct lent **lent);

/* What is in memory in any case counts as well. */
void lent_charge(struct storage *storage, struct lent *lent, int64_t bytes);

struct copying {
	struct storage *storage;
	struct connection *connection; /* in a read transaction */
	struct lent *lent;
	int64_t deadline_ms;
	bool in_company;         /* as the message */
	int64_t copied;          /* octets so far, of all bodies */
	enum spooling may_spool; /* a place of that kind is held */
	enum spooling needs;     /* above it: such a place is needed, and what did not fit was not copied */
	bool needs_room;         /* for what goes nowhere else: nothing was copied */
	int64_t claimed_bytes;   /* of storage's room, since it needed them first */
	int64_t wants_bytes; /* of storage's room, in all: with them it would have fit for SPOOL_SPILL … */
	bool wants_small;    /* … as this */
	int rc;              /* what SQLite said */
	struct words *words;
};

/*
 * Room for the columns of a row, and for what will be composed of them. What is small has it in any
 * case, but in_company where more is in use than there is; false: needs_room.
 */
bool copy_begin(struct copying *copying, int64_t octets);

/* A column of a row, by rowid; it must be text or a BLOB. */
struct copy_place {
	const char *table, *column;
	int64_t rowid;
};

/*
 * Copies one body: into memory if it fits there (up to STORAGE_BLOCK_BYTES; with
 * behind only if it fits behind what is in memory already) and storage's room has room for it, else in slices
 * into the file, if may_spool. Slow disks have time by the size. ERROR_UNAVAILABLE with words: no memory,
 * the disk is full, not in time; ERROR_BUSY: in_company there is no
 * file; ERROR_INVALID: with this one the message is longer than storage's largest_bytes. SQLite's own trouble
 * is in copying->rc.
 */
enum error copy_body(struct copying *copying, const struct copy_place *place, bool behind, struct body *body);

#endif
