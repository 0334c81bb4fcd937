/*
 * common_test.c - runs the unit tests of common/, each in a process of its own.
 */
#include "tests/unit/common_test.h"

#include <stdlib.h>
#include <sys/resource.h>

int main(void)
{
	static TCase *(*const cases[])(void) = {
		common_buffer_cases,   common_digest_cases,  common_error_cases,  common_log_cases,
		common_log_file_cases, common_message_cases, common_octets_cases, common_queue_cases,
		common_room_cases,     common_seal_cases,    common_secret_cases, common_source_cases,
		common_tenant_cases,   common_text_cases,    common_wait_cases,
	};
	const struct rlimit no_core = { 0, 0 };
	Suite *suite = suite_create("common");
	SRunner *runner;
	int failed;

	setrlimit(RLIMIT_CORE, &no_core); /* broken promises abort on purpose here */
	for (size_t i = 0; i < COUNT(cases); i++) {
		TCase *one = cases[i]();

		tcase_set_timeout(one, 60); /* a lost wake-up shows as this */
		suite_add_tcase(suite, one);
	}
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
