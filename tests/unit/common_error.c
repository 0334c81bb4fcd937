/*
 * common_error.c - words are terminated and cut between characters; clocks and deadlines.
 */
#include "common/error.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "common/clock.h"
#include "common/text.h"
#include "tests/unit/common_test.h"

START_TEST(every_error_has_a_name_of_its_own)
{
	for (int a = OK; a <= ERROR_SYSTEM; a++) {
		ck_assert_ptr_nonnull(error_text((enum error)a));
		for (int b = OK; b < a; b++)
			ck_assert_str_ne(error_text((enum error)a), error_text((enum error)b));
	}
	ck_assert_str_eq(error_text((enum error)1000), "unknown error");
}
END_TEST

START_TEST(words_are_cut_between_characters)
{
	/* U+20AC is three octets, so each padding puts the border elsewhere in one */
	for (int padding = 0; padding < 4; padding++) {
		struct words words;
		char text[800] = "";

		memset(text, 'x', (size_t)padding);
		for (int i = 0; i < 200; i++)
			strcat(text, "\xe2\x82\xac");
		words_set(&words, "%s", text);
		ck_assert_uint_le(strlen(words.text), sizeof(words.text) - 1);
		ck_assert_uint_ge(strlen(words.text), sizeof(words.text) - 3);
		ck_assert_uint_eq(text_utf8_valid(words.text, strlen(words.text)), strlen(words.text));
		ck_assert_mem_eq(words.text, text, strlen(words.text));
	}
}
END_TEST

START_TEST(words_that_fit_are_whole)
{
	char text[sizeof(struct words)];
	struct words words;

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	words_set(&words, "%s", text);
	ck_assert_str_eq(words.text, text);
	words_set(&words, "%s has %d", "port", 7);
	ck_assert_str_eq(words.text, "port has 7");
}
END_TEST

START_TEST(the_systems_reason_is_added)
{
	struct words words;
	char text[700];

	words_set_errno(&words, ENOENT, "open %s", "a.db");
	ck_assert_str_eq(words.text, "open a.db: No such file or directory");
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	words_set_errno(&words, ENOENT, "%s", text);
	ck_assert_uint_eq(strlen(words.text), sizeof(words.text) - 1);
}
END_TEST

START_TEST(deadlines_saturate)
{
	ck_assert_int_eq(deadline_after_ms(INT64_MAX), DEADLINE_NEVER);
	ck_assert_int_eq(deadline_after_ms(INT64_MAX - 1), DEADLINE_NEVER);
	ck_assert_int_eq(deadline_left_ms(DEADLINE_NEVER), -1);
	ck_assert_int_eq(deadline_left_ms(DEADLINE_NEVER - 1), INT_MAX);
	ck_assert_int_eq(deadline_left_ms(INT64_MIN), 0);
	ck_assert_int_eq(deadline_left_ms(clock_monotonic_ms()), 0);
	ck_assert_int_le(deadline_after_ms(-5), clock_monotonic_ms());
	ck_assert_int_le(deadline_left_ms(deadline_after_ms(60000)), 60000);
	ck_assert_int_gt(deadline_left_ms(deadline_after_ms(60000)), 50000);
}
END_TEST

START_TEST(moved_clocks_move_together_and_a_jump_moves_one)
{
	int64_t deadline_ms = deadline_after_ms(10000000);
	int64_t wall_ms = clock_wall_ms(), monotonic_ms = clock_monotonic_ms();

	clock_move_ms(10000001);
	ck_assert_int_eq(deadline_left_ms(deadline_ms), 0);
	ck_assert_int_ge(clock_wall_ms(), wall_ms + 10000001);
	ck_assert_int_ge(clock_monotonic_ms(), monotonic_ms + 10000001);
	clock_jump_wall_ms(-100000000);
	ck_assert_int_lt(clock_wall_ms(), wall_ms);
	ck_assert_int_ge(clock_monotonic_ms(), monotonic_ms + 10000001);
	ck_assert_int_le(clock_wall_s() * 1000, clock_wall_ms());
	ck_assert_int_ge(clock_wall_s() * 1000, clock_wall_ms() - 60000);
}
END_TEST

START_TEST(times_are_written_in_utc)
{
	static const struct {
		int64_t wall_ms;
		const char *text;
	} cases[] = {
		{ 0, "1970-01-01T00:00:00.000Z" },
		{ INT64_C(1795348800123), "2026-11-22T12:00:00.123Z" },
		{ INT64_C(951782400000), "2000-02-29T00:00:00.000Z" },
		{ -1, "1969-12-31T23:59:59.999Z" },
		{ -1000, "1969-12-31T23:59:59.000Z" },
		{ INT64_C(253402300799999), "9999-12-31T23:59:59.999Z" },
		{ INT64_C(253402300800000), "0000-00-00T00:00:00.000Z" },
		{ INT64_MAX, "0000-00-00T00:00:00.000Z" },
		{ INT64_MIN, "0000-00-00T00:00:00.000Z" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		char text[CLOCK_TEXT_BYTES];

		clock_format_utc(cases[i].wall_ms, text);
		ck_assert_str_eq(text, cases[i].text);
	}
}
END_TEST

TCase *common_error_cases(void)
{
	TCase *cases = tcase_create("error and clock");

	tcase_add_test(cases, every_error_has_a_name_of_its_own);
	tcase_add_test(cases, words_are_cut_between_characters);
	tcase_add_test(cases, words_that_fit_are_whole);
	tcase_add_test(cases, the_systems_reason_is_added);
	tcase_add_test(cases, deadlines_saturate);
	tcase_add_test(cases, moved_clocks_move_together_and_a_jump_moves_one);
	tcase_add_test(cases, times_are_written_in_utc);
	return cases;
}
