/*
 * common_seal.c - what is sealed opens where it belongs, and nowhere else.
 */
#include "common/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/seal_file.h"
#include "common/secret_file.h"
#include "common/text.h"
#include "tests/unit/common_test.h"

#define PASSWORD "correct horse battery staple"
#define KEY_ONE  "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define KEY_TWO  "Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA="

static struct seal_keys *keys_of(const char *text)
{
	struct seal_keys *keys;
	struct words words = { "" };
	enum error error = seal_keys_parse("keys", text, strlen(text), &keys, &words);

	ck_assert_msg(error == OK, "%s", words.text);
	return keys;
}

static void refuses_keys(const char *text, size_t length, const char *wanted)
{
	struct seal_keys *keys;
	struct words words = { "" };

	ck_assert_int_eq(seal_keys_parse("keys", text, length, &keys, &words), ERROR_INVALID);
	ck_assert_ptr_null(keys);
	ck_assert_msg(strstr(words.text, wanted), "%s", words.text);
}

/* A tenant with each setting that a sealed value is bound to; column NULL = as it is. */
static struct tenant_settings *tenant(const char *name, const char *column, const char *value)
{
	static const char *const as_it_is[][2] = {
		{ "host", "mail.acme.example" },   { "port", "587" },    { "tls", "starttls" },
		{ "tls_verify", "full" },          { "tls_name", "mx" }, { "tls_ca_file", "/ca.pem" },
		{ "tls_fingerprints", "spki:00" },
	};
	struct tenant_settings *settings = tenant_settings_create(name);
	struct words words;

	for (size_t i = 0; i < COUNT(as_it_is); i++)
		ck_assert_int_eq(tenant_settings_set(settings, as_it_is[i][0], as_it_is[i][1], &words), OK);
	if (column)
		ck_assert_int_eq(tenant_settings_set(settings, column, value, &words), OK);
	tenant_settings_seal(settings);
	return settings;
}

static void seal(struct seal_keys *keys, const char *password, struct secret *sealed)
{
	struct tenant_settings *settings = tenant("acme", NULL, NULL);
	struct secret value = { 0 };
	struct words words = { "" };
	enum error error;

	ck_assert(secret_set(&value, password, strlen(password)));
	error = seal_close(keys, &(struct seal_place){ settings, "password", NULL }, &value, sealed, &words);
	ck_assert_msg(error == OK, "%s", words.text);
	secret_wipe(&value);
	tenant_settings_release(&settings);
}

/* Takes settings over; what opens, or does not, with the words. */
static enum error opens_file(const struct seal_keys *keys, struct tenant_settings *settings,
                             const char *column, const char *file, const struct secret *sealed,
                             struct words *words)
{
	struct secret value = { 0 };
	enum error error;

	words->text[0] = '\0';
	error = seal_open(keys, &(struct seal_place){ settings, column, file }, sealed, &value, words);
	ck_assert(secret_is_set(&value) == (error == OK));
	if (error == OK)
		ck_assert_str_eq((char *)value.bytes, PASSWORD);
	else
		ck_assert(words->text[0] && !strstr(words->text, PASSWORD));
	secret_wipe(&value);
	tenant_settings_release(&settings);
	return error;
}

static enum error opens(const struct seal_keys *keys, struct tenant_settings *settings, const char *column,
                        const struct secret *sealed, struct words *words)
{
	return opens_file(keys, settings, column, NULL, sealed, words);
}

