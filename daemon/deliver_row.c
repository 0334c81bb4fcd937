/*
 * deliver_row.c - the last read of a message's row, and what is composed of it.
 *
 * "Never twice", rule d: it comes just before MAIL, and demands that state, tenant,
 * attempt and due time still hold, and that the worker's settings are still the tenant's. While a new
 * connection's greeting is awaited, or the answer of a quick server, it is made ahead, and counts where
 * nobody has committed anything since.
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
	job->read_ahead = false;
	composed_destroy(&job->composed);
	if (job->charged > 0)
		room_give(&place->worker->outbox->service->room, job->charged);
	job->charged = 0;
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

static int compare_known(const void *left, const void *right)
{
	const struct recipient *a = *(const struct recipient *const *)left;
	const struct recipient *b = *(const struct recipient *const *)right;
	int order = recipient_address_order(a->address, b->address);

	return order != 0 ? order : a < b ? -1 : a > b;
}

/* In the order of their addresses, the same ones in that of the table. The caller frees it. */
static const struct recipient **in_order(const struct mail *mail)
{
	const struct recipient **known = memory_alloc((mail->known_count + 1) * sizeof(known[0]));

	for (size_t k = 0; k < mail->known_count; k++)
		known[k] = &mail->known[k];
	qsort(known, mail->known_count, sizeof(known[0]), compare_known);
	return known;
}

/* The first that does not stand before the address: count where all do. */
static size_t first_of(const struct recipient *const *known, size_t count, const char *address)
{
	size_t low = 0;

	while (low < count) {
		size_t middle = low + (count - low) / 2;

		if (recipient_address_order(known[middle]->address, address) < 0)
			low = middle + 1;
		else
			count = middle;
	}
	return low;
}

static void adopt(struct recipient *recipient, const struct recipient *known, bool hold)
{
	recipient->state = known->state;
	recipient->attempts = known->attempts;
	recipient->once_uncertain = known->once_uncertain || known->state == DELIVERY_UNCERTAIN;
	if (hold && is_held(known))
		recipient->wanted = false;
}

