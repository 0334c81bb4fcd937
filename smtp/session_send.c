/*
 * session_send.c - transactions: the envelope, the text, who waits for whom.
 *
 * With PIPELINING (RFC 2920) MAIL, the RCPTs and DATA leave in one group, behind the end of the
 * message before; their replies are matched in order (session_window.c). Without it
 * the same lines go one by one. With chunks a whole message leaves at once. Promises
 * that every wanted recipient has an outcome when the observer hears that it is over.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/buffer.h"
#include "smtp/session_envelope.h"
#include "smtp/session_text.h"

#define LARGE_BYTES  262144 /* such a text goes in chunks where it may, whatever pipeline_depth is */
#define DOMAINS_MOST 1000   /* of RCPTDOMAINMAX no more are remembered: then the session is over too */

/* --- who takes part -------------------------------------------------------------------- */

static void leave_out(struct recipient *recipient, const char *host, const char *what, int most)
{
	recipient->outcome.verdict = VERDICT_UNTRIED;
	recipient->outcome.scope = SCOPE_RECIPIENT;
	recipient->outcome.stage = STAGE_RCPT;
	outcome_say(&recipient->outcome, "left for later: %s takes at most %d %s", host, most, what);
}

/* RFC 9422 5.3: so many domains a session, this one among them? */
static bool domain_fits(struct session *session, const char *address)
{
	int most = session->capabilities.rcpt_domain_max;
	const char *at = strrchr(address, '@'), *domain = at ? at + 1 : "";

	if (most == 0)
		return true;
	for (int i = 0; i < session->domain_count; i++)
		if (strcasecmp(session->domains[i], domain) == 0)
			return true;
	if (session->domain_count >= (most < DOMAINS_MOST ? most : DOMAINS_MOST))
		return false;
	session->domains = memory_resize(session->domains,
	                                 (size_t)(session->domain_count + 1) * sizeof(char *));
	session->domains[session->domain_count++] = memory_strdup(domain);
	return true;
}

/* Bad addresses have their outcome at once; whom the server's limits leave out is untried. */
static void collect(struct session *session, struct flight *flight)
{
	struct transaction *transaction = flight->transaction;
	const struct capabilities *offers = &session->capabilities;
	const char *host = session->tenant->host;

	flight->takes_part = memory_alloc((transaction->recipient_count + 1) * sizeof(size_t));
	for (size_t i = 0; i < transaction->recipient_count; i++) {
		struct recipient *recipient = &transaction->recipients[i];

		if (!recipient->wanted || !session_check_recipient(session, recipient))
			continue;
		if (offers->rcpt_max > 0 && flight->count >= (size_t)offers->rcpt_max) {
			leave_out(recipient, host, "recipients a transaction", offers->rcpt_max);
		} else if (!domain_fits(session, recipient->address)) {
			leave_out(recipient, host, "recipients' domains a session", offers->rcpt_domain_max);
			session->domains_full = true;
		} else {
			flight->takes_part[flight->count++] = i;
		}
	}
}

static void begin_outcomes(struct transaction *transaction)
{
	outcome_clear(&transaction->outcome);
	for (size_t i = 0; i < transaction->recipient_count; i++)
		if (transaction->recipients[i].wanted)
			outcome_clear(&transaction->recipients[i].outcome);
}

/* --- before anything is said ---------------------------------------------------------------- */

static void not_begun(struct session *session, struct flight *flight, const char *words)
{
	struct outcome *outcome = &flight->transaction->outcome;

	outcome->verdict = VERDICT_UNTRIED;
	outcome->scope = SCOPE_MESSAGE;
	outcome->stage = STAGE_MAIL;
	outcome_say(outcome, "%s", words);
	window_over(session, flight);
}

/*
 * With nothing under way nothing must have been said since the last reply: a farewell, or a
 * server that we do not understand.
 */
static bool is_ready(struct session *session, struct flight *flight)
{
	struct verdict_place place = { .stage = STAGE_MAIL, .reused = flight->reused };
	enum error error;

	if (session->flights != flight)
		return true;
	error = session_check_silence(session);
	if (error == OK)
		return true;
	session_allow_command(session);
	if (error == ERROR_PROTOCOL && session_hear(session, false) == OK && session->reply.code == 421)
		session_judge_reply_at(session, &place, &flight->transaction->outcome);
	window_lose(session, error, NULL);
	return false;
}

/* False: it is over, nothing was said. */
static bool may_begin(struct session *session, struct flight *flight)
{
	struct transaction *transaction = flight->transaction;

	if (session_check_message(session, transaction))
		collect(session, flight);
	if (flight->count == 0) {
		window_over(session, flight);
		return false;
	}
	if (!session->usable) {
		not_begun(session, flight, "the connection is of no more use");
		return false;
	}
	session_enter(session, STAGE_MAIL);
	if (session_is_stopped(session)) {
		not_begun(session, flight, "stopped at MAIL");
		return false;
	}
	flight->chunks = session->capabilities.chunking &&
	                 (session->tenant->pipeline_depth > 1 || transaction->size > LARGE_BYTES);
	if (flight->chunks && !session_measure(session, flight))
		return false;
	return is_ready(session, flight);
}

