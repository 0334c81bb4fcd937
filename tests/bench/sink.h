/*
 * sink.h - an SMTP server that takes everything at the speed of the wire, and counts it.
 *
 * A worker is a thread with an epoll of its own; a connection belongs to one worker from its
 * accept to its end. Worker 0 also accepts, and gives connections to the others in turn. The
 * main thread only obeys the control channel (sink.c).
 */
#ifndef TESTS_BENCH_SINK_H
#define TESTS_BENCH_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
	SINK_LINE_BYTES = 4096,      /* a longer command line, or none after so much, ends the connection */
	SINK_IDENTITY_BYTES = 255,   /* what is longer is cut */
	SINK_READ_BYTES = 256 << 10, /* taken by one turn of a connection */
	SINK_OUTPUT_BYTES = 4 << 20, /* replies that a client does not read: the connection ends */
};

struct sink_options {
	const char *identity; /* header field that tells one message from another */
	const char *certificate;
	const char *key;
	uint64_t delay_ns; /* a reply leaves so long after its command was read */
	unsigned threads;
	uint16_t port; /* 0 = one that the system picks */
	bool pipelining;
	bool chunking;
};

/* What was seen, added up over all workers; told by `stats`. Relaxed atomics. */
struct sink_numbers {
	uint64_t connections, open, most_open, handshakes, resumed, reads, writes, commands;
};
extern struct sink_numbers sink_numbers;

static inline void sink_add(uint64_t *number, uint64_t more)
{
	__atomic_fetch_add(number, more, __ATOMIC_RELAXED);
}

/* Replies that have not left; data[sent..length) is to be written. */
struct sink_output {
	char *data;
	size_t sent, length, room;
};

void sink_output_add(struct sink_output *output, const char *text, size_t length);

/* --- one SMTP session: octets in, replies out; no socket, no clock (sink_session.c) --- */

enum sink_state {
	SINK_COMMAND,
	SINK_HEADER,       /* of a text by DATA, line by line */
	SINK_BODY,         /* of a text by DATA: only its end is looked for */
	SINK_CHUNK_HEADER, /* of a text by BDAT */
	SINK_CHUNK,
};

struct sink_session {
	const struct sink_options *options;
	enum sink_state state;
	bool has_mail, has_recipient, last_chunk, at_line, wants_value, found, header_over;
	bool tls_offered;
	bool start_tls; /* the 220 of STARTTLS is in the output: a handshake follows */
	bool over;      /* the connection ends when the output has left */
	uint64_t chunk_left;
	uint64_t mail_ns;
	unsigned identity_length;
	char identity[SINK_IDENTITY_BYTES + 1];
};

void sink_session_init(struct sink_session *session, const struct sink_options *options, bool tls_offered);

/* Takes octets that came at now_ns; answers how many: the rest (at most SINK_LINE_BYTES unless
 * the session is over) is to be given again, with what comes behind it. */
size_t sink_session_take(struct sink_session *session, const char *data, size_t length, uint64_t now_ns,
                         struct sink_output *output);

/* --- what arrived (sink_record.c); any thread --- */

void sink_record_add(uint64_t mail_ns, uint64_t end_ns, const char *identity, unsigned length);
uint64_t sink_record_count(void);
/* Blocks until so many are there or the time is over; answers how many are. */
uint64_t sink_record_wait(uint64_t count, uint64_t milliseconds);
/* Prints a line "MAIL_NS END_NS IDENTITY" each (to standard output behind a line "taken N"), and
 * forgets them; answers N. */
uint64_t sink_record_take(FILE *out);

/* --- TLS (sink_tls.c); of a connection's worker --- */

struct sink_tls;
void sink_tls_setup(const char *certificate, const char *key);
struct sink_tls *sink_tls_create(int fd);
void sink_tls_destroy(struct sink_tls *tls);
/* As read(2) and write(2): -1 with EAGAIN when the socket has to be waited for. Both go on
 * with the handshake first. A write that answered -1 is repeated with the same octets. */
long sink_tls_read(struct sink_tls *tls, char *data, size_t length);
long sink_tls_write(struct sink_tls *tls, const char *data, size_t length);

/* --- workers (sink_worker.c) --- */

/* Starts the threads; answers the port. Ends the process, with words, where that fails. */
uint16_t sink_start(const struct sink_options *options);

void sink_die(const char *what) __attribute__((noreturn)); /* with errno's words */

#endif
