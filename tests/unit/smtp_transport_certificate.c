/*
 * smtp_transport_certificate.c - pins and words: what needs no connection.
 */
#include "smtp/certificate.h"

#include <stdio.h>
#include <string.h>

#include "smtp/fingerprint.h"
#include "tests/unit/smtp_transport_test.h"

#define NAME           "mail.acme.example"
#define DAY_2026_11_01 INT64_C(1793491200)
#define HEX            "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"

static unsigned char known[FINGERPRINT_BYTES], other[FINGERPRINT_BYTES];

static void setup(void)
{
	for (int i = 0; i < FINGERPRINT_BYTES; i++) {
		known[i] = (unsigned char)(i % 16 * 0x11);
		other[i] = (unsigned char)i;
	}
}

START_TEST(pins_are_taken_as_tools_print_them)
{
	static const struct {
		const char *list;
		bool certificate, key;
	} cases[] = {
		{ "sha256:" HEX, true, false },
		{ "SHA256:" HEX, true, false },
		{ "spki:" HEX, false, true },
		{ " spki:" HEX " ", false, true },
		{ "spki:" HEX ",sha256:" HEX, true, true },
		{ "sha256:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:"
		  "00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff",
		  true, false },
	};
	struct words words;

	for (size_t i = 0; i < COUNT(cases); i++) {
		ck_assert_msg(fingerprint_check(cases[i].list, &words) == OK, "%s", words.text);
		ck_assert_int_eq(fingerprint_match(cases[i].list, known, other), cases[i].certificate);
		ck_assert_int_eq(fingerprint_match(cases[i].list, other, known), cases[i].key);
		ck_assert(!fingerprint_match(cases[i].list, other, other));
	}
}
END_TEST

START_TEST(what_is_no_pin_is_refused_and_matches_nothing)
{
	static const char *const lists[] = {
		"",
		",",
		HEX,
		"md5:" HEX,
		"sha256:",
		"sha256:0011",
		"sha256:" HEX "00",
		"sha256:" HEX ",",
		"sha256:" HEX ":",
		"sha256::" HEX,
		"sha256:0:0112233445566778899aabbccddeeff",
		"sha256:-" HEX,
		"spki:g0112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
		"sha256 :" HEX,
		"spki:" HEX " sha256:" HEX,
		"sha256:\xc3\xa4",
	};
	struct words words;

	for (size_t i = 0; i < COUNT(lists); i++) {
		words.text[0] = '\0';
		ck_assert_msg(fingerprint_check(lists[i], &words) == ERROR_INVALID, "'%s'", lists[i]);
		ck_assert_int_eq(strncmp(words.text, "tls_fingerprints: '", 19), 0);
	}
	ck_assert(!fingerprint_match("sha256:0011", known, known));
	ck_assert(!fingerprint_match("", known, known));
}
END_TEST

START_TEST(a_day_is_told_of_the_one_that_is_out_of_date)
{
	struct certificate chain[] = {
		{ .begins_s = 0, .ends_s = DAY_2026_11_01 },
		{ .subject = "Middle", .begins_s = DAY_2026_11_01 + 5, .ends_s = DAY_2026_11_01 * 2 },
	};
	struct words words = { "" };

	certificate_fault_time(&words, NAME, chain, 2, DAY_2026_11_01 + 1);
	ck_assert_str_eq(words.text, "the certificate of " NAME " expired on 2026-11-01");
	words.text[0] = '\0';
	certificate_fault_time(&words, NAME, chain, 2, DAY_2026_11_01);
	ck_assert_str_eq(words.text, "the certificate of " NAME " is signed by an authority (Middle) "
	                             "whose own certificate is not valid before 2026-11-01");
	words.text[0] = '\0';
	certificate_fault_time(&words, NAME, chain, 1, DAY_2026_11_01);
	ck_assert_str_eq(words.text, "the certificate of " NAME " is signed by an authority "
	                             "whose own certificate is out of date");
}
END_TEST

