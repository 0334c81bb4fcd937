/*
 * session_send.c - one transaction: the envelope, and an outcome for every recipient.
 *
 * With PIPELINING (RFC 2920) MAIL, the RCPTs and DATA leave in one group and their
 * replies are matched in order; without it the same loop goes one by one.
 * Promises that every wanted recipient has an outcome at the end.
 */
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/text.h"
#include "smtp/session_envelope.h"
#include "smtp/session_internal.h"

/*
 * Commands under way at once: their replies must fit into the buffers between the
 * server and us, so that both never write at once with nobody reading (RFC 2920 3.1).
 */
#define GROUP_COMMANDS 100

/* The envelope as a list of commands: RSET (if needed), MAIL, RCPT…, DATA. */
struct envelope {
	struct session *session;
	struct transaction *transaction;
	size_t *takes_part; /* numbers of recipients */
	size_t count;
	size_t first_rcpt, total; /* numbers of commands */
	size_t said, heard;
	size_t accepted;
	bool mail_refused;
	bool over;        /* the transaction's outcome is set, the connection is of no more use */
	bool data_agreed; /* 354 */
};

/* --- before anything is said ----------------------------------------------------- */

/* Collects who takes part; bad addresses have their outcome at once. */
static void collect(struct envelope *envelope)
{
	struct transaction *transaction = envelope->transaction;

	envelope->takes_part = memory_alloc((transaction->recipient_count + 1) * sizeof(size_t));
	for (size_t i = 0; i < transaction->recipient_count; i++) {
		struct recipient *recipient = &transaction->recipients[i];

		if (!recipient->wanted)
			continue;
		if (session_check_recipient(envelope->session, recipient))
			envelope->takes_part[envelope->count++] = i;
	}
	envelope->first_rcpt = envelope->session->open_transaction ? 2 : 1;
	envelope->total = envelope->first_rcpt + envelope->count + 1;
}

/* --- the commands ------------------------------------------------------------------ */

static enum stage stage_of(const struct envelope *envelope, size_t command)
{
	if (command < envelope->first_rcpt)
		return STAGE_MAIL;
	return command + 1 < envelope->total ? STAGE_RCPT : STAGE_DATA;
}

static struct recipient *recipient_of(const struct envelope *envelope, size_t command)
{
	return &envelope->transaction->recipients[envelope->takes_part[command - envelope->first_rcpt]];
}

static enum error say_command(const struct envelope *envelope, size_t command)
{
	struct session *session = envelope->session;

	if (command + 1 < envelope->first_rcpt)
		return session_say(session, "RSET");
	if (command < envelope->first_rcpt)
		return session_say_mail(session, envelope->transaction);
	if (command + 1 < envelope->total)
		return session_say_rcpt(session, envelope->transaction, recipient_of(envelope, command));
	return session_say(session, "DATA");
}

/* --- the replies ------------------------------------------------------------------- */

static void hear_mail(struct envelope *envelope, bool positive)
{
	struct session *session = envelope->session;

	if (positive) {
		session->open_transaction = true;
		return;
	}
	session_judge_reply(session, false, &envelope->transaction->outcome);
	envelope->mail_refused = true;
}

static void hear_rcpt(struct envelope *envelope, struct recipient *recipient, bool positive)
{
	struct session *session = envelope->session;

	if (positive) {
		envelope->accepted++;
		return;
	}
	session_judge_reply(session, envelope->accepted > 0, &recipient->outcome);
	if (session->usable)
		return;
	/* it was not this recipient that was answered, but all of us */
	outcome_copy(&envelope->transaction->outcome, &recipient->outcome);
}

static void hear_data(struct envelope *envelope)
{
	struct session *session = envelope->session;

	envelope->data_agreed = session->reply.code / 100 == 3;
	if (envelope->data_agreed)
		return;
	if (envelope->accepted > 0 || session->reply.code == 421 || session->reply.code < 400)
		session_judge_reply(session, false, &envelope->transaction->outcome);
}

/* RFC 5321 4.1.1.5: RSET is always answered by a 250. */
static void hear_reset(struct envelope *envelope, bool positive)
{
	struct session *session = envelope->session;

	session->open_transaction = false;
	if (positive)
		return;
	if (session->reply.code == 421)
		session_judge_reply(session, false, &envelope->transaction->outcome);
	else
		session_judge_loss(session, ERROR_PROTOCOL, NULL, &envelope->transaction->outcome);
}

