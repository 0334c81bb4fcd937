/*
 * common_text.c - UTF-8 by RFC 3629, cleaning, numbers, base64 by RFC 4648.
 */
#include "common/text.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/common_test.h"

START_TEST(every_code_point_is_decoded)
{
	for (uint32_t code_point = 0; code_point < 0x110000; code_point++) {
		char text[4];
		uint32_t decoded = 0;
		size_t octets;

		if (code_point < 0x80) {
			text[0] = (char)code_point;
			octets = 1;
		} else if (code_point < 0x800) {
			text[0] = (char)(0xc0 | code_point >> 6);
			octets = 2;
		} else if (code_point < 0x10000) {
			text[0] = (char)(0xe0 | code_point >> 12);
			octets = 3;
		} else {
			text[0] = (char)(0xf0 | code_point >> 18);
			octets = 4;
		}
		for (size_t i = 1; i < octets; i++)
			text[i] = (char)(0x80 | (code_point >> 6 * (octets - 1 - i) & 0x3f));
		if (code_point >= 0xd800 && code_point <= 0xdfff) {
			ck_assert_uint_eq(text_utf8_next(text, octets, &decoded), 0);
			continue;
		}
		if (text_utf8_next(text, octets, &decoded) != octets || decoded != code_point)
			ck_abort_msg("U+%04X", code_point);
		for (size_t cut = 0; cut < octets; cut++)
			if (text_utf8_next(text, cut, &decoded) != 0)
				ck_abort_msg("U+%04X cut to %zu", code_point, cut);
	}
}
END_TEST

/* How many of all sequences of so many octets, the inner ones from a few, are one character. */
START_TEST(nothing_else_is_a_character)
{
	static const unsigned char edge[] = { 0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xff };
	size_t twos = 0, threes = 0, fours = 0;

	for (unsigned a = 0; a < 256; a++) {
		for (unsigned b = 0; b < 256; b++) {
			unsigned char text[4] = { (unsigned char)a, (unsigned char)b };
			uint32_t code_point;

			twos += text_utf8_next((char *)text, 2, &code_point) == 2;
			for (size_t c = 0; c < COUNT(edge); c++) {
				text[2] = edge[c];
				threes += text_utf8_next((char *)text, 3, &code_point) == 3;
				for (size_t d = 0; d < COUNT(edge); d++) {
					text[3] = edge[d];
					fours += text_utf8_next((char *)text, 4, &code_point) == 4;
				}
			}
		}
	}
	ck_assert_uint_eq(twos, 0x800 - 0x80);
	ck_assert_uint_eq(threes, 2 * (0x10000 - 0x800 - 0x800) / 64);
	ck_assert_uint_eq(fours, 4 * 0x100000 / 64 / 64);
}
END_TEST

START_TEST(the_first_bad_octet_is_found)
{
	ck_assert_uint_eq(text_utf8_valid("", 0), 0);
	ck_assert_uint_eq(text_utf8_valid("a\xc3\xa4z", 4), 4);
	ck_assert_uint_eq(text_utf8_valid("a\xc3", 2), 1);
	ck_assert_uint_eq(text_utf8_valid("ab\xffz", 4), 2);
	ck_assert(text_is_ascii("az~", 3));
	ck_assert(!text_is_ascii("az\x80", 3));
	ck_assert(text_is_ascii("az\x80", 2));
}
END_TEST

START_TEST(a_cut_falls_between_characters)
{
	static const char text[] = "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80z";
	static const size_t wanted[] = { 0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11 };
	size_t length = strlen(text);

	for (size_t max = 0; max < COUNT(wanted); max++)
		ck_assert_uint_eq(text_cut(text, length, max), wanted[max]);
	/* What is not UTF-8 is cut where it must be, not to nothing. */
	ck_assert_uint_eq(text_cut("\x80\x80\x80\x80\x80\x80\x80\x80", 8, 6), 6);
}
END_TEST

START_TEST(case_is_that_of_ascii)
{
	char text[] = "AbZ[`{\xc3\x84";

	ck_assert(text_equal_nocase("", ""));
	ck_assert(text_equal_nocase("StartTLS", "STARTtls"));
	ck_assert(!text_equal_nocase("abc", "abcd"));
	ck_assert(!text_equal_nocase("abcd", "abc"));
	ck_assert_int_lt(text_order_nocase("abc", "ABCD"), 0);
	ck_assert_int_gt(text_order_nocase("ABD", "abc"), 0);
	ck_assert_int_gt(text_order_nocase("\xc3\x84", "z"), 0);
	ck_assert(!text_equal_nocase("[", "{"));
	ck_assert(!text_equal_nocase("@", "`"));
	ck_assert(!text_equal_nocase("\xc3\x84", "\xc3\xa4"));
	ck_assert(text_starts_nocase("AUTH PLAIN", "auth "));
	ck_assert(text_starts_nocase("x", ""));
	ck_assert(!text_starts_nocase("AUT", "auth"));
	text_lower_ascii(text);
	ck_assert_str_eq(text, "abz[`{\xc3\x84");
}
END_TEST

