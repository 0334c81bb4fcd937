/*
 * stream.c - buffered bytes to and from one server, in clear or in TLS.
 *
 * Promises: memory is bounded whatever the peer sends; two full pipes never
 * wait for each other, since every wait for room to write also reads; what a
 * server said before it closed is still read after a write failed (a 421 and
 * its reason are worth having); nothing is said in clear once a handshake has
 * failed.  Fails with ERROR_TIMEOUT, ERROR_INTERRUPTED, ERROR_CLOSED,
 * ERROR_LIMIT (input full) and ERROR_PROTOCOL (broken TLS, STARTTLS rules).
 *
 * An end is for ever in its direction: the first error of reading and the first
 * error of writing are kept and answered again.
 *
 * A buffer is borrowed while octets are in it: a stream that waits for the server, or
 * whose session is parked, holds none. The lists of free ones are all streams' together.
 */
#include "smtp/stream.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"

#define KEEP 32 /* free buffers of each kind: 640 KiB in all */

/* Free buffers, wiped. Plain lists, since they need to be there before any stream and after all. */
struct shelf {
	pthread_mutex_t lock;
	size_t bytes, count;
	void *free[KEEP];
};

static struct shelf in_shelf = { .lock = PTHREAD_MUTEX_INITIALIZER, .bytes = STREAM_IN_BYTES };
static struct shelf out_shelf = { .lock = PTHREAD_MUTEX_INITIALIZER, .bytes = STREAM_OUT_BYTES };

struct stream {
	int fd;
	const struct interrupt *interrupt;
	struct tls *tls;
	enum error in_error;       /* why nothing more can be read, OK = it can */
	enum error out_error;      /* likewise written */
	bool said_all;             /* we ended it, no write failed: what was said is still answered */
	short in_want, out_want;   /* what the last step in that direction waits for */
	size_t in_start, in_end;   /* unconsumed input */
	size_t out_start, out_end; /* unwritten output */
	uint64_t given;            /* octets ever put into out */
	size_t attempted;          /* of out: the TLS layer may have a part of them, and send the rest */
	/* NULL while there is nothing in it; how much of it has been used since it was borrowed */
	char *in, *out;
	size_t in_used, out_used;
};

/* --- buffers ------------------------------------------------------------------------ */

static void borrow(struct shelf *shelf, char **buffer)
{
	if (*buffer)
		return;
	pthread_mutex_lock(&shelf->lock);
	if (shelf->count > 0)
		*buffer = shelf->free[--shelf->count];
	pthread_mutex_unlock(&shelf->lock);
	if (!*buffer)
		*buffer = memory_alloc(shelf->bytes);
}

/* A password went through here: what was used is wiped. */
static void give_back(struct shelf *shelf, char **buffer, size_t *used)
{
	void *given = *buffer;

	if (!given)
		return;
	explicit_bzero(given, *used);
	*buffer = NULL;
	*used = 0;
	pthread_mutex_lock(&shelf->lock);
	if (shelf->count < KEEP) {
		shelf->free[shelf->count++] = given;
		given = NULL;
	}
	pthread_mutex_unlock(&shelf->lock);
	free(given);
}

static void give_empty_back(struct stream *stream)
{
	if (stream->in_start == stream->in_end)
		give_back(&in_shelf, &stream->in, &stream->in_used);
	if (stream->out_start == stream->out_end)
		give_back(&out_shelf, &stream->out, &stream->out_used);
}

/* --- a stream ----------------------------------------------------------------------- */

struct stream *stream_create(int fd, const struct interrupt *interrupt)
{
	struct stream *stream = memory_alloc(sizeof(*stream));

	assert(fd >= 0);
	stream->fd = fd;
	stream->interrupt = interrupt;
	return stream;
}

void stream_close(struct stream **stream)
{
	if (!*stream)
		return;
	tls_close(&(*stream)->tls);
	close((*stream)->fd);
	give_back(&in_shelf, &(*stream)->in, &(*stream)->in_used);
	give_back(&out_shelf, &(*stream)->out, &(*stream)->out_used);
	free(*stream);
	*stream = NULL;
}

const char *stream_input(const struct stream *stream, size_t *length)
{
	*length = stream->in_end - stream->in_start;
	return stream->in ? stream->in + stream->in_start : "";
}

void stream_consume(struct stream *stream, size_t length)
{
	assert(length <= stream->in_end - stream->in_start);
	stream->in_start += length;
	if (stream->in_start == stream->in_end)
		stream->in_start = stream->in_end = 0;
}

