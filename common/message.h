/*
 * message.h - the vocabulary of all layers: message, recipient, outcome.
 *
 * A struct message in memory belongs to one at a time: the supervisor, a
 * queue, one worker, or storage. Pushing it gives it away.
 */
#ifndef OUTBOXD_COMMON_MESSAGE_H
#define OUTBOXD_COMMON_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/outcome.h"
#include "common/queue.h"

struct room;
struct tenant_basis;
struct tenant_settings;

/* outbox_delivery.state */
enum delivery_state {
	DELIVERY_NONE, /* no row yet */
	DELIVERY_DEFERRED,
	DELIVERY_SENT,
	DELIVERY_FAILED,
	DELIVERY_UNCERTAIN,
	DELIVERY_CANCELLED,
};
const char *delivery_state_name(enum delivery_state state); /* as in the table; NULL for NONE */
bool delivery_state_parse(const char *name, enum delivery_state *state);

struct recipient {
	char *address;             /* as it goes into RCPT TO, without <> */
	enum delivery_state state; /* before this attempt, and after the supervisor judged it */
	int attempts;              /* likewise */
	bool wanted;               /* takes part in this transaction */
	bool once_uncertain;       /* an earlier attempt may have arrived, whatever was said since */
	struct outcome outcome;    /* of this attempt; VERDICT_NONE if it took no part */
};

/* outbox_status.state */
enum message_state {
	MESSAGE_DRAFT,
	MESSAGE_QUEUED,
	MESSAGE_SENT,
	MESSAGE_FAILED,
	MESSAGE_DEFERRED,
	MESSAGE_UNCERTAIN,
	MESSAGE_CANCELLED,
};
const char *message_state_name(enum message_state state);
bool message_state_parse(const char *name, enum message_state *state);

/* storage_settle()'s answer for one message */
enum settled { SETTLED_NOT_YET, SETTLED, SETTLED_SUPERSEDED, SETTLED_GONE, SETTLED_LOST };

/* What became of the columns dsn_notify and dsn_return. */
enum dsn_use {
	DSN_UNUSED,      /* both are NULL, or no transaction began */
	DSN_ASKED,       /* the server was asked for what they say */
	DSN_NOT_OFFERED, /* the server does not offer DSN: the message goes all the same */
};

/*
 * One message in hand. What is due comes from storage_due(); the worker fills
 * the recipients; the supervisor decides state, due and result; storage writes
 * them and sets settled.
 */
struct message {
	struct queue_link link; /* first member */
	int64_t id;
	void *tenant; /* the daemon's own; storage never looks at it */
	char *tenant_name;
	int priority;
	int attempts;       /* finished attempts, before and after this one */
	int64_t due_at;     /* s; what is now in the table, later what shall be */
	int64_t age_from_s; /* later of queued and not_before: max_age counts from it */
	int64_t forward_ms; /* the supervisor's own: jumps of the clock that age_from_s has had its share of
	                     */
	int64_t expires_at; /* s, 0 = never */
	int64_t queued_at_ms;
	int requeue; /* outbox_status.requeues: with attempts it names this try in the journal */
	enum message_state state;

	struct recipient *recipients;
	size_t recipient_count;
	struct outcome outcome;  /* for the message as a whole */
	struct room *room;       /* charged with its recipients and their replies until they are freed … */
	int64_t charged;         /* … this much; 0 = with nothing */
	bool duplicate_possible; /* an earlier try may have arrived */
	bool invalid;            /* the row cannot be composed: message.invalid */
	bool offline;            /* needs no session: it has expired, or was in hand at a crash */
	bool recovered;          /* past the end of its data when an earlier process ended */
	bool cancelled;          /* storage: it was cancelled meanwhile and stays so */
	bool past_end;           /* the end of its data may be with the server */
	bool lost_in_company;    /* the connection was lost while others were under way with it */
	bool suspect;            /* a thread crashed, stalled or ended while it had it: it goes alone */
	bool limited;            /* somebody was left out of its transactions by a limit of the tenant's */
	bool outdated;           /* its worker's settings were no longer its tenant's: nothing was said */
	bool start_reserved;     /* a start is reserved for it in its tenant's quota */
	bool in_company;         /* its worker has read others that are not over: no waiting for what is
	                            scarce, and what one worker may have is those' */
	int64_t named_octets;    /* for those whom its own header names, as a first read has found out: room
	                            that is asked for with its columns'; 0 = unknown, or in the columns */
	size_t granted;          /* recipients of the transaction under way that the quota has set apart */
	int64_t usage;    /* recipients that were named to the server, to be remembered with its result */
	int64_t ready_ms; /* monotonic: in the supervisor's line since then */
	void *worker;     /* the supervisor's own: who has it */
	struct tenant_basis *basis; /* its worker's: the row is read only while they are its tenant's */
	const struct tenant_settings
		*judged_by;      /* likewise: the settings of that worker, while it is judged */
	int journal_slot;        /* -1 = none */
	struct queue *answer_to; /* storage's answer goes there: set by writer.h */

	/* for the row and the log */
	char *from;       /* envelope sender, "" = null sender */
	char *message_id; /* without <> */
	char *reference;
	char *server; /* name:port */
	char *tls;    /* "TLS1.3 …", NULL = clear */
	enum dsn_use dsn;
	char *session; /* its id in the log */
	char *result;  /* outbox_status.result */
	int64_t size;
	int64_t taken_ms, opened_ms, ended_ms; /* monotonic: handed over, session ready, outcome known */
	int64_t decided_wall_ms;               /* when the supervisor judged it */
	enum settled settled;
};

/* What one in hand takes beside the octets of its address: see storage/sqlite_take.c. */
#define MESSAGE_RECIPIENT_OCTETS 320
#define MESSAGE_RECIPIENTS_MAX   30000 /* more are refused when it is composed */

struct message *message_create(int64_t id, const char *tenant_name);
void message_destroy(struct message **message);
/* Frees the recipients and the texts of an attempt, keeps what storage_due() gave. */
void message_reset_attempt(struct message *message);
/* Charges the room with the recipients and what was said of them, until message_reset_attempt(). */
void message_charge(struct message *message, struct room *room);
/* Adds a recipient that takes part; returns it (valid until the next addition). */
struct recipient *message_add_recipient(struct message *message, const char *address);

/* RFC 5321 2.3.11 and 4.1.2: local parts compared as they are, domains without ASCII case. */
bool recipient_same_address(const char *a, const char *b);
/* An order for qsort() and searches, below, at or above 0: 0 for the same address, and for no other. */
int recipient_address_order(const char *a, const char *b);

#endif
