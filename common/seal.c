/*
 * seal.c - secrets at rest, by AES-256-GCM. See seal.h.
 *
 * Promises: a nonce of its own for each sealing; nothing of a value is given away before its tag
 * was found right; what was on the way is wiped. Associated data is unambiguous: no two
 * places have the same.
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

#define NEWEST      2
#define NONCE_BYTES 12
#define TAG_BYTES   16
#define HEAD_CHARS  (sizeof(SEAL_PREFIX "1:") - 1 + SEAL_ID_CHARS + 1)
#define PLACE_BYTES 65536 /* of associated data: names and paths of at most a few KiB */
#define PARTS_MAX   16

/* ---- where a value belongs, as associated data ---------------------------------------- */

/* What a file is bound to, by the column that names it. */
static const struct kind {
	const char *column, *label;
	bool server, token_url;
} kinds[] = {
	{ "password_file", "password_file", true, false },
	{ "oauth_client_secret_file", "oauth_client_secret_file", true, true },
	{ "oauth_refresh_token_file", "oauth_refresh_token_file", true, true },
	/* one file may be both */
	{ "tls_cert_file", "tls_key_file", false, false },
	{ "tls_key_file", "tls_key_file", false, false },
};

struct parts {
	const char *texts[PARTS_MAX];
	size_t count;
};

static void add(struct parts *parts, const char *text)
{
	parts->texts[parts->count++] = text ? text : "";
}

static void add_server(struct parts *parts, const struct tenant_settings *settings, const char *port)
{
	add(parts, settings->host);
	add(parts, port);
	add(parts, tls_mode_name(settings->tls));
	add(parts, tls_verify_name(settings->tls_verify));
	add(parts, settings->tls_name);
	add(parts, settings->tls_ca_file);
	add(parts, settings->tls_fingerprints);
}

static void add_column(struct parts *parts, const struct seal_place *place, int version, const char *port)
{
	add(parts, version == 1 ? "outboxd 1" : "outboxd 2");
	if (version > 1)
		add(parts, "column");
	add(parts, place->column);
	add(parts, place->settings->name);
	add_server(parts, place->settings, port);
	if (version > 1)
		add(parts, place->settings->tls_priority);
}

/* False: no file of this column is ever sealed. */
static bool add_file(struct parts *parts, const struct seal_place *place, const char *port)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].column, place->column) != 0)
			continue;
		add(parts, "outboxd 2");
		add(parts, "file");
		add(parts, kinds[i].label);
		add(parts, place->file);
		if (kinds[i].server) {
			add_server(parts, place->settings, port);
			add(parts, place->settings->tls_priority);
		}
		if (kinds[i].token_url)
			add(parts, place->settings->oauth_token_url);
		return true;
	}
	return false;
}

static void write_part(struct buffer *octets, const char *text)
{
	size_t length = strlen(text);
	const unsigned char head[] = { (unsigned char)(length >> 24), (unsigned char)(length >> 16),
		                       (unsigned char)(length >> 8), (unsigned char)length };

	buffer_append(octets, head, sizeof(head));
	buffer_append(octets, text, length);
}

/* False: it has none, or some column is longer than the schema lets it be. */
static bool make_place(struct buffer *octets, const struct seal_place *place, int version)
{
	struct parts parts = { .count = 0 };
	size_t total = 0;
	char port[16];

	buffer_init(octets, PLACE_BYTES);
	(void)snprintf(port, sizeof(port), "%d", place->settings->port);
	if (!place->file)
		add_column(&parts, place, version, port);
	else if (version < 2 || !add_file(&parts, place, port))
		return false;
	for (size_t i = 0; i < parts.count; i++)
		total += 4 + strlen(parts.texts[i]);
	if (total > PLACE_BYTES)
		return false;
	for (size_t i = 0; i < parts.count; i++)
		write_part(octets, parts.texts[i]);
	return true;
}

bool seal_same_place(const struct seal_place *one, const struct seal_place *other)
{
	struct buffer first, second;
	bool same = make_place(&first, one, NEWEST) & make_place(&second, other, NEWEST);

	same = same && first.length == second.length && memcmp(first.data, second.data, first.length) == 0;
	buffer_fini(&first);
	buffer_fini(&second);
	return same;
}

/* For words. */
static void describe(const struct seal_place *place, struct words *what)
{
	if (place->file)
		words_set(what, "the file of %s = %s (tenant %s)", place->column, place->file,
		          place->settings->name);
	else
		words_set(what, "%s of tenant %s", place->column, place->settings->name);
}

/* ---- keys ------------------------------------------------------------------------------ */

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

int seal_version(const struct secret *value)
{
	size_t at = strlen(SEAL_PREFIX);
	int version;

	if (value->length <= HEAD_CHARS || !seal_is_sealed(value) || value->bytes[at + 1] != ':' ||
	    value->bytes[HEAD_CHARS - 1] != '}')
		return 0;
	version = value->bytes[at] - '0';
	return version >= 1 && version <= NEWEST ? version : 0;
}

bool seal_id(const struct secret *value, char id[SEAL_ID_CHARS + 1])
{
	if (seal_version(value) == 0)
		return false;
	memcpy(id, value->bytes + HEAD_CHARS - 1 - SEAL_ID_CHARS, SEAL_ID_CHARS);
	id[SEAL_ID_CHARS] = '\0';
	return strspn(id, "0123456789abcdef") == SEAL_ID_CHARS;
}