static size_t room_in(const struct stream *stream)
{
	return STREAM_OUT_BYTES - (stream->out_end - stream->out_start);
}

uint64_t stream_given(const struct stream *stream)
{
	return stream->given;
}

uint64_t stream_sent(const struct stream *stream)
{
	return stream->given - (stream->out_end - stream->out_start) + stream->attempted;
}

void stream_end_output(struct stream *stream)
{
	stream->given = stream_sent(stream);
	stream->out_start = stream->out_end = stream->attempted = 0;
	if (stream->out_error == OK) {
		stream->out_error = ERROR_CLOSED;
		stream->said_all = true;
	}
}

static bool input_is_full(const struct stream *stream)
{
	return stream->in_end - stream->in_start == STREAM_IN_BYTES;
}

static bool output_waits(const struct stream *stream)
{
	return stream->out_end > stream->out_start && stream->out_error == OK;
}

/* Moves what is in the buffer to its start, so that all room is behind it. */
static void close_ranks(char *bytes, size_t *start, size_t *end)
{
	if (*start == 0)
		return;
	memmove(bytes, bytes + *start, *end - *start);
	*end -= *start;
	*start = 0;
}

/* An errno of send(2) or recv(2): OK = not now, else the connection is lost. */
static enum error judge_errno(int number, short *want, short wanted)
{
	if (number == EAGAIN || number == EWOULDBLOCK || number == EINTR) {
		*want = wanted;
		return OK;
	}
	return ERROR_CLOSED;
}

static enum error clear_read(int fd, void *bytes, size_t capacity, size_t *done, short *want)
{
	ssize_t got = recv(fd, bytes, capacity, MSG_DONTWAIT);

	*done = 0;
	if (got == 0)
		return ERROR_CLOSED;
	if (got < 0)
		return judge_errno(errno, want, POLLIN);
	*done = (size_t)got;
	return OK;
}

static enum error clear_write(int fd, const void *bytes, size_t length, size_t *done, short *want)
{
	ssize_t sent = send(fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);

	*done = 0;
	if (sent < 0)
		return judge_errno(errno, want, POLLOUT);
	*done = (size_t)sent;
	return OK;
}

/* One read without waiting, *done = 0 if nothing is there or nothing fits. */
static enum error step_in(struct stream *stream, size_t *done)
{
	size_t room;

	*done = 0;
	stream->in_want = 0;
	if (stream->in_error != OK)
		return stream->in_error;
	borrow(&in_shelf, &stream->in);
	close_ranks(stream->in, &stream->in_start, &stream->in_end);
	room = STREAM_IN_BYTES - stream->in_end;
	if (room == 0)
		return OK;
	if (stream->tls)
		stream->in_error = tls_read(stream->tls, stream->in + stream->in_end, room, done,
		                            &stream->in_want);
	else
		stream->in_error = clear_read(stream->fd, stream->in + stream->in_end, room, done,
		                              &stream->in_want);
	stream->in_end += *done;
	if (stream->in_end > stream->in_used)
		stream->in_used = stream->in_end;
	return stream->in_error;
}

/* One write without waiting, *done = 0 if the system takes nothing now. */
static enum error step_out(struct stream *stream, size_t *done)
{
	size_t length = stream->out_end - stream->out_start;

	*done = 0;
	stream->out_want = 0;
	if (stream->out_error != OK || length == 0)
		return stream->out_error;
	if (stream->tls)
		stream->out_error = tls_write(stream->tls, stream->out + stream->out_start, length, done,
		                              &stream->out_want);
	else
		stream->out_error = clear_write(stream->fd, stream->out + stream->out_start, length, done,
		                                &stream->out_want);
	stream->attempted = stream->tls && *done == 0 ? length : 0;
	stream->out_start += *done;
	if (stream->out_start == stream->out_end)
		stream->out_start = stream->out_end = 0;
	return stream->out_error;
}

/* Waits for whatever the last steps want; the steps are tried again after it. */
static enum error step_wait(struct stream *stream, int64_t deadline_ms)
{
	short want = stream->in_want;

	give_empty_back(stream);
	if (output_waits(stream))
		want |= stream->out_want ? stream->out_want : POLLOUT;
	return wait_for(stream->fd, want, deadline_ms, stream->interrupt);
}