/* What the table already knows of a recipient decides whether it takes part. There may be 30,000 of each. */
static void adopt_known(struct message *message, const struct mail *mail, bool hold)
{
	const struct recipient **known = in_order(mail);

	for (size_t i = 0; i < message->recipient_count; i++) {
		struct recipient *recipient = &message->recipients[i];
		size_t k = first_of(known, mail->known_count, recipient->address);

		for (; k < mail->known_count && recipient_same_address(known[k]->address, recipient->address);
		     k++)
			adopt(recipient, known[k], hold);
		if (recipient->state == DELIVERY_SENT || recipient->state == DELIVERY_FAILED)
			recipient->wanted = false;
		if (recipient->state == DELIVERY_UNCERTAIN ||
		    (recipient->wanted && recipient->once_uncertain))
			message->duplicate_possible = true;
	}
	free(known);
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

/* For a server that offers 8BITMIME or does not. */
static enum error compose(struct workplace *place, struct job *job, bool eight_bit_mime, struct words *words)
{
	struct compose_options options = {
		.instance = storage_instance(place->worker->outbox->storage),
		.eight_bit_mime = eight_bit_mime,
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

/*
 * Those whom a complete message names itself: storage has counted the addresses of columns. False: they are
 * many, and there is no room for them; the row is to be read again, in turn with others that wait for room.
 */
static bool charge_named(struct workplace *place, struct job *job)
{
	const struct envelope *envelope = &job->composed->envelope;
	const struct mail *mail = job->mail;
	int64_t octets = 0, asked;

	if (job->message->named_octets > 0 || mail->to_addresses || mail->cc_addresses || mail->bcc_addresses)
		return true;
	for (size_t i = 0; i < envelope->recipient_count; i++)
		octets += MESSAGE_RECIPIENT_OCTETS + 2 * (int64_t)strlen(envelope->recipients[i]);
	if (room_take_whole(&place->worker->outbox->service->room, octets, false, &asked)) {
		job->charged = octets;
		return true;
	}
	job->message->named_octets = octets;
	return false;
}

/* Whether others of the worker's have been read, and are not over. */
static bool has_company(const struct workplace *place)
{
	for (const struct job *job = place->jobs; job; job = job->next) {
		if (job->mail)
			return true;
	}
	return false;
}

/* What was read ahead is the last read where that would give the same. */
static enum error read_row(struct workplace *place, struct job *job, struct words *words)
{
	struct worker *worker = place->worker;
	struct storage *storage = worker->outbox->storage;

	if (job->read_ahead && storage_still_is(storage, job->mail))
		return OK;
	deliver_give_back(place, job);
	job->message->basis = &worker->basis;
	job->message->in_company = has_company(place);
	worker->basis.outdated = false;
	return storage_take(storage, job->message, clock_monotonic_ms() + TAKE_DEADLINE_MS, &job->mail,
	                    words);
}

void deliver_read_ahead(struct workplace *place)
{
	struct job *job = deliver_waiting(place);
	struct worker *worker = place->worker;
	struct words words;
	enum error error;

	if (job->mail)
		return;
	workplace_no_deadline(place);
	job->message->basis = &worker->basis;
	job->message->in_company = has_company(place);
	error = storage_take(worker->outbox->storage, job->message, STORAGE_AT_ONCE, &job->mail, &words);
	if (error == OK)
		error = compose(place, job, !place->session || offers_eight_bit_mime(place), &words);
	if (error == OK)
		job->read_ahead = true;
	else
		deliver_give_back(place, job); /* whatever is wrong with it is found when its turn comes */
}

enum deliver_reading deliver_read(struct workplace *place, struct job *job)
{
	struct worker *worker = place->worker;
	struct message *message = job->message;
	bool eight_bit_mime = offers_eight_bit_mime(place);
	struct words words = { "" };
	enum error error;

	workplace_no_deadline(place);
	error = read_row(place, job, &words);
	if (error == ERROR_BUSY)
		return DELIVER_BUSY;
	if (error == ERROR_NOT_FOUND) {
		deliver_set_untried(message, TROUBLE_NONE, "no longer to be sent");
		message->outdated = worker->basis.outdated;
		message->settled = SETTLED_GONE;
		return DELIVER_OVER;
	}
	if (error != OK && error != ERROR_INVALID) {
		deliver_set_untried(message, TROUBLE_NONE, words.text);
		message->settled = SETTLED_LOST;
		return DELIVER_OVER;
	}
	if (error == OK && !(job->read_ahead && job->composed_eight_bit_mime == eight_bit_mime))
		error = compose(place, job, eight_bit_mime, &words);
	job->read_ahead = false;
	if (error == OK)
		error = mime_envelope_allowed(worker->settings->allowed_senders, &job->composed->envelope,
		                              &words)
		                ? OK
		                : ERROR_INVALID;
	if (error == ERROR_INVALID || error == ERROR_LIMIT) {
		message->reference = memory_strdup(job->mail->reference);
		set_invalid(message, words.text);
		return DELIVER_OVER;
	}
	if (error != OK) {
		deliver_set_untried(message, TROUBLE_NONE, words.text);
		message->settled = SETTLED_LOST;
		return DELIVER_OVER;
	}
	if (!charge_named(place, job)) {
		deliver_give_back(place, job);
		return DELIVER_BUSY;
	}
	adopt_composed(worker, message, job->mail, job->composed);
	return DELIVER_READ;
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
	if (compose(place, job, offers_eight_bit_mime(place), &words) == OK) {
		message->size = job->composed->size;
		return true;
	}
	deliver_set_untried(message, TROUBLE_NONE, words.text);
	message->settled = SETTLED_LOST;
	return false;
}
