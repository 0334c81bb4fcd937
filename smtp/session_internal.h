/*
 * session_internal.h - what the files of the session share; nobody else includes it.
 *
 * session_wire.c   lines out, replies in, deadlines, judging
 * session_window.c what is under way, replies matched, losses (session_window.h)
 * session_open.c   resolve … STARTTLS, EHLO again
 * session_auth.c   AUTH
 * session_mask.c   secrets in what the server says (session_mask.h)
 * session_envelope.c  what may be said in MAIL and RCPT, and how (session_envelope.h)
 * session_send.c   the transaction;  session_text.c  its text for DATA;  session_chunk.c  for BDAT
 * session.c        what is left: facts, parking, QUIT
 */
#ifndef OUTBOXD_SMTP_SESSION_INTERNAL_H
#define OUTBOXD_SMTP_SESSION_INTERNAL_H

#include <netinet/in.h>

#include "common/wait.h"
#include "smtp/reply.h"
#include "smtp/session.h"
#include "smtp/stream.h"
#include "smtp/verdict.h"

#define SAID_MAX 8 /* responses of one SASL exchange that are masked in replies */

struct flight;

/* What a reply answers. */
enum answer_to { TO_RSET, TO_MAIL, TO_RCPT, TO_DATA, TO_CHUNK, TO_END };

/*
 * Commands that wait for their replies at once. 256 replies of 200 octets fit into the
 * buffers between the server and us, so that both never write at once with nobody reading
 * (RFC 2920 3.1).
 */
#define AWAITED_MOST 256

struct awaited {
	struct flight *flight;
	uint64_t said_at; /* the stream's count behind it: no answer to it can come before it has left */
	size_t recipient; /* TO_RCPT: its number */
	enum answer_to kind;
};

struct session {
	struct tenant_settings *tenant;
	struct tls_trust *trust;
	struct tls_identity *identity;
	struct resolver *resolver;
	struct secret password;
	struct secret said[SAID_MAX]; /* what SASL said: a server that repeats it shows the password */
	int said_count;
	struct session_observer observer;
	struct interrupt interrupt; /* its threshold: STOP_SOON, after the end of the data STOP_NOW */
	struct stream *stream;      /* NULL until connected */
	int64_t deadline_ms;        /* of the present step */
	enum stage stage;
	struct capabilities capabilities;
	struct reply_parser parser;
	struct reply reply;    /* the last one heard, secrets masked */
	bool hearing;          /* a part of it was read */
	bool usable;           /* the server listens to a next command */
	bool reused;           /* a message went before */
	bool open_transaction; /* MAIL was accepted and nothing has ended it: RSET first */
	bool handshake_failed; /* at STARTTLS: opportunistic may go on in clear */
	bool one_at_a_time;    /* nothing goes before the message before it is answered */
	bool lost_in_company;
	int messages, mails; /* given; MAIL commands said */
	/* what is under way, the oldest first; the one that is given or finished just now */
	struct flight *flights, *giving;
	int flight_count;
	bool farewell;           /* a 421 was heard: what is behind it may not be answered */
	struct awaited *awaited; /* a ring, as large as it had to be */
	size_t awaited_room, awaited_first, awaited_count;
	/* RFC 9422, RCPTDOMAINMAX: the recipients' domains so far */
	char **domains;
	int domain_count;
	bool domains_full; /* a recipient had to be left out for it */
	char *server;
	char address[INET6_ADDRSTRLEN];
	const char *auth;
	char *fallback;
};

/* --- session_wire.c ------------------------------------------------------------ */

/* The stage that begins now, told to the observer. */
void session_enter(struct session *session, enum stage stage);
/* A new deadline so many milliseconds from now, told to the observer. */
void session_allow_ms(struct session *session, int64_t ms);
/* What the tenant allows for each command's reply. */
void session_allow_command(struct session *session);
bool session_is_stopped(const struct session *session);

/* Adds a line (CRLF is added) to what session_flush() hands to the system; blocks only if the buffer is full.
 */
enum error session_say(struct session *session, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
enum error session_flush(struct session *session);

/*
 * Blocks until one whole reply is in session->reply or the deadline. ERROR_PROTOCOL: malformed.
 * is_challenge: a 334 keeps its text unmasked, for SASL alone.
 */
enum error session_hear(struct session *session, bool is_challenge);
/* Says nothing more, flushes, allows a command's time and hears. */
enum error session_ask(struct session *session);

/* ERROR_PROTOCOL if the server has said something that nobody asked for. Does not block. */
enum error session_check_silence(struct session *session);

/* Outcomes of the present stage from session->reply, or from a loss; both end the session where it must end.
 */
void session_judge_reply(struct session *session, bool accepted_before, struct outcome *outcome);
void session_judge_loss(struct session *session, enum error error, const struct words *words,
                        struct outcome *outcome);
/* The same for another place than the session's present one. */
void session_judge_reply_at(struct session *session, const struct verdict_place *place,
                            struct outcome *outcome);
void session_judge_loss_at(struct session *session, const struct verdict_place *place, enum error error,
                           const struct words *words, struct outcome *outcome);

/* --- session_auth.c -------------------------------------------------------------- */

/* Logs in if the tenant's settings say so. Not OK: *trouble is judged. */
enum error session_log_in(struct session *session, struct outcome *trouble);

#endif
