/*
 * supervisor_record.h - what the supervisor keeps of each tenant. Internal to it; its thread.
 *
 * There is one for each that is configured, idle or not: 10,000 of them shall cost little, so what few
 * have at a time has a record of its own that comes and goes. `make tenants` weighs it, and a
 * unit test holds its size.
 */
#ifndef OUTBOXD_DAEMON_SUPERVISOR_RECORD_H
#define OUTBOXD_DAEMON_SUPERVISOR_RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "common/tenant.h"
#include "daemon/breaker.h"
#include "daemon/metrics.h"
#include "daemon/quota.h"
#include "daemon/timers.h"
#include "daemon/token.h"
#include "storage/storage.h"

struct credential;
struct loader_stamp;
struct queue_link;
struct worker;

/* What is waited for in a credential's lines (supervisor_turn.h). */
enum turn { TURN_NONE, TURN_LIMIT, TURN_CONNECTION, TURNS };

/* Of a tenant that waits for a limit, is down, quarantined or cannot be read; all 0 = nothing of it. */
struct tenant_rare {
	struct quota_wait limited;   /* limit != QUOTA_FREE: its mail waits until then */
	int64_t limit_look_ms;       /* while the day is used up: not looked at before */
	int64_t next_limit_told_ms;  /* tenant.limited is not told again before */
	int64_t quarantine_until_ms; /* monotonic, 0 = none: no workers before */
	int64_t pause_until_ms;      /* storage could not read for it: not before */
	int64_t unread_id;           /* the message that it could not read, once that was told; 0 = none */
	int64_t unread_ms;           /* when that was last so */
	int64_t expiry_check_ms;     /* while it is down: next look for what has expired */
	struct loader_stamp *stamp;  /* while it is down: asks whether its secret's file is a new one */
	int64_t stamp_at_failure;    /* of the file, 0 = not known */
	int64_t next_stamp_ms;
	struct tenant *next_for_slot; /* behind it in that line (supervisor_slot.h) */
	bool waits_for_slot;
	bool stamp_of_refresh; /* the refresh token's file is among them */
	bool unread_waits;     /* unread_id: it was told as tenant.waiting */
};

struct tenant {
	UT_hash_handle hh;
	struct tenant_settings *settings; /* NULL: no such row (any more) */
	char *refused;                    /* words: settings that this version does not build; NULL = none */
	struct tenant_rare *rare;         /* NULL: nothing of it; by tenant_rare() and tenant_rare_use() */
	struct breaker breaker;

	/* due messages that are not with a worker, in the order they go out */
	struct queue_link *ready;
	int ready_count;
	int replace;      /* workers that failed and are to be replaced */
	int64_t next_due; /* s; of the earliest that is not due yet */

	struct quota *quota; /* messages_per_minute, recipients_per_day; NULL: there was no limit yet */
	struct token *token; /* with these settings; NULL: they ask for none */
	struct credential *credential; /* whose limits it shares; NULL: nobody's */
	struct tenant *member_prev, *member_next;
	struct tenant *turn_prev, *turn_next; /* in its credential's line */
	enum turn turn;                       /* which */

	int worker_count; /* not retired */
	struct worker *workers;
	int with_workers; /* messages given to workers */
	int unsettled;    /* messages with storage */

	/* when to attend to it again */
	struct timer timer;
	/* its turn among those that wait for a place */
	int64_t ticket; /* since when, among all that wait; 0 = it does not */
	struct tenant *next_waiting;

	/* for outbox_tenant_status */
	struct storage_counts counts;
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
	bool waiting, waits_for_worker; /* for a place */
	bool down;                      /* tenant.down was told and tenant.up not yet */
	bool status_dirty;
	bool status_trouble; /* its row tells of trouble */
	char name[];         /* terminated; in the padding, too */
};

/* To read: never NULL. */
const struct tenant_rare *tenant_rare(const struct tenant *tenant);
/* To write: made if there is none. Valid until the supervisor's next round of status rows. */
struct tenant_rare *tenant_rare_use(struct tenant *tenant);
/* Takes it away if it says nothing any more. */
void tenant_rare_rest(struct tenant *tenant);

#endif
