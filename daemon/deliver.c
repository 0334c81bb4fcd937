/*
 * deliver.c - the messages in a worker's hand, each with its attempt.
 *
 * The order is a promise: the journal first, then the session, then the last read of the
 * row, then the transaction. As many are under way at once as the session's window
 * has room for; each has its own outcome and goes back as soon as it is known. Every path
 * sets the outcomes; none loses a message.
 */
#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "daemon/deliver.h"
#include "daemon/fault.h"
#include "daemon/limit.h"

#define RECONNECTS_MAX 3    /* of one message, after reused connections that were closed */
#define QUICKLY_US     1000 /* an answer: reading the next message is a good part of the time between two */

/* --- jobs ------------------------------------------------------------------------ */

static struct job *add_job(struct workplace *place, struct message *message)
{
	struct job *job = memory_alloc(sizeof(*job)), **last = &place->jobs;

	job->message = message;
	while (*last)
		last = &(*last)->next;
	*last = job;
	hand_add(place->worker, message);
	return job;
}

/* It has its outcomes: back to the supervisor. */
static void end_job(struct workplace *place, struct job *job)
{
	struct message *message = job->message;
	struct job **at = &place->jobs;

	assert(!job->under_way);
	while (*at != job)
		at = &(*at)->next;
	*at = job->next;
	message->ended_ms = clock_monotonic_ms();
	place->served = true;
	place->troubled = place->troubled || message->outcome.trouble != TROUBLE_NONE;
	message_charge(message, &place->worker->outbox->service->room); /* until its commit */
	deliver_give_back(place, job);
	free(job);
	log_push(&place->log); /* of its session before what becomes of it */
	hand_give_result(place->worker, message);
}

void deliver_end(struct workplace *place)
{
	while (place->jobs) {
		struct job *job = place->jobs;

		place->jobs = job->next;
		deliver_give_back(place, job);
		free(job);
	}
}

struct job *deliver_waiting(const struct workplace *place)
{
	struct job *job = place->jobs;

	while (job && job->under_way)
		job = job->next;
	return job;
}

/* --- what came of a transaction --------------------------------------------------------- */

static bool has_untried(const struct message *message)
{
	for (size_t i = 0; i < message->recipient_count; i++) {
		if (message->recipients[i].wanted &&
		    message->recipients[i].outcome.verdict == VERDICT_UNTRIED)
			return true;
	}
	return false;
}

/* Those who have an answer sit out the next transaction. True if somebody was answered. */
static bool keep_answered(struct message *message)
{
	bool answered = false;

	for (size_t i = 0; i < message->recipient_count; i++) {
		struct recipient *recipient = &message->recipients[i];

		if (!recipient->wanted || recipient->outcome.verdict == VERDICT_UNTRIED)
			continue;
		recipient->wanted = false;
		answered = true;
	}
	return answered;
}

/* Whether the server may have the message: decides what a crash before the commit means. */
static bool may_have_arrived(const struct message *message)
{
	for (size_t i = 0; i < message->recipient_count; i++) {
		enum verdict verdict = message->recipients[i].outcome.verdict;

		if (verdict == VERDICT_SENT || verdict == VERDICT_UNCERTAIN)
			return true;
	}
	return false;
}

/*
 * Transactions until every wanted recipient has an answer: a server that takes
 * only so many a time gets the rest in the next one; a reused connection that
 * was closed before it took anything is replaced at once.
 */
static bool goes_again(struct workplace *place, struct job *job)
{
	struct message *message = job->message;
	bool answered = keep_answered(message);

	if (!has_untried(message) || message->outcome.trouble != TROUBLE_NONE ||
	    atomic_load(&place->worker->stop) != STOP_NONE)
		return false;
	return answered || ++job->reconnects <= RECONNECTS_MAX;
}

