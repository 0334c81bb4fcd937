/*
 * supervisor.h - one thread an outbox: what is due, who sends it, what came of it.
 *
 * Internal to daemon/: the supervisor's files share struct supervisor. It owns
 * the outbox's reading connection, the ids in hand, the tenants with their
 * settings and breakers, the due times and the workers; nobody else touches
 * them. It never waits for a peer, a file of a tenant, or the write lock.
 */
#ifndef OUTBOXD_DAEMON_SUPERVISOR_H
#define OUTBOXD_DAEMON_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "common/log.h"
#include "common/message.h"
#include "daemon/metrics.h"
#include "daemon/service_internal.h"
#include "daemon/supervisor_record.h"
#include "daemon/supervisor_wait.h"
#include "daemon/timers.h"
#include "daemon/worker.h"
#include "daemon/writer.h"

#define READY_LOW  16  /* fetch more when fewer are ready */
#define READY_HIGH 128 /* a fetch fills up to it */

struct suspect;

/* One id that is with us: from the look until its commit. */
struct in_hand {
	int64_t id;
	UT_hash_handle hh;
	struct tenant *tenant;
	int64_t due_at; /* as the table had it when it was taken: with the next two it tells a try */
	int attempts, requeue;
	bool seen; /* a look dropped another try of it meanwhile: look again when it leaves */
};

struct supervisor {
	struct outbox *outbox;
	struct log_batch log;
	struct tenant *tenants;             /* hash by name */
	struct in_hand *in_hand;            /* hash by id */
	struct suspect *suspects;           /* hash by id */
	struct credential *credentials;     /* hash by key */
	struct credential *credential_news; /* to be settled */
	struct credential *contended;       /* whose sessions are waited for */
	struct timers timers;
	struct tenant *waiting_first, **waiting_last;
	int waiting_of[2];                        /* those that wait: for a worker's place, for a probe's */
	bool sharing_out;                         /* the line gets what is free just now */
	int slots_taken;                          /* of the journal: messages with workers or with storage */
	struct tenant *slots_first, **slots_last; /* who waits for one; where there is one who does */
	int slots_waiting;                        /* how many these are */
	struct tenant *slots_served;              /* whose turn it is; NULL = nobody's */
	struct tenant *dirty, **dirty_last;       /* status to write, in the order of turns */
	bool reopen, reopened;          /* the file was replaced: close all, open anew; that was done */
	bool storage_told, places_told; /* that a look failed; that a worker could not be started */
	bool tenants_stale;             /* settings could not be read: again soon */
	bool accept_work;               /* false once we stop */
	bool clock_set;                 /* the wall clock was set and the table has not followed yet */
	unsigned clock_jumps;           /* the writer's number of the last time */
	int64_t forward_ms;             /* by how much it was set forward, all times together … */
	int64_t forward_followed_ms;    /* … and what of that the table has followed */
	int64_t wall_ahead_ms;          /* clock_wall_ahead_ms(), when it was last told that it was set */
	struct metrics_delay delay;     /* from queued to sent, of all tenants */
	uint64_t dispatches;            /* times that any of them was attended to */
	int workers;                    /* threads that have not given their exit letter */
	int64_t next_scan_ms, next_poll_ms, next_watch_ms, next_inspect_ms, next_status_ms, next_picture_ms;
	struct words inspected; /* what the last inspection said: told once */
	struct waking waking;
	struct queue_link *judged, **judged_last; /* on their way to storage, together */
	uint32_t dice;                            /* of the jitter: thrown anew for each message */
	int quiet; /* polls in a row that found nothing, with nothing in hand */
};

#endif
