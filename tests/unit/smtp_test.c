/*
 * smtp_test.c - runs the unit tests of smtp/'s conversation half.
 */
#include "tests/unit/smtp_test.h"

#include <stdlib.h>

int main(void)
{
	Suite *suite = suite_create("smtp");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, smtp_bearer_cases());
	suite_add_tcase(suite, smtp_body_cases());
	suite_add_tcase(suite, smtp_dsn_cases());
	suite_add_tcase(suite, smtp_login_advice_cases());
	suite_add_tcase(suite, smtp_reply_cases());
	suite_add_tcase(suite, smtp_scram_cases());
	suite_add_tcase(suite, smtp_session_cases());
	suite_add_tcase(suite, smtp_verdict_cases());
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