START_TEST(names_are_cleaned_counted_and_cut)
{
	struct certificate_names names = { .count = 0 };
	struct words words = { "" };
	char big[500];

	certificate_fault_owner(&words, NAME, &names);
	ck_assert_str_eq(words.text, "the certificate of " NAME " is for nobody, not for " NAME);
	memset(big, 'x', sizeof(big));
	certificate_add_name(&names, "a\tb\r\nc", 6);
	certificate_add_name(&names, big, sizeof(big));
	certificate_add_name(&names, "\xff", 1);
	for (int i = 0; i < 997; i++)
		certificate_add_name(&names, "n", 1);
	words.text[0] = '\0';
	certificate_fault_owner(&words, NAME, &names);
	ck_assert_int_eq(strncmp(words.text, "the certificate of " NAME " is for a b c, xxx", 53), 0);
	ck_assert_ptr_nonnull(strstr(words.text, "\xef\xbf\xbd and 997 more, not for " NAME));
}
END_TEST

START_TEST(an_authority_is_called_by_its_common_name)
{
	static const struct {
		const char *whole, *name;
	} cases[] = {
		{ "CN=Acme CA,O=Acme Ltd,C=DE", "Acme CA" },
		{ "C=DE,O=Acme\\, Ltd", "Acme, Ltd" },
		{ "O=Acme Ltd+CN=Both", "Both" },
		{ "OU=x\\,CN=no,O=Real", "Real" },
		{ "DCN=no,C=DE", "DCN=no,C=DE" },
		{ "CN=,O=Behind", "Behind" },
		{ "CN=ends\\", "ends\\" },
		{ "CN=two\nlines\x1b[1m", "two lines [1m" },
		{ "CN", "CN" },
		{ "", "nameless" },
	};
	char name[CERTIFICATE_NAME_BYTES];

	for (size_t i = 0; i < COUNT(cases); i++) {
		certificate_set_authority(name, cases[i].whole, strlen(cases[i].whole));
		ck_assert_str_eq(name, cases[i].name);
	}
}
END_TEST

START_TEST(only_addresses_are_added_as_such)
{
	struct certificate_names names = { .count = 0 };

	certificate_add_address(&names, "\xc0\0\2\1", 4);
	certificate_add_address(&names, "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16);
	certificate_add_address(&names, "\xc0\0\2\1\0", 5);
	certificate_add_address(&names, "", 0);
	ck_assert_int_eq(names.count, 2);
	ck_assert_str_eq(names.told[0], "192.0.2.1");
	ck_assert_str_eq(names.told[1], "2001:db8::1");
}
END_TEST

START_TEST(faults_join_to_one_sentence_however_many)
{
	struct words words = { "" };

	certificate_fault(&words, NAME, "is %s", "bad");
	certificate_fault(&words, NAME, "is worse");
	ck_assert_str_eq(words.text, "the certificate of " NAME " is bad, and is worse");
	for (int i = 0; i < 100; i++)
		certificate_fault(&words, NAME, "is worse");
	ck_assert_uint_eq(strlen(words.text), sizeof(words.text) - 1);
}
END_TEST

TCase *smtp_transport_certificate_cases(void)
{
	TCase *cases = tcase_create("certificate");

	tcase_add_checked_fixture(cases, setup, NULL);
	tcase_add_test(cases, pins_are_taken_as_tools_print_them);
	tcase_add_test(cases, what_is_no_pin_is_refused_and_matches_nothing);
	tcase_add_test(cases, a_day_is_told_of_the_one_that_is_out_of_date);
	tcase_add_test(cases, names_are_cleaned_counted_and_cut);
	tcase_add_test(cases, an_authority_is_called_by_its_common_name);
	tcase_add_test(cases, only_addresses_are_added_as_such);
	tcase_add_test(cases, faults_join_to_one_sentence_however_many);
	return cases;
}
