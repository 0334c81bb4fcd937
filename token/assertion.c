/*
 * assertion.c - see assertion.h.
 *
 * The header names the key by the SHA-256 of its certificate (RFC 7515 4.1.8), which is what
 * Microsoft looks it up by, or by the service account's key id.
 */
#include "token/assertion.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/digest.h"
#include "common/text.h"

#define KEY_MIN_BITS 2048

/* What signs, and how it is called. */
struct signer {
	gnutls_privkey_t key;
	char *issuer, *key_id; /* of a service account */
	char *digest;          /* of the certificate, in base64url */
};

/* RFC 7515 2: base64url without padding. */
static bool append_base64url(struct buffer *out, const void *bytes, size_t length)
{
	size_t start = out->length;

	if (!text_base64_encode(out, bytes, length))
		return false;
	for (size_t i = start; i < out->length; i++) {
		if (out->data[i] == '+')
			out->data[i] = '-';
		else if (out->data[i] == '/')
			out->data[i] = '_';
		else if (out->data[i] == '=') {
			out->data[i] = '\0';
			out->length = i;
		}
	}
	return true;
}

static enum error invalid(struct words *words, const char *what)
{
	words_set(words, "the key in oauth_client_secret_file %s", what);
	return ERROR_INVALID;
}

static enum error load_pem(struct signer *signer, const char *pem, size_t length, struct words *words)
{
	const gnutls_datum_t datum = { (unsigned char *)(uintptr_t)pem, (unsigned)length };
	unsigned bits = 0;

	if (gnutls_privkey_init(&signer->key) < 0)
		return invalid(words, "cannot be held");
	if (gnutls_privkey_import_x509_raw(signer->key, &datum, GNUTLS_X509_FMT_PEM, NULL, 0) < 0)
		return invalid(words, "cannot be read: a private key in PEM without a passphrase is wanted");
	if (gnutls_privkey_get_pk_algorithm(signer->key, &bits) != GNUTLS_PK_RSA)
		return invalid(words, "is not an RSA key, which RS256 needs");
	if (bits < KEY_MIN_BITS)
		return invalid(words, "has less than 2048 bits");
	return OK;
}

static bool is_key_of(gnutls_privkey_t key, gnutls_x509_crt_t certificate)
{
	unsigned char ids[2][64];
	size_t sizes[2] = { sizeof(ids[0]), sizeof(ids[1]) };
	gnutls_pubkey_t public;
	bool same = false;

	if (gnutls_pubkey_init(&public) < 0)
		return false;
	if (gnutls_pubkey_import_privkey(public, key, 0, 0) >= 0 &&
	    gnutls_pubkey_get_key_id(public, GNUTLS_KEYID_USE_SHA256, ids[0], &sizes[0]) >= 0 &&
	    gnutls_x509_crt_get_key_id(certificate, GNUTLS_KEYID_USE_SHA256, ids[1], &sizes[1]) >= 0)
		same = sizes[0] == sizes[1] && memcmp(ids[0], ids[1], sizes[0]) == 0;
	gnutls_pubkey_deinit(public);
	return same;
}

static enum error name_certificate(struct signer *signer, gnutls_x509_crt_t certificate, int64_t now_s,
                                   struct words *words)
{
	unsigned char digest[DIGEST_SHA256_BYTES];
	size_t size = sizeof(digest);
	struct buffer name;

	if (!is_key_of(signer->key, certificate)) {
		words_set(words,
		          "the certificate in oauth_client_secret_file is not that of the key beside it");
		return ERROR_INVALID;
	}
	if ((int64_t)gnutls_x509_crt_get_expiration_time(certificate) < now_s) {
		words_set(words, "the certificate in oauth_client_secret_file has expired");
		return ERROR_INVALID;
	}
	if (gnutls_x509_crt_get_fingerprint(certificate, GNUTLS_DIG_SHA256, digest, &size) < 0)
		return invalid(words, "has a certificate that cannot be hashed");
	buffer_init(&name, 128);
	append_base64url(&name, digest, size);
	signer->digest = buffer_take(&name);
	return OK;
}

static enum error load_certificate(struct signer *signer, const struct secret *pem, int64_t now_s,
                                   struct words *words)
{
	const gnutls_datum_t datum = { pem->bytes, (unsigned)pem->length };
	gnutls_x509_crt_t certificate;
	enum error error;

	if (gnutls_x509_crt_init(&certificate) < 0)
		return invalid(words, "has a certificate that cannot be held");
	if (gnutls_x509_crt_import(certificate, &datum, GNUTLS_X509_FMT_PEM) < 0) {
		words_set(words, "oauth_client_secret_file has a key, but no certificate beside it");
		error = ERROR_INVALID;
	} else {
		error = name_certificate(signer, certificate, now_s, words);
	}
	gnutls_x509_crt_deinit(certificate);
	return error;
}