void deliver_over(void *context, struct transaction *transaction)
{
	struct workplace *place = context;
	struct job *job = deliver_job_of(transaction);
	struct message *message = job->message;
	struct session_facts facts;

	session_facts(place->session, &facts);
	message->lost_in_company = facts.lost_in_company;
	job->under_way = false;
	place->quick = clock_monotonic_us() - place->turn_us < fault_number("quick-us", QUICKLY_US);
	outcome_clear(&message->outcome);
	message->outcome = transaction->outcome;
	transaction->outcome = (struct outcome){ .text = NULL };
	message->past_end = may_have_arrived(message);
	if (!message->past_end)
		journal_mark(place->worker->outbox->journal, message->journal_slot, JOURNAL_IN_HAND);
	limit_end(place->worker->quota, message);
	if (!goes_again(place, job))
		end_job(place, job);
}

/* --- a transaction ----------------------------------------------------------------------- */

static void note_session(struct workplace *place, struct message *message)
{
	struct session_facts facts;

	session_facts(place->session, &facts);
	free(message->server);
	free(message->tls);
	free(message->session);
	message->server = memory_strdup(facts.server);
	message->tls = memory_strdup(facts.tls);
	message->session = memory_strdup(place->session_id);
}

static void note_dsn(const struct workplace *place, const struct job *job)
{
	struct message *message = job->message;
	struct session_facts facts;

	session_facts(place->session, &facts);
	if (dsn_is_asked(&job->dsn) && message->dsn != DSN_NOT_OFFERED)
		message->dsn = facts.dsn ? DSN_ASKED : DSN_NOT_OFFERED;
}

static void transact(struct workplace *place, struct job *job)
{
	struct composed *composed = job->composed;
	struct message *message = job->message;

	job->transaction = (struct transaction){
		.sender = composed->envelope.sender,
		.recipients = message->recipients,
		.recipient_count = message->recipient_count,
		.source = composed->source,
		.size = composed->size,
		.eight_bit = composed->envelope.eight_bit,
		.smtputf8 = composed->envelope.smtputf8,
		.dsn = &job->dsn,
	};
	note_session(place, message);
	note_dsn(place, job);
	job->under_way = true;
	place->messages++;
	session_give(place->session, &job->transaction);
	/* the job may be done with */
	workplace_no_deadline(place);
}

void deliver_finish(struct workplace *place)
{
	bool waited = session_finish(place->session);

	assert(waited);
	(void)waited;
	workplace_no_deadline(place);
}

static bool has_served_its_number(const struct workplace *place)
{
	return place->messages >= place->worker->settings->max_messages_per_session;
}

/*
 * A session for the next transaction, with room in its window: what is read then goes at once.
 * An old one that has served its number is closed first.
 */
static bool have_session(struct workplace *place, struct message *message)
{
	enum error error;

	while (place->session && session_under_way(place->session) > 0 &&
	       (session_under_way(place->session) >= session_window(place->session) ||
	        !session_usable(place->session) || has_served_its_number(place)))
		deliver_finish(place);
	if (place->troubled) {
		deliver_set_untried(message, TROUBLE_NONE, "the server is in trouble");
		return false;
	}
	if (place->session && !session_usable(place->session))
		workplace_close(place, "not usable after the last message");
	if (place->session && has_served_its_number(place))
		workplace_close(place, "max_messages_per_session");
	error = workplace_open(place, &message->outcome);
	if (error == OK)
		return true;
	if (message->outcome.verdict == VERDICT_NONE)
		message->outcome.verdict = VERDICT_UNTRIED;
	return false;
}

static bool nobody_wanted(const struct message *message)
{
	for (size_t i = 0; i < message->recipient_count; i++) {
		if (message->recipients[i].wanted)
			return false;
	}
	return true;
}

/*
 * No session: it has expired and everybody who is not done is told so, or an
 * earlier process ended while its reply was awaited and nobody knows.
 */
static void finish_offline(struct message *message)
{
	for (size_t i = 0; i < message->recipient_count; i++) {
		struct recipient *recipient = &message->recipients[i];

		if (recipient->state == DELIVERY_SENT || recipient->state == DELIVERY_FAILED)
			continue;
		recipient->outcome.scope = SCOPE_MESSAGE;
		if (message->recovered) {
			recipient->outcome.verdict = VERDICT_UNCERTAIN;
			recipient->outcome.stage = STAGE_END;
			outcome_say(&recipient->outcome,
			            "outboxd ended while the server's reply was awaited");
		} else {
			recipient->outcome.verdict = VERDICT_REFUSED;
			outcome_say(&recipient->outcome, "expired: it could not be delivered in time");
		}
	}
}

