/*
 * smtp_scripts.h - the client's side of a page: what it does, and what must come of it.
 */
#ifndef OUTBOXD_TESTS_UNIT_SMTP_SCRIPTS_H
#define OUTBOXD_TESTS_UNIT_SMTP_SCRIPTS_H

#include "common/buffer.h"
#include "common/source.h"
#include "smtp/session.h"
#include "tests/support/scripted_server.h"

#define MESSAGES_MAX   24
#define RECIPIENTS_MAX 400

/* What came of one message. */
struct result {
	bool opened;            /* a session was there for it */
	bool reused;            /* and had carried a message before */
	struct outcome outcome; /* of the transaction, or why no session could be opened */
	struct recipient recipients[RECIPIENTS_MAX];
	size_t recipient_count;
	bool usable;
	int ends;                    /* how often before_end was called */
	char *tls, *auth, *fallback; /* session_facts */
	char *parked;                /* what session_lost() said behind it, NULL = was not parked */
};

/* One message of a page, until its transaction is over. */
struct letter {
	char *sender;
	struct buffer text;
	int64_t size; /* 0 = that of the text */
	bool eight_bit, smtputf8;
	struct dsn_request dsn;
	struct source_memory source;
	bool unreadable; /* the last octets of the text are, as on a broken disk */
	struct transaction transaction;
	bool over;
};

struct client {
	const struct page *page;
	struct tenant_settings *settings;
	struct secret password;
	struct resolver *resolver;
	struct tls_trust *trust;
	struct tls_identity *identity; /* NULL = the page wants none */
	bool wants_identity;
	atomic_int stop;
	int stop_level; /* at stop_stage */
	enum stage stop_stage;
	int64_t deadline_ms; /* the last one that the observer was told */
	bool no_server;
	int hold_end;  /* the message whose end is held back, -1 = each, 0 = none */
	bool together; /* messages are given while those before are under way */
	struct session *session;
	struct letter letters[MESSAGES_MAX];
	struct result results[MESSAGES_MAX];
	int count;
	struct buffer problem;
};

/* Reads the page's part of the client; false with client->problem. */
bool client_init(struct client *client, const struct page *page, int port);
void client_fini(struct client *client);
/* Sends all messages of the page, one after another, and closes. */
void client_run(struct client *client);

/* Compares with the page's last part; what does not fit goes to client->problem. */
void client_check(struct client *client, const struct scripted_server *server);
/*
 * What came of each message and recipient, a line each of fields between tabs: page, variant, message,
 * recipient (0 = the message as a whole, or the session that was not opened), "reused" or "new" connection,
 * "accepted" if a recipient before it was ("behind" a refused message), verdict, scope, trouble, stage, code,
 * enhanced code, text.
 */
void client_tell(const struct client *client, FILE *table);

#endif
