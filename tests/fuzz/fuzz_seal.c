/*
 * fuzz_seal.c - whatever stands in a column or file that claims to be sealed, and whatever a file of keys
 * has.
 *
 * Keys are taken or refused with words, never both, and so is a value. What is sealed here opens to what it
 * was, for no other host, and not with one bit changed.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char key[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";

static void must(int good)
{
	if (!good)
		abort();
}

static void as_keys(const uint8_t *data, size_t size)
{
	struct seal_keys *keys;
	struct words words = { "" };

	if (seal_keys_parse("keys", data, size, &keys, &words) == OK)
		must(keys && strlen(seal_keys_id(keys)) == SEAL_ID_CHARS && !words.text[0]);
	else
		must(!keys && words.text[0]);
	seal_keys_release(&keys);
}

static void as_value(const struct seal_keys *keys, const struct seal_place *place, const uint8_t *data,
                     size_t size)
{
	struct secret sealed = { NULL, 0 }, value = { NULL, 0 };
	struct words words = { "" };
	char id[SEAL_ID_CHARS + 1];

	if (!secret_set(&sealed, data, size))
		return;
	if (seal_open(keys, place, &sealed, &value, &words) == OK)
		must(seal_is_sealed(&sealed) && secret_is_set(&value));
	else
		must(words.text[0] && !secret_is_set(&value));
	if (seal_id(&sealed, id))
		must(seal_is_sealed(&sealed) && seal_version(&sealed) > 0 && strlen(id) == SEAL_ID_CHARS);
	secret_wipe(&sealed);
	secret_wipe(&value);
}

static bool must_fit(bool file, const uint8_t *data, size_t size)
{
	return size <= 49000 && (file || (!memchr(data, '\n', size) && !memchr(data, '\r', size) &&
	                                  !memchr(data, '\0', size)));
}

static void there_and_back(const struct seal_keys *keys, const struct seal_place *place,
                           const struct seal_place *elsewhere, const uint8_t *data, size_t size)
{
	struct secret value = { NULL, 0 }, sealed = { NULL, 0 }, opened = { NULL, 0 };
	struct words words = { "" };

	if (!secret_set(&value, data, size))
		return;
	if (seal_close(keys, place, &value, &sealed, &words) == OK) {
		must(seal_version(&sealed) == 2);
		must(seal_open(keys, place, &sealed, &opened, &words) == OK);
		must(opened.length == size && (size == 0 || memcmp(opened.bytes, data, size) == 0));
		must(seal_open(keys, elsewhere, &sealed, &opened, &words) != OK);
		/* one octet of it, picked by the input */
		sealed.bytes[(size ? data[size - 1] : 0) % sealed.length] ^= 1;
		must(seal_open(keys, place, &sealed, &opened, &words) != OK);
	} else {
		must(words.text[0] && !must_fit(place->file != NULL, data, size));
	}
	secret_wipe(&value);
	secret_wipe(&sealed);
	secret_wipe(&opened);
}

/* As a column's value, and as each file's that is bound in another way. */
static void everywhere(const struct seal_keys *keys, const struct tenant_settings *settings,
                       const struct tenant_settings *elsewhere, const uint8_t *data, size_t size)
{
	static const char *const columns[] = { "password", "password_file", "oauth_client_secret_file",
		                               "tls_key_file" };

	for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) {
		const struct seal_place place = { settings, columns[i], i ? "file" : NULL };
		const struct seal_place other = { elsewhere, columns[i], i ? "other" : NULL };

		as_value(keys, &place, data, size);
		there_and_back(keys, &place, &other, data, size);
	}
}

static struct tenant_settings *tenant(const char *host)
{
	struct tenant_settings *settings = tenant_settings_create("acme");
	struct words words;

	must(tenant_settings_set(settings, "host", host, &words) == OK);
	tenant_settings_seal(settings);
	return settings;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tenant_settings *settings = tenant("mail.acme.example"),
			       *elsewhere = tenant("mail.evil.example");
	struct seal_keys *keys;
	struct words words;

	must(seal_keys_parse("key", key, strlen(key), &keys, &words) == OK);
	as_keys(data, size);
	everywhere(keys, settings, elsewhere, data, size);
	seal_keys_release(&keys);
	tenant_settings_release(&settings);
	tenant_settings_release(&elsewhere);
	return 0;
}
