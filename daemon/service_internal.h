/*
 * service_internal.h - what the threads of the service share.
 *
 * One struct service a process; one struct outbox a database, whose threads are
 * the supervisor, storage, storage-ckpt and the workers. Each member says who may
 * touch it.
 */
#ifndef OUTBOXD_DAEMON_SERVICE_INTERNAL_H
#define OUTBOXD_DAEMON_SERVICE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/log.h"
#include "common/queue.h"
#include "common/room.h"
#include "daemon/budget.h"
#include "run/configuration.h"
#include "daemon/journal.h"
#include "daemon/loader.h"
#include "smtp/resolve.h"
#include "storage/storage.h"

struct service {
	struct config *config; /* as at the start; constant */
	/* what SIGHUP may change; main writes */
	_Atomic int64_t idle_timeout_ms, stall_grace_ms, shutdown_grace_ms, expiry_check_ms;
	_Atomic int64_t keep_sent_ms, keep_failed_ms; /* -1 = for ever */
	atomic_int unsettled_max;
	struct log *log;
	struct loader *loader;
	struct resolver *resolver;
	struct budget budget;
	struct room room;  /* for what is in hand, in memory (memory_max) */
	struct room files; /* spool files of workers that have one already */
	atomic_bool ready; /* daemon.ready was said, now or by an earlier service */
	atomic_bool stall; /* a worker does not move: the process ends and is started anew */
	struct queue news; /* eventfd: outboxes tell main that they opened, failed, ended */
};

/* An outbox's word to main. */
enum outbox_news { NEWS_OPENED, NEWS_REFUSED, NEWS_ENDED };

enum { OUTBOX_OPENING, OUTBOX_SERVING, OUTBOX_FAILED };

struct metrics_outbox;
struct worker;
struct writer;

struct outbox {
	struct service *service;
	const char *path; /* of the database */
	char *name;       /* the file's name without folder and ending */
	char *db;         /* the file's name without folder and ending; NULL unless there are several */
	struct storage *storage; /* made by the supervisor before its other threads */
	struct journal *journal;
	struct writer *writer;

	struct budget_line places; /* who of it waits for one */

	struct worker *spare; /* the supervisor's: worker_keep_spare() */
	bool wants_spare;     /* likewise */

	/* letters to the supervisor; each has an eventfd */
	struct queue results;       /* struct message, from workers: an attempt's end */
	struct queue settled;       /* struct message, from storage: after its commit */
	struct queue exits;         /* struct worker, at a worker's last breath */
	atomic_int stop;            /* STOP_…, main writes */
	atomic_bool tell_status;    /* main writes, the supervisor clears */
	atomic_bool keys_read;      /* likewise: secrets_key_file was read again */
	atomic_uint clock_followed; /* storage: so many jumps of the clock are in the table */
	atomic_bool disk_trouble;   /* storage: the last commit failed; dispatch stops */
	atomic_int places_used;     /* of max_workers, by its workers; the supervisor writes */

	/* a disk that does not answer: since when each thread is in one turn of its work, monotonic, 0 = it
	 * waits for work; and what main makes of it (daemon/disk.h) */
	_Atomic int64_t supervisor_since_ms, storage_since_ms;
	atomic_bool hangs; /* dispatch stops */

	/* for metrics_file */
	_Atomic(struct metrics_outbox *) picture;           /* the last one, or NULL: see metrics.h */
	_Atomic uint64_t commits, commit_failures, removed; /* storage writes */
	_Atomic int64_t wal_held_bytes; /* storage-ckpt writes; see storage_checkpoint() */

	/* main's own */
	pthread_t supervisor;
	bool started, joined;
	int aside;       /* places of its workers that others have while it hangs */
	bool clean;      /* ended with every thread joined and every result committed; before NEWS_ENDED */
	int exit_status; /* of NEWS_REFUSED; written before the news */
	struct words refusal;
	struct outbox_letter {
		struct queue_link link;
		struct outbox *outbox;
		enum outbox_news news;
	} opened, ended;
};

/* The threads. Each returns when its work is done. */
void *supervisor_main(void *outbox);

#endif
