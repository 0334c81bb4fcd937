/*
 * session_window.h - transactions under way on one connection, and whose replies come.
 *
 * Internal to the session; the thread that has it. A flight is one transaction from its
 * first command until its outcomes are known. Replies come in the order of the commands
 * (RFC 2920 3.1), so a ring of what is awaited says whom each one answers; what the stream
 * has handed to the system says how far a flight had come when the connection breaks.
 */
#ifndef OUTBOXD_SMTP_SESSION_WINDOW_H
#define OUTBOXD_SMTP_SESSION_WINDOW_H

#include "smtp/session_internal.h"

#define FLIGHT_END_BYTES 6

struct flight {
	struct flight *next;
	struct transaction *transaction;
	size_t *takes_part; /* numbers of recipients */
	size_t count;
	size_t accepted;     /* of them, so far */
	size_t outstanding;  /* replies that it waits for */
	bool chunks;         /* BDAT, else DATA */
	bool reused;         /* the connection carried a message before it */
	bool behind_refused; /* the one before it came to nothing after this one's MAIL was said */
	bool mail_refused;
	bool contradicted;   /* a recipient was accepted although MAIL was refused */
	bool data_agreed;    /* 354 */
	bool refused;        /* a chunk was: nothing more of the text is of use */
	bool end_held;       /* all is said but the end of the data */
	bool given;          /* nothing more will be said of it */
	bool over;           /* its outcomes are set; only session->giving is still looked at then */
	int64_t size;        /* chunks: octets of the text */
	int64_t deadline_ms; /* of the transfer */
	/* the stream's counts before the text's first octet and behind its last; UINT64_MAX = not yet */
	uint64_t text_at, end_at;
	char end[FLIGHT_END_BYTES];
	size_t end_length;
};

/* session_wire.c. What is there of a reply, without waiting: *whole says if it is one. */
enum error session_hear_ready(struct session *session, bool *whole);

/* Behind those under way. */
struct flight *window_begin(struct session *session, struct transaction *transaction);
/* Its outcomes are set (who has none has the transaction's): the observer hears it. */
void window_over(struct session *session, struct flight *flight);
/* Frees all; the transactions are not touched. */
void window_fini(struct session *session);

/* What was said last is to be answered. count: where it ends in the stream. */
void window_await(struct session *session, struct flight *flight, enum answer_to kind, size_t recipient,
                  uint64_t count);
/* Room for one more command under way: flushes and hears. False: the connection is of no more use. */
bool window_make_room(struct session *session);
/* Blocks for the oldest reply that is awaited, if any is, and judges it. */
void window_hear(struct session *session);
/* Until flight waits for nothing any more, or is over. */
void window_hear_all(struct session *session, const struct flight *flight);
/* Whether all replies to its MAIL and RCPTs are there. */
bool window_has_envelope(struct session *session, const struct flight *flight);
/* What has come meanwhile. Does not block. ERROR_PROTOCOL: something that nobody asked for. */
enum error window_hear_ready(struct session *session);

/* Nothing more is heard: everybody gets the outcome of the place where it was. */
void window_lose(struct session *session, enum error error, const struct words *words);
/* A write failed: what the server said before still counts. flight: who was about to say something. */
void window_fail(struct session *session, struct flight *flight, enum error error);
/*
 * flight, the newest, stops in the middle, with the outcome that it has: nothing more is said on this
 * connection. Those before it are still heard.
 */
void window_cut(struct session *session, struct flight *flight);
/* A fault of ours or of the message's, in the middle of its text. */
void window_abandon(struct session *session, struct flight *flight, enum verdict verdict, const char *words);

#endif
