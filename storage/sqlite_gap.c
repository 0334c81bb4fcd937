/*
 * sqlite_gap.c - between two of our commits the write lock is left to the applications.
 *
 * SQLite's busy handler asks for it at 0, 1, 3, 8, 18, 33 ms and so on. Where nobody else commits, the lock
 * stays free for at least 2 ms and as long as the last commit held it; where others do, for at least 5 ms and
 * twice as long: one that is held for less than 5 ms and then free for as long does not meet both the third
 * and the fourth question.
 */
#include <time.h>

#include "common/clock.h"
#include "storage/sqlite_settle.h"

#define GAP_MIN_US    2000
#define GAP_SHARED_US 5000
#define GAP_TWICE_US  25000 /* twice what the last commit took, but no more than so much more than that */

int64_t storage_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Leaves the write lock to the applications until the gap is over. */
enum error storage_wait_for_gap(struct storage *storage, int64_t deadline_ms, struct words *words)
{
	int64_t wait_us = storage->gap_until_us - storage_now_us();
	int left_ms = deadline_left_ms(deadline_ms);
	bool late = left_ms >= 0 && wait_us > (int64_t)left_ms * 1000;
	struct timespec pause;

	if (late)
		wait_us = (int64_t)left_ms * 1000;
	if (wait_us > 0) {
		pause.tv_sec = wait_us / 1000000;
		pause.tv_nsec = wait_us % 1000000 * 1000;
		(void)nanosleep(&pause, NULL);
	}
	if (!late)
		return OK;
	words_set(words, "the write lock is left to the applications for as long as the last commit held it");
	return ERROR_UNAVAILABLE;
}

void storage_lock_held(struct storage *storage, int64_t began_us)
{
	int64_t now_us = storage_now_us(), held_us = now_us - began_us;
	int64_t least_us = storage->shared ? GAP_SHARED_US : GAP_MIN_US, gap_us = held_us;

	if (storage->shared)
		gap_us += held_us < GAP_TWICE_US ? held_us : GAP_TWICE_US;
	storage->gap_until_us = now_us + (gap_us > least_us ? gap_us : least_us);
}

int storage_ask_others(struct storage *storage)
{
	struct statement row = statement_begin(&storage->writer, SETTLE_OTHERS);
	int64_t version = 0;

	if (statement_row(&row))
		version = sqlite3_column_int64(row.stmt, 0);
	storage->shared = storage->writer_version && version != storage->writer_version;
	storage->writer_version = version;
	return statement_end(&row);
}

bool storage_is_shared(const struct storage *storage)
{
	return storage->shared;
}
