/*
 * session_text.c - the message itself for DATA: text, and the end of the data.
 *
 * Promises: the octets that end the data leave only after the observer agreed;
 * until then whatever happens leaves the message unaccepted, after it silence is
 * UNCERTAIN. An answer that the server gives in the middle of the data counts.
 */
#include "common/clock.h"
#include "smtp/body.h"
#include "smtp/session_text.h"

#define PIECE_BYTES 1024 /* on the stack, which is memory of each thread */
/* So much text is left to go out together with the end of the data, in one segment or a few. */
#define TOGETHER_BYTES 8192
#define LOOK_BYTES     65536           /* how often a server that never makes us wait is listened to */
#define TRANSFER_MS    INT64_C(180000) /* the contract: 180 s + size / min_rate */

void session_allow_transfer(struct session *session, struct flight *flight, int64_t size)
{
	int rate = session->tenant->min_rate > 0 ? session->tenant->min_rate : 1;

	session_allow_ms(session, TRANSFER_MS + (size > 0 ? size : 0) * 1000 / rate);
	flight->deadline_ms = session->deadline_ms;
}

bool session_may_end(struct session *session, struct flight *flight)
{
	const struct session_observer *observer = &session->observer;

	if (!observer->before_end || observer->before_end(observer->context, flight->transaction) == OK)
		return true;
	window_abandon(session, flight, VERDICT_UNTRIED, "held back before the end of the message");
	return false;
}

/*
 * The server spoke before it was its turn, or reading failed it: an answer (4xx,
 * 5xx) is the answer to this message, everything else a loss.
 */
static void hear_early(struct session *session, struct flight *flight, enum error error)
{
	struct verdict_place place = { .stage = STAGE_TEXT, .reused = flight->reused };
	enum error heard;

	if (error == ERROR_PROTOCOL)
		session_allow_command(session);
	heard = error == ERROR_INTERRUPTED ? error : session_hear(session, false);
	if (heard == OK && session->reply.code >= 400)
		session_judge_reply_at(session, &place, &flight->transaction->outcome);
	else if (heard == OK)
		error = ERROR_PROTOCOL;
	window_lose(session, error, NULL);
}

/* Writes length octets, unless something has ended the transaction; look: whether the server has spoken
 * meanwhile. */
static bool give(struct session *session, struct flight *flight, const char *bytes, size_t length, bool look)
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
	hear_early(session, flight, error);
	return false;
}

void session_give_text(struct session *session, struct flight *flight)
{
	struct source *source = flight->transaction->source;
	struct body_transform transform;
	char bytes[PIECE_BYTES], out[2 * PIECE_BYTES + 1];
	size_t length, done, given = 0;
	enum error error = OK;

	session_enter(session, STAGE_TEXT);
	session_allow_transfer(session, flight, flight->transaction->size);
	flight->text_at = stream_given(session->stream);
	body_transform_begin(&transform, false);
	for (;;) {
		if (source->read(source, bytes, sizeof(bytes), &length) != OK) {
			window_abandon(session, flight, VERDICT_UNTRIED, "the message could not be read");
			return;
		}
		if (length == 0)
			break;
		if (body_transform_feed(&transform, bytes, length, out, &done) != OK)
			goto invalid;
		if (!give(session, flight, out, done, given / LOOK_BYTES != (given + done) / LOOK_BYTES))
			return;
		given += done;
	}
	if (body_transform_end(&transform, flight->end, &flight->end_length) != OK)
		goto invalid;
	if (given > TOGETHER_BYTES)
		error = session_flush(session);
	flight->end_held = error == OK;
	if (error != OK)
		hear_early(session, flight, error);
	return;
invalid:
	window_abandon(session, flight, VERDICT_REFUSED, "the message has a NUL or a CR without LF");
}

void session_give_end(struct session *session, struct flight *flight)
{
	enum error error = session_check_silence(session);

	session_enter(session, STAGE_TEXT);
	flight->end_held = false;
	session->deadline_ms = flight->deadline_ms;
	if (error == OK && session_is_stopped(session))
		error = ERROR_INTERRUPTED;
	if (error != OK) {
		hear_early(session, flight, error);
		return;
	}
	if (!session_may_end(session, flight))
		return;
	flight->end_at = stream_given(session->stream) + flight->end_length;
	window_await(session, flight, TO_END, 0, flight->end_at);
	flight->given = true;
	session_allow_ms(session, session->tenant->data_timeout * INT64_C(1000));
	error = stream_write(session->stream, flight->end, flight->end_length, session->deadline_ms);
	if (error != OK)
		window_fail(session, flight, error);
}

void session_give_nothing(struct session *session, struct flight *flight)
{
	enum error error;

	/* A transaction that MAIL did not begin, and that takes recipients: nobody knows whose it is. */
	if (flight->contradicted) {
		window_cut(session, flight);
		return;
	}
	flight->given = true;
	session_allow_command(session);
	error = session_say(session, ".");
	window_await(session, flight, TO_END, 0, stream_given(session->stream));
	if (error == OK)
		error = session_flush(session);
	if (error != OK)
		window_fail(session, flight, error);
	else
		window_hear_all(session, flight);
}
