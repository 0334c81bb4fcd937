/*
 * suites.h - the groups of the storage contract's tests.
 */
#ifndef OUTBOXD_TESTS_CONTRACT_SUITES_H
#define OUTBOXD_TESTS_CONTRACT_SUITES_H

#include <check.h>

void contract_look(TCase *tests);        /* test_look.c */
void contract_take(TCase *tests);        /* test_take.c */
void contract_room(TCase *tests);        /* test_room.c */
void contract_attachments(TCase *tests); /* test_attachments.c */
void contract_retain(TCase *tests);      /* test_retain.c */
void contract_settle(TCase *tests);      /* test_settle.c */
void contract_never_twice(TCase *tests); /* test_never_twice.c */
void contract_trouble(TCase *tests);     /* test_trouble.c */

#endif
