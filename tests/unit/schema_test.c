/*
 * schema_test.c - runs the tests of storage/schema.sql. All in one process: a fork for each of some
 * 500 short cases is what they cost most under a sanitizer (CK_FORK=yes has it so).
 */
#include <stdlib.h>

#include "tests/unit/schema_bed.h"

int main(void)
{
	static TCase *(*const cases[])(void) = {
		schema_message_cases, schema_tenant_cases,     schema_value_cases,   schema_state_cases,
		schema_file_cases,    schema_attachment_cases, schema_migrate_cases, schema_power_cases,
	};
	Suite *suite = suite_create("schema");
	SRunner *runner;
	int failed;

	for (size_t i = 0; i < COUNT(cases); i++) {
		TCase *one = cases[i]();

		tcase_set_timeout(one, 300);
		suite_add_tcase(suite, one);
	}
	runner = srunner_create(suite);
	if (!getenv("CK_FORK"))
		srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