/* A step whose deadline is now, and that never ends. */
void deliver_stall(struct worker *worker)
{
	atomic_store(&worker->deadline_ms, clock_monotonic_ms());
	(void)fault_here("stalling", worker->settings->name);
	for (;;)
		pause();
}

/* DELIVER_OVER: it has its outcomes, without a transaction. */
static enum deliver_reading prepare(struct workplace *place, struct job *job)
{
	struct worker *worker = place->worker;
	struct message *message = job->message;
	enum deliver_reading reading;

	if (job->mail && !job->read_ahead)
		return deliver_compose_again(place, job) ? DELIVER_READ : DELIVER_OVER;
	message->opened_ms = clock_monotonic_ms();
	reading = deliver_read(place, job);
	if (reading != DELIVER_READ)
		return reading;
	if (message->offline) {
		finish_offline(message);
		if (message->recovered)
			limit_recovered(worker->quota, message);
		return DELIVER_OVER;
	}
	if (nobody_wanted(message)) {
		message->outcome.verdict = VERDICT_NONE;
		return DELIVER_OVER;
	}
	if (deliver_fault(worker, "mail")) {
		deliver_set_untried(message, TROUBLE_NONE, "a fault of a test");
		return DELIVER_OVER;
	}
	return DELIVER_READ;
}

/* What the others have is for this one as well, and is not there twice: they come to their end first. */
static void end_all_but(struct workplace *place, const struct job *job)
{
	struct job *other;

	do {
		while (place->session && session_under_way(place->session) > 0)
			deliver_finish(place);
		for (other = place->jobs; other && (other == job || !other->mail);)
			other = other->next;
		if (other) /* it goes again: with fewer recipients, or one of few reconnects less */
			deliver_give(place, other);
	} while (other);
}

void deliver_give(struct workplace *place, struct job *job)
{
	struct message *message = job->message;
	enum deliver_reading reading = DELIVER_BUSY;

	while (reading == DELIVER_BUSY && (message->offline || have_session(place, message))) {
		reading = prepare(place, job);
		if (reading == DELIVER_BUSY)
			end_all_but(place, job);
	}
	if (reading == DELIVER_READ && limit_begin(place->worker->quota, message))
		transact(place, job);
	else
		end_job(place, job);
}

/* NULL: it is done with already. */
static struct job *begin(struct workplace *place, struct message *message)
{
	struct worker *worker = place->worker;
	struct job *job = add_job(place, message);

	if (fault_here("worker-end", worker->settings->name))
		pthread_exit(NULL);
	message->taken_ms = clock_monotonic_ms();
	/* First of all: whatever goes wrong with it, a crash while it is composed too, has its name. */
	message->journal_slot = journal_take(worker->outbox->journal, message);
	if (message->journal_slot < 0) {
		deliver_set_untried(message, TROUBLE_NONE, "the in-flight journal is full");
		message->settled = SETTLED_LOST;
		end_job(place, job);
		return NULL;
	}
	if (fault_here("worker-stall", worker->settings->name))
		deliver_stall(worker);
	if (deliver_fault(worker, "taken")) {
		deliver_set_untried(message, TROUBLE_NONE, "a fault of a test");
		end_job(place, job);
		return NULL;
	}
	return job;
}

void deliver_take(struct workplace *place, struct message *message)
{
	struct job *job = begin(place, message);

	if (job)
		deliver_give(place, job);
}

void deliver_take_ahead(struct workplace *place, struct message *message)
{
	int64_t deadline_ms = atomic_load(&place->worker->deadline_ms);
	struct job *job = begin(place, message);

	if (job && !message->offline)
		deliver_read_ahead(place);
	atomic_store(&place->worker->deadline_ms, deadline_ms);
}
