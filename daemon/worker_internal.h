/*
 * worker_internal.h - the two halves of a worker: its life and one message.
 */
#ifndef OUTBOXD_DAEMON_WORKER_INTERNAL_H
#define OUTBOXD_DAEMON_WORKER_INTERNAL_H

#include <stddef.h>

#include "common/mail.h"
#include "daemon/worker.h"
#include "mime/compose.h"
#include "smtp/session.h"

/* A message in hand, from the journal's slot until its result is given back. */
struct job {
	struct job *next;
	struct message *message;
	bool under_way; /* the session has its transaction */
	int reconnects;
	/* of the row, once it was read */
	struct mail *mail;
	struct composed *composed;
	bool composed_eight_bit_mime; /* for a server that offers 8BITMIME */
	struct dsn_request dsn;
	struct transaction transaction;
};

/* What a worker thread has for itself. */
struct workplace {
	struct worker *worker;
	struct session *session; /* NULL = none open */
	struct session_observer observer;
	struct log_batch log;
	struct job *jobs; /* in hand, the oldest first */
	bool served;      /* a message was in hand before */
	bool troubled;    /* the server is in trouble: nothing more is tried on it */
	char session_id[17];
	int64_t opened_ms; /* monotonic */
	int messages;      /* on this connection */
};

/* --- worker.c ------------------------------------------------------------------ */

/* Opens a session if none is open. Not OK: trouble says what. */
enum error workplace_open(struct workplace *place, struct outcome *trouble);
/* Closes it, if open, with the reason for the log. */
void workplace_close(struct workplace *place, const char *reason);
/* Tells the watchdog that what follows is not a step with a peer. */
void workplace_no_deadline(struct workplace *place);
/* Into the worker's hand, at its end; and out of it, wherever it goes. */
void hand_add(struct worker *worker, struct message *message);
void hand_remove(struct worker *worker, struct message *message);
/* The result goes to the supervisor. */
void hand_give_result(struct worker *worker, struct message *message);

/* --- deliver.c: who goes when --------------------------------------------------- */

/* One more message in hand; it may be done with at once. */
void deliver_take(struct workplace *place, struct message *message);
/* The next that waits for its transaction, or for another one; NULL = none. */
struct job *deliver_waiting(const struct workplace *place);
/* Runs its transaction as far as the window goes. It may be done with afterwards. */
void deliver_give(struct workplace *place, struct job *job);
/* Waits until the oldest that is under way is over. */
void deliver_finish(struct workplace *place);
/* Gives back what the messages in hand were read into; also when the thread ends in the middle. */
void deliver_end(struct workplace *place);
/* The observer of session.h. */
void deliver_over(void *context, struct transaction *transaction);

static inline struct job *deliver_job_of(struct transaction *transaction)
{
	return (struct job *)((char *)transaction - offsetof(struct job, transaction));
}

/* --- deliver_row.c: the row, and what is composed of it -------------------------- */

/* Nothing happened to it; it goes back to the line. */
void deliver_set_untried(struct message *message, enum trouble trouble, const char *text);
/* Reads the row and composes it. False: the outcome is set already. */
bool deliver_read(struct workplace *place, struct job *job);
/* For a new connection, whose server may offer other things. False likewise. */
bool deliver_compose_again(struct workplace *place, struct job *job);
void deliver_give_back(struct workplace *place, struct job *job);

/* --- deliver_hold.c ----------------------------------------------------------------- */

/* The observer of session.h: journal and, with hold, the commit before the end of the data. */
enum error deliver_before_end(void *context, struct transaction *transaction);

#endif
