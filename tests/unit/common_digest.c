/*
 * common_digest.c - SHA-256 as in FIPS 180-2, dice that are fair.
 */
#include "common/digest.h"

#include <string.h>

#include "common/text.h"
#include "tests/unit/common_test.h"

START_TEST(sha256_as_in_the_standard)
{
	static const char *const cases[][2] = {
		{ "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
		{ "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		unsigned char digest[DIGEST_SHA256_BYTES];
		char hex[2 * DIGEST_SHA256_BYTES + 1];

		digest_sha256(cases[i][0], strlen(cases[i][0]), digest);
		text_hex(digest, sizeof(digest), hex);
		ck_assert_str_eq(hex, cases[i][1]);
	}
	unsigned char none[DIGEST_SHA256_BYTES];
	digest_sha256(NULL, 0, none);
	ck_assert_int_eq(none[0], 0xe3);
}
END_TEST

START_TEST(random_bytes_fill_and_differ)
{
	unsigned char a[32] = { 0 }, b[32] = { 0 }, edge[3] = { 1, 1, 1 };

	digest_random(a, sizeof(a));
	digest_random(b, sizeof(b));
	ck_assert_mem_ne(a, b, sizeof(a));
	ck_assert_mem_ne(a, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", sizeof(a));
	digest_random(edge + 1, 0);
	ck_assert_int_eq(edge[1], 1);
}
END_TEST

START_TEST(dice_stay_below_and_show_every_face)
{
	int seen[6] = { 0 };

	for (int i = 0; i < 6000; i++) {
		uint32_t face = digest_random_below(6);

		ck_assert_uint_lt(face, 6);
		seen[face]++;
	}
	for (int i = 0; i < 6; i++)
		ck_assert_int_gt(seen[i], 700); /* 1000 wanted; 10 standard deviations away */
	for (int i = 0; i < 100; i++)
		ck_assert_uint_eq(digest_random_below(1), 0);
	for (int i = 0; i < 100; i++)
		ck_assert_uint_lt(digest_random_below(UINT32_MAX), UINT32_MAX);
}
END_TEST

START_TEST(a_large_range_is_not_leaning)
{
	/* by modulo alone the lower third would be thrown twice as often as each of the others */
	const uint32_t below = 3u << 30;
	int low = 0;

	for (int i = 0; i < 6000; i++)
		low += digest_random_below(below) < 1u << 30;
	ck_assert_int_gt(low, 1600);
	ck_assert_int_lt(low, 2400); /* 2000 wanted, 3000 by modulo */
}
END_TEST

TCase *common_digest_cases(void)
{
	TCase *cases = tcase_create("digest");

	tcase_add_test(cases, sha256_as_in_the_standard);
	tcase_add_test(cases, random_bytes_fill_and_differ);
	tcase_add_test(cases, dice_stay_below_and_show_every_face);
	tcase_add_test(cases, a_large_range_is_not_leaning);
	return cases;
}
