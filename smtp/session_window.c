/*
 * session_window.c - see session_window.h.
 *
 * Promises: every reply is matched with the command that it answers, in order; every
 * flight has its own outcome whatever breaks in between; a flight is UNCERTAIN only if
 * the last octet of its text may have left.
 */
#include "smtp/session_window.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"

#define AWAITED_FIRST 16   /* a session that goes one by one needs no more */
#define FAREWELL_MS   5000 /* so long is listened for answers behind a 421 */

/* --- flights ------------------------------------------------------------------------- */

struct flight *window_begin(struct session *session, struct transaction *transaction)
{
	struct flight *flight = memory_alloc(sizeof(*flight)), **last = &session->flights;

	flight->transaction = transaction;
	flight->reused = session->reused;
	flight->text_at = flight->end_at = UINT64_MAX;
	while (*last)
		last = &(*last)->next;
	*last = flight;
	session->flight_count++;
	return flight;
}

static void free_flight(struct flight *flight)
{
	free(flight->takes_part);
	free(flight);
}

/* Who has no answer of his own has the transaction's; the transaction has the worst trouble of any. */
static void settle_outcomes(struct transaction *transaction)
{
	struct outcome *whole = &transaction->outcome;
	const struct outcome *first = NULL, *troubled = NULL;

	for (size_t i = 0; i < transaction->recipient_count; i++) {
		struct recipient *recipient = &transaction->recipients[i];

		if (!recipient->wanted)
			continue;
		if (recipient->outcome.verdict == VERDICT_NONE)
			outcome_copy(&recipient->outcome, whole);
		if (recipient->outcome.verdict == VERDICT_NONE) {
			recipient->outcome.verdict = VERDICT_UNTRIED;
			recipient->outcome.scope = SCOPE_MESSAGE;
		}
		if (!first)
			first = &recipient->outcome;
		if (!troubled && recipient->outcome.trouble != TROUBLE_NONE)
			troubled = &recipient->outcome;
	}
	if (troubled && whole->trouble == TROUBLE_NONE)
		outcome_copy(whole, troubled);
	else if (first && whole->verdict == VERDICT_NONE)
		outcome_copy(whole, first);
}

void window_over(struct session *session, struct flight *flight)
{
	struct transaction *transaction = flight->transaction;
	struct flight **place = &session->flights;

	assert(flight->outstanding == 0 && !flight->over);
	while (*place != flight)
		place = &(*place)->next;
	*place = flight->next;
	session->flight_count--;
	flight->over = true;
	if (flight != session->giving)
		free_flight(flight);
	settle_outcomes(transaction);
	if (session->observer.over)
		session->observer.over(session->observer.context, transaction);
}

void window_fini(struct session *session)
{
	if (session->giving && session->giving->over)
		free_flight(session->giving);
	session->giving = NULL;
	while (session->flights) {
		struct flight *flight = session->flights;

		session->flights = flight->next;
		free_flight(flight);
	}
	while (session->domain_count > 0)
		free(session->domains[--session->domain_count]);
	free(session->domains);
	free(session->awaited);
}

/* Nothing more is to come for it. */
static bool is_answered(const struct flight *flight)
{
	return flight->given && flight->outstanding == 0;
}

/* --- what is awaited ------------------------------------------------------------------ */

static struct awaited *awaited_at(struct session *session, size_t number)
{
	return &session->awaited[(session->awaited_first + number) % session->awaited_room];
}

/* The ring is full: a larger one, with the oldest at its start. */
static void widen(struct session *session)
{
	size_t room = session->awaited_room ? 2 * session->awaited_room : AWAITED_FIRST;
	struct awaited *ring = memory_alloc(room * sizeof(*ring));

	for (size_t i = 0; i < session->awaited_count; i++)
		ring[i] = *awaited_at(session, i);
	free(session->awaited);
	session->awaited = ring;
	session->awaited_room = room;
	session->awaited_first = 0;
}

