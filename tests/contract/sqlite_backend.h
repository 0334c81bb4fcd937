/*
 * sqlite_backend.h - what the SQLite backend's own tests know of an outbox.
 */
#ifndef OUTBOXD_TESTS_CONTRACT_SQLITE_BACKEND_H
#define OUTBOXD_TESTS_CONTRACT_SQLITE_BACKEND_H

#include <check.h>
#include <sqlite3.h>
#include <stdbool.h>

struct outbox {
	char folder[64];
	char path[96]; /* folder/outbox.db */
	sqlite3 *app;  /* the application's connection, NULL until it is needed */
};

/* A folder of its own and a path in it where nothing is yet. */
struct outbox *sqlite_backend_place(void);
/* The application's connection as the manual says: busy timeout 5 s, synchronous=FULL. */
sqlite3 *sqlite_backend_app(struct outbox *outbox);
/* Runs SQL that must do; the format is sqlite3_mprintf's. */
void sqlite_backend_run(struct outbox *outbox, const char *format, ...);
long long sqlite_backend_ask(struct outbox *outbox, const char *sql);
/* Runs SQL in another process, which does not wait for a lock; false if it did not do. */
bool sqlite_backend_elsewhere(struct outbox *outbox, const char *sql);
void sqlite_backend_remove(struct outbox *outbox);

void sqlite_places_tests(Suite *suite);     /* sqlite_places_test.c */
void sqlite_retain_tests(Suite *suite);     /* sqlite_retain_test.c */
void sqlite_secrets_tests(Suite *suite);    /* sqlite_secrets_test.c */
void sqlite_clock_tests(Suite *suite);      /* sqlite_clock_test.c */
void sqlite_rules_tests(Suite *suite);      /* sqlite_rules_test.c */
void sqlite_take_tests(Suite *suite);       /* sqlite_take_test.c */
void sqlite_triggers_tests(Suite *suite);   /* sqlite_triggers_test.c */
void sqlite_own_tests(Suite *suite);        /* sqlite_own_test.c */
void sqlite_checkpoint_tests(Suite *suite); /* sqlite_checkpoint_test.c */

#endif
