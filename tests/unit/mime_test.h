/*
 * mime_test.h - the cases of tests/unit/mime_test, one for each file.
 */
#ifndef OUTBOXD_TESTS_UNIT_MIME_TEST_H
#define OUTBOXD_TESTS_UNIT_MIME_TEST_H

#include <check.h>

TCase *mime_address_case(void);
TCase *mime_encode_case(void);
TCase *mime_header_case(void);
TCase *mime_compose_case(void);

#endif
