/*
 * schema_test.c - runs the tests of storage/schema.sql, each in a process of its own.
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
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
