/*
 * common_test.h - what the unit tests of common/ share: one test case a file.
 */
#ifndef OUTBOXD_TESTS_UNIT_COMMON_TEST_H
#define OUTBOXD_TESTS_UNIT_COMMON_TEST_H

#include <check.h>
#include <stddef.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

TCase *common_buffer_cases(void);
TCase *common_digest_cases(void);
TCase *common_error_cases(void);
TCase *common_log_cases(void);
TCase *common_log_file_cases(void);
TCase *common_message_cases(void);
TCase *common_octets_cases(void);
TCase *common_queue_cases(void);
TCase *common_room_cases(void);
TCase *common_seal_cases(void);
TCase *common_secret_cases(void);
TCase *common_source_cases(void);
TCase *common_tenant_cases(void);
TCase *common_text_cases(void);
TCase *common_wait_cases(void);

#endif
