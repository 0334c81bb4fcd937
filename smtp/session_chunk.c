/*
 * session_chunk.c - the message itself in chunks: BDAT (RFC 3030).
 *
 * The text is read twice: once to know its size (and whether it can be sent at all),
 * then onto the wire. Promises: a chunk has exactly the octets that its command says;
 * of the last one the last octet leaves only after the observer agreed; after a
 * refused chunk no other follows.
 */
#include <string.h>

#include "common/clock.h"
#include "smtp/body.h"
#include "smtp/session_text.h"

#define PIECE_BYTES 1024 /* on the stack, which is memory of each thread */
/* Shorter texts go with their envelope; of longer ones the first chunk shows whether the rest is wanted. */
#define ALONG_BYTES 262144
#define FIRST_BYTES 65536
#define CHUNK_BYTES 1048576
#define LOOK_BYTES  65536

/* The text as it goes out, piece by piece. */
struct reader {
	struct source *source;
	struct body_transform transform;
	bool ended;
	char out[2 * PIECE_BYTES + 1];
};

static void reader_begin(struct reader *reader, struct source *source)
{
	source->rewind(source);
	reader->source = source;
	reader->ended = false;
	body_transform_begin(&reader->transform, true);
}

/* The next octets into reader->out; *length = 0 at the end. ERROR_INVALID: it cannot be sent. */
static enum error reader_next(struct reader *reader, size_t *length)
{
	char bytes[PIECE_BYTES];

	*length = 0;
	while (*length == 0 && !reader->ended) {
		size_t got;
		enum error error = reader->source->read(reader->source, bytes, sizeof(bytes), &got);

		if (error != OK)
			return error;
		reader->ended = got == 0;
		error = got > 0 ? body_transform_feed(&reader->transform, bytes, got, reader->out, length)
		                : body_transform_end(&reader->transform, reader->out, length);
		if (error != OK)
			return error;
	}
	return OK;
}

static void refuse(struct flight *flight, enum error error)
{
	struct outcome *outcome = &flight->transaction->outcome;

	outcome->scope = SCOPE_MESSAGE;
	outcome->stage = STAGE_TEXT;
	if (error == ERROR_INVALID) {
		outcome->verdict = VERDICT_REFUSED;
		strcpy(outcome->enhanced, "5.6.0");
		outcome_say(outcome, "the message has a NUL or a CR without LF");
	} else {
		outcome->verdict = VERDICT_UNTRIED;
		outcome_say(outcome, "the message could not be read");
	}
}

bool session_measure(struct session *session, struct flight *flight)
{
	struct reader reader;
	enum error error;
	size_t length;

	reader_begin(&reader, flight->transaction->source);
	flight->size = 0;
	do {
		error = reader_next(&reader, &length);
		flight->size += (int64_t)length;
	} while (error == OK && length > 0);
	if (error == OK)
		return true;
	refuse(flight, error);
	window_over(session, flight);
	return false;
}

bool session_goes_along(const struct session *session, const struct flight *flight)
{
	return session->capabilities.pipelining && flight->size <= ALONG_BYTES;
}

/* Something has ended the transaction in the middle of a chunk. */
static void stop(struct session *session, struct flight *flight, enum error error)
{
	if (error == ERROR_PROTOCOL)
		window_lose(session, error, NULL);
	else
		window_fail(session, flight, error);
}

/* length octets, unless something ends the transaction; look: also hears what has come. */
static bool give(struct session *session, struct flight *flight, const char *bytes, size_t length, bool look)
{
	enum error error = session_is_stopped(session) ? ERROR_INTERRUPTED : OK;

	if (error == OK && look)
		error = window_hear_ready(session);
	if (error == OK && !session->usable) {
		/* refused before its end: no text goes where commands may be expected */
		if (!flight->over)
			window_cut(session, flight);
		return false;
	}
	if (error == OK && deadline_left_ms(flight->deadline_ms) == 0)
		error = ERROR_TIMEOUT;
	if (error == OK)
		error = stream_write(session->stream, bytes, length, flight->deadline_ms);
	if (error == OK)
		return true;
	stop(session, flight, error);
	return false;
}

