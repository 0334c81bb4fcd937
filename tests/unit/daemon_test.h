/*
 * daemon_test.h - the suites of daemon/'s unit tests.
 */
#ifndef OUTBOXD_TESTS_UNIT_DAEMON_TEST_H
#define OUTBOXD_TESTS_UNIT_DAEMON_TEST_H

#include <check.h>

TCase *batch_tests(void);
TCase *breaker_tests(void);
TCase *budget_tests(void);
TCase *place_tests(void);
TCase *record_tests(void);
TCase *result_tests(void);
TCase *slot_tests(void);
TCase *thread_tests(void);
TCase *judge_tests(void);
TCase *limit_tests(void);
TCase *quota_tests(void);
TCase *timers_tests(void);
TCase *waking_tests(void);
TCase *journal_tests(void);
TCase *configuration_tests(void);
TCase *loader_tests(void);
TCase *metrics_tests(void);
TCase *monitor_tests(void);
TCase *token_tests(void);
TCase *turn_tests(void);

#endif
