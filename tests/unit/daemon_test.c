/*
 * daemon_test.c - runs daemon/'s unit tests.
 */
#include "tests/unit/daemon_test.h"

#include <stdlib.h>

#include "common/wait.h"

int main(void)
{
	Suite *suite = suite_create("daemon");
	SRunner *runner;
	int failed;

	wait_setup();
	suite_add_tcase(suite, batch_tests());
	suite_add_tcase(suite, breaker_tests());
	suite_add_tcase(suite, budget_tests());
	suite_add_tcase(suite, place_tests());
	suite_add_tcase(suite, record_tests());
	suite_add_tcase(suite, thread_tests());
	suite_add_tcase(suite, judge_tests());
	suite_add_tcase(suite, limit_tests());
	suite_add_tcase(suite, quota_tests());
	suite_add_tcase(suite, result_tests());
	suite_add_tcase(suite, timers_tests());
	suite_add_tcase(suite, waking_tests());
	suite_add_tcase(suite, journal_tests());
	suite_add_tcase(suite, configuration_tests());
	suite_add_tcase(suite, loader_tests());
	suite_add_tcase(suite, metrics_tests());
	suite_add_tcase(suite, monitor_tests());
	suite_add_tcase(suite, token_tests());
	suite_add_tcase(suite, slot_tests());
	suite_add_tcase(suite, turn_tests());
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