/* What has no recipient that was accepted ends without harm: nobody has to be asked. */
static bool may_end(struct session *session, struct flight *flight)
{
	bool pointless = flight->mail_refused ||
	                 (flight->accepted == 0 && window_has_envelope(session, flight));

	return pointless || session_may_end(session, flight);
}

/* One chunk's octets out of reader, from *at of the *length that it gave last. */
struct place {
	size_t at, length;
};

static bool give_octets(struct session *session, struct flight *flight, struct reader *reader,
                        struct place *place, int64_t octets, bool last)
{
	int64_t since_look = 0;

	while (octets > 0) {
		size_t part;

		if (place->at == place->length) {
			place->at = 0;
			if (reader_next(reader, &place->length) != OK || place->length == 0) {
				window_abandon(session, flight, VERDICT_UNTRIED,
				               "the message could not be read a second time");
				return false;
			}
		}
		part = place->length - place->at;
		if ((int64_t)part > octets)
			part = (size_t)octets;
		/* of the last chunk the last octet goes alone */
		if (last && (int64_t)part == octets && part > 1)
			part--;
		else if (last && octets == 1 && !may_end(session, flight))
			return false;
		since_look += (int64_t)part;
		if (!give(session, flight, reader->out + place->at, part, since_look >= LOOK_BYTES))
			return false;
		if (since_look >= LOOK_BYTES)
			since_look = 0;
		place->at += part;
		octets -= (int64_t)part;
	}
	return true;
}

static bool give_chunk(struct session *session, struct flight *flight, struct reader *reader,
                       struct place *place, int64_t octets, bool last)
{
	enum error error;

	session_enter(session, STAGE_TEXT);
	if (octets == 0 && !may_end(session, flight))
		return false;
	session->deadline_ms = flight->deadline_ms;
	error = session_say(session, last ? "BDAT %lld LAST" : "BDAT %lld", (long long)octets);
	if (flight->text_at == UINT64_MAX)
		flight->text_at = stream_given(session->stream);
	if (last) {
		flight->end_at = stream_given(session->stream) + (uint64_t)octets;
		flight->given = true;
	}
	window_await(session, flight, last ? TO_END : TO_CHUNK, 0,
	             stream_given(session->stream) + (uint64_t)octets);
	if (error != OK) {
		stop(session, flight, error);
		return false;
	}
	return give_octets(session, flight, reader, place, octets, last);
}

/* Between chunks: the first one's reply is waited for, and of the later ones all but the last. */
static bool goes_on(struct session *session, struct flight *flight, int64_t done)
{
	size_t ahead = session->capabilities.pipelining && done > FIRST_BYTES ? 1 : 0;
	enum error error;

	session->deadline_ms = flight->deadline_ms;
	error = session_flush(session);
	if (error != OK) {
		stop(session, flight, error);
		return false;
	}
	while (!flight->over && flight->outstanding > ahead)
		window_hear(session);
	session->deadline_ms = flight->deadline_ms;
	return !flight->over && session->usable && !flight->refused;
}

void session_give_chunks(struct session *session, struct flight *flight)
{
	int64_t left = flight->size, done = 0;
	struct place place = { 0 };
	struct reader reader;
	enum error error;

	reader_begin(&reader, flight->transaction->source);
	session_allow_transfer(session, flight, left);
	do {
		int64_t most = left <= ALONG_BYTES ? left : done == 0 ? FIRST_BYTES : CHUNK_BYTES;
		int64_t octets = left < most ? left : most;

		if (!window_make_room(session) || flight->over ||
		    !give_chunk(session, flight, &reader, &place, octets, octets == left))
			return;
		done += octets;
		left -= octets;
		if (left > 0 && !goes_on(session, flight, done))
			break;
	} while (left > 0);
	if (flight->over)
		return;
	if (left > 0) { /* refused: the rest is not sent */
		window_hear_all(session, flight);
		if (!flight->over)
			window_over(session, flight);
		return;
	}
	session->deadline_ms = flight->deadline_ms;
	error = session_flush(session);
	if (error != OK)
		stop(session, flight, error);
}
