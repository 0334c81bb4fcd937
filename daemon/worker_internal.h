/*
 * worker_internal.h - what a worker has for itself: its session and the messages in hand.
 *
 * Internal to worker*.c and deliver*.c; the worker's thread.
 */
#ifndef OUTBOXD_DAEMON_WORKER_INTERNAL_H
#define OUTBOXD_DAEMON_WORKER_INTERNAL_H

#include "common/mail.h"
#include "daemon/loader.h"
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
	bool read_ahead; /* it is not the last read yet */
	struct composed *composed;
	int64_t charged;              /* octets of the service's room, beside what the row has */
	bool composed_eight_bit_mime; /* for a server that offers 8BITMIME */
	struct dsn_request dsn;
	struct transaction transaction;
};

/* What a worker thread has for itself. */
struct workplace {
	struct worker *worker;
	struct session *session;    /* NULL = none open */
	struct materials materials; /* while one is being opened */
	struct session_observer observer;
	struct log_batch log;
	struct job *jobs; /* in hand, the oldest first */
	bool served;      /* a message was in hand before */
	bool troubled;    /* the server is in trouble: nothing more is tried on it */
	bool quick;       /* the end of the last message was answered at once */
	int64_t turn_us;  /* monotonic: since then an answer is awaited */
	char session_id[17];
	int64_t opened_ms; /* monotonic */
	int messages;      /* on this connection */
};

struct workplace *workplace_create(struct worker *worker); /* free(3) when it has ended; any thread */
/* What is in the inbox, until it is time to leave. */
void workplace_serve(struct workplace *place);
/* Opens a session if none is open. Not OK: trouble says what. */
enum error workplace_open(struct workplace *place, struct outcome *trouble);
/* Closes it, if open, with the reason for the log. */
void workplace_close(struct workplace *place, const char *reason);
/* Tells the watchdog that what follows is not a step with a peer. */
void workplace_no_deadline(struct workplace *place);
/* It was told to end after the message in hand, or to stop. */
bool worker_is_leaving(const struct worker *worker);
/* Into the worker's hand, at its end; and out of it, wherever it goes. */
void hand_add(struct worker *worker, struct message *message);
void hand_remove(struct worker *worker, struct message *message);
/* The result goes to the supervisor. */
void hand_give_result(struct worker *worker, struct message *message);

#endif
