/*
 * worker.h - a thread that holds one session with one tenant's server.
 *
 * Straight-line code: take a message from the inbox, open a session if none is
 * open, read the row, run the transaction, give the result back; the next ones meanwhile, as
 * far as the session's window goes. It parks with
 * its connection for idle_timeout, then ends. Its exit is a letter embedded in it,
 * pushed by a thread-specific destructor: an exit cannot fail and cannot be silent.
 */
#ifndef OUTBOXD_DAEMON_WORKER_H
#define OUTBOXD_DAEMON_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/message.h"
#include "common/queue.h"
#include "common/tenant.h"
#include "daemon/service_internal.h"

struct credential;
struct quota;
struct thread_stack;
struct token;
struct workplace;

struct worker {
	struct queue_link exit_link; /* first member: the letter to outbox->exits */
	struct outbox *outbox;
	struct tenant_settings *settings; /* held: never others than these on this connection */
	struct tenant_basis basis;        /* the same, for what is read; the worker's thread */
	struct quota *quota;              /* held, NULL = no limits; set before the first message */
	struct token *token;              /* held, NULL = none; set before the first message */
	int number;                       /* of this tenant's sessions, from 1 */
	pthread_t thread;
	struct thread_stack *stack; /* NULL = the C library's */
	struct queue inbox;         /* struct message */

	/* words from the supervisor */
	atomic_int stop;   /* STOP_… */
	atomic_bool leave; /* end after the message in hand, give the rest back */

	/* published by the worker */
	_Atomic int64_t
		deadline_ms; /* the step it is in ends by then; DEADLINE_NEVER while parked or in storage */
	atomic_int stage;    /* enum stage */
	_Atomic int64_t message_id; /* the oldest in hand, 0 = none */
	atomic_bool clean;          /* it ended on purpose */

	struct workplace *place; /* the worker's own things (worker_internal.h) */

	/* the worker's until its exit, then the supervisor's */
	struct queue_link *hand; /* messages in hand, the oldest first */
	struct queue_link *kept; /* taken from the inbox, not begun */

	/* the supervisor's own */
	struct tenant *tenant;
	struct worker *next;
	int given;       /* messages it has not given back yet */
	bool probe;      /* in a probe's place */
	bool retired;    /* told to leave: counts no longer for its tenant */
	bool makes_room; /* told to leave for others */
	struct credential
		*credential; /* it may have a session with it; NULL: it has none, or shares with nobody */
	struct worker *connected_prev, *connected_next; /* of the credential's */
	bool aside; /* it is slow to leave: others have its place meanwhile */
	int64_t retired_ms;
	bool stall_told;
	int64_t place_since_ms;
	bool one_at_a_time; /* its sessions have a window of 1; constant once it runs */
	int batch;          /* messages to give it at a time */
	bool quick;         /* its last message was answered soon: nobody waits long behind another */
	int64_t batch_given_ms;
};

/*
 * Starts the thread `w:TENANT`, or lets the spare one be it; it is to get a message. Supervisor thread. NULL
 * and words if the system has none for us now. one_at_a_time: see session.h.
 */
struct worker *worker_start(struct outbox *outbox, struct tenant_settings *settings, int number,
                            bool one_at_a_time, struct words *words);

/*
 * Makes a thread that waits for the next worker_start(), if there is none and one was used: a thread that is
 * there already begins half a millisecond sooner. One an outbox, named `w:`, counted nowhere. For leisure.
 * Supervisor thread, and before its end the other one.
 */
void worker_keep_spare(struct outbox *outbox);
void worker_end_spare(struct outbox *outbox);

/* Once a process, before the first worker. */
void worker_setup(void);

/* After its exit letter: joins the thread and frees; kept and hand must have been taken. */
void worker_destroy(struct worker **worker);

/* Tells it to stop (STOP_…), or to leave; wakes it. Supervisor thread. */
void worker_tell_stop(struct worker *worker, int level);
void worker_tell_leave(struct worker *worker);

#endif
