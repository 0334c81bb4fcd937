/*
 * deliver.h - the messages in a worker's hand, each with its attempt: who goes when (deliver.c),
 * what the row says (deliver_row.c), the moment before the end of the data (deliver_hold.c).
 *
 * Internal to the worker; its thread. What waits is said; the outcomes are the message's own.
 */
#ifndef OUTBOXD_DAEMON_DELIVER_H
#define OUTBOXD_DAEMON_DELIVER_H

#include <stddef.h>

#include "daemon/fault.h"
#include "daemon/worker_internal.h"

/* One more message in hand; it may be done with at once. */
void deliver_take(struct workplace *place, struct message *message);
/* The same while the answer to one before is awaited: it is read, and waits for its transaction. */
void deliver_take_ahead(struct workplace *place, struct message *message);
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

/*
 * For tests: the fault points deliver-STAGE, stall-STAGE (it never moves again, past its deadline)
 * and error-STAGE. True: the step is to fail. stage: a literal.
 */
#define deliver_fault(worker, stage)                                                                         \
	((void)fault_here("deliver-" stage, (worker)->settings->name),                                       \
	 fault_here("stall-" stage, (worker)->settings->name) ? deliver_stall(worker) : (void)0,             \
	 fault_here("error-" stage, (worker)->settings->name))
void deliver_stall(struct worker *worker);

/* --- deliver_row.c: the row, and what is composed of it -------------------------- */

/* Nothing happened to it; it goes back to the line. */
void deliver_set_untried(struct message *message, enum trouble trouble, const char *text);
/* While the greeting or an answer is awaited: reads the first that waits, as the last read would. */
void deliver_read_ahead(struct workplace *place);
enum deliver_reading {
	DELIVER_READ, /* and composed */
	DELIVER_OVER, /* the outcome is set already */
	DELIVER_BUSY  /* not beside the others in hand: again when they are over */
};
enum deliver_reading deliver_read(struct workplace *place, struct job *job);
/* For a new connection, whose server may offer other things. False likewise. */
bool deliver_compose_again(struct workplace *place, struct job *job);
void deliver_give_back(struct workplace *place, struct job *job);

/* --- deliver_hold.c ----------------------------------------------------------------- */

/* The observer of session.h: journal and, with hold, the commit before the end of the data. */
enum error deliver_before_end(void *context, struct transaction *transaction);

#endif