START_TEST(what_is_sealed_opens_and_shows_nothing)
{
	struct seal_keys *keys = keys_of(KEY_ONE);
	struct secret sealed = { 0 }, again = { 0 };
	char id[SEAL_ID_CHARS + 1];
	struct words words;

	seal(keys, PASSWORD, &sealed);
	seal(keys, PASSWORD, &again);
	ck_assert(seal_is_sealed(&sealed) && seal_id(&sealed, id));
	ck_assert_str_eq(id, seal_keys_id(keys));
	ck_assert_ptr_null(strstr((char *)sealed.bytes, "horse"));
	ck_assert_str_ne((char *)sealed.bytes, (char *)again.bytes); /* a nonce of its own */
	ck_assert_int_eq(opens(keys, tenant("acme", NULL, NULL), "password", &sealed, &words), OK);
	ck_assert_int_eq(opens(keys, tenant("acme", NULL, NULL), "password", &again, &words), OK);
	secret_wipe(&sealed);
	secret_wipe(&again);
	seal_keys_release(&keys);
}
END_TEST

START_TEST(it_opens_for_no_other_tenant_server_or_column)
{
	static const char *const others[][2] = {
		{ "host", "mail.evil.example" },
		{ "port", "588" },
		{ "tls", "none" },
		{ "tls_verify", "none" },
		{ "tls_name", "other" },
		{ "tls_ca_file", "/evil.pem" },
		{ "tls_fingerprints", NULL },
		{ "tls_priority", "PERFORMANCE" },
	};
	struct seal_keys *keys = keys_of(KEY_ONE);
	struct secret sealed = { 0 };
	struct words words;

	seal(keys, PASSWORD, &sealed);
	for (size_t i = 0; i < COUNT(others); i++) {
		ck_assert_msg(opens(keys, tenant("acme", others[i][0], others[i][1]), "password", &sealed,
		                    &words) == ERROR_REFUSED,
		              "%s", others[i][0]);
		ck_assert_msg(strstr(words.text, "password of tenant acme was sealed for another host, port "
		                                 "or tls"),
		              "%s", words.text);
	}
	ck_assert_int_eq(opens(keys, tenant("acme2", NULL, NULL), "password", &sealed, &words),
	                 ERROR_REFUSED);
	ck_assert_int_eq(opens(keys, tenant("acme", NULL, NULL), "username", &sealed, &words), ERROR_REFUSED);
	/* what a password has nothing to do with may change */
	ck_assert_int_eq(opens(keys, tenant("acme", "max_age", "60"), "password", &sealed, &words), OK);
	secret_wipe(&sealed);
	seal_keys_release(&keys);
}
END_TEST

static bool same_place(const struct tenant_settings *one, const struct tenant_settings *other)
{
	return seal_same_place(&(struct seal_place){ one, "password", NULL },
	                       &(struct seal_place){ other, "password", NULL });
}

/* "a" + "bc" is not "ab" + "c". */
START_TEST(no_two_places_are_written_the_same)
{
	struct tenant_settings *one = tenant("a", "host", "bc"), *other = tenant("ab", "host", "c");

	ck_assert(!same_place(one, other));
	tenant_settings_release(&other);
	other = tenant("a", "host", "bc");
	ck_assert(same_place(one, other));
	tenant_settings_release(&one);
	tenant_settings_release(&other);
}
END_TEST

/* NULL and the word that it stands for are one. */
START_TEST(a_default_is_what_it_means)
{
	struct tenant_settings *one = tenant("acme", "tls", NULL), *other = tenant("acme", "tls", "starttls");

	ck_assert(same_place(one, other));
	tenant_settings_release(&one);
	tenant_settings_release(&other);
}
END_TEST

START_TEST(whatever_is_changed_is_noticed)
{
	struct seal_keys *keys = keys_of(KEY_ONE);
	struct secret sealed = { 0 }, bad = { 0 };
	struct words words;

	seal(keys, PASSWORD, &sealed);
	for (size_t at = 0; at < sealed.length; at++) {
		/* before the prefix is whole it is a password like any other: seal_is_sealed() */
		ck_assert(secret_copy(&bad, &sealed));
		bad.bytes[at] = bad.bytes[at] == 'A' ? 'B' : 'A';
		ck_assert_msg(opens(keys, tenant("acme", NULL, NULL), "password", &bad, &words) != OK, "%zu",
		              at);
	}
	for (size_t length = 0; length < sealed.length; length++) {
		ck_assert(secret_set(&bad, sealed.bytes, length));
		ck_assert_msg(opens(keys, tenant("acme", NULL, NULL), "password", &bad, &words) != OK, "%zu",
		              length);
	}
	secret_wipe(&bad);
	secret_wipe(&sealed);
	seal_keys_release(&keys);
}
END_TEST

