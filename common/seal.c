/*
 * seal.c - secrets at rest, by AES-256-GCM. See seal.h.
 *
 * Promises: a nonce of its own for each sealing; nothing of a value is given away before its tag
 * was found right; what was on the way is wiped. Associated data is unambiguous: no two
 * tenants, columns or settings have the same.
 */
#include "common/seal.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/digest.h"
#include "common/seal_internal.h"
#include "common/text.h"

#define VERSION     "1"
#define NONCE_BYTES 12
#define TAG_BYTES   16
#define HEAD_CHARS  (sizeof(SEAL_PREFIX VERSION ":") - 1 + SEAL_ID_CHARS + 1)
#define PLACE_BYTES 65536 /* of associated data: names and paths of at most a few KiB */

/* Where a value belongs, as associated data. */
static void add_part(struct buffer *place, const char *text)
{
	size_t length = text ? strlen(text) : 0;
	const unsigned char octets[] = { (unsigned char)(length >> 24), (unsigned char)(length >> 16),
		                         (unsigned char)(length >> 8), (unsigned char)length };

	buffer_append(place, octets, sizeof(octets));
	buffer_append(place, text ? text : "", length);
}

/* False: some column is longer than the schema lets it be. */
static bool make_place(struct buffer *place, const struct tenant_settings *settings, const char *column)
{
	char port[16];

	(void)snprintf(port, sizeof(port), "%d", settings->port);
	const char *const parts[] = { "outboxd " VERSION,
		                      column,
		                      settings->name,
		                      settings->host,
		                      port,
		                      tls_mode_name(settings->tls),
		                      tls_verify_name(settings->tls_verify),
		                      settings->tls_name,
		                      settings->tls_ca_file,
		                      settings->tls_fingerprints };
	size_t total = 0;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		total += 4 + (parts[i] ? strlen(parts[i]) : 0);
	buffer_init(place, PLACE_BYTES);
	if (total > PLACE_BYTES)
		return false;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		add_part(place, parts[i]);
	return true;
}

bool seal_same_place(const struct tenant_settings *one, const struct tenant_settings *other)
{
	struct buffer first, second;
	bool same = make_place(&first, one, "") & make_place(&second, other, "");

	same = same && first.length == second.length && memcmp(first.data, second.data, first.length) == 0;
	buffer_fini(&first);
	buffer_fini(&second);
	return same;
}

static gnutls_aead_cipher_hd_t start_cipher(const struct seal_key *key)
{
	const gnutls_datum_t octets = { key->secret.bytes, SEAL_KEY_BYTES };
	gnutls_aead_cipher_hd_t cipher;
	int rc = gnutls_aead_cipher_init(&cipher, GNUTLS_CIPHER_AES_256_GCM, &octets);

	if (rc >= 0)
		return cipher;
	/* as in digest.c: a library without it, or no memory */
	fprintf(stderr, "outboxd: AES-256-GCM: %s\n", gnutls_strerror(rc));
	_exit(EX_OSERR);
}

void seal_key_make(struct secret *line)
{
	unsigned char octets[SEAL_KEY_BYTES];
	struct buffer text;
	int rc = gnutls_rnd(GNUTLS_RND_KEY, octets, sizeof(octets));

	if (rc < 0) {
		fprintf(stderr, "outboxd: random bytes: %s\n", gnutls_strerror(rc));
		_exit(EX_OSERR);
	}
	buffer_init(&text, 2 * SEAL_KEY_BYTES);
	(void)text_base64_encode(&text, octets, sizeof(octets));
	(void)secret_set(line, text.data, text.length);
	explicit_bzero(octets, sizeof(octets));
	explicit_bzero(text.data, text.length);
	buffer_fini(&text);
}

/* ---- the text --------------------------------------------------------------------- */

bool seal_is_sealed(const struct secret *value)
{
	return value->length >= strlen(SEAL_PREFIX) &&
	       memcmp(value->bytes, SEAL_PREFIX, strlen(SEAL_PREFIX)) == 0;
}

static bool has_head(const struct secret *value)
{
	const char *head = SEAL_PREFIX VERSION ":";

	return value->length > HEAD_CHARS && memcmp(value->bytes, head, strlen(head)) == 0 &&
	       value->bytes[HEAD_CHARS - 1] == '}';
}

bool seal_id(const struct secret *value, char id[SEAL_ID_CHARS + 1])
{
	if (!has_head(value))
		return false;
	memcpy(id, value->bytes + HEAD_CHARS - 1 - SEAL_ID_CHARS, SEAL_ID_CHARS);
	id[SEAL_ID_CHARS] = '\0';
	return strspn(id, "0123456789abcdef") == SEAL_ID_CHARS;
}

static const struct seal_key *find_key(const struct seal_keys *keys, const char *id)
{
	for (size_t i = 0; keys && i < keys->count; i++)
		if (strcmp(keys->keys[i].id, id) == 0)
			return &keys->keys[i];
	return NULL;
}

