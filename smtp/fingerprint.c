/*
 * fingerprint.c - the column tls_fingerprints: pins of a certificate or its key.
 *
 * Pure. An entry that is not exactly 32 octets in hexadecimal is none: half a
 * pin would be matched by chance or by force. ERROR_INVALID names the entry.
 */
#include "smtp/fingerprint.h"

#include <string.h>

#include "common/text.h"

struct pin {
	bool of_key;
	unsigned char bytes[FINGERPRINT_BYTES];
};

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool parse_hex(const char *text, size_t length, unsigned char bytes[FINGERPRINT_BYTES])
{
	size_t count = 0;

	for (size_t i = 0; i < length; count++) {
		int high, low;

		if (count > 0 && text[i] == ':')
			i++;
		if (count == FINGERPRINT_BYTES || i + 2 > length)
			return false;
		high = hex_value(text[i]);
		low = hex_value(text[i + 1]);
		if (high < 0 || low < 0)
			return false;
		bytes[count] = (unsigned char)(high << 4 | low);
		i += 2;
	}
	return count == FINGERPRINT_BYTES;
}

static bool parse_pin(const char *entry, size_t length, struct pin *pin)
{
	static const struct {
		const char *prefix;
		bool of_key;
	} kinds[] = {
		{ "sha256:", false },
		{ "spki:", true },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t skip = strlen(kinds[i].prefix);

		if (length < skip || !text_starts_nocase(entry, kinds[i].prefix))
			continue;
		pin->of_key = kinds[i].of_key;
		return parse_hex(entry + skip, length - skip, pin->bytes);
	}
	return false;
}

/* The entry at *at without the spaces around it; moves *at behind its comma, to NULL after the last. */
static const char *next_entry(const char **at, size_t *length)
{
	const char *entry = *at;
	const char *end = entry + strcspn(entry, ",");

	*at = *end ? end + 1 : NULL;
	while (entry < end && is_space(*entry))
		entry++;
	while (end > entry && is_space(end[-1]))
		end--;
	*length = (size_t)(end - entry);
	return entry;
}

enum error fingerprint_check(const char *list, struct words *words)
{
	for (const char *at = list; at;) {
		size_t length;
		const char *entry = next_entry(&at, &length);
		struct pin pin;

		if (parse_pin(entry, length, &pin))
			continue;
		words_set(words,
		          "tls_fingerprints: '%.*s' is neither sha256: nor spki: with 64 hexadecimal digits",
		          length > 100 ? 100 : (int)length, entry);
		return ERROR_INVALID;
	}
	return OK;
}

bool fingerprint_match(const char *list, const unsigned char certificate[FINGERPRINT_BYTES],
                       const unsigned char key[FINGERPRINT_BYTES])
{
	for (const char *at = list; at;) {
		size_t length;
		const char *entry = next_entry(&at, &length);
		struct pin pin;

		if (parse_pin(entry, length, &pin) &&
		    memcmp(pin.bytes, pin.of_key ? key : certificate, FINGERPRINT_BYTES) == 0)
			return true;
	}
	return false;
}
