/*
 * checkpoints.c - see checkpoints.h. The lock is never kept where the last checkpoint failed, and never
 * longer than until the next one; the thread's end, and the process's, let it go.
 */
#include "daemon/checkpoints.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/wait.h"
#include "daemon/fault.h"
#include "daemon/service_internal.h"
#include "daemon/thread.h"
#include "storage/checkpoint.h"

#define PAUSE_MS      1000
#define PAUSE_MANY_MS 250 /* while much is committed … */
#define MANY_TURNS    8   /* … and for so long after it … */
#define FREE_TURN     12  /* … and every so often … */
#define FREE_MS       50  /* … others may make theirs, for so long */
#define HELD_BYTES    (64 << 20)
#define HELD_MS       10000

enum told { TOLD_NOTHING, TOLD_MANY, TOLD_END };

struct checkpoints {
	struct outbox *outbox;
	pthread_t thread;
	atomic_int told;   /* enum told, by the others */
	atomic_bool awake; /* it looks by itself, soon */
	atomic_bool dirty; /* something was committed since the last checkpoint */
	/* the thread's own */
	struct log_batch log;
	int many;                            /* so many times in a row there was much, or was just before */
	int calm;                            /* since so many times there was not */
	int64_t held_since_ms, held_since_s; /* somebody reads in a long write-ahead log; 0 = no */
	int64_t held_told_bytes;             /* how long it was when that was told, 0 = not yet */
};

static void tell_held(struct checkpoints *checkpoints, const char *event, const char *error)
{
	log_begin(&checkpoints->log, LOG_WARNING, event, checkpoints->outbox->db, NULL);
	log_text(&checkpoints->log, "database", checkpoints->outbox->path);
	log_text(&checkpoints->log, "error", error);
	log_end(&checkpoints->log);
	log_push(&checkpoints->log);
}

/*
 * A transaction that is only read in, and never ends, keeps the write-ahead log from being used
 * again: it grows with each commit until the disk is full. Told, and told again when it has doubled.
 */
static void watch_held(struct checkpoints *checkpoints, int64_t held_bytes)
{
	int64_t now = clock_monotonic_ms();
	int64_t most = fault_number("wal-held-bytes", HELD_BYTES);
	struct words words;

	atomic_store(&checkpoints->outbox->wal_held_bytes, held_bytes);
	if (held_bytes == 0) {
		if (checkpoints->held_told_bytes)
			tell_held(checkpoints, "storage.recovered", NULL);
		checkpoints->held_since_ms = checkpoints->held_told_bytes = 0;
		return;
	}
	if (!checkpoints->held_since_ms) {
		checkpoints->held_since_ms = now;
		checkpoints->held_since_s = clock_wall_s();
	}
	if (held_bytes < most || held_bytes < 2 * checkpoints->held_told_bytes ||
	    now - checkpoints->held_since_ms < fault_number("wal-held-ms", HELD_MS))
		return;
	words_set(&words,
	          "the write-ahead log has grown to %lld MiB: for %lld s a program has been reading in one "
	          "transaction, and until that ends it grows with every commit",
	          (long long)(held_bytes >> 20), (long long)(clock_wall_s() - checkpoints->held_since_s));
	tell_held(checkpoints, "storage.warning", words.text);
	checkpoints->held_told_bytes = held_bytes;
}

static bool others_turn(const struct checkpoints *checkpoints)
{
	return checkpoints->many % FREE_TURN == 0;
}

/* False: the end. Else `many` says whether there was much since the last one. */
static bool wait_for_next(struct checkpoints *checkpoints)
{
	bool many = checkpoints->many > 0;
	int pause_ms = !many ? PAUSE_MS : others_turn(checkpoints) ? FREE_MS : PAUSE_MANY_MS;
	const struct interrupt interrupt = { &checkpoints->told, many ? TOLD_END : TOLD_MANY };
	int64_t until_ms = clock_monotonic_ms() + pause_ms;
	int told = TOLD_MANY;

	atomic_store(&checkpoints->awake, many);
	while (wait_for(-1, 0, until_ms, &interrupt) == ERROR_UNAVAILABLE)
		; /* woken for nothing */
	if (atomic_load(&checkpoints->told) == TOLD_END)
		return false;
	if (atomic_compare_exchange_strong(&checkpoints->told, &told, TOLD_NOTHING))
		checkpoints->calm = 0;
	else if (checkpoints->calm < MANY_TURNS)
		checkpoints->calm++;
	checkpoints->many = checkpoints->calm < MANY_TURNS ? checkpoints->many + 1 : 0;
	return true;
}

static void *checkpoints_main(void *argument)
{
	struct checkpoints *checkpoints = argument;
	struct storage *storage = checkpoints->outbox->storage;

	while (wait_for_next(checkpoints)) {
		int64_t held_bytes = 0;
		struct words words;

		storage_checkpoint_leave(storage);
		/* What it says in words is found again, with a reader, by the next commit: nobody else is
		 * told. */
		if (!atomic_exchange(&checkpoints->dirty, false) && !checkpoints->held_since_ms)
			continue;
		if (storage_checkpoint(storage, &held_bytes, &words) != OK) {
			atomic_store(&checkpoints->dirty, true);
			continue;
		}
		watch_held(checkpoints, held_bytes);
		if (checkpoints->many > 0 && !others_turn(checkpoints))
			storage_checkpoint_keep(storage);
	}
	storage_checkpoint_leave(storage);
	return NULL;
}

enum error checkpoints_start(struct outbox *outbox, struct checkpoints **checkpoints, struct words *words)
{
	struct checkpoints *made = memory_alloc(sizeof(*made));
	int code;

	made->outbox = outbox;
	made->calm = MANY_TURNS;
	log_batch_init(&made->log, outbox->service->log);
	code = thread_start(&made->thread, "storage-ckpt", checkpoints_main, made);
	if (code != 0) {
		words_set_errno(words, code, "cannot start the thread of checkpoints");
		log_batch_fini(&made->log);
		free(made);
		return ERROR_UNAVAILABLE;
	}
	*checkpoints = made;
	return OK;
}

void checkpoints_note(struct checkpoints *checkpoints)
{
	atomic_store(&checkpoints->dirty, true);
}

void checkpoints_hurry(struct checkpoints *checkpoints)
{
	int before = TOLD_NOTHING;

	if (atomic_compare_exchange_strong(&checkpoints->told, &before, TOLD_MANY) &&
	    !atomic_load(&checkpoints->awake))
		wait_wake(checkpoints->thread);
}

void checkpoints_stop(struct checkpoints **checkpoints)
{
	struct checkpoints *ended = *checkpoints;

	atomic_store(&ended->told, TOLD_END);
	wait_wake(ended->thread);
	pthread_join(ended->thread, NULL);
	log_batch_fini(&ended->log);
	free(ended);
	*checkpoints = NULL;
}
