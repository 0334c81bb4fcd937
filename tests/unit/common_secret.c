/*
 * common_secret.c - a secret that a server echoes is masked, in every spelling.
 */
#include "common/secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/text.h"
#include "tests/unit/common_test.h"

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

static void masks(const char *secret_text, const char *text, const char *wanted)
{
	struct secret secret = { 0 };
	char *copy = memory_strdup(text);

	ck_assert(secret_set(&secret, secret_text, strlen(secret_text)));
	secret_mask(&secret, copy);
	ck_assert_str_eq(copy, wanted);
	secret_wipe(&secret);
	free(copy);
}

START_TEST(a_secret_is_copied_and_wiped)
{
	struct secret secret = { 0 }, copy = { 0 }, none = { 0 };
	char bytes[] = "open sesame";

	ck_assert(!secret_is_set(&secret));
	ck_assert(secret_set(&secret, bytes, strlen(bytes)));
	bytes[0] = 'X';
	ck_assert_str_eq((char *)secret.bytes, "open sesame");
	ck_assert_uint_eq(secret.length, 11);
	ck_assert(secret_copy(&copy, &secret));
	ck_assert_ptr_ne(copy.bytes, secret.bytes);
	ck_assert(secret_set(&secret, secret.bytes, 4)); /* from itself */
	ck_assert_str_eq((char *)secret.bytes, "open");
	ck_assert_str_eq((char *)copy.bytes, "open sesame");
	ck_assert(secret_copy(&copy, &none));
	ck_assert(!secret_is_set(&copy));
	ck_assert(secret_set(&secret, NULL, 0)); /* empty, but set */
	ck_assert(secret_is_set(&secret));
	secret_wipe(&secret);
	ck_assert(!secret_is_set(&secret));
	ck_assert_uint_eq(secret.length, 0);
	secret_wipe(&secret);
}
END_TEST

START_TEST(a_secret_that_is_too_long_changes_nothing)
{
	struct secret secret = { 0 };
	char *bytes = memory_alloc(SECRET_MAX_BYTES + 1);

	ck_assert(secret_set(&secret, "old", 3));
	ck_assert(!secret_set(&secret, bytes, SECRET_MAX_BYTES + 1));
	ck_assert_str_eq((char *)secret.bytes, "old");
	memset(bytes, 'x', SECRET_MAX_BYTES);
	ck_assert(secret_set(&secret, bytes, SECRET_MAX_BYTES));
	secret_mask(&secret, bytes);
	ck_assert_str_eq(bytes, "***");
	secret_wipe(&secret);
	free(bytes);
}
END_TEST

#ifndef WITH_SANITIZER /* there it is the heap */
/* The flags of the mapping that has the address, as the kernel tells them: proc(5), VmFlags. */
static void flags_of(const void *address, char flags[512])
{
	FILE *maps = fopen("/proc/self/smaps", "r");
	unsigned long from, to, at = (unsigned long)address;
	bool here = false;
	char line[512];

	ck_assert_ptr_nonnull(maps);
	flags[0] = '\0';
	while (fgets(line, sizeof line, maps)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = at >= from && at < to;
		else if (here && strncmp(line, "VmFlags:", 8) == 0)
			(void)snprintf(flags, 512, "%s", line);
	}
	(void)fclose(maps);
	ck_assert(*flags);
}

START_TEST(a_secret_lies_where_no_core_file_looks)
{
	static const size_t lengths[] = { 0, 1, 31, 32, 200, 4095, 4096, SECRET_MAX_BYTES };
	char *bytes = memory_alloc(SECRET_MAX_BYTES), flags[512];
	struct secret secret = { 0 };

	for (size_t i = 0; i < COUNT(lengths); i++) {
		ck_assert(secret_set(&secret, bytes, lengths[i]));
		flags_of(secret.bytes, flags);
		ck_assert_msg(strstr(flags, " dd"), "%zu: %s", lengths[i], flags);
		secret_wipe(&secret);
	}
	flags_of(bytes, flags);
	ck_assert_msg(!strstr(flags, " dd"), "%s", flags); /* the heap is in it: the flag means something */
	free(bytes);
}
END_TEST
#endif

/* What one secret left behind is no part of the next one in its place. */
START_TEST(memory_of_secrets_is_given_on_empty)
{
	struct secret many[300] = { { 0 } };
	char text[300];

	memset(text, 'x', sizeof text);
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < COUNT(many); i++) {
			secret_make(&many[i], i);
			for (size_t k = 0; k <= i; k++)
				ck_assert_int_eq(many[i].bytes[k], 0);
			memset(many[i].bytes, 'x', i);
		}
		for (size_t i = 0; i < COUNT(many); i++) {
			ck_assert_int_eq(memcmp(many[i].bytes, text, i), 0); /* nobody else wrote there */
			ck_assert_int_eq(many[i].bytes[i], 0);
			secret_wipe(&many[i]);
		}
	}
}
END_TEST