void window_await(struct session *session, struct flight *flight, enum answer_to kind, size_t recipient,
                  uint64_t count)
{
	assert(session->awaited_count < AWAITED_MOST);
	if (session->awaited_count == session->awaited_room)
		widen(session);
	*awaited_at(session, session->awaited_count++) = (struct awaited){
		.flight = flight, .said_at = count, .recipient = recipient, .kind = kind
	};
	flight->outstanding++;
}

static void drop_oldest(struct session *session)
{
	awaited_at(session, 0)->flight->outstanding--;
	session->awaited_first = (session->awaited_first + 1) % session->awaited_room;
	session->awaited_count--;
}

static bool awaits(struct session *session, enum answer_to first, enum answer_to last)
{
	for (size_t i = 0; i < session->awaited_count; i++) {
		enum answer_to kind = awaited_at(session, i)->kind;

		if (kind >= first && kind <= last)
			return true;
	}
	return false;
}

bool window_has_envelope(struct session *session, const struct flight *flight)
{
	for (size_t i = 0; i < session->awaited_count; i++) {
		const struct awaited *awaited = awaited_at(session, i);

		if (awaited->flight == flight && awaited->kind < TO_CHUNK)
			return false;
	}
	return true;
}

static enum stage stage_of(enum answer_to kind)
{
	static const enum stage stages[] = {
		[TO_RSET] = STAGE_MAIL, [TO_MAIL] = STAGE_MAIL,  [TO_RCPT] = STAGE_RCPT,
		[TO_DATA] = STAGE_DATA, [TO_CHUNK] = STAGE_TEXT, [TO_END] = STAGE_END,
	};

	return stages[kind];
}

/* --- losses ---------------------------------------------------------------------------- */

static enum stage stage_reached(struct session *session, const struct flight *flight)
{
	uint64_t sent = stream_sent(session->stream);

	if (sent >= flight->end_at)
		return STAGE_END;
	if (flight->data_agreed || sent > flight->text_at)
		return STAGE_TEXT;
	for (size_t i = 0; i < session->awaited_count; i++) {
		const struct awaited *awaited = awaited_at(session, i);

		if (awaited->flight == flight)
			return awaited->kind < TO_CHUNK ? stage_of(awaited->kind) : STAGE_DATA;
	}
	return STAGE_MAIL;
}

/* The server closed as it had announced, to the one before this: it did nothing with it. */
static void judge_behind_farewell(const struct session *session, struct outcome *outcome)
{
	outcome_clear(outcome);
	outcome->verdict = VERDICT_UNTRIED;
	outcome->scope = SCOPE_MESSAGE;
	outcome->stage = STAGE_MAIL;
	outcome_say(outcome, "%s said 421 and closed before it came to this message", session->tenant->host);
}

static void judge_lost(struct session *session, struct flight *flight, enum error error,
                       const struct words *words)
{
	struct outcome *outcome = &flight->transaction->outcome;
	struct verdict_place place = { .stage = stage_reached(session, flight), .reused = flight->reused };

	/* an answer stays an answer, whatever comes behind it */
	if (outcome->verdict != VERDICT_NONE)
		return;
	if (session->farewell && error == ERROR_CLOSED)
		judge_behind_farewell(session, outcome);
	else
		session_judge_loss_at(session, &place, error, words, outcome);
}

void window_lose(struct session *session, enum error error, const struct words *words)
{
	session->usable = false;
	if (session->flight_count > 1 && error != ERROR_INTERRUPTED)
		session->lost_in_company = true;
	for (struct flight *flight = session->flights; flight; flight = flight->next)
		judge_lost(session, flight, error, words);
	session->awaited_count = 0;
	while (session->flights) {
		session->flights->outstanding = 0;
		window_over(session, session->flights);
	}
}

void window_cut(struct session *session, struct flight *flight)
{
	session->usable = false;
	stream_end_output(session->stream);
	while (flight->outstanding > 0) {
		assert(awaited_at(session, session->awaited_count - 1)->flight == flight);
		session->awaited_count--;
		flight->outstanding--;
	}
	window_over(session, flight);
}