/* What was sealed by a program of somebody else's, which knows seal.h alone, opens. */
START_TEST(what_seal_h_says_is_what_is_done)
{
	static const struct {
		const char *column, *file, *sealed;
		int version;
	} given[] = {
		{ "password", NULL,
		  "{sealed:1:1d190d88b3351e63}"
		  "AQIDBAUGBwgJCgsMZoUop4n3hKYkzRE0dTOISTY3hIzuTSOxwC+VQUvBp1ijolLjNNQOAFpijO8=",
		  1 },
		{ "password", NULL,
		  "{sealed:2:1d190d88b3351e63}"
		  "AgMEBQYHCAkKCwwNCqnWsxwZq5LKFlFIbmKfAciP0kjTN3jx1ymc+JftIQQRXyB1oorW+yTPIS4=",
		  2 },
		{ "password_file", "acme.pem",
		  "{sealed:2:1d190d88b3351e63}"
		  "AwQFBgcICQoLDA0OiyD4ULOsHkiinzQj3sx4RQTBWvx+KKQ8YnEsKyVvn0BC1F+xkILaRHFDouU=",
		  2 },
		{ "oauth_client_secret_file", "acme.pem",
		  "{sealed:2:1d190d88b3351e63}"
		  "BAUGBwgJCgsMDQ4P4sU6FEbtzavbkfirrnA1WE5hK8H87YvNjo9vbj3gFWSWhBI7FOG2r+iLe3Y=",
		  2 },
		{ "oauth_refresh_token_file", "acme.pem",
		  "{sealed:2:1d190d88b3351e63}"
		  "BQYHCAkKCwwNDg8QbIUmSFHDTwPLKosnpfBAGayH26ZEbR//KLmak5Z3G3QcLI5Tf6Tnmsio9MI=",
		  2 },
		{ "tls_key_file", "acme.pem",
		  "{sealed:2:1d190d88b3351e63}"
		  "BgcICQoLDA0ODxAR/9OpV2alUC//l3mnQFIs+2+XEAUNQK71+Z3LTXoThQltFKOq10O9Vf1kp1g=",
		  2 },
	};
	struct seal_keys *keys = keys_of(KEY_ONE);
	struct secret sealed = { 0 };
	struct words words;

	for (size_t i = 0; i < COUNT(given); i++)
		for (size_t j = 0; j < COUNT(given); j++) {
			struct tenant_settings *acme = tenant("acme", "oauth_token_url",
			                                      "https://id.example/token");

			ck_assert(secret_set(&sealed, given[i].sealed, strlen(given[i].sealed)));
			ck_assert_int_eq(seal_version(&sealed), given[i].version);
			/* 0 and 1 are both the password, and the version says by which of them */
			ck_assert_int_eq(
				opens_file(keys, acme, given[j].column, given[j].file, &sealed, &words),
				i == j || i + j == 1 ? OK : ERROR_REFUSED);
		}
	secret_wipe(&sealed);
	seal_keys_release(&keys);
}
END_TEST

/* The tenant that has everything that a file can be bound to; column NULL = as it is. */
static struct tenant_settings *token_tenant(const char *name, const char *column, const char *value)
{
	struct tenant_settings *settings = tenant(name, "oauth_token_url", "https://id.example/token");
	struct words words;

	if (column)
		ck_assert_int_eq(tenant_settings_set(settings, column, value, &words), OK);
	tenant_settings_seal(settings);
	return settings;
}

