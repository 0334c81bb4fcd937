/*
 * stream.h - buffered bytes to and from one server, in clear or in TLS.
 *
 * One thread at a time. Every call that waits takes the absolute deadline of
 * the whole step. Buffers are of a fixed size: what a peer sends is bounded; they are
 * there only while something is in them.
 */
#ifndef OUTBOXD_SMTP_STREAM_H
#define OUTBOXD_SMTP_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/tenant.h"
#include "common/wait.h"
#include "smtp/tls.h"

struct stream;

#define STREAM_IN_BYTES      4096
#define STREAM_OUT_BYTES     16384
#define STREAM_LAST_WORDS_MS 5000

/* Takes fd (closed by stream_close). interrupt may be NULL and must live longer; its owner may change it
 * between calls. */
struct stream *stream_create(int fd, const struct interrupt *interrupt);
/* With TLS: close_notify without waiting. Leaves NULL. */
void stream_close(struct stream **stream);

/* Bytes that arrived and were not consumed yet. */
const char *stream_input(const struct stream *stream, size_t *length);
void stream_consume(struct stream *stream, size_t length);

/*
 * Blocks until at least one more octet is there (ERROR_LIMIT if the buffer is full), the deadline,
 * interrupt; ERROR_CLOSED at the peer's end, ERROR_PROTOCOL if TLS is broken. What waits to be
 * written goes out meanwhile. After a write that failed it still gives what the server said
 * before (look at stream_input() first, then fill until it fails too), and waits for no more
 * than STREAM_LAST_WORDS_MS for it: then it is the write's error.
 */
enum error stream_fill(struct stream *stream, int64_t deadline_ms);
/* What can be read without waiting (also into the buffer); ERROR_CLOSED if the peer closed. */
enum error stream_fill_now(struct stream *stream);

/*
 * Adds to what is to be written; blocks only when the buffer is full. While it
 * waits it also reads what the server says (up to the buffer), so that two
 * full pipes never wait for each other. ERROR_CLOSED also when the server has
 * ended its side and what it said is read; TIMEOUT, INTERRUPTED, PROTOCOL: this
 * many octets are lost in the middle, the connection can only be closed.
 */
enum error stream_write(struct stream *stream, const void *bytes, size_t length, int64_t deadline_ms);
/* Blocks until all is handed to the system; reads meanwhile and fails like stream_write(). */
enum error stream_flush(struct stream *stream, int64_t deadline_ms);

/* How many octets stream_write() has taken so far, and how many of them the peer may get to read. */
uint64_t stream_given(const struct stream *stream);
uint64_t stream_sent(const struct stream *stream);
/* Nothing more is written, what waits to be is dropped; reading goes on. */
void stream_end_output(struct stream *stream);

/*
 * Starts TLS. Everything that was read before is forgotten, but bytes that wait
 * behind the 220 of STARTTLS, here or in the kernel, are ERROR_PROTOCOL (RFC 3207 6,
 * command injection). All output must be flushed, the 220 consumed. Asserts that TLS is
 * not on: never STARTTLS inside TLS. After a failure the stream carries nothing any
 * more (only stream_close() may follow), so that nothing can fall back to clear text.
 * Errors as tls_start(), always with words.
 */
enum error stream_start_tls(struct stream *stream, const struct tls_settings *settings, int64_t deadline_ms,
                            struct words *words);

/* NULL in clear text. */
struct tls *stream_tls(const struct stream *stream);
int stream_fd(const struct stream *stream);

#endif