/* cloud.google.com/iam/docs/keys-create-delete: what a key file of a service account holds. */
static enum error load_account(struct signer *signer, const struct secret *text, struct words *words)
{
	json_t *account = json_loadb((const char *)text->bytes, text->length, JSON_REJECT_DUPLICATES, NULL);
	const char *pem = json_string_value(json_object_get(account, "private_key"));
	enum error error;

	if (!pem) {
		words_set(words, "oauth_client_secret_file is not the JSON of a service account's key: "
		                 "it has no private_key");
		error = ERROR_INVALID;
	} else {
		signer->issuer = memory_strdup(json_string_value(json_object_get(account, "client_email")));
		signer->key_id = memory_strdup(json_string_value(json_object_get(account, "private_key_id")));
		error = load_pem(signer, pem, strlen(pem), words);
	}
	json_decref(account);
	return error;
}

static enum error load(struct signer *signer, const struct assertion *assertion, const struct secret *key,
                       struct words *words)
{
	enum error error;

	if (!assertion->certificate && key->bytes[0] == '{')
		return load_account(signer, key, words);
	error = load_pem(signer, (const char *)key->bytes, key->length, words);
	if (error == OK && assertion->certificate)
		error = load_certificate(signer, key, assertion->now_s, words);
	return error;
}

static void set_text(json_t *object, const char *name, const char *value)
{
	if (value)
		json_object_set_new(object, name, json_string(value));
}

/* False: a text that is not UTF-8, or no room. Takes the object. */
static bool append_json(struct buffer *token, json_t *object)
{
	char *text = json_dumps(object, JSON_COMPACT);
	bool good = text && append_base64url(token, text, strlen(text));

	free(text);
	json_decref(object);
	return good;
}

static json_t *header_of(const struct signer *signer)
{
	json_t *header = json_object();

	set_text(header, "alg", "RS256");
	set_text(header, "typ", "JWT");
	set_text(header, "x5t#S256", signer->digest);
	set_text(header, "kid", signer->key_id);
	return header;
}

static json_t *claims_of(const struct signer *signer, const struct assertion *assertion)
{
	unsigned char random[16];
	char unique[2 * sizeof(random) + 1];
	json_t *claims = json_object();

	digest_random(random, sizeof(random));
	text_hex(random, sizeof(random), unique);
	set_text(claims, "iss", assertion->issuer ? assertion->issuer : signer->issuer);
	set_text(claims, "sub", assertion->subject);
	set_text(claims, "aud", assertion->audience);
	set_text(claims, "scope", assertion->scope);
	set_text(claims, "jti", unique);
	json_object_set_new(claims, "iat", json_integer(assertion->now_s));
	json_object_set_new(claims, "nbf", json_integer(assertion->now_s));
	json_object_set_new(claims, "exp", json_integer(assertion->now_s + ASSERTION_LIFE_S));
	return claims;
}

static enum error sign(const struct signer *signer, struct buffer *token, struct words *words)
{
	const gnutls_datum_t said = { (unsigned char *)token->data, (unsigned)token->length };
	gnutls_datum_t signature = { NULL, 0 };
	enum error error = OK;

	if (gnutls_privkey_sign_data(signer->key, GNUTLS_DIG_SHA256, 0, &said, &signature) < 0)
		return invalid(words, "cannot sign");
	if (!buffer_append_char(token, '.') || !append_base64url(token, signature.data, signature.size))
		error = invalid(words, "makes an assertion that is too large");
	gnutls_free(signature.data);
	return error;
}

static enum error write_token(const struct signer *signer, const struct assertion *assertion,
                              struct buffer *token, struct words *words)
{
	if (!assertion->issuer && !signer->issuer) {
		words_set(words, "who signs? Neither oauth_client_id nor the key says it");
		return ERROR_INVALID;
	}
	if (!append_json(token, header_of(signer)) || !buffer_append_char(token, '.') ||
	    !append_json(token, claims_of(signer, assertion))) {
		words_set(words, "oauth_client_id, oauth_scope and username must be UTF-8, and not too long");
		return ERROR_INVALID;
	}
	return sign(signer, token, words);
}

enum error assertion_sign(const struct assertion *assertion, const struct secret *key, struct buffer *token,
                          struct words *words)
{
	struct signer signer = { .key = NULL };
	enum error error = load(&signer, assertion, key, words);

	if (error == OK)
		error = write_token(&signer, assertion, token, words);
	if (signer.key)
		gnutls_privkey_deinit(signer.key);
	free(signer.issuer);
	free(signer.key_id);
	free(signer.digest);
	return error;
}