static void seal_file(struct seal_keys *keys, const char *column, struct secret *sealed)
{
	struct tenant_settings *settings = token_tenant("acme", NULL, NULL);
	struct secret value = { 0 };
	struct words words = { "" };

	ck_assert(secret_set(&value, PASSWORD, strlen(PASSWORD)));
	ck_assert_int_eq(seal_close(keys, &(struct seal_place){ settings, column, "acme.pem" }, &value,
	                            sealed, &words),
	                 OK);
	secret_wipe(&value);
	tenant_settings_release(&settings);
}

START_TEST(a_file_opens_for_its_name_server_and_endpoint)
{
	/* which files each of them closes: all, those that a server is shown, those of the endpoint */
	static const struct {
		const char *column, *value;
		char shown[6]; /* of files[], + = it closes */
	} changes[] = {
		{ "host", "mail.evil.example", "+++-" },
		{ "port", "588", "+++-" },
		{ "tls", "none", "+++-" },
		{ "tls_verify", "none", "+++-" },
		{ "tls_name", "other", "+++-" },
		{ "tls_ca_file", "/evil.pem", "+++-" },
		{ "tls_fingerprints", NULL, "+++-" },
		{ "tls_priority", "PERFORMANCE", "+++-" },
		{ "oauth_token_url", "https://evil.example/token", "-++-" },
		{ "oauth_token_url", NULL, "-++-" },
		{ "oauth_scope", "mail", "----" },
		{ "max_age", "60", "----" },
	};
	static const char *const files[] = { "password_file", "oauth_client_secret_file",
		                             "oauth_refresh_token_file", "tls_key_file" };
	struct seal_keys *keys = keys_of(KEY_ONE);
	struct secret sealed = { 0 };
	struct words words;

	for (size_t f = 0; f < COUNT(files); f++) {
		seal_file(keys, files[f], &sealed);
		for (size_t i = 0; i < COUNT(changes); i++) {
			bool closes = changes[i].shown[f] == '+';

			ck_assert_msg(opens_file(keys,
			                         token_tenant("acme", changes[i].column, changes[i].value),
			                         files[f], "acme.pem", &sealed,
			                         &words) == (closes ? ERROR_REFUSED : OK),
			              "%s %s", files[f], changes[i].column);
			ck_assert(!closes || strstr(words.text, "was sealed for another name, server"));
		}
		ck_assert_int_eq(opens_file(keys, token_tenant("acme", NULL, NULL), files[f], "evil.pem",
		                            &sealed, &words),
		                 ERROR_REFUSED);
		/* nor as anything else; but several tenants may name it */
		for (size_t g = 0; g < COUNT(files); g++)
			ck_assert_int_eq(opens_file(keys, token_tenant("other", NULL, NULL), files[g],
			                            "acme.pem", &sealed, &words),
			                 f == g ? OK : ERROR_REFUSED);
		ck_assert_int_eq(opens(keys, token_tenant("acme", NULL, NULL), files[f], &sealed, &words),
		                 ERROR_REFUSED);
	}
	ck_assert_int_eq(opens_file(keys, token_tenant("acme", NULL, NULL), "tls_cert_file", "acme.pem",
	                            &sealed, &words),
	                 OK); /* the certificate beside its key */
	ck_assert_int_eq(opens_file(keys, token_tenant("acme", NULL, NULL), "tls_ca_file", "acme.pem",
	                            &sealed, &words),
	                 ERROR_REFUSED);
	secret_wipe(&sealed);
	seal_keys_release(&keys);
}
END_TEST

