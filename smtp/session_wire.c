/*
 * session_wire.c - lines out, replies in, and what they mean.
 *
 * Promises: each wait has a deadline that the observer was told; a secret that the
 * server repeats is masked before anybody sees the text; whatever ends the
 * conversation marks the session as of no more use.
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "smtp/session_mask.h"
#include "smtp/session_window.h"

/* MAIL and RCPT with what may stand in them; only what SASL says is longer. */
#define LINE_USUAL_BYTES 1280

void session_enter(struct session *session, enum stage stage)
{
	if (session->stage == stage)
		return;
	session->stage = stage;
	if (session->observer.stage)
		session->observer.stage(session->observer.context, stage);
}

void session_allow_ms(struct session *session, int64_t ms)
{
	session->deadline_ms = deadline_after_ms(ms);
	if (session->observer.deadline)
		session->observer.deadline(session->observer.context, session->deadline_ms);
}

void session_allow_command(struct session *session)
{
	session_allow_ms(session, session->tenant->command_timeout * INT64_C(1000));
}

bool session_is_stopped(const struct session *session)
{
	return session->interrupt.level &&
	       atomic_load(session->interrupt.level) >= session->interrupt.threshold;
}

enum error session_say(struct session *session, const char *format, ...)
{
	char usual[LINE_USUAL_BYTES], *line = usual, *longer = NULL;
	va_list arguments;
	enum error error;
	int length;

	va_start(arguments, format);
	length = vsnprintf(usual, sizeof(usual) - 2, format, arguments);
	va_end(arguments);
	if (length >= (int)sizeof(usual) - 2) {
		line = longer = memory_alloc((size_t)length + 3);
		va_start(arguments, format);
		length = vsnprintf(longer, (size_t)length + 1, format, arguments);
		va_end(arguments);
	}
	assert(length >= 0 && !memchr(line, '\r', (size_t)length) && !memchr(line, '\n', (size_t)length));
	memcpy(line + length, "\r\n", 2);
	error = stream_write(session->stream, line, (size_t)length + 2, session->deadline_ms);
	free(longer);
	return error;
}

enum error session_flush(struct session *session)
{
	return stream_flush(session->stream, session->deadline_ms);
}

/* Feeds what has been read to the parser. */
static enum reply_progress feed(struct session *session)
{
	size_t length, consumed;
	const char *input = stream_input(session->stream, &length);
	enum reply_progress progress = REPLY_MORE;

	if (!session->hearing)
		reply_begin(&session->parser, &session->reply);
	session->hearing = true;
	if (length > 0) {
		progress = reply_feed(&session->parser, input, length, &consumed);
		stream_consume(session->stream, consumed);
	}
	if (progress != REPLY_MORE)
		session->hearing = false;
	return progress;
}

enum error session_hear(struct session *session, bool is_challenge)
{
	enum reply_progress progress;

	while ((progress = feed(session)) == REPLY_MORE) {
		enum error error = stream_fill(session->stream, session->deadline_ms);

		if (error != OK) {
			session->hearing = false;
			return error;
		}
	}
	if (!is_challenge || session->reply.code != 334)
		session_mask_reply(session);
	return progress == REPLY_DONE ? OK : ERROR_PROTOCOL;
}

enum error session_hear_ready(struct session *session, bool *whole)
{
	enum reply_progress progress = feed(session);

	*whole = false;
	if (progress == REPLY_MORE) {
		enum error error = stream_fill_now(session->stream);
		size_t length;

		stream_input(session->stream, &length);
		if (length == 0)
			return error;
		progress = feed(session);
	}
	if (progress == REPLY_MORE)
		return OK;
	session_mask_reply(session);
	*whole = progress == REPLY_DONE;
	return *whole ? OK : ERROR_PROTOCOL;
}

enum error session_ask(struct session *session)
{
	enum error error;

	session_allow_command(session);
	error = session_flush(session);
	/* a server that refused to read may have said why before */
	if (error == OK || error == ERROR_CLOSED)
		error = session_hear(session, session->stage == STAGE_AUTH);
	return error;
}

enum error session_check_silence(struct session *session)
{
	enum error error = stream_fill_now(session->stream);
	size_t length;

	stream_input(session->stream, &length);
	if (length > 0)
		return ERROR_PROTOCOL;
	return error;
}

static void describe_loss(const struct session *session, enum stage stage, enum error error,
                          struct words *words)
{
	const char *host = session->tenant->host, *place = stage_place(stage);
	const char *unanswered = stage == STAGE_END ? ", before its answer" : "";
	const struct tls *tls = session->stream ? stream_tls(session->stream) : NULL;

	if (tls && tls_refusal(tls) && (error == ERROR_CLOSED || error == ERROR_PROTOCOL))
		words_set(words, "%s ended TLS %s%s: %s", host, place, unanswered, tls_refusal(tls));
	else if (error == ERROR_CLOSED)
		words_set(words, "%s closed the connection %s%s", host, place, unanswered);
	else if (error == ERROR_TIMEOUT)
		words_set(words, "%s did not answer in time %s", host, place);
	else if (error == ERROR_INTERRUPTED)
		words_set(words, "stopped %s", place);
	else if (error == ERROR_PROTOCOL)
		words_set(words, "%s does not speak SMTP %s: %s", host, place,
		          session->parser.why ? session->parser.why : "an answer to what was not asked");
	else
		words_set(words, "%s (%s)", error_text(error), place);
}

void session_judge_reply_at(struct session *session, const struct verdict_place *place,
                            struct outcome *outcome)
{
	verdict_from_reply(place, &session->reply, outcome);
	/* 421 announces a close (RFC 5321 3.8); after a 2xx or 3xx out of place nobody knows who answers what
	 */
	if (session->reply.code == 421 ||
	    (session->reply.code < 400 && !(place->stage == STAGE_END && session->reply.code / 100 == 2)))
		session->usable = false;
}

void session_judge_reply(struct session *session, bool accepted_before, struct outcome *outcome)
{
	struct verdict_place place = { .stage = session->stage,
		                       .reused = session->reused,
		                       .accepted_before = accepted_before };

	session_judge_reply_at(session, &place, outcome);
}

void session_judge_loss_at(struct session *session, const struct verdict_place *place, enum error error,
                           const struct words *words, struct outcome *outcome)
{
	struct words own;

	if (!words) {
		describe_loss(session, place->stage, error, &own);
		words = &own;
	}
	verdict_from_loss(place, error, words, outcome);
	if (outcome->text)
		session_mask(session, outcome->text);
	session->usable = false;
}

void session_judge_loss(struct session *session, enum error error, const struct words *words,
                        struct outcome *outcome)
{
	struct verdict_place place = { .stage = session->stage, .reused = session->reused };

	session_judge_loss_at(session, &place, error, words, outcome);
}