/* --- the envelope ----------------------------------------------------------------------------- */

static enum error say_command(struct session *session, struct flight *flight, enum answer_to kind,
                              size_t number)
{
	switch (kind) {
	case TO_RSET: return session_say(session, "RSET");
	case TO_MAIL: session->mails++; return session_say_mail(session, flight->transaction);
	case TO_RCPT:
		return session_say_rcpt(session, flight->transaction,
		                        &flight->transaction->recipients[number]);
	case TO_DATA: return session_say(session, "DATA");
	case TO_CHUNK:
	case TO_END: break;
	}
	abort();
}

static bool worth_saying(const struct flight *flight, enum answer_to kind)
{
	if (flight->over || flight->mail_refused)
		return false;
	/* DATA needs a recipient; while answers are outstanding there may be one */
	return kind != TO_DATA || flight->accepted > 0 || flight->outstanding > 0;
}

/* False: nothing more is to be said of this envelope. */
static bool say(struct session *session, struct flight *flight, enum answer_to kind, size_t number)
{
	enum error error;

	if (!window_make_room(session) || !worth_saying(flight, kind))
		return false;
	session_allow_command(session);
	error = say_command(session, flight, kind, number);
	window_await(session, flight, kind, number, stream_given(session->stream));
	if (error == OK)
		return true;
	window_fail(session, flight, error);
	return false;
}

/*
 * Behind chunks whose answer is not known RSET goes before MAIL: a server that refused them may
 * still be in that transaction, and would add this one's recipients to it.
 */
static bool wants_reset(const struct session *session, const struct flight *flight)
{
	const struct flight *before = session->flights;

	if (before == flight)
		return session->open_transaction;
	while (before->next != flight)
		before = before->next;
	return before->chunks;
}

static bool say_envelope(struct session *session, struct flight *flight)
{
	if (wants_reset(session, flight) && !say(session, flight, TO_RSET, 0))
		return false;
	if (!say(session, flight, TO_MAIL, 0))
		return false;
	session->reused = true;
	for (size_t i = 0; i < flight->count; i++)
		if (!say(session, flight, TO_RCPT, flight->takes_part[i]))
			return false;
	return flight->chunks || say(session, flight, TO_DATA, 0);
}

/* Hears all that answers the envelope. False: it is over. */
static bool hear_envelope(struct session *session, struct flight *flight)
{
	enum error error = flight->over ? OK : session_flush(session);

	if (error != OK && error != ERROR_CLOSED)
		window_fail(session, flight, error);
	window_hear_all(session, flight);
	return !flight->over;
}

/* --- the whole -------------------------------------------------------------------------------- */

static void give_rest(struct session *session, struct flight *flight, bool all_said)
{
	if (flight->chunks && all_said && session_goes_along(session, flight)) {
		session_give_chunks(session, flight);
		return;
	}
	if (!hear_envelope(session, flight))
		return;
	if (flight->chunks && flight->accepted > 0 && !flight->mail_refused)
		session_give_chunks(session, flight);
	else if (flight->data_agreed && flight->accepted > 0 && !flight->mail_refused)
		session_give_text(session, flight);
	else if (flight->data_agreed)
		session_give_nothing(session, flight);
	else
		window_over(session, flight);
}

/* The flight that was given or finished is not looked at any more. */
static void let_go(struct session *session)
{
	struct flight *flight = session->giving;

	session->giving = NULL;
	if (flight->over) {
		free(flight->takes_part);
		free(flight);
	}
}

static void give_held_end(struct session *session, const struct flight *flight)
{
	struct flight *before = session->flights;

	if (before != flight && before->end_held)
		session_give_end(session, before);
}

void session_give(struct session *session, struct transaction *transaction)
{
	struct flight *flight;

	begin_outcomes(transaction);
	session->messages++;
	while (session->flight_count >= session_window(session))
		session_finish(session);
	flight = session->giving = window_begin(session, transaction);
	if (may_begin(session, flight)) {
		transaction->source->rewind(transaction->source);
		give_held_end(session, flight);
		/* its end may have failed, and the connection with it */
		if (!flight->over && !session->usable)
			not_begun(session, flight, "the connection is of no more use");
		if (!flight->over)
			give_rest(session, flight, say_envelope(session, flight));
	}
	let_go(session);
}

bool session_finish(struct session *session)
{
	struct flight *flight = session->flights;
	enum error error;

	if (!flight)
		return false;
	session->giving = flight;
	if (flight->end_held)
		session_give_end(session, flight);
	error = flight->over ? OK : session_flush(session);
	if (error != OK && error != ERROR_CLOSED)
		window_fail(session, flight, error);
	while (!flight->over)
		window_hear(session);
	let_go(session);
	return true;
}

void session_send(struct session *session, struct transaction *transaction)
{
	session_give(session, transaction);
	while (session_finish(session))
		;
}