/* Whose octets are good, but no place, version or login takes them. */
START_TEST(what_is_sealed_well_may_still_be_refused)
{
	static const char two_lines[] = "{sealed:2:1d190d88b3351e63}"
					"CgsMDQ4PEBESExQVG8pVwge0uRDFK/TY67UFnyf52bAag5fpcg==";
	struct seal_keys *keys = keys_of(KEY_ONE);
	struct secret sealed = { 0 }, value = { 0 };
	struct words words;
	char id[SEAL_ID_CHARS + 1], *long_text = malloc(70001);
	struct tenant_settings *settings;

	ck_assert(secret_set(&sealed, two_lines, strlen(two_lines)));
	ck_assert_int_eq(opens(keys, tenant("acme", NULL, NULL), "password", &sealed, &words), ERROR_REFUSED);
	/* a file is of version 2, whatever it says */
	seal_file(keys, "tls_key_file", &sealed);
	sealed.bytes[strlen(SEAL_PREFIX)] = '1';
	ck_assert_int_eq(opens_file(keys, token_tenant("acme", NULL, NULL), "tls_key_file", "acme.pem",
	                            &sealed, &words),
	                 ERROR_REFUSED);
	for (const char *other = "03:/a"; *other; other++) {
		sealed.bytes[strlen(SEAL_PREFIX)] = (unsigned char)*other;
		ck_assert_int_eq(seal_version(&sealed), 0);
		ck_assert(!seal_id(&sealed, id));
	}
	sealed.bytes[strlen(SEAL_PREFIX)] = '2';
	ck_assert(seal_id(&sealed, id));
	sealed.bytes[strlen(SEAL_PREFIX) + 2] = 'A';
	ck_assert(!seal_id(&sealed, id));
	/* what was there before goes too */
	settings = tenant("acme", NULL, NULL);
	ck_assert(secret_set(&value, PASSWORD, strlen(PASSWORD)));
	ck_assert_int_eq(
		seal_open(keys, &(struct seal_place){ settings, "password", NULL }, &sealed, &value, &words),
		ERROR_INVALID);
	ck_assert(!secret_is_set(&value));
	tenant_settings_release(&settings);
	/* what is too long to be bound to is not cut */
	ck_assert_ptr_nonnull(long_text);
	memset(long_text, 'x', 70000);
	long_text[70000] = '\0';
	settings = tenant("acme", "tls_priority", long_text);
	ck_assert(secret_set(&value, PASSWORD, strlen(PASSWORD)));
	ck_assert_int_eq(
		seal_close(keys, &(struct seal_place){ settings, "password", NULL }, &value, &sealed, &words),
		ERROR_INVALID);
	free(long_text);
	secret_wipe(&value);
	secret_wipe(&sealed);
	seal_keys_release(&keys);
	tenant_settings_release(&settings);
}
END_TEST

START_TEST(a_file_may_have_lines)
{
	static const char pem[] = "-----BEGIN\r\n\0 END";
	struct tenant_settings *settings = tenant("acme", NULL, NULL);
	const struct seal_place place = { settings, "tls_key_file", "acme.pem" };
	struct seal_keys *keys = keys_of(KEY_ONE);
	struct secret value = { 0 }, sealed = { 0 }, opened = { 0 };
	struct words words;

	ck_assert(secret_set(&value, pem, sizeof pem));
	ck_assert_int_eq(seal_close(keys, &place, &value, &sealed, &words), OK);
	ck_assert_int_eq(seal_open(keys, &place, &sealed, &opened, &words), OK);
	ck_assert(opened.length == sizeof pem && memcmp(opened.bytes, pem, sizeof pem) == 0);
	secret_wipe(&value);
	secret_wipe(&sealed);
	secret_wipe(&opened);
	seal_keys_release(&keys);
	tenant_settings_release(&settings);
}
END_TEST