static void cleans(const char *text, size_t length, size_t max_bytes, const char *wanted)
{
	char *clean = text_clean(text, length, max_bytes);

	ck_assert_str_eq(clean, wanted);
	free(clean);
}
#define CLEANS(text, max_bytes, wanted) cleans(text, sizeof(text) - 1, max_bytes, wanted)

START_TEST(a_peers_text_is_cleaned)
{
	CLEANS("", 100, "");
	CLEANS("plain words", 100, "plain words");
	CLEANS("  two\r\n\t lines \x1b[31m red\x7f ", 100, "two lines [31m red");
	CLEANS("nul\0inside", 100, "nul inside");
	CLEANS("c1\xc2\x85next", 100, "c1 next");
	CLEANS("lines\xe2\x80\xa8sep\xe2\x80\xae"
	       "abc",
	       100, "lines sep abc");
	CLEANS("bad\xff\xfe octet\xc3", 100, "bad\xef\xbf\xbd\xef\xbf\xbd octet\xef\xbf\xbd");
	CLEANS("caf\xc3\xa9 ol\xc3\xa9", 100, "caf\xc3\xa9 ol\xc3\xa9");
	CLEANS("abcdef", 6, "abcdef");
	CLEANS("abcdef", 5, "abcde");
	CLEANS("abcdef", 0, "");
	CLEANS("caf\xc3\xa9!", 4, "caf");
	CLEANS("ab   cd", 3, "ab"); /* no space at the end */
	CLEANS("ab   cd", 4, "ab c");
	CLEANS("ab\xff", 4, "ab");
	CLEANS("   \n ", 100, "");
}
END_TEST

START_TEST(whatever_is_cleaned_is_one_valid_line)
{
	uint32_t dice = 12345;

	for (int round = 0; round < 5000; round++) {
		char text[40];
		size_t length = (size_t)(round % 40), max_bytes = (size_t)(round % 17) * 3;
		char *clean;

		for (size_t i = 0; i < length; i++) {
			dice = dice * 1664525 + 1013904223;
			text[i] = (char)(dice >> 24);
		}
		clean = text_clean(text, length, max_bytes);
		ck_assert_uint_le(strlen(clean), max_bytes);
		ck_assert_uint_eq(text_utf8_valid(clean, strlen(clean)), strlen(clean));
		for (const char *c = clean; *c; c++)
			ck_assert((unsigned char)*c >= 0x20 && *c != 0x7f);
		ck_assert_ptr_null(strstr(clean, "  "));
		free(clean);
	}
}
END_TEST

START_TEST(whole_numbers)
{
	static const struct {
		const char *text;
		bool good;
		int64_t value;
	} cases[] = {
		{ "0", true, 0 },
		{ "42", true, 42 },
		{ "-7", true, -7 },
		{ "007", true, 7 },
		{ "9223372036854775807", true, INT64_MAX },
		{ "-9223372036854775807", true, -INT64_MAX },
		{ "9223372036854775808", false, 0 },
		{ "99999999999999999999", false, 0 },
		{ "", false, 0 },
		{ "-", false, 0 },
		{ "+1", false, 0 },
		{ " 1", false, 0 },
		{ "1 ", false, 0 },
		{ "1x", false, 0 },
		{ "0x10", false, 0 },
		{ "--1", false, 0 },
		{ "1.0", false, 0 },
	};
	int64_t value;

	for (size_t i = 0; i < COUNT(cases); i++) {
		value = 99;
		ck_assert_msg(text_to_int(cases[i].text, INT64_MIN, INT64_MAX, &value) == cases[i].good, "%s",
		              cases[i].text);
		ck_assert_int_eq(value, cases[i].good ? cases[i].value : 99);
	}
	ck_assert(text_to_int("5", 5, 5, &value));
	ck_assert(!text_to_int("4", 5, 5, &value));
	ck_assert(!text_to_int("6", 5, 5, &value));
}
END_TEST

START_TEST(durations_and_sizes)
{
	static const struct {
		const char *text;
		int64_t ms, octets; /* -1 = it is none */
	} cases[] = {
		{ "0", 0, 0 },
		{ "90", 90000, 90 },
		{ "30s", 30000, -1 },
		{ "15m", 900000, 15728640 },
		{ "6h", 21600000, -1 },
		{ "30d", INT64_C(2592000000), -1 },
		{ "250ms", 250, -1 },
		{ "65536", 65536000, 65536 },
		{ "256K", -1, 262144 },
		{ "256k", -1, 262144 },
		{ "25M", -1, 26214400 },
		{ "1G", -1, 1073741824 },
		{ "1g", -1, 1073741824 },
		{ "", -1, -1 },
		{ "s", -1, -1 },
		{ "-1s", -1, -1 },
		{ "-1", -1, -1 },
		{ "1 s", -1, -1 },
		{ "1.5h", -1, -1 },
		{ "1h30m", -1, -1 },
		{ "1KB", -1, -1 },
		{ "1D", -1, -1 },
		{ "9223372036854775807d", -1, -1 },
		{ "9223372036854775807G", -1, -1 },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		int64_t value = -1;

		ck_assert_int_eq(text_to_duration_ms(cases[i].text, &value), cases[i].ms >= 0);
		ck_assert_int_eq(value, cases[i].ms);
		value = -1;
		ck_assert_int_eq(text_to_size(cases[i].text, &value), cases[i].octets >= 0);
		ck_assert_int_eq(value, cases[i].octets);
	}
}
END_TEST

