/*
 * schema_bed.h - what the tests of storage/schema.sql share: a database in
 * memory with the schema, a clock that is moved by hand, and rows to begin with.
 */
#ifndef OUTBOXD_TESTS_UNIT_SCHEMA_BED_H
#define OUTBOXD_TESTS_UNIT_SCHEMA_BED_H

#include <check.h>
#include <stdbool.h>
#include <stddef.h>

#include <sqlite3.h>

/* storage/schema.sql as it was with version 1. */
extern const char schema_version_1_sql[];

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The bed's clock at the start. */
#define BED_NOW_S 1800000000LL

/* Ways to write that must not matter: conflict clause × recursive_triggers × foreign_keys. */
#define BED_WAYS 16

/* For long lists: four of them, in which each clause and each setting is met. */
#define BED_FEW_WAYS   4
#define BED_FEW_WAY(i) ((i)*5)

/* All of ours. */
#define BED_TABLES 10

struct bed {
	sqlite3 *db;
	const char *conflict; /* "", " OR IGNORE", …: takes the place of @@ in the statements below */
	char *heard;          /* the sentences that were provoked, one a line */
	size_t heard_length;
	sqlite3_stmt *all_rows[BED_TABLES]; /* SELECT * of each, once one was needed */
};

void bed_open(struct bed *bed, int way);
void bed_close(struct bed *bed);

/* Runs SQL that must succeed (sqlite3_mprintf()'s format; @@ = the conflict clause). */
void bed_run(struct bed *bed, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* As outboxd: one transaction of its own, marked. */
void bed_run_as_daemon(struct bed *bed, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What a question answers: columns parted by |, rows by a newline, NULL for NULL. Valid until the next four.
 */
const char *bed_ask(struct bed *bed, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The statement must fail with exactly this sentence, and every row of ours must be as before. */
void bed_refused(struct bed *bed, const char *sentence, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Moves the clock. */
void bed_pass(struct bed *bed, int seconds);

/* How many changes are in the feed; empties it. "message 5, tenant acme" */
const char *bed_feed(struct bed *bed);

/* One case of a table: the statement must be refused with the sentence. */
struct refusal {
	const char *sql;
	const char *sentence;
};
void bed_refuse_all(struct bed *bed, const struct refusal *refusals, size_t count);

/* All that a module can provoke: called by its own tests, and by the one that asks whether that is all. */
void schema_refuse_messages(struct bed *bed);
void schema_refuse_tenants(struct bed *bed);
void schema_refuse_states(struct bed *bed);
void schema_refuse_attachments(struct bed *bed);
void schema_refuse_guarded(struct bed *bed);

TCase *schema_attachment_cases(void);
TCase *schema_file_cases(void);
TCase *schema_message_cases(void);
TCase *schema_migrate_cases(void);
TCase *schema_power_cases(void);
TCase *schema_state_cases(void);
TCase *schema_tenant_cases(void);
TCase *schema_value_cases(void);

#endif
