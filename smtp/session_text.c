/*
 * session_text.c - the message itself: text, end of the data, its answer.
 *
 * Promises: the octets that end the data leave only after the observer agreed;
 * until then whatever happens leaves the message unaccepted, after it silence is
 * UNCERTAIN. An answer that the server gives in the middle of the data counts.
 */
#include <string.h>

#include "common/clock.h"
#include "smtp/body.h"
#include "smtp/session_internal.h"

#define CHUNK_BYTES 4096
#define END_BYTES   6
/* So much text is left to go out together with the end of the data, in one segment or a few. */
#define TOGETHER_BYTES 8192
#define LOOK_BYTES     65536           /* how often a server that never makes us wait is listened to */
#define TRANSFER_MS    INT64_C(180000) /* the contract: 180 s + size / min_rate */

/* A fault of ours or of the message: the data is never ended, so nothing was accepted. */
static void abandon(struct session *session, struct outcome *outcome, enum verdict verdict, const char *words)
{
	outcome_clear(outcome);
	outcome->verdict = verdict;
	outcome->scope = SCOPE_MESSAGE;
	outcome->stage = STAGE_TEXT;
	if (verdict == VERDICT_REFUSED)
		strcpy(outcome->enhanced, "5.6.0");
	outcome_say(outcome, "%s", words);
	session->usable = false;
}

/*
 * The server spoke before it was its turn, or reading failed it: an answer (4xx,
 * 5xx) is the answer to this message, everything else a loss.
 */
static void hear_early(struct session *session, enum error error, struct outcome *outcome)
{
	enum error heard;

	if (error == ERROR_PROTOCOL)
		session_allow_command(session);
	heard = error == ERROR_INTERRUPTED ? error : session_hear(session, false);
	if (heard == OK && session->reply.code >= 400) {
		session_judge_reply(session, false, outcome);
	} else {
		if (heard == OK)
			error = ERROR_PROTOCOL;
		session_judge_loss(session, error, NULL, outcome);
	}
	session->usable = false;
}

/* Writes length octets, unless something has ended the transaction; look: whether the server has spoken
 * meanwhile. */
static bool give(struct session *session, const char *bytes, size_t length, bool look,
                 struct outcome *outcome)
{
	enum error error = session_is_stopped(session) ? ERROR_INTERRUPTED : OK;

	if (error == OK && look)
		error = session_check_silence(session);
	/* a server that takes each octet at once, but late, never makes us wait */
	if (error == OK && deadline_left_ms(session->deadline_ms) == 0)
		error = ERROR_TIMEOUT;
	if (error == OK)
		error = stream_write(session->stream, bytes, length, session->deadline_ms);
	if (error == OK)
		return true;
	hear_early(session, error, outcome);
	return false;
}

/* All of the source, and into end what is held back. False: the outcome is set. */
static bool give_source(struct session *session, struct transaction *transaction, char end[END_BYTES],
                        size_t *end_length, size_t *given)
{
	struct body_transform transform;
	struct source *source = transaction->source;
	char bytes[CHUNK_BYTES], out[2 * CHUNK_BYTES + 1];
	size_t length, done;
	bool look;

	body_transform_begin(&transform, false);
	*given = 0;
	for (;;) {
		if (source->read(source, bytes, sizeof(bytes), &length) != OK) {
			abandon(session, &transaction->outcome, VERDICT_UNTRIED,
			        "the message could not be read");
			return false;
		}
		if (length == 0)
			break;
		if (body_transform_feed(&transform, bytes, length, out, &done) != OK)
			goto invalid;
		look = *given / LOOK_BYTES != (*given + done) / LOOK_BYTES;
		if (!give(session, out, done, look, &transaction->outcome))
			return false;
		*given += done;
	}
	if (body_transform_end(&transform, end, end_length) == OK)
		return true;
invalid:
	abandon(session, &transaction->outcome, VERDICT_REFUSED, "the message has a NUL or a CR without LF");
	return false;
}

/* Up to the end of the data, without it. False: the outcome is set. */
static bool give_all_but_end(struct session *session, struct transaction *transaction, char end[END_BYTES],
                             size_t *end_length)
{
	struct outcome *outcome = &transaction->outcome;
	enum error error = OK;
	size_t given;

	if (!give_source(session, transaction, end, end_length, &given))
		return false;
	if (given > TOGETHER_BYTES)
		error = session_flush(session);
	if (error == OK)
		error = session_check_silence(session);
	if (error == OK && session_is_stopped(session))
		error = ERROR_INTERRUPTED;
	if (error != OK) {
		hear_early(session, error, outcome);
		return false;
	}
	if (session->observer.before_end &&
	    session->observer.before_end(session->observer.context, transaction) != OK) {
		abandon(session, outcome, VERDICT_UNTRIED, "held back before the end of the message");
		return false;
	}
	return true;
}

static void hear_end(struct session *session, const char *end, size_t end_length, struct outcome *outcome)
{
	enum error error, heard;

	session_enter(session, STAGE_END);
	session->interrupt.threshold = STOP_NOW;
	session_allow_ms(session, session->tenant->data_timeout * INT64_C(1000));
	error = stream_write(session->stream, end, end_length, session->deadline_ms);
	if (error == OK)
		error = session_flush(session);
	/* after a failed write the server's last words may still be there */
	heard = error == ERROR_INTERRUPTED ? error : session_hear(session, false);
	session->interrupt.threshold = STOP_SOON;
	if (heard == OK && (error == OK || session->reply.code >= 400))
		session_judge_reply(session, false, outcome);
	else
		session_judge_loss(session, error != OK ? error : heard, NULL, outcome);
	if (error != OK)
		session->usable = false;
}

void session_give_text(struct session *session, struct transaction *transaction)
{
	char end[END_BYTES];
	size_t end_length;
	int64_t size = transaction->size > 0 ? transaction->size : 0;
	int rate = session->tenant->min_rate > 0 ? session->tenant->min_rate : 1;

	session_enter(session, STAGE_TEXT);
	session_allow_ms(session, TRANSFER_MS + size * 1000 / rate);
	if (give_all_but_end(session, transaction, end, &end_length))
		hear_end(session, end, end_length, &transaction->outcome);
	session->open_transaction = false;
}

void session_give_nothing(struct session *session)
{
	if (session_say(session, ".") != OK || session_ask(session) != OK)
		session->usable = false;
	else if (session->reply.code == 421)
		session->usable = false;
	session->open_transaction = false;
}
