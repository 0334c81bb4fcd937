/*
 * worker_internal.h - the two halves of a worker: its life and one message.
 */
#ifndef OUTBOXD_DAEMON_WORKER_INTERNAL_H
#define OUTBOXD_DAEMON_WORKER_INTERNAL_H

#include "common/mail.h"
#include "daemon/worker.h"
#include "mime/compose.h"
#include "smtp/session.h"

/* What a worker thread has for itself. */
struct workplace {
	struct worker *worker;
	struct session *session; /* NULL = none open */
	struct session_observer observer;
	struct log_batch log;
	bool served; /* a message was in hand before */
	char session_id[17];
	int64_t opened_ms; /* monotonic */
	int messages;      /* on this connection */
	/* of the message in hand, until deliver_end() */
	struct mail *mail;
	struct composed *composed;
	bool composed_eight_bit_mime; /* for a server that offers 8BITMIME */
	struct dsn_request dsn;
};

/* Opens a session if none is open. Not OK: trouble says what. */
enum error workplace_open(struct workplace *place, struct outcome *trouble);
/* Closes it, if open, with the reason for the log. */
void workplace_close(struct workplace *place, const char *reason);

/* Runs one attempt of worker->current: its outcomes are set, it is still the worker's. */
void deliver(struct workplace *place);

/* Gives back what the message in hand was read into; also when the thread ends in the middle. */
void deliver_end(struct workplace *place);

/* The observer of session.h: journal and, with hold, the commit before the end of the data. */
enum error deliver_before_end(void *context, struct transaction *transaction);

/* Tells the watchdog that what follows is not a step with a peer. */
void workplace_no_deadline(struct workplace *place);

#endif