START_TEST(another_key_is_told_by_its_id)
{
	struct seal_keys *one = keys_of(KEY_ONE), *two = keys_of(KEY_TWO),
			 *both = keys_of("# new\n" KEY_TWO "\n# old\r\n  " KEY_ONE " \n");
	struct secret sealed = { 0 };
	struct words words;

	seal(one, PASSWORD, &sealed);
	ck_assert_str_ne(seal_keys_id(one), seal_keys_id(two));
	ck_assert_str_eq(seal_keys_id(both), seal_keys_id(two)); /* the first seals */
	ck_assert_int_eq(opens(both, tenant("acme", NULL, NULL), "password", &sealed, &words), OK);
	ck_assert_int_eq(opens(two, tenant("acme", NULL, NULL), "password", &sealed, &words), ERROR_REFUSED);
	ck_assert(strstr(words.text, seal_keys_id(one)) && strstr(words.text, "not in secrets_key_file"));
	ck_assert_int_eq(opens(NULL, tenant("acme", NULL, NULL), "password", &sealed, &words), ERROR_REFUSED);
	ck_assert(strstr(words.text, "no secrets_key_file"));
	secret_wipe(&sealed);
	seal_keys_release(&one);
	seal_keys_release(&two);
	seal_keys_release(&both);
}
END_TEST

START_TEST(a_password_that_looks_sealed_is_never_used_as_it_is)
{
	struct seal_keys *keys = keys_of(KEY_ONE);
	struct secret value = { 0 }, sealed = { 0 };
	struct words words;

	ck_assert(secret_set(&value, "{sealed:me}", 11));
	ck_assert(seal_is_sealed(&value));
	ck_assert_int_eq(opens(keys, tenant("acme", NULL, NULL), "password", &value, &words), ERROR_INVALID);
	ck_assert(secret_set(&value, "{Sealed:me}", 11));
	ck_assert(!seal_is_sealed(&value));
	/* but it can be sealed like any other */
	seal(keys, "{sealed:me}", &sealed);
	ck_assert(seal_is_sealed(&sealed));
	secret_wipe(&value);
	secret_wipe(&sealed);
	seal_keys_release(&keys);
}
END_TEST

START_TEST(what_no_login_can_say_is_not_sealed)
{
	static const char *const lines[] = { "two\nlines", "two\rlines", "a\0b" };
	struct tenant_settings *settings = tenant("acme", NULL, NULL);
	struct seal_keys *keys = keys_of(KEY_ONE);
	struct secret value = { 0 }, sealed = { 0 };
	struct words words;

	for (size_t i = 0; i < COUNT(lines); i++) {
		ck_assert(secret_set(&value, lines[i], i == 2 ? 3 : strlen(lines[i])));
		ck_assert_int_eq(seal_close(keys, &(struct seal_place){ settings, "password", NULL }, &value,
		                            &sealed, &words),
		                 ERROR_INVALID);
	}
	secret_make(&value, 49000);
	memset(value.bytes, 'x', value.length);
	ck_assert_int_eq(
		seal_close(keys, &(struct seal_place){ settings, "password", NULL }, &value, &sealed, &words),
		OK);
	ck_assert_uint_le(sealed.length, SECRET_MAX_BYTES);
	secret_make(&value, SECRET_MAX_BYTES);
	memset(value.bytes, 'x', value.length);
	ck_assert_int_eq(
		seal_close(keys, &(struct seal_place){ settings, "password", NULL }, &value, &sealed, &words),
		ERROR_INVALID);
	ck_assert(strstr(words.text, "too long"));
	secret_wipe(&value);
	secret_wipe(&sealed);
	seal_keys_release(&keys);
	tenant_settings_release(&settings);
}
END_TEST

