/*
 * mime_test.c - runs the unit tests of mime/.
 */
#include "tests/unit/mime_test.h"

#include <stdlib.h>

int main(void)
{
	static TCase *(*const cases[])(void) = {
		mime_address_case, mime_complete_case, mime_encode_case, mime_field_case, mime_header_case,
		mime_parts_case,   mime_media_case,    mime_extra_case,  mime_evil_case,  mime_plain_case,
	};
	Suite *suite = suite_create("mime");
	SRunner *runner;
	int failed;

	for (size_t i = 0; i < COUNT(cases); i++)
		suite_add_tcase(suite, cases[i]());
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