static bool is_one_line(const struct secret *value)
{
	return value->length == 0 ||
	       (!memchr(value->bytes, '\0', value->length) && !memchr(value->bytes, '\r', value->length) &&
	        !memchr(value->bytes, '\n', value->length));
}

/* ---- closing and opening ------------------------------------------------------------ */

static bool encrypt(const struct seal_key *key, const struct buffer *bound, const struct secret *value,
                    struct buffer *out)
{
	gnutls_aead_cipher_hd_t cipher = start_cipher(key);
	unsigned char *octets = memory_alloc(NONCE_BYTES + value->length + TAG_BYTES);
	size_t length = value->length + TAG_BYTES;
	bool good;

	digest_random(octets, NONCE_BYTES);
	good = gnutls_aead_cipher_encrypt(cipher, octets, NONCE_BYTES, bound->data, bound->length, TAG_BYTES,
	                                  value->bytes, value->length, octets + NONCE_BYTES, &length) >= 0;
	gnutls_aead_cipher_deinit(cipher);
	good = good && text_base64_encode(out, octets, NONCE_BYTES + length);
	free(octets);
	return good;
}

enum error seal_close(const struct seal_keys *keys, const struct seal_place *place,
                      const struct secret *value, struct secret *sealed, struct words *words)
{
	struct buffer bound, text;
	struct words what;
	enum error error = OK;

	describe(place, &what);
	/* no login can say more than one line; a file may be in PEM */
	if (!place->file && !is_one_line(value)) {
		words_set(words, "%s must be one line of text, without CR, LF or NUL", what.text);
		return ERROR_INVALID;
	}
	buffer_init(&text, SECRET_MAX_BYTES);
	(void)buffer_printf(&text, "%s%d:%s}", SEAL_PREFIX, NEWEST, keys->keys[0].id);
	if (!make_place(&bound, place, NEWEST) || !encrypt(&keys->keys[0], &bound, value, &text)) {
		words_set(words, "%s is too long to be sealed (49000 octets at most)", what.text);
		error = ERROR_INVALID;
	} else {
		(void)secret_set(sealed, text.data, text.length);
	}
	buffer_fini(&bound);
	buffer_fini(&text);
	return error;
}

static bool decrypt(const struct seal_key *key, const struct buffer *bound, const struct buffer *octets,
                    struct secret *value)
{
	gnutls_aead_cipher_hd_t cipher = start_cipher(key);
	size_t length = octets->length - NONCE_BYTES - TAG_BYTES, got = length;
	bool good;

	secret_make(value, length);
	good = gnutls_aead_cipher_decrypt(cipher, octets->data, NONCE_BYTES, bound->data, bound->length,
	                                  TAG_BYTES, octets->data + NONCE_BYTES, length + TAG_BYTES,
	                                  value->bytes, &got) >= 0 &&
	       got == length;
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

static void tell_other_place(const struct seal_place *place, const char *what, struct words *words)
{
	if (place->file)
		words_set(words,
		          "%s was sealed for another name, server%s, or has been changed: write it again, or "
		          "undo that change and make it with outboxctl tenant set, which seals it anew",
		          what, place->settings->oauth_token_url ? " or oauth_token_url" : "");
	else
		words_set(
			words,
			"%s was sealed for another host, port or tls, or has been changed: set it "
			"again, or undo that change and make it with outboxctl tenant set, which seals it anew",
			what);
}

static enum error open_with(const struct seal_key *key, const struct seal_place *place, const char *what,
                            const struct secret *sealed, struct secret *value, struct words *words)
{
	struct buffer bound = { .data = NULL }, octets;
	enum error error = OK;

	if (!decode(sealed, &octets)) {
		words_set(words, "%s is sealed, but cut or garbled: %s it again", what,
		          place->file ? "write" : "set");
		error = ERROR_INVALID;
	} else if (!make_place(&bound, place, seal_version(sealed)) ||
	           !decrypt(key, &bound, &octets, value) || (!place->file && !is_one_line(value))) {
		secret_wipe(value);
		tell_other_place(place, what, words);
		error = ERROR_REFUSED;
	}
	buffer_fini(&bound);
	buffer_fini(&octets);
	return error;
}

enum error seal_open(const struct seal_keys *keys, const struct seal_place *place,
                     const struct secret *sealed, struct secret *value, struct words *words)
{
	const struct seal_key *key;
	char id[SEAL_ID_CHARS + 1];
	struct words what;

	secret_wipe(value);
	describe(place, &what);
	if (!seal_id(sealed, id)) {
		words_set(words, "%s begins with %s, but is nothing that this version has sealed: %s",
		          what.text, SEAL_PREFIX,
		          place->file ? "write it again" : "set it again with outboxctl tenant set");
		return ERROR_INVALID;
	}
	key = seal_keys_find(keys, id);
	if (key)
		return open_with(key, place, what.text, sealed, value, words);
	if (keys)
		words_set(words, "%s was sealed with the key %s, which is not in secrets_key_file", what.text,
		          id);
	else
		words_set(words, "%s is sealed, and no secrets_key_file is set, or it could not be read",
		          what.text);
	return ERROR_REFUSED;
}
