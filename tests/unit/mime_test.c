/*
 * mime_test.c - runs the unit tests of mime/.
 */
#include "tests/unit/mime_test.h"

#include <stdlib.h>

int main(void)
{
	Suite *suite = suite_create("mime");
	SRunner *runner;
	int failed;

	suite_add_tcase(suite, mime_address_case());
	suite_add_tcase(suite, mime_encode_case());
	suite_add_tcase(suite, mime_header_case());
	suite_add_tcase(suite, mime_compose_case());
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
