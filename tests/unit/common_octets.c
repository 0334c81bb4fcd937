/*
 * common_octets.c - runs of octets are as long as one would find them octet by octet.
 */
#include "common/octets.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/common_test.h"

#define LONGEST 20

static bool ends_line(unsigned char c)
{
	return c == '\0' || c == '\r' || c == '\n';
}

static bool is_unprintable(unsigned char c)
{
	return c < ' ' || c > '~';
}

static const struct run {
	size_t (*run)(const char *bytes, size_t length);
	bool (*ends)(unsigned char c);
} runs[] = {
	{ octets_of_line, ends_line },
	{ octets_printable, is_unprintable },
};

static size_t one_by_one(const struct run *run, const char *bytes, size_t length)
{
	size_t count = 0;

	while (count < length && !run->ends((unsigned char)bytes[count]))
		count++;
	return count;
}

/* Memory of just that length: a read beyond it is seen by the sanitizer. */
static void find(const struct run *run, const char *bytes, size_t length)
{
	char *exact = malloc(length > 0 ? length : 1);

	memcpy(exact, bytes, length);
	ck_assert_uint_eq(run->run(exact, length), one_by_one(run, exact, length));
	free(exact);
}

START_TEST(every_octet_at_every_place_of_every_length)
{
	static const char around[] = { 'a', ' ', '~', '\t' };
	char bytes[LONGEST];

	for (size_t length = 0; length <= LONGEST; length++) {
		for (size_t place = 0; place < length; place++) {
			for (int octet = 0; octet < 256; octet++) {
				memset(bytes, around[(length + place) % sizeof(around)], length);
				bytes[place] = (char)octet;
				find(&runs[_i], bytes, length);
			}
		}
	}
	find(&runs[_i], "", 0);
}
END_TEST

/* What is wrong in one octet must not be carried into, or hidden by, the next. */
START_TEST(pairs_of_octets_side_by_side)
{
	char bytes[8] = "aaaaaaaa";

	for (int first = 0; first < 256; first++) {
		for (int second = 0; second < 256; second++) {
			bytes[3] = (char)first;
			bytes[4] = (char)second;
			find(&runs[_i], bytes, sizeof(bytes));
		}
	}
}
END_TEST

TCase *common_octets_cases(void)
{
	TCase *test = tcase_create("octets");

	tcase_add_loop_test(test, every_octet_at_every_place_of_every_length, 0, COUNT(runs));
	tcase_add_loop_test(test, pairs_of_octets_side_by_side, 0, COUNT(runs));
	return test;
}
