/*
 * session.h - one connection to a tenant's server, from the greeting to QUIT.
 *
 * Straight-line code in the worker's thread: the conversation reads like RFC
 * 5321. Each wait has an absolute deadline, told to the observer before. What
 * the server says or does becomes outcomes, never errors.
 */
#ifndef OUTBOXD_SMTP_SESSION_H
#define OUTBOXD_SMTP_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/message.h"
#include "common/secret.h"
#include "common/source.h"
#include "common/tenant.h"
#include "smtp/dsn.h"
#include "smtp/resolve.h"
#include "smtp/tls.h"

/* Levels of the stop word that a worker hears (struct interrupt). */
enum {
	STOP_NONE,
	STOP_SOON, /* end before the end of the data, wait for the reply after it */
	STOP_NOW,  /* end at once: after the end of the data that is UNCERTAIN */
};

struct transaction;

/* Called in the worker's thread; each member may be NULL. */
struct session_observer {
	void *context;
	/* The step that begins now ends by then: the watchdog's figure. */
	void (*deadline)(void *context, int64_t deadline_ms);
	void (*stage)(void *context, enum stage stage);
	/* All that was said has left, and it is the server's turn: time for what was put off until now. */
	void (*turn)(void *context);
	/*
	 * All but the last octets of the message is given; the end of the data
	 * comes next. Not OK: the transaction ends here, UNTRIED, connection closed.
	 */
	enum error (*before_end)(void *context, struct transaction *transaction);
	/* Its outcomes are set and the session knows it no more. May not give another. */
	void (*over)(void *context, struct transaction *transaction);
};

struct session_settings {
	struct tenant_settings *tenant; /* held for the session's life */
	const struct secret *password;  /* copied; NULL = none */
	struct tls_trust *trust;        /* held; NULL only where nothing is verified by chain */
	struct tls_identity *identity;  /* held; the client certificate, NULL = none */
	struct resolver *resolver;
	const atomic_int *stop; /* STOP_…, written by others */
	const struct session_observer *observer;
	bool one_at_a_time; /* a window of 1, whatever the server offers */
};

struct session;

/*
 * Resolve, connect, greeting, EHLO (HELO), STARTTLS, EHLO again, AUTH. Blocks for
 * at most the tenant's timeouts. Not OK: no session, and *trouble says why:
 * scope TENANT, or VERDICT_UNTRIED without trouble when we stop
 * (ERROR_INTERRUPTED) or lack descriptors (ERROR_UNAVAILABLE). Where the observer ends the thread
 * *session is what there is so far, to be closed.
 */
enum error session_open(const struct session_settings *settings, struct session **session,
                        struct outcome *trouble);

/* What session.open in the log says; texts valid as long as the session. */
struct session_facts {
	const char *server;   /* name:port */
	const char *address;  /* numeric address it connected to */
	const char *tls;      /* NULL = clear text */
	const char *auth;     /* mechanism, NULL = none */
	const char *fallback; /* what opportunistic TLS fell back from, NULL */
	int messages;         /* given so far */
	bool eight_bit_mime;  /* the server offers 8BITMIME (RFC 6152) */
	bool dsn;             /* likewise DSN (RFC 3461) */
	bool lost_in_company; /* the connection was lost with several transactions under way */
};
void session_facts(const struct session *session, struct session_facts *facts);

/* One message to recipients whose wanted is set. */
struct transaction {
	const char *sender; /* "" = null sender */
	struct recipient *recipients;
	size_t recipient_count;
	struct source *source;
	int64_t size; /* octets, for SIZE= (RFC 1870) and the transfer's deadline */
	bool eight_bit;
	bool smtputf8;                 /* its header needs RFC 6531: addresses speak for themselves */
	const struct dsn_request *dsn; /* NULL = nothing is asked; not said where DSN is not offered */
	/*
	 * What came of it as a whole: scope TENANT tells the breaker, scope MESSAGE
	 * stands for each accepted recipient. Each wanted recipient's own outcome is
	 * always set on return (SENT, RETRY, REFUSED, UNCERTAIN or UNTRIED).
	 */
	struct outcome outcome;
};

/*
 * How many transactions may be under way: 1 without PIPELINING, 2 with it (the end of one
 * goes in a group with the next one's MAIL, RCPT and DATA), with CHUNKING too
 * pipeline_depth, at most SESSION_WINDOW_MOST. 1 for servers that are known to fail of it.
 */
#define SESSION_WINDOW_MOST 64
int session_window(const struct session *session);
int session_under_way(const struct session *session);

/*
 * Begins the transaction behind those under way, after waiting for room in the window. It
 * must live until the observer hears that it is over: at once if it cannot be begun, else in this
 * or a later call for this session. Whoever has no other to give finishes it: its end may wait for
 * company. Blocks for at most the tenant's timeouts.
 */
void session_give(struct session *session, struct transaction *transaction);
/* Waits until the oldest that is under way is over; false if there is none. Blocks likewise. */
bool session_finish(struct session *session);
/* Gives it, and finishes all that are under way. */
void session_send(struct session *session, struct transaction *transaction);

/* Whether another transaction may follow on this connection. */
bool session_usable(const struct session *session);

/*
 * For a parked session: true if the server said something or closed (then only
 * session_close() may follow). Does not block. fd: to wait for that meanwhile.
 */
bool session_lost(struct session *session, struct words *words);
int session_fd(const struct session *session);

/* Polite: QUIT and its reply for at most 2 s, if usable and nobody says stop now. Leaves NULL. */
void session_close(struct session **session);

/* What of a tenant's settings does not go together, in words; OK if nothing. Pure. */
enum error session_settings_check(const struct tenant_settings *tenant, struct words *words);

#endif
