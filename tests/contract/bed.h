/*
 * bed.h - an outbox that is open, and the short words in which tests speak of it.
 */
#ifndef OUTBOXD_TESTS_CONTRACT_BED_H
#define OUTBOXD_TESTS_CONTRACT_BED_H

#include "tests/contract/contract.h"

/* Set up before each test: tenant "acme", open; closed after it. */
struct bed {
	struct outbox *outbox;
	struct storage *storage;
	struct words words;
};
extern struct bed bed;
void bed_set_up(void);
void bed_tear_down(void);
/* Closed, and opened with other settings. */
void bed_open_anew(const struct storage_settings *settings);

#define APP          (&contract_backend)
#define ck_ok(error) ck_assert_msg((error) == OK, "%s", bed.words.text)

int64_t bed_insert(const struct contract_message *message);
int64_t bed_insert_plain(void);

/* The set of ids in hand, and which of them a look asked for. */
struct hand {
	int64_t ids[64];
	size_t count;
	int64_t asked[256];
	size_t asked_count;
	struct storage_try last; /* as the last question had it */
	contract_hook *hook;     /* runs at the first question */
	void *context;
};
bool hand_holds(void *hand, const struct storage_try *row);

/* A look at acme: the messages as an array that ends with NULL, freed by bed_release(). */
struct message **bed_look(int64_t now, int limit, struct hand *hand, int64_t *next_due);
void bed_release(struct message **messages);
/* The one message that is due now; taken from the look. */
struct message *bed_due_one(void);

/* The first that is due now of any tenant's. */
struct message *bed_due_of(const char *tenant);

/* Has so many octets, contract_octet(first) and so on. */
void bed_assert_pattern(const struct body *body, size_t first, size_t size);

struct mail *bed_take(const struct message *message);
enum error bed_try(const struct message *message, int64_t deadline_ms, struct mail **mail);

/* Takes inside takes: each runs while the outer ones hold their connection, and a place if they are large. */
struct bed_nested {
	struct message **messages;
	int depth, most;
	enum error innermost;
	struct message *meanwhile; /* NULL, or taken at the innermost place as well */
	enum error meanwhile_error;
};
void bed_take_nested(void *nested); /* a contract_hook */

/* A recipient's fate in this try, as the supervisor writes it down. */
void bed_outcome(struct message *message, const char *address, enum verdict verdict, int code,
                 enum delivery_state state);
/* state, one more attempt, result. */
void bed_judge(struct message *message, enum message_state state, const char *result);
enum error bed_settle_by(struct message *message, int64_t deadline_ms);
void bed_settle(struct message *message);

/* What a tenant has used of its day, and how long ago its parts began. */
struct bed_usage {
	int rows;
	int64_t recipients, oldest_s, youngest_s;
};
struct bed_usage bed_usage_of(const char *tenant);
/* A message of acme's that was sent and used so many, not settled yet. */
struct message *bed_used(int64_t recipients);

#endif