START_TEST(plain_echoes_are_masked)
{
	masks("hunter2", "", "");
	masks("hunter2", "nothing here", "nothing here");
	masks("hunter2", "hunter2", "***");
	masks("hunter2", "535 bad password hunter2!", "535 bad password ***!");
	masks("hunter2", "hunter2 and hunter2", "*** and ***");
	masks("hunter2", "xhunter2x", "x***x");
	masks("hunter2", "hunter hunter3 Hunter2", "hunter hunter3 Hunter2");
	masks("abab", "xabababx", "x***x"); /* occurrences that overlap */
	masks("abab", "abababab.", "***.");
	masks("", "nothing to mask", "nothing to mask");
	masks("p\xc3\xa4ss", "was p\xc3\xa4ss?", "was ***?");
}
END_TEST

START_TEST(short_secrets_are_masked_where_they_stand_alone)
{
	masks("the", "the other theme, the. (the)", "*** other theme, ***. (***)");
	masks("the", "breathe", "breathe");
	masks("ab", "ab abc cab ab", "** abc cab **");
	masks("a", "a cat: a", "* cat: *");
	masks("the", "dGhl", "***"); /* LOGIN's answer: the password alone */
	masks("the", "334 dGhl?", "334 ***?");
	masks("the", "xdGhl dGhlx", "xdGhl dGhlx");
	masks("ab", "YWI=", "***=");
	masks("a", "YQ==", "**==");
}
END_TEST

/* A secret at an offset inside something longer: no digit that holds any bit of it may stay. */
static void masks_inside(const char *before, const char *secret_text, const char *after)
{
	size_t from = strlen(before), length = strlen(secret_text), total = from + length + strlen(after);
	size_t first = from * 8 / 6, end = ((from + length) * 8 + 5) / 6;
	struct secret secret = { 0 };
	struct buffer plain, encoded, wanted;

	buffer_init(&plain, 1000);
	buffer_init(&encoded, 1000);
	buffer_init(&wanted, 1000);
	buffer_printf(&plain, "%s%s%s", before, secret_text, after);
	for (size_t i = 0; i < total; i++) /* as PLAIN has it: NULs between the parts */
		if (plain.data[i] == '|')
			plain.data[i] = '\0';
	text_base64_encode(&encoded, plain.data, total);
	buffer_append(&wanted, encoded.data, first);
	buffer_printf(&wanted, "***%s", encoded.data + end);
	ck_assert(secret_set(&secret, secret_text, length));
	secret_mask(&secret, encoded.data);
	ck_assert_str_eq(encoded.data, wanted.data);
	secret_wipe(&secret);
	buffer_fini(&plain);
	buffer_fini(&encoded);
	buffer_fini(&wanted);
}

START_TEST(base64_echoes_are_masked_at_every_alignment)
{
	static const char *const secrets[] = {
		"pass", "pass5", "secret", "hunter2", "?>?>\xff\xfe\xfb\xef", "correct horse battery staple",
	};
	static const char *const before[] = { "", "|", "||", "|u|", "|us|", "|use|", "|user|", "n,a=me|" };
	static const char *const after[] = { "", "|", "x", "|x", "||x" };

	for (size_t s = 0; s < COUNT(secrets); s++)
		for (size_t b = 0; b < COUNT(before); b++)
			for (size_t a = 0; a < COUNT(after); a++)
				masks_inside(before[b], secrets[s], after[a]);
}
END_TEST

START_TEST(the_url_alphabet_is_masked_too)
{
	masks("?\077?>>>", "token Pz8_Pj4- end", "token *** end");
	masks("?\077?>>>", "token Pz8/Pj4+ end", "token *** end");
}
END_TEST

START_TEST(a_secret_with_a_nul_is_masked_in_base64)
{
	struct secret secret = { 0 };
	char text[] = "334 YWIAY2Q=";

	ck_assert(secret_set(&secret, "ab\0cd", 5));
	secret_mask(&secret, text);
	ck_assert_str_eq(text, "334 ***=");
	secret_wipe(&secret);
}
END_TEST

TCase *common_secret_cases(void)
{
	TCase *cases = tcase_create("secret");

	tcase_add_test(cases, a_secret_is_copied_and_wiped);
	tcase_add_test(cases, a_secret_that_is_too_long_changes_nothing);
#ifndef WITH_SANITIZER
	tcase_add_test(cases, a_secret_lies_where_no_core_file_looks);
#endif
	tcase_add_test(cases, memory_of_secrets_is_given_on_empty);
	tcase_add_test(cases, plain_echoes_are_masked);
	tcase_add_test(cases, short_secrets_are_masked_where_they_stand_alone);
	tcase_add_test(cases, base64_echoes_are_masked_at_every_alignment);
	tcase_add_test(cases, the_url_alphabet_is_masked_too);
	tcase_add_test(cases, a_secret_with_a_nul_is_masked_in_base64);
	return cases;
}