/* There is no answer to what could not be said: only what was under way before may still come. */
static int64_t last_words(const struct stream *stream, int64_t deadline_ms)
{
	int64_t soon = deadline_after_ms(STREAM_LAST_WORDS_MS);

	if (stream->out_error == OK || stream->said_all || soon >= deadline_ms)
		return deadline_ms;
	return soon;
}

enum error stream_fill(struct stream *stream, int64_t deadline_ms)
{
	int64_t until_ms = last_words(stream, deadline_ms);

	if (input_is_full(stream))
		return ERROR_LIMIT;
	for (;;) {
		size_t got, sent;
		bool could_write = stream->out_error == OK;
		enum error error = step_in(stream, &got);

		if (got > 0 || error != OK)
			return got > 0 ? OK : error;
		/* a caller who forgot to flush would wait for an answer to what it never said */
		step_out(stream, &sent);
		if (sent > 0)
			continue;
		if (could_write)
			until_ms = last_words(stream, deadline_ms);
		error = step_wait(stream, until_ms);
		if (error == ERROR_TIMEOUT && stream->out_error != OK && !stream->said_all)
			return stream->out_error;
		if (error != OK)
			return error;
	}
}

enum error stream_fill_now(struct stream *stream)
{
	size_t got;
	enum error error;

	do {
		error = step_in(stream, &got);
	} while (error == OK && got > 0);
	give_empty_back(stream);
	return error;
}

/* Writes until at least room octets are free, reading meanwhile. */
static enum error make_room(struct stream *stream, size_t room, int64_t deadline_ms)
{
	while (room_in(stream) < room) {
		size_t got = 0, sent = 0;
		enum error error = step_out(stream, &sent);

		if (error != OK)
			return error;
		if (sent > 0)
			continue;
		/* A server that has closed its side will answer nothing any more: why go on. */
		error = step_in(stream, &got);
		if (error != OK)
			return error;
		error = step_wait(stream, deadline_ms);
		if (error != OK)
			return error;
	}
	return OK;
}

enum error stream_write(struct stream *stream, const void *bytes, size_t length, int64_t deadline_ms)
{
	const char *from = bytes;

	if (stream->out_error != OK)
		return stream->out_error;
	while (length > 0) {
		size_t part = room_in(stream);
		enum error error;

		if (part == 0) {
			error = make_room(stream, 1, deadline_ms);
			if (error != OK)
				return error;
			continue;
		}
		if (part > length)
			part = length;
		borrow(&out_shelf, &stream->out);
		close_ranks(stream->out, &stream->out_start, &stream->out_end);
		memcpy(stream->out + stream->out_end, from, part);
		stream->out_end += part;
		if (stream->out_end > stream->out_used)
			stream->out_used = stream->out_end;
		stream->given += part;
		from += part;
		length -= part;
	}
	return OK;
}

enum error stream_flush(struct stream *stream, int64_t deadline_ms)
{
	if (stream->out_error != OK)
		return stream->out_error;
	return make_room(stream, STREAM_OUT_BYTES, deadline_ms);
}

/* Nothing of the server's may be there before our ClientHello: RFC 3207 4 and 6. */
static enum error refuse_early_bytes(struct stream *stream, const struct tenant_settings *tenant,
                                     struct words *words)
{
	enum error error = stream_fill_now(stream);
	bool early = stream->in_end > stream->in_start;

	stream->in_start = stream->in_end = 0;
	if (early && tenant->tls == TLS_IMPLICIT)
		tls_tell_clear(tenant, words);
	else if (early)
		words_set(words, "%s sent more in clear behind its answer to STARTTLS", tenant->host);
	else if (error != OK)
		words_set(words, "%s closed the connection during the TLS handshake", tenant->host);
	return early ? ERROR_PROTOCOL : error;
}

enum error stream_start_tls(struct stream *stream, const struct tls_settings *settings, int64_t deadline_ms,
                            struct words *words)
{
	enum error error;

	assert(!stream->tls);
	assert(stream->out_start == stream->out_end);
	error = refuse_early_bytes(stream, settings->tenant, words);
	if (error == OK)
		error = tls_start(stream->fd, settings, deadline_ms, stream->interrupt, &stream->tls, words);
	/* after a failed handshake this connection carries nothing any more, least of all in clear */
	if (error != OK)
		stream->in_error = stream->out_error = error;
	return error;
}

struct tls *stream_tls(const struct stream *stream)
{
	return stream->tls;
}

int stream_fd(const struct stream *stream)
{
	return stream->fd;
}
