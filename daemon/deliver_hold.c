/*
 * deliver_hold.c - just before the end of a message's data may be with the server.
 *
 * Promises that a crash from here on is known for what it is: the journal says so
 * and, with on_uncertain = hold, the table.
 */
#include <unistd.h>

#include "common/wait.h"
#include "daemon/deliver.h"
#include "daemon/fault.h"
#include "daemon/writer.h"

/* For the commit before the end: accepted recipients are uncertain, in an attempt that counts. And back. */
static void mark_accepted(struct transaction *transaction, bool uncertain)
{
	const enum verdict from = uncertain ? VERDICT_NONE : VERDICT_UNCERTAIN;

	for (size_t i = 0; i < transaction->recipient_count; i++) {
		struct recipient *recipient = &transaction->recipients[i];

		if (!recipient->wanted || recipient->outcome.verdict != from)
			continue;
		recipient->outcome.verdict = uncertain ? VERDICT_UNCERTAIN : VERDICT_NONE;
		recipient->attempts += uncertain ? 1 : -1;
	}
}

/* Commits that the accepted recipients are uncertain from now on; false if that failed. */
static bool hold_commit(struct workplace *place, struct message *message)
{
	struct worker *worker = place->worker;
	struct queue_link **last = &worker->kept;

	workplace_no_deadline(place);
	hand_remove(worker, message);
	writer_hold(worker->outbox->writer, message, &worker->inbox);
	/* The writer always answers: one commit, done or failed. Other mail may come first. */
	for (;;) {
		struct queue_link *link = queue_take(&worker->inbox);

		if (link == &message->link)
			break;
		if (!link) {
			wait_briefly(NULL, 0, -1);
			continue;
		}
		while (*last)
			last = &(*last)->next;
		link->next = NULL;
		*last = link;
	}
	hand_add(worker, message);
	/* Cancelled meanwhile is no commit either: it goes back to the line, where it is not found again. */
	return message->settled == SETTLED;
}

/*
 * All but the end of the data is given. From here on a crash means UNCERTAIN;
 * with on_uncertain = hold the table must know it before the server can.
 */
enum error deliver_before_end(void *context, struct transaction *transaction)
{
	struct workplace *place = context;
	struct worker *worker = place->worker;
	struct message *message = deliver_job_of(transaction)->message;

	if (fault_here("worker-end-in-data", worker->settings->name))
		pthread_exit(NULL);
	if (deliver_fault(worker, "data"))
		return ERROR_UNAVAILABLE;
	if (worker->settings->on_uncertain == ON_UNCERTAIN_HOLD) {
		bool committed;

		mark_accepted(transaction, true);
		committed = hold_commit(place, message);
		mark_accepted(transaction, false);
		if (!committed)
			return ERROR_UNAVAILABLE;
	}
	message->past_end = true;
	journal_mark(worker->outbox->journal, message->journal_slot, JOURNAL_PAST_END);
	if (fault_here("worker-end-past-end", worker->settings->name))
		pthread_exit(NULL);
	if (deliver_fault(worker, "past-end"))
		return ERROR_UNAVAILABLE;
	if (fault_here("service-end-in-data", worker->settings->name))
		_exit(99);
	return OK;
}