START_TEST(base64_as_in_rfc_4648_section_10)
{
	static const char *const cases[][2] = {
		{ "", "" },
		{ "f", "Zg==" },
		{ "fo", "Zm8=" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buffer out;

		buffer_init(&out, 100);
		ck_assert(text_base64_encode(&out, cases[i][0], strlen(cases[i][0])));
		ck_assert_str_eq(out.data, cases[i][1]);
		buffer_clear(&out);
		ck_assert(text_base64_decode(&out, cases[i][1], strlen(cases[i][1])));
		ck_assert_str_eq(out.data, cases[i][0]);
		buffer_fini(&out);
	}
}
END_TEST

START_TEST(base64_gives_back_all_octets)
{
	unsigned char octets[300];
	struct buffer encoded, decoded;

	for (size_t i = 0; i < sizeof(octets); i++)
		octets[i] = (unsigned char)(i * 7 + i / 256);
	buffer_init(&encoded, 1000);
	buffer_init(&decoded, 1000);
	for (size_t length = 0; length <= sizeof(octets); length++) {
		buffer_clear(&encoded);
		buffer_clear(&decoded);
		ck_assert(text_base64_encode(&encoded, octets, length));
		ck_assert(text_base64_decode(&decoded, encoded.data, encoded.length));
		ck_assert_uint_eq(decoded.length, length);
		if (length > 0)
			ck_assert_mem_eq(decoded.data, octets, length);
	}
	buffer_fini(&encoded);
	buffer_fini(&decoded);
}
END_TEST

START_TEST(what_is_not_base64_is_refused_and_changes_nothing)
{
	static const char *const cases[] = {
		"Z",        "Zg",        "Zg=",        "Zg===",    "=",       "====",     "Z===",
		"Zg==Zg==", "Zm9v Zg==", "Zm9v\nZg==", "Zm9-",     "Zm9_",    "Zm9v====", "Zh==",
		"Zm9=",     "Z=9v",      "Zm=v",       "Zm9v=Zg=", "Zm9\x80",
	};
	struct buffer out;

	buffer_init(&out, 100);
	buffer_append_text(&out, "kept");
	for (size_t i = 0; i < COUNT(cases); i++) {
		ck_assert_msg(!text_base64_decode(&out, cases[i], strlen(cases[i])), "%s", cases[i]);
		ck_assert_str_eq(out.data, "kept");
		ck_assert_uint_eq(out.length, 4);
	}
	ck_assert(!text_base64_decode(&out, "Zm9vYmFy", 6));
	ck_assert_uint_eq(out.length, 4);
	out.limit = 6;
	ck_assert(!text_base64_decode(&out, "Zm9vYmFy", 8));
	ck_assert(!text_base64_encode(&out, "f", 1));
	ck_assert_str_eq(out.data, "kept");
	buffer_fini(&out);
}
END_TEST

START_TEST(hexadecimal)
{
	char out[9];

	text_hex((const unsigned char *)"\x00\x0f\xa5\xff", 4, out);
	ck_assert_str_eq(out, "000fa5ff");
	text_hex(NULL, 0, out);
	ck_assert_str_eq(out, "");
}
END_TEST

TCase *common_text_cases(void)
{
	TCase *cases = tcase_create("text");

	tcase_add_test(cases, every_code_point_is_decoded);
	tcase_add_test(cases, nothing_else_is_a_character);
	tcase_add_test(cases, the_first_bad_octet_is_found);
	tcase_add_test(cases, a_cut_falls_between_characters);
	tcase_add_test(cases, case_is_that_of_ascii);
	tcase_add_test(cases, a_peers_text_is_cleaned);
	tcase_add_test(cases, whatever_is_cleaned_is_one_valid_line);
	tcase_add_test(cases, whole_numbers);
	tcase_add_test(cases, durations_and_sizes);
	tcase_add_test(cases, base64_as_in_rfc_4648_section_10);
	tcase_add_test(cases, base64_gives_back_all_octets);
	tcase_add_test(cases, what_is_not_base64_is_refused_and_changes_nothing);
	tcase_add_test(cases, hexadecimal);
	return cases;
}
