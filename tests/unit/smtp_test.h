/*
 * smtp_test.h - unit tests of smtp/'s conversation half.
 */
#ifndef OUTBOXD_TESTS_UNIT_SMTP_TEST_H
#define OUTBOXD_TESTS_UNIT_SMTP_TEST_H

#include <check.h>

TCase *smtp_bearer_cases(void);
TCase *smtp_body_cases(void);
TCase *smtp_dsn_cases(void);
TCase *smtp_login_advice_cases(void);
TCase *smtp_reply_cases(void);
TCase *smtp_scram_cases(void);
TCase *smtp_session_cases(void);
TCase *smtp_verdict_cases(void);

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