static void hear_command(struct envelope *envelope, size_t command)
{
	struct session *session = envelope->session;
	bool positive = session->reply.code / 100 == 2;

	if (command + 1 < envelope->first_rcpt)
		hear_reset(envelope, positive);
	else if (command < envelope->first_rcpt)
		hear_mail(envelope, positive);
	else if (command + 1 == envelope->total)
		hear_data(envelope);
	else if (!envelope->mail_refused)
		hear_rcpt(envelope, recipient_of(envelope, command), positive);
	else if (session->reply.code ==
	         421) /* what it says of RCPT after a refused MAIL means nothing else */
		session->usable = false;
	envelope->over = !session->usable;
}

/* --- saying and hearing in groups ------------------------------------------------------- */

static bool worth_saying(const struct envelope *envelope)
{
	bool all_heard = envelope->said == envelope->heard;

	if (envelope->said == envelope->total || envelope->mail_refused)
		return false;
	/* DATA needs a recipient; while answers are outstanding there may be one */
	return envelope->said + 1 < envelope->total || envelope->accepted > 0 || !all_heard;
}

static void lose(struct envelope *envelope, enum error error)
{
	envelope->over = true;
	if (envelope->mail_refused) /* an answer stays an answer, whatever comes behind it */
		envelope->session->usable = false;
	else
		session_judge_loss(envelope->session, error, NULL, &envelope->transaction->outcome);
}

static enum error say_group(struct envelope *envelope)
{
	struct session *session = envelope->session;
	size_t most = session->capabilities.pipelining ? GROUP_COMMANDS : 1;
	enum error error = OK;

	session_enter(session, stage_of(envelope, envelope->said));
	session_allow_command(session);
	while (error == OK && envelope->said - envelope->heard < most && worth_saying(envelope))
		error = say_command(envelope, envelope->said++);
	return error == OK ? session_flush(session) : error;
}

/* Until the server agreed to DATA, or there is nothing left to say. */
static void give_envelope(struct envelope *envelope)
{
	struct session *session = envelope->session;

	while (!envelope->over && worth_saying(envelope)) {
		enum error error = say_group(envelope);

		/* a server that closed may have answered before */
		if (error != OK && error != ERROR_CLOSED)
			return lose(envelope, error);
		while (!envelope->over && envelope->heard < envelope->said) {
			session_enter(session, stage_of(envelope, envelope->heard));
			session_allow_command(session);
			error = session_hear(session, false);
			if (error != OK)
				return lose(envelope, error);
			hear_command(envelope, envelope->heard++);
		}
	}
}

/* Nothing must have been said since the last reply: a farewell, or a server that we do not understand. */
static bool is_ready(struct envelope *envelope)
{
	struct session *session = envelope->session;
	enum error error;

	session_enter(session, STAGE_MAIL);
	if (session_is_stopped(session)) {
		bool usable = session->usable;

		lose(envelope, ERROR_INTERRUPTED);
		session->usable = usable; /* for a QUIT */
		return false;
	}
	error = session_check_silence(session);
	if (error == OK)
		return true;
	session_allow_command(session);
	if (error == ERROR_PROTOCOL && session_hear(session, false) == OK && session->reply.code == 421)
		session_judge_reply(session, false, &envelope->transaction->outcome);
	else
		lose(envelope, error);
	return false;
}

/* --- an outcome for everybody -------------------------------------------------------- */

static void begin_outcomes(struct transaction *transaction)
{
	outcome_clear(&transaction->outcome);
	for (size_t i = 0; i < transaction->recipient_count; i++)
		if (transaction->recipients[i].wanted)
			outcome_clear(&transaction->recipients[i].outcome);
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

void session_send(struct session *session, struct transaction *transaction)
{
	struct envelope envelope = { .session = session, .transaction = transaction };

	begin_outcomes(transaction);
	session->messages++;
	if (!session_check_message(session, transaction))
		goto out;
	collect(&envelope);
	if (envelope.count == 0)
		goto out;
	if (!session->usable) {
		transaction->outcome.verdict = VERDICT_UNTRIED;
		transaction->outcome.scope = SCOPE_MESSAGE;
		outcome_say(&transaction->outcome, "the connection is of no more use");
		goto out;
	}
	if (!is_ready(&envelope))
		goto out;
	give_envelope(&envelope);
	/* The text may take minutes, and the observer may end the thread in it: nothing is held meanwhile. */
	free(envelope.takes_part);
	envelope.takes_part = NULL;
	if (envelope.data_agreed && envelope.accepted > 0)
		session_give_text(session, transaction);
	else if (envelope.data_agreed)
		session_give_nothing(session);
	session->reused = true;
out:
	settle_outcomes(transaction);
	free(envelope.takes_part);
}
