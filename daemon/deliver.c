/*
 * deliver.c - one attempt of one message, in its worker's thread.
 *
 * The order is a promise: the session first, then the last read of the row
 * ("never twice", rule d: it comes just before MAIL), then the journal, then the
 * transaction. Every path sets the outcomes; none loses the message.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/wait.h"
#include "daemon/fault.h"
#include "daemon/judge.h"
#include "daemon/limit.h"
#include "daemon/worker_internal.h"
#include "daemon/writer.h"

#define TAKE_DEADLINE_MS 30000
#define RECONNECTS_MAX   3 /* of one message, after reused connections that were closed */

void deliver_end(struct workplace *place)
{
	composed_destroy(&place->composed);
	if (place->mail)
		storage_give_back(place->worker->outbox->storage, &place->mail);
}

/* Nothing happened to it; it goes back to the line. */
static void set_untried(struct message *message, enum trouble trouble, const char *text)
{
	message->outcome.verdict = VERDICT_UNTRIED;
	message->outcome.scope = trouble == TROUBLE_NONE ? SCOPE_NONE : SCOPE_TENANT;
	message->outcome.trouble = trouble;
	outcome_say(&message->outcome, "%s", text);
}

static void set_invalid(struct message *message, const char *text)
{
	message->invalid = true;
	message->outcome.verdict = VERDICT_REFUSED;
	message->outcome.scope = SCOPE_MESSAGE;
	outcome_say(&message->outcome, "%s", text);
}

/*
 * With on_uncertain = hold an uncertain recipient takes no part until an application
 * has decided: that sets its attempts to 0. An answer since then (a 4xx) is none in doubt.
 */
static bool is_held(const struct recipient *known)
{
	return known->state == DELIVERY_UNCERTAIN && known->attempts > 0 && known->outcome.code == 0;
}

/* What the table already knows of a recipient decides whether it takes part. */
static void adopt_known(struct message *message, const struct mail *mail, bool hold)
{
	for (size_t i = 0; i < message->recipient_count; i++) {
		struct recipient *recipient = &message->recipients[i];

		for (size_t k = 0; k < mail->known_count; k++) {
			if (!recipient_same_address(mail->known[k].address, recipient->address))
				continue;
			recipient->state = mail->known[k].state;
			recipient->attempts = mail->known[k].attempts;
			recipient->once_uncertain = mail->known[k].once_uncertain ||
			                            recipient->state == DELIVERY_UNCERTAIN;
			if (hold && is_held(&mail->known[k]))
				recipient->wanted = false;
		}
		if (recipient->state == DELIVERY_SENT || recipient->state == DELIVERY_FAILED)
			recipient->wanted = false;
		if (recipient->state == DELIVERY_UNCERTAIN ||
		    (recipient->wanted && recipient->once_uncertain))
			message->duplicate_possible = true;
	}
}

/* The composed message in struct message's terms. */
static void adopt_composed(struct worker *worker, struct message *message, const struct mail *mail,
                           const struct composed *composed)
{
	for (size_t i = 0; i < composed->envelope.recipient_count; i++)
		message_add_recipient(message, composed->envelope.recipients[i]);
	message->from = memory_strdup(composed->envelope.sender);
	message->message_id = memory_strdup(composed->message_id);
	message->reference = memory_strdup(mail->reference);
	if (!message->offline) /* what has no session is read without its attachments */
		message->size = composed->size;
	adopt_known(message, mail, worker->settings->on_uncertain == ON_UNCERTAIN_HOLD);
	if (message->queued_at_ms < journal_suspect_until_ms(worker->outbox->journal))
		message->duplicate_possible = true;
}

static bool offers_eight_bit_mime(const struct workplace *place)
{
	struct session_facts facts = { .eight_bit_mime = false };

	if (place->session)
		session_facts(place->session, &facts);
	return facts.eight_bit_mime;
}

/* For what this session's server offers. */
static enum error compose(struct workplace *place, struct words *words)
{
	struct compose_options options = {
		.instance = storage_instance(place->worker->outbox->storage),
		.eight_bit_mime = offers_eight_bit_mime(place),
	};
	enum error error = dsn_parse(place->mail->dsn_notify, place->mail->dsn_return, &place->dsn, words);

	if (error != OK)
		return error;
	/* a function of the row, which names no address: a repeat has the same */
	snprintf(place->dsn.envelope_id, sizeof(place->dsn.envelope_id), "%" PRId64 ".%s", place->mail->id,
	         options.instance);
	composed_destroy(&place->composed);
	place->composed_eight_bit_mime = options.eight_bit_mime;
	return mime_compose(place->mail, &options, &place->composed, words);
}

