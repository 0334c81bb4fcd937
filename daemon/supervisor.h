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
#include "common/tenant.h"
#include "daemon/breaker.h"
#include "daemon/metrics.h"
#include "daemon/quota.h"
#include "daemon/token.h"
#include "daemon/service_internal.h"
#include "daemon/supervisor_wait.h"
#include "daemon/timers.h"
#include "daemon/worker.h"
#include "daemon/writer.h"

#define READY_LOW  16  /* fetch more when fewer are ready */
#define READY_HIGH 128 /* a fetch fills up to it */

struct credential;
struct suspect;
/* What is waited for in a credential's lines (supervisor_turn.h). */
enum turn { TURN_NONE, TURN_LIMIT, TURN_CONNECTION, TURNS };

/* One for each tenant that is configured, idle or not: `make tenants` weighs it. */
struct tenant {
	UT_hash_handle hh;
	struct tenant_settings *settings; /* NULL: no such row (any more) */
	char *refused;                    /* words: settings that this version does not build; NULL = none */
	struct breaker breaker;

	/* due messages that are not with a worker, in the order they go out */
	struct queue_link *ready;
	int ready_count;
	int replace;      /* workers that failed and are to be replaced */
	int64_t next_due; /* s; of the earliest that is not due yet */

	struct quota *quota;       /* messages_per_minute, recipients_per_day; NULL: there was no limit yet */
	struct token *token;       /* with these settings; NULL: they ask for none */
	struct quota_wait limited; /* limit != QUOTA_FREE: its mail waits until then */
	int64_t limit_look_ms;     /* while the day is used up: not looked at before */
	int64_t next_limit_told_ms;    /* tenant.limited is not told again before */
	struct credential *credential; /* whose limits it shares; NULL: nobody's */
	struct tenant *member_prev, *member_next;
	struct tenant *turn_prev, *turn_next; /* in its credential's line */
	enum turn turn;                       /* which */

	struct worker *workers;
	int worker_count;            /* not retired */
	int with_workers;            /* messages given to workers */
	int unsettled;               /* messages with storage */
	int64_t quarantine_until_ms; /* monotonic, 0 = none: no workers before */
	int64_t pause_until_ms;      /* storage could not read for it: not before */
	int64_t unread_id;           /* the message that it could not read, once that was told; 0 = none */
	int64_t unread_ms;           /* when that was last so */

	/* when to attend to it again */
	struct timer timer;
	/* its turn among those that wait for a place */
	int64_t ticket; /* since when, among all that wait; 0 = it does not */
	struct tenant *next_waiting;

	/* for outbox_tenant_status */
	struct storage_counts counts;
	struct loader_stamp *stamp; /* while it is down: asks whether its secret's file is a new one */
	int64_t stamp_at_failure;   /* of the file, 0 = not known */
	bool stamp_of_refresh;      /* the refresh token's file is among them */
	int64_t next_stamp_ms;
	int64_t last_sent_at;
	char *last_error;
	struct metrics_totals totals;
	int64_t status_at_ms;  /* written last */
	int64_t next_count_ms; /* the queue is not counted before */
	struct tenant *next_dirty;
	int worker_restarts;
	/* together, so that they take little room */
	bool present;                  /* seen by the load that is under way */
	bool look;                     /* the table has or may have more than we hold */
	bool fresh;                    /* an application wrote since the last look */
	bool usage_unread;             /* what earlier processes sent is still to be read */
	bool asked, session_had;       /* in this attempt: it asked for its turn; session_held at its begin */
	bool start_held, session_held; /* one is kept for it while it waits for a session or a place */
	bool alone;                    /* one that is with a worker is a suspect: no other beside it */
	bool one_at_a_time;            /* its server was lost with several under way: never again */
	bool unread_waits;             /* unread_id: it was told as tenant.waiting */
	bool waiting, waits_for_worker; /* for a place */
	bool down;                      /* tenant.down was told and tenant.up not yet */
	bool status_dirty;
	bool status_trouble;     /* its row tells of trouble */
	int64_t expiry_check_ms; /* while it is down: next look for what has expired */
	char name[];             /* terminated */
};

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
	int waiting_of[2];                  /* those that wait: for a worker's place, for a probe's */
	bool sharing_out;                   /* the line gets what is free just now */
	struct tenant *dirty, **dirty_last; /* status to write, in the order of turns */
	bool reopen, reopened;              /* the file was replaced: close all, open anew; that was done */
	bool storage_told, places_told;     /* that a look failed; that a worker could not be started */
	bool tenants_stale;                 /* settings could not be read: again soon */
	bool accept_work;                   /* false once we stop */
	bool clock_set;                     /* the wall clock was set and the table has not followed yet */
	unsigned clock_jumps;               /* the writer's number of the last time */
	int64_t forward_ms;                 /* by how much it was set forward, all times together … */
	int64_t forward_followed_ms;        /* … and what of that the table has followed */
	int64_t wall_ahead_ms;              /* clock_wall_ahead_ms(), when it was last told that it was set */
	struct metrics_delay delay;         /* from queued to sent, of all tenants */
	uint64_t dispatches;                /* times that any of them was attended to */
	int workers;                        /* threads that have not given their exit letter */
	int64_t next_scan_ms, next_poll_ms, next_watch_ms, next_inspect_ms, next_status_ms, next_picture_ms;
	struct words inspected; /* what the last inspection said: told once */
	struct waking waking;
	struct queue_link *judged, **judged_last; /* on their way to storage, together */
	uint32_t dice;                            /* of the jitter: thrown anew for each message */
	int quiet; /* polls in a row that found nothing, with nothing in hand */
};

#endif
