/*
 * contract.h - what storage.h promises, asked of any backend.
 *
 * The tests know no SQL: a backend says how an empty outbox is made, what an
 * application does to it, and how a row looks afterwards. One program a
 * backend, linked with the same tests. Whatever goes wrong in here fails the
 * test that is running.
 */
#ifndef OUTBOXD_TESTS_CONTRACT_CONTRACT_H
#define OUTBOXD_TESTS_CONTRACT_CONTRACT_H

#include <check.h>

#include "storage/storage.h"

/* An outbox in a place of its own, and one application connected to it. */
struct outbox;

/* A message as an application inserts it; 0 and NULL = left out. */
struct contract_message {
	const char *tenant; /* NULL = "acme" */
	const char *to;     /* NULL = "bob@example.net" */
	const char *subject;
	const char *text;
	size_t message_bytes; /* a complete message of so many octets, patterned (contract_octet) */
	int priority;
	int64_t not_before, expires_at;
	int attachments; /* > 0: it stays a draft until so many were attached */
	bool draft;
	const char *reference;
	const char *dsn_notify, *dsn_return;
};

/* An attachment; patterned octets (contract_octet), or text. */
struct contract_attachment {
	int position; /* -1 = left out */
	const char *filename, *content_type, *content_id;
	size_t first, bytes; /* contract_octet(first) and so on */
	const char *text;    /* NULL = a BLOB */
};

/* A row of outbox_status; text is cut at the array's end, "" = NULL. */
struct contract_status {
	bool exists;
	char state[16], result[200], message_id[100];
	int64_t attempts, due_at, requeues, finished_at_ms, updated_at_ms;
};

/* A row of outbox_delivery. */
struct contract_delivery {
	bool exists;
	char state[16], enhanced_code[16], response[200], server[100], tls[100];
	int64_t attempts, code;
};

typedef void contract_hook(void *context);

struct contract_backend {
	const char *name;
	struct outbox *(*make)(void);
	void (*unmake)(struct outbox *outbox);
	/* the outbox as outboxd opens it; NULL = defaults, the path is the backend's to fill in */
	enum error (*open)(struct outbox *outbox, const struct storage_settings *settings,
	                   struct storage **storage, struct words *words);

	/* what an application does, committed when it returns */
	void (*add_tenant)(struct outbox *outbox, const char *name);
	void (*set_tenant)(struct outbox *outbox, const char *name, const char *column, const char *value);
	void (*remove_tenant)(struct outbox *outbox, const char *name);
	int64_t (*insert)(struct outbox *outbox, const struct contract_message *message);
	void (*attach)(struct outbox *outbox, int64_t id, const struct contract_attachment *attachment);
	/* round the schema's rules: this attachment's content is NULL */
	void (*spoil)(struct outbox *outbox, int64_t id, int position);
	void (*set_state)(struct outbox *outbox, int64_t id, const char *state);
	void (*remove)(struct outbox *outbox, int64_t id);            /* a finished one */
	void (*ask_retry)(struct outbox *outbox, const char *tenant); /* as outboxctl retry --tenant does */
	void (*insert_elsewhere)(struct outbox *outbox, const char *tenant); /* by another process */
	void (*lock)(struct outbox *outbox); /* begins to write and does not end */
	void (*unlock)(struct outbox *outbox);

	/* what is there */
	struct contract_status (*status)(struct outbox *outbox, int64_t id);
	struct contract_delivery (*delivery)(struct outbox *outbox, int64_t id, const char *recipient);
	void (*tenant_status)(struct outbox *outbox, const char *tenant, const char *column, char text[200]);
	int64_t (*changes_left)(struct outbox *outbox); /* rows of the change feed */
	bool (*unpinned)(struct outbox *outbox);        /* nobody's open read keeps old versions alive */

	/* calls hook once, just before outboxd's next statement that names the table */
	void (*interpose)(struct outbox *outbox, const char *table, contract_hook *hook, void *context);
	/* after so many more pages were written, writing fails; -1 = it does not */
	void (*fail_writes)(struct outbox *outbox, int after);
};

/* Defined by each backend's file. */
extern const struct contract_backend contract_backend;
/* Tests of that backend alone, and what its insert_elsewhere() runs as another process. */
void contract_backend_tests(Suite *suite);
int contract_backend_elsewhere(int count, char **arguments);

unsigned char contract_octet(size_t position);

#endif