START_TEST(keys_are_lines_or_32_octets)
{
	struct seal_keys *lines = keys_of(KEY_ONE), *raw;
	unsigned char octets[SEAL_KEY_BYTES];
	struct buffer many;
	struct words words;

	for (size_t i = 0; i < sizeof(octets); i++)
		octets[i] = (unsigned char)i;
	ck_assert_int_eq(seal_keys_parse("keys", octets, sizeof(octets), &raw, &words), OK);
	ck_assert_str_eq(seal_keys_id(raw), seal_keys_id(lines));
	seal_keys_release(&raw);
	seal_keys_release(&lines);
	refuses_keys("", 0, "has no key");
	refuses_keys("# nothing\n\n", 11, "has no key");
	refuses_keys("secret\n", 7, "line 1: not a key");
	refuses_keys(KEY_ONE "\n" KEY_ONE "A", 90, "line 2: not a key");
	refuses_keys((const char *)octets, 31, "line 1: not a key");
	buffer_init(&many, 4096);
	for (int i = 0; i < SEAL_KEYS_MAX; i++)
		ck_assert(buffer_append_text(&many, KEY_ONE "\n"));
	lines = keys_of(many.data);
	seal_keys_release(&lines);
	ck_assert(buffer_append_text(&many, KEY_ONE "\n"));
	refuses_keys(many.data, many.length, "more than 16 keys");
	buffer_fini(&many);
}
END_TEST

START_TEST(a_key_that_is_made_is_one)
{
	struct secret one = { 0 }, other = { 0 };
	struct seal_keys *keys;

	seal_key_make(&one);
	seal_key_make(&other);
	ck_assert_str_ne((char *)one.bytes, (char *)other.bytes);
	keys = keys_of((char *)one.bytes);
	seal_keys_release(&keys);
	secret_wipe(&one);
	secret_wipe(&other);
}
END_TEST

static char folder[] = "/tmp/outboxd-seal-XXXXXX";

static void write_keys(const char *path, mode_t mode)
{
	FILE *file = fopen(path, "w");

	ck_assert_ptr_nonnull(file);
	ck_assert_int_ge(fputs(KEY_ONE "\n", file), 0);
	ck_assert_int_eq(fclose(file), 0);
	ck_assert_int_eq(chmod(path, mode), 0);
}

static enum error reads(const char *path, struct words *words)
{
	struct seal_keys *keys;
	enum error error;

	words->text[0] = '\0';
	error = seal_keys_read(path, &keys, words);
	seal_keys_release(&keys);
	return error;
}