void window_fail(struct session *session, struct flight *flight, enum error error)
{
	session->usable = false;
	if (error == ERROR_INTERRUPTED && !flight->next && flight->end_at > stream_sent(session->stream)) {
		judge_lost(session, flight, error, NULL);
		window_cut(session, flight);
		return;
	}
	/* a server that closed may have answered before */
	while (error == ERROR_CLOSED && session->awaited_count > 0)
		window_hear(session);
	if (session->flights)
		window_lose(session, error, NULL);
}

void window_abandon(struct session *session, struct flight *flight, enum verdict verdict, const char *words)
{
	struct outcome *outcome = &flight->transaction->outcome;

	outcome_clear(outcome);
	outcome->verdict = verdict;
	outcome->scope = SCOPE_MESSAGE;
	outcome->stage = STAGE_TEXT;
	if (verdict == VERDICT_REFUSED)
		strcpy(outcome->enhanced, "5.6.0");
	outcome_say(outcome, "%s", words);
	window_cut(session, flight);
}

/* --- replies ------------------------------------------------------------------------------ */

static void judge(struct session *session, const struct flight *flight, enum stage stage,
                  struct outcome *outcome)
{
	struct verdict_place place = {
		.stage = stage,
		.reused = flight->reused,
		.accepted_before = flight->accepted > 0,
		.behind_refused = flight->behind_refused,
	};

	session_judge_reply_at(session, &place, outcome);
}

/* RFC 5321 4.1.1.5: RSET is always answered by a 250. */
static void hear_reset(struct session *session, struct flight *flight, bool positive)
{
	session->open_transaction = false;
	if (session->reply.code == 421)
		judge(session, flight, STAGE_MAIL, &flight->transaction->outcome);
	else if (!positive)
		window_lose(session, ERROR_PROTOCOL, NULL);
}

static void hear_mail(struct session *session, struct flight *flight, bool positive)
{
	if (positive) {
		session->open_transaction = true;
		return;
	}
	judge(session, flight, STAGE_MAIL, &flight->transaction->outcome);
	flight->mail_refused = true;
}

static void hear_rcpt(struct session *session, struct flight *flight, struct recipient *recipient,
                      bool positive)
{
	if (flight->mail_refused) { /* what it says of RCPT after a refused MAIL means nothing else */
		flight->contradicted = flight->contradicted || positive;
		return;
	}
	if (positive) {
		flight->accepted++;
		return;
	}
	judge(session, flight, STAGE_RCPT, &recipient->outcome);
	/* it was not this recipient that was answered, but all of us */
	if (session->reply.code == 421)
		outcome_copy(&flight->transaction->outcome, &recipient->outcome);
}

static void hear_data(struct session *session, struct flight *flight, bool positive)
{
	flight->data_agreed = positive;
	if (!positive && !flight->mail_refused && (flight->accepted > 0 || session->reply.code == 421))
		judge(session, flight, STAGE_DATA, &flight->transaction->outcome);
}

/* RFC 3030 2: after a refused chunk the server throws away the rest, and wants RSET. */
static void hear_chunk(struct session *session, struct flight *flight, bool positive)
{
	if (positive || flight->refused || flight->mail_refused || flight->accepted == 0)
		return;
	flight->refused = true;
	judge(session, flight, STAGE_TEXT, &flight->transaction->outcome);
}

static void hear_end(struct session *session, struct flight *flight, bool positive)
{
	/* The end of DATA ends the transaction whatever the answer is (RFC 5321 4.1.1.4). */
	if (positive || !flight->chunks)
		session->open_transaction = false;
	if (!positive && flight->next)
		flight->next->behind_refused = true;
	if (flight->refused || flight->mail_refused || flight->accepted == 0)
		return;
	judge(session, flight, STAGE_END, &flight->transaction->outcome);
}

/* A 2xx or 3xx where it has no meaning, or before its command has left: nobody knows who answers what. */
static void lose_track(struct session *session, enum answer_to kind, bool early)
{
	struct words words;

	if (early)
		words_set(&words, "%s answered %d to what was not said yet", session->tenant->host,
		          session->reply.code);
	else
		words_set(&words, "%s answered %d %s, where that has no meaning", session->tenant->host,
		          session->reply.code, stage_place(stage_of(kind)));
	window_lose(session, ERROR_PROTOCOL, &words);
}