static bool is_one_line(const struct secret *value)
{
	return value->length == 0 ||
	       (!memchr(value->bytes, '\0', value->length) && !memchr(value->bytes, '\r', value->length) &&
	        !memchr(value->bytes, '\n', value->length));
}

/* ---- closing and opening ------------------------------------------------------------ */

static bool encrypt(const struct seal_key *key, const struct buffer *place, const struct secret *value,
                    struct buffer *out)
{
	gnutls_aead_cipher_hd_t cipher = start_cipher(key);
	unsigned char *octets = memory_alloc(NONCE_BYTES + value->length + TAG_BYTES);
	size_t length = value->length + TAG_BYTES;
	bool good;

	digest_random(octets, NONCE_BYTES);
	good = gnutls_aead_cipher_encrypt(cipher, octets, NONCE_BYTES, place->data, place->length, TAG_BYTES,
	                                  value->bytes, value->length, octets + NONCE_BYTES, &length) >= 0;
	gnutls_aead_cipher_deinit(cipher);
	good = good && text_base64_encode(out, octets, NONCE_BYTES + length);
	free(octets);
	return good;
}

enum error seal_close(const struct seal_keys *keys, const struct tenant_settings *settings,
                      const char *column, const struct secret *value, struct secret *sealed,
                      struct words *words)
{
	struct buffer place, text;
	enum error error = OK;

	if (!is_one_line(value)) {
		words_set(words, "%s must be one line of text, without CR, LF or NUL", column);
		return ERROR_INVALID;
	}
	buffer_init(&text, SECRET_MAX_BYTES);
	(void)buffer_printf(&text, "%s%s:%s}", SEAL_PREFIX, VERSION, keys->keys[0].id);
	if (!make_place(&place, settings, column) || !encrypt(&keys->keys[0], &place, value, &text)) {
		words_set(words, "%s of tenant %s is too long to be sealed (49000 octets at most)", column,
		          settings->name);
		error = ERROR_INVALID;
	} else {
		(void)secret_set(sealed, text.data, text.length);
	}
	buffer_fini(&place);
	buffer_fini(&text);
	return error;
}

static bool decrypt(const struct seal_key *key, const struct buffer *place, const struct buffer *octets,
                    struct secret *value)
{
	gnutls_aead_cipher_hd_t cipher = start_cipher(key);
	size_t length = octets->length - NONCE_BYTES - TAG_BYTES, got = length;
	bool good;

	secret_make(value, length);
	good = gnutls_aead_cipher_decrypt(cipher, octets->data, NONCE_BYTES, place->data, place->length,
	                                  TAG_BYTES, octets->data + NONCE_BYTES, length + TAG_BYTES,
	                                  value->bytes, &got) >= 0 &&
	       got == length && is_one_line(value);
	gnutls_aead_cipher_deinit(cipher);
	if (!good)
		secret_wipe(value);
	return good;
}

static bool decode(const struct secret *sealed, struct buffer *octets)
{
	buffer_init(octets, SECRET_MAX_BYTES);
	return text_base64_decode(octets, (const char *)sealed->bytes + HEAD_CHARS,
	                          sealed->length - HEAD_CHARS) &&
	       octets->length >= NONCE_BYTES + TAG_BYTES;
}

static enum error open_with(const struct seal_key *key, const struct tenant_settings *settings,
                            const char *column, const struct secret *sealed, struct secret *value,
                            struct words *words)
{
	struct buffer place, octets;
	enum error error = OK;

	if (!decode(sealed, &octets)) {
		words_set(words, "%s of tenant %s is sealed, but cut or garbled: set it again", column,
		          settings->name);
		error = ERROR_INVALID;
		buffer_init(&place, 0);
	} else if (!make_place(&place, settings, column) || !decrypt(key, &place, &octets, value)) {
		words_set(
			words,
			"%s of tenant %s was sealed for another host, port or tls, or has been changed: set it "
			"again, or undo that change and make it with outboxctl tenant set, which seals it anew",
			column, settings->name);
		error = ERROR_REFUSED;
	}
	buffer_fini(&place);
	buffer_fini(&octets);
	return error;
}

enum error seal_open(const struct seal_keys *keys, const struct tenant_settings *settings, const char *column,
                     const struct secret *sealed, struct secret *value, struct words *words)
{
	const struct seal_key *key;
	char id[SEAL_ID_CHARS + 1];

	secret_wipe(value);
	if (!seal_id(sealed, id)) {
		words_set(
			words,
			"%s of tenant %s begins with %s, but is nothing that this version has sealed: set it "
			"again with outboxctl tenant set",
			column, settings->name, SEAL_PREFIX);
		return ERROR_INVALID;
	}
	key = find_key(keys, id);
	if (key)
		return open_with(key, settings, column, sealed, value, words);
	if (keys)
		words_set(words,
		          "%s of tenant %s was sealed with the key %s, which is not in secrets_key_file",
		          column, settings->name, id);
	else
		words_set(words, "%s of tenant %s is sealed, and no secrets_key_file is set", column,
		          settings->name);
	return ERROR_REFUSED;
}