START_TEST(a_file_of_keys_is_its_owners_alone)
{
	static const mode_t open_modes[] = { 0440, 0404, 0620, 0602 };
	struct words words;
	char path[64];

	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(path, sizeof path, "%s/keys", folder);
	ck_assert_int_eq(reads(path, &words), ERROR_NOT_FOUND);
	ck_assert(strstr(words.text, path));
	write_keys(path, 0400);
	ck_assert_int_eq(reads(path, &words), OK);
	for (size_t i = 0; i < COUNT(open_modes); i++) {
		ck_assert_int_eq(chmod(path, open_modes[i]), 0);
		ck_assert_int_eq(reads(path, &words), ERROR_PERMISSION);
		ck_assert(strstr(words.text, "by others than its owner"));
	}
	ck_assert_int_eq(reads(folder, &words), ERROR_INVALID);
	/* systemd's: an access list's mask is shown as the group's bits */
	ck_assert_int_eq(setenv("CREDENTIALS_DIRECTORY", folder, 1), 0);
	ck_assert_int_eq(chmod(path, 0440), 0);
	ck_assert_int_eq(reads("keys", &words), OK);
	ck_assert_int_eq(reads(path, &words), ERROR_PERMISSION);
	ck_assert_int_eq(chmod(path, 0444), 0);
	ck_assert_int_eq(reads("keys", &words), ERROR_PERMISSION);
	ck_assert_int_eq(reads("others", &words), ERROR_NOT_FOUND);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

/* ---- files ------------------------------------------------------------------------- */

static char files_folder[] = "/tmp/outboxd-sealed-XXXXXX";

static bool is_there(const char *name)
{
	char path[64];

	(void)snprintf(path, sizeof path, "%s/%s", files_folder, name);
	return access(path, F_OK) == 0;
}

static enum error replaces(const struct seal_files *files, const char *text, bool sealed, const char *wanted)
{
	struct tenant_settings *settings = tenant("acme", NULL, NULL);
	const struct seal_place place = { settings, "password_file", "pw" };
	struct secret value = { 0 };
	struct words words = { "" };
	enum error error;

	ck_assert(secret_set(&value, text, strlen(text)));
	error = seal_file_replace(files, &place, &value, sealed, &words);
	ck_assert_msg(strstr(words.text, wanted), "%s", words.text);
	secret_wipe(&value);
	tenant_settings_release(&settings);
	return error;
}

/* Nothing is left unsealed for want of a key, and nothing is written that would not be read as it was. */
START_TEST(a_file_is_written_as_it_is_asked_for_or_not_at_all)
{
	struct seal_keys *keys = keys_of(KEY_ONE);
	struct seal_files files = { files_folder, NULL };

	ck_assert_ptr_nonnull(mkdtemp(files_folder));
	ck_assert_int_eq(replaces(&files, PASSWORD, true, "there is no key to seal with"), ERROR_REFUSED);
	ck_assert_int_eq(replaces(&files, "{sealed:me}", false, "can only be kept sealed"), ERROR_REFUSED);
	ck_assert(!is_there("pw") && !is_there(".pw.new"));
	files.keys = keys;
	ck_assert_int_eq(replaces(&files, "{sealed:me}", true, ""), OK);
	ck_assert(is_there("pw") && !is_there(".pw.new"));
	seal_keys_release(&keys);
	ck_assert_int_eq(chdir(files_folder), 0);
	ck_assert_int_eq(unlink("pw"), 0);
	ck_assert_int_eq(rmdir(files_folder), 0);
}
END_TEST

START_TEST(who_holds_the_lock_of_a_folder_has_it_alone)
{
	struct words words;
	int lock, other;

	ck_assert_ptr_nonnull(mkdtemp(files_folder));
	other = open(files_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(secret_file_lock(files_folder, &lock, &words), OK);
	ck_assert_int_eq(flock(other, LOCK_EX | LOCK_NB), -1);
	ck_assert_int_eq(errno, EWOULDBLOCK);
	secret_file_unlock(lock);
	ck_assert_int_eq(flock(other, LOCK_EX | LOCK_NB), 0);
	close(other);
	ck_assert_int_eq(rmdir(files_folder), 0);
	ck_assert_int_eq(secret_file_lock(files_folder, &lock, &words), ERROR_SYSTEM);
	ck_assert_int_eq(lock, -1);
}
END_TEST

TCase *common_seal_cases(void)
{
	TCase *one = tcase_create("seal");

	tcase_add_test(one, what_is_sealed_opens_and_shows_nothing);
	tcase_add_test(one, it_opens_for_no_other_tenant_server_or_column);
	tcase_add_test(one, no_two_places_are_written_the_same);
	tcase_add_test(one, a_default_is_what_it_means);
	tcase_add_test(one, whatever_is_changed_is_noticed);
	tcase_add_test(one, what_seal_h_says_is_what_is_done);
	tcase_add_test(one, a_file_opens_for_its_name_server_and_endpoint);
	tcase_add_test(one, what_is_sealed_well_may_still_be_refused);
	tcase_add_test(one, a_file_may_have_lines);
	tcase_add_test(one, another_key_is_told_by_its_id);
	tcase_add_test(one, a_password_that_looks_sealed_is_never_used_as_it_is);
	tcase_add_test(one, what_no_login_can_say_is_not_sealed);
	tcase_add_test(one, keys_are_lines_or_32_octets);
	tcase_add_test(one, a_key_that_is_made_is_one);
	tcase_add_test(one, a_file_of_keys_is_its_owners_alone);
	tcase_add_test(one, a_file_is_written_as_it_is_asked_for_or_not_at_all);
	tcase_add_test(one, who_holds_the_lock_of_a_folder_has_it_alone);
	return one;
}