static void hear_answer(struct session *session, const struct awaited *awaited, bool positive)
{
	struct flight *flight = awaited->flight;

	switch (awaited->kind) {
	case TO_RSET: hear_reset(session, flight, positive); break;
	case TO_MAIL: hear_mail(session, flight, positive); break;
	case TO_RCPT:
		hear_rcpt(session, flight, &flight->transaction->recipients[awaited->recipient], positive);
		break;
	case TO_DATA: hear_data(session, flight, positive); break;
	case TO_CHUNK: hear_chunk(session, flight, positive); break;
	case TO_END: hear_end(session, flight, positive); break;
	}
}

/*
 * The server closes. What is behind is listened for only if it may have been taken: a
 * text that has left.
 */
static void hear_farewell(struct session *session, struct flight *flight)
{
	session->usable = false;
	session->farewell = true;
	if (flight->outstanding == 0)
		window_over(session, flight);
	if (session->flights && !awaits(session, TO_CHUNK, TO_END))
		window_lose(session, ERROR_CLOSED, NULL);
}

/* session->reply answers the oldest that is awaited. */
static void take_reply(struct session *session)
{
	struct awaited awaited = *awaited_at(session, 0);
	bool early = stream_sent(session->stream) < awaited.said_at;
	struct flight *flight = awaited.flight;
	int class = session->reply.code / 100;
	bool positive = class == (awaited.kind == TO_DATA ? 3 : 2);

	if ((class < 4 && (early || !positive)) || (early && awaited.kind < TO_CHUNK)) {
		lose_track(session, awaited.kind, early);
		return;
	}
	drop_oldest(session);
	hear_answer(session, &awaited, positive);
	if (!session->flights) /* it was lost */
		return;
	/* A refusal in the middle of a chunk: no text goes where commands may be expected. */
	if (early)
		session->usable = false;
	if (session->reply.code == 421)
		hear_farewell(session, flight);
	else if (is_answered(flight))
		window_over(session, flight);
}

/* --- hearing -------------------------------------------------------------------------------- */

void window_hear(struct session *session)
{
	enum answer_to kind;
	enum error error;

	if (session->awaited_count == 0)
		return;
	kind = awaited_at(session, 0)->kind;
	session_enter(session, stage_of(kind));
	session->interrupt.threshold = awaits(session, TO_END, TO_END) ? STOP_NOW : STOP_SOON;
	if (session->farewell)
		session_allow_ms(session, FAREWELL_MS);
	else if (kind == TO_END)
		session_allow_ms(session, session->tenant->data_timeout * INT64_C(1000));
	else
		session_allow_command(session);
	if (session->observer.turn)
		session->observer.turn(session->observer.context);
	error = session_hear(session, false);
	session->interrupt.threshold = STOP_SOON;
	if (error == OK)
		take_reply(session);
	else
		window_lose(session, error, NULL);
}

void window_hear_all(struct session *session, const struct flight *flight)
{
	while (!flight->over && flight->outstanding > 0)
		window_hear(session);
}

enum error window_hear_ready(struct session *session)
{
	bool whole = true;
	enum error error = OK;

	while (session->awaited_count > 0 && whole && error == OK) {
		error = session_hear_ready(session, &whole);
		if (error == OK && whole)
			take_reply(session);
	}
	if (session->awaited_count == 0 && session->flights && error == OK)
		error = session_check_silence(session);
	return error;
}

bool window_make_room(struct session *session)
{
	size_t most = session->capabilities.pipelining ? AWAITED_MOST : 1;
	enum error error;

	if (session->awaited_count < most || !session->usable)
		return session->usable;
	error = session_flush(session);
	if (error != OK && error != ERROR_CLOSED) {
		window_fail(session, session->giving, error);
		return false;
	}
	while (session->awaited_count > most / 2 && session->awaited_count > 0)
		window_hear(session);
	return session->usable;
}
