/*
 * deliver_row.c - the last read of a message's row, and what is composed of it.
 *
 * "Never twice", rule d: it comes just before MAIL, and demands that state, tenant,
 * attempt and due time still hold, and that the worker's settings are still the tenant's.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "daemon/deliver.h"

#define COMPOSE_MS       300000 /* as a command has it: a large spool on a slow disk is no stall */
#define TAKE_DEADLINE_MS 30000

void deliver_give_back(struct workplace *place, struct job *job)
{
	composed_destroy(&job->composed);
	if (job->mail)
		storage_give_back(place->worker->outbox->storage, &job->mail);
}

void deliver_set_untried(struct message *message, enum trouble trouble, const char *text)
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
static enum error compose(struct workplace *place, struct job *job, struct words *words)
{
	struct compose_options options = {
		.instance = storage_instance(place->worker->outbox->storage),
		.eight_bit_mime = offers_eight_bit_mime(place),
	};
	enum error error = dsn_parse(job->mail->dsn_notify, job->mail->dsn_return, &job->dsn, words);

	if (error != OK)
		return error;
	/* a function of the row, which names no address: a repeat has the same */
	snprintf(job->dsn.envelope_id, sizeof(job->dsn.envelope_id), "%" PRId64 ".%s", job->mail->id,
	         options.instance);
	composed_destroy(&job->composed);
	job->composed_eight_bit_mime = options.eight_bit_mime;
	/* it waits for no peer, and must end like any other step */
	atomic_store(&place->worker->deadline_ms, clock_monotonic_ms() + COMPOSE_MS);
	error = mime_compose(job->mail, &options, &job->composed, words);
	(void)deliver_fault(place->worker, "compose");
	workplace_no_deadline(place);
	return error;
}

bool deliver_read(struct workplace *place, struct job *job)
{
	struct worker *worker = place->worker;
	struct message *message = job->message;
	struct outbox *outbox = worker->outbox;
	struct words words = { "" };
	enum error error;

	workplace_no_deadline(place);
	message->basis = &worker->basis;
	worker->basis.outdated = false;
	error = storage_take(outbox->storage, message, clock_monotonic_ms() + TAKE_DEADLINE_MS, &job->mail,
	                     &words);
	if (error == ERROR_NOT_FOUND) {
		deliver_set_untried(message, TROUBLE_NONE, "no longer to be sent");
		message->outdated = worker->basis.outdated;
		message->settled = SETTLED_GONE;
		return false;
	}
	if (error != OK && error != ERROR_INVALID) {
		deliver_set_untried(message, TROUBLE_NONE, words.text);
		message->settled = SETTLED_LOST;
		return false;
	}
	if (error == OK)
		error = compose(place, job, &words);
	if (error == OK)
		error = mime_envelope_allowed(worker->settings->allowed_senders, &job->composed->envelope,
		                              &words)
		                ? OK
		                : ERROR_INVALID;
	if (error == ERROR_INVALID || error == ERROR_LIMIT) {
		message->reference = memory_strdup(job->mail->reference);
		set_invalid(message, words.text);
		return false;
	}
	if (error != OK) {
		deliver_set_untried(message, TROUBLE_NONE, words.text);
		message->settled = SETTLED_LOST;
		return false;
	}
	adopt_composed(worker, message, job->mail, job->composed);
	return true;
}

/*
 * A new connection may be to a machine that offers less, or more, than the one
 * that the message was composed for. Only a spool file can fail here.
 */
bool deliver_compose_again(struct workplace *place, struct job *job)
{
	struct message *message = job->message;
	struct words words = { "" };

	if (offers_eight_bit_mime(place) == job->composed_eight_bit_mime)
		return true;
	if (compose(place, job, &words) == OK) {
		message->size = job->composed->size;
		return true;
	}
	deliver_set_untried(message, TROUBLE_NONE, words.text);
	message->settled = SETTLED_LOST;
	return false;
}