/* Reads the row and composes it. False: the outcome is set already. */
static bool prepare(struct workplace *place, struct message *message)
{
	struct worker *worker = place->worker;
	struct outbox *outbox = worker->outbox;
	struct words words = { "" };
	enum error error;

	workplace_no_deadline(place);
	error = storage_take(outbox->storage, message, clock_monotonic_ms() + TAKE_DEADLINE_MS, &place->mail,
	                     &words);
	if (error == ERROR_NOT_FOUND) {
		set_untried(message, TROUBLE_NONE, "no longer to be sent");
		message->settled = SETTLED_GONE;
		return false;
	}
	if (error != OK && error != ERROR_INVALID) {
		set_untried(message, TROUBLE_NONE, words.text);
		message->settled = SETTLED_LOST;
		return false;
	}
	if (error == OK)
		error = compose(place, &words);
	if (error == OK)
		error = mime_envelope_allowed(worker->settings->allowed_senders, &place->composed->envelope,
		                              &words)
		                ? OK
		                : ERROR_INVALID;
	if (error == ERROR_INVALID || error == ERROR_LIMIT) {
		message->reference = memory_strdup(place->mail->reference);
		set_invalid(message, words.text);
		return false;
	}
	if (error != OK) {
		set_untried(message, TROUBLE_NONE, words.text);
		message->settled = SETTLED_LOST;
		return false;
	}
	adopt_composed(worker, message, place->mail, place->composed);
	return true;
}

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
	worker->current = NULL;
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
	worker->current = message;
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
	struct message *message = worker->current;

	if (fault_here("worker-end-in-data", worker->settings->name))
		pthread_exit(NULL);
	fault_here("deliver-data", worker->settings->name);
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
	fault_here("deliver-past-end", worker->settings->name);
	if (fault_here("service-end-in-data", worker->settings->name))
		_exit(99);
	return OK;
}

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

static void note_dsn(const struct workplace *place, struct message *message)
{
	struct session_facts facts;

	session_facts(place->session, &facts);
	if (dsn_is_asked(&place->dsn) && message->dsn != DSN_NOT_OFFERED)
		message->dsn = facts.dsn ? DSN_ASKED : DSN_NOT_OFFERED;
}

static void transact(struct workplace *place, struct message *message)
{
	struct composed *composed = place->composed;
	struct transaction transaction = {
		.sender = composed->envelope.sender,
		.recipients = message->recipients,
		.recipient_count = message->recipient_count,
		.source = composed->source,
		.size = composed->size,
		.eight_bit = composed->envelope.eight_bit,
		.smtputf8 = composed->envelope.smtputf8,
		.dsn = &place->dsn,
	};

	composed->source->rewind(composed->source);
	note_session(place, message);
	note_dsn(place, message);
	session_send(place->session, &transaction);
	workplace_no_deadline(place);
	place->messages++;
	outcome_clear(&message->outcome);
	message->outcome = transaction.outcome;
	message->past_end = may_have_arrived(message);
	if (!message->past_end)
		journal_mark(place->worker->outbox->journal, message->journal_slot, JOURNAL_IN_HAND);
}

/* A session for the next transaction: an old one that has served its number is closed first. */
static bool have_session(struct workplace *place, struct message *message)
{
	struct worker *worker = place->worker;
	enum error error;

	if (place->session && !session_usable(place->session))
		workplace_close(place, "not usable after the last message");
	if (place->session && place->messages >= worker->settings->max_messages_per_session)
		workplace_close(place, "max_messages_per_session");
	error = workplace_open(place, &message->outcome);
	if (error == OK)
		return true;
	if (message->outcome.verdict == VERDICT_NONE)
		message->outcome.verdict = VERDICT_UNTRIED;
	return false;
}

/*
 * A new connection may be to a machine that offers less, or more, than the one
 * that the message was composed for. Only a spool file can fail here.
 */
static bool compose_again(struct workplace *place, struct message *message)
{
	struct words words = { "" };

	if (offers_eight_bit_mime(place) == place->composed_eight_bit_mime)
		return true;
	if (compose(place, &words) == OK) {
		message->size = place->composed->size;
		return true;
	}
	set_untried(message, TROUBLE_NONE, words.text);
	message->settled = SETTLED_LOST;
	return false;
}

/*
 * Transactions until every wanted recipient has an answer: a server that takes
 * only so many a time gets the rest in the next one; a reused connection that
 * was closed before it took anything is replaced at once.
 */
static void send_all(struct workplace *place, struct message *message)
{
	int reconnects = 0;

	for (;;) {
		bool answered;

		if (!limit_begin(place->worker->quota, message))
			return;
		transact(place, message);
		limit_end(place->worker->quota, message);
		answered = keep_answered(message);
		if (!has_untried(message) || message->outcome.trouble != TROUBLE_NONE ||
		    atomic_load(&place->worker->stop) != STOP_NONE)
			return;
		if (!answered && ++reconnects > RECONNECTS_MAX)
			return;
		if (!have_session(place, message) || !compose_again(place, message))
			return;
	}
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

/* For fault_here() alone: a step whose deadline is now, and that never ends. */
static void stall(struct worker *worker)
{
	atomic_store(&worker->deadline_ms, clock_monotonic_ms());
	for (;;)
		pause();
}

void deliver(struct workplace *place)
{
	struct worker *worker = place->worker;
	struct message *message = worker->current;

	message->taken_ms = clock_monotonic_ms();
	/* First of all: whatever goes wrong with it, a crash while it is composed too, has its name. */
	message->journal_slot = journal_take(worker->outbox->journal, message);
	if (message->journal_slot < 0) {
		set_untried(message, TROUBLE_NONE, "the in-flight journal is full");
		message->settled = SETTLED_LOST;
		goto out;
	}
	if (fault_here("worker-stall", worker->settings->name))
		stall(worker);
	if (!message->offline && !have_session(place, message))
		goto out;
	message->opened_ms = clock_monotonic_ms();
	if (!prepare(place, message))
		goto out;
	if (message->offline) {
		finish_offline(message);
		if (message->recovered)
			limit_recovered(worker->quota, message);
		goto out;
	}
	if (nobody_wanted(message)) {
		message->outcome.verdict = VERDICT_NONE;
		goto out;
	}
	fault_here("deliver-mail", worker->settings->name);
	send_all(place, message);
out:
	message->ended_ms = clock_monotonic_ms();
	deliver_end(place);
}
