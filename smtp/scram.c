/*
 * scram.c - the client's side of SCRAM (RFC 5802, RFC 7677), with channel binding.
 *
 * Promises: nothing is computed for a server whose nonce is not ours or that asks
 * for more than SCRAM_ROUNDS_MAX rounds; only the right signature is a proof; keys
 * and the password are wiped. Fails with ERROR_PROTOCOL and words without any secret.
 */
#include "smtp/scram.h"

#include <stdlib.h>
#include <string.h>

#include "common/secret.h"
#include "common/text.h"

#define REASON_BYTES  200
#define MESSAGE_BYTES 65536

enum place { PLACE_FIRST, PLACE_FINAL, PLACE_OVER };

struct scram {
	enum digest digest;
	enum place place;
	bool proved;
	char *name, *host, *password, *nonce;
	struct buffer header; /* gs2-header: "n,,", "y,," or "p=TYPE,," */
	struct buffer binding;
	struct buffer bare;                               /* client-first-message-bare */
	unsigned char server_signature[DIGEST_MAX_BYTES]; /* that only who knows the password can send */
};

/* One field "a=…" of a server's message. */
struct field {
	const char *value;
	size_t length;
};

struct scram *scram_create(const struct scram_settings *settings)
{
	struct scram *scram = memory_alloc(sizeof(*scram));

	scram->digest = settings->digest;
	scram->name = memory_strdup(settings->name);
	scram->host = memory_strdup(settings->host);
	scram->password = memory_strdup(settings->password);
	scram->nonce = memory_strdup(settings->nonce);
	buffer_init(&scram->header, MESSAGE_BYTES);
	buffer_init(&scram->binding, MESSAGE_BYTES);
	buffer_init(&scram->bare, MESSAGE_BYTES);
	if (settings->binding_type)
		buffer_printf(&scram->header, "p=%s,,", settings->binding_type);
	else
		buffer_append_text(&scram->header, settings->could_bind ? "y,," : "n,,");
	if (settings->binding_type)
		buffer_append(&scram->binding, settings->binding, settings->binding_length);
	buffer_append_text(&scram->bare, "n=");
	for (const char *at = settings->username; *at; at++) {
		if (*at == '=' || *at == ',')
			buffer_append_text(&scram->bare, *at == '=' ? "=3D" : "=2C");
		else
			buffer_append_char(&scram->bare, *at);
	}
	buffer_printf(&scram->bare, ",r=%s", settings->nonce);
	return scram;
}

void scram_destroy(struct scram **scram)
{
	struct scram *gone = *scram;

	if (!gone)
		return;
	explicit_bzero(gone->password, strlen(gone->password));
	free(gone->password);
	free(gone->name);
	free(gone->host);
	free(gone->nonce);
	buffer_fini(&gone->header);
	buffer_fini(&gone->binding);
	buffer_fini(&gone->bare);
	explicit_bzero(gone, sizeof(*gone));
	free(gone);
	*scram = NULL;
}

bool scram_is_proved(const struct scram *scram)
{
	return scram->proved;
}

void scram_first(struct scram *scram, struct buffer *out)
{
	buffer_append(out, scram->header.data, scram->header.length);
	buffer_append(out, scram->bare.data, scram->bare.length);
}

/* The field at *at if it is called so; moves *at behind its comma, to end after the last. */
static bool take_field(const char **at, const char *end, char letter, struct field *field)
{
	const char *comma;

	if (end - *at < 2 || (*at)[0] != letter || (*at)[1] != '=')
		return false;
	comma = memchr(*at, ',', (size_t)(end - *at));
	field->value = *at + 2;
	field->length = (size_t)((comma ? comma : end) - field->value);
	*at = comma ? comma + 1 : end;
	return field->length > 0;
}

static bool is_printable(const struct field *field)
{
	for (size_t i = 0; i < field->length; i++)
		if (field->value[i] < 0x21 || field->value[i] > 0x7e)
			return false;
	return true;
}

static enum error not_scram(const struct scram *scram, struct words *words)
{
	words_set(words, "%s sent a challenge that is not one of %s", scram->host, scram->name);
	return ERROR_PROTOCOL;
}

/* Digits alone, and no more than one more than the most. */
static bool take_rounds(const struct field *field, unsigned *rounds)
{
	*rounds = 0;
	for (size_t i = 0; i < field->length; i++) {
		if (field->value[i] < '0' || field->value[i] > '9')
			return false;
		if (*rounds <= SCRAM_ROUNDS_MAX)
			*rounds = *rounds * 10 + (unsigned)(field->value[i] - '0');
	}
	return *rounds > 0;
}

/* RFC 5802 3: AuthMessage, and the two signatures over it; the proof goes into out. */
static enum error prove(struct scram *scram, const struct buffer *message, const struct buffer *salt,
                        unsigned rounds, unsigned char proof[DIGEST_MAX_BYTES])
{
	size_t size = digest_bytes(scram->digest);
	unsigned char salted[DIGEST_MAX_BYTES], client_key[DIGEST_MAX_BYTES], stored_key[DIGEST_MAX_BYTES],
		server_key[DIGEST_MAX_BYTES], signature[DIGEST_MAX_BYTES];

	if (!digest_pbkdf2(scram->digest, scram->password, strlen(scram->password), salt->data, salt->length,
	                   rounds, salted))
		return ERROR_SYSTEM;
	digest_hmac(scram->digest, salted, size, "Client Key", 10, client_key);
	digest_hash(scram->digest, client_key, size, stored_key);
	digest_hmac(scram->digest, stored_key, size, message->data, message->length, signature);
	for (size_t i = 0; i < size; i++)
		proof[i] = client_key[i] ^ signature[i];
	digest_hmac(scram->digest, salted, size, "Server Key", 10, server_key);
	digest_hmac(scram->digest, server_key, size, message->data, message->length, scram->server_signature);
	explicit_bzero(salted, sizeof(salted));
	explicit_bzero(client_key, sizeof(client_key));
	explicit_bzero(stored_key, sizeof(stored_key));
	explicit_bzero(server_key, sizeof(server_key));
	return OK;
}

/* client-final-message. */
static enum error answer(struct scram *scram, const char *text, size_t length, const struct field *nonce,
                         const struct buffer *salt, unsigned rounds, struct buffer *out)
{
	unsigned char proof[DIGEST_MAX_BYTES];
	struct buffer bound, last, message;
	enum error error;

	buffer_init(&bound, MESSAGE_BYTES);
	buffer_init(&last, MESSAGE_BYTES);
	buffer_init(&message, 4 * MESSAGE_BYTES);
	buffer_append(&bound, scram->header.data, scram->header.length);
	if (scram->binding.length > 0)
		buffer_append(&bound, scram->binding.data, scram->binding.length);
	buffer_append_text(&last, "c=");
	text_base64_encode(&last, bound.data, bound.length);
	buffer_printf(&last, ",r=%.*s", (int)nonce->length, nonce->value);
	buffer_append(&message, scram->bare.data, scram->bare.length);
	buffer_append_char(&message, ',');
	buffer_append(&message, text, length);
	buffer_append_char(&message, ',');
	buffer_append(&message, last.data, last.length);
	error = prove(scram, &message, salt, rounds, proof);
	if (error == OK) {
		buffer_append(out, last.data, last.length);
		buffer_append_text(out, ",p=");
		text_base64_encode(out, proof, digest_bytes(scram->digest));
		scram->place = PLACE_FINAL;
	}
	buffer_fini(&bound);
	buffer_fini(&last);
	buffer_fini(&message);
	return error;
}

/* r=…,s=…,i=… and extensions that we need not understand; a mandatory one ("m=") comes before r. */
static enum error hear_first(struct scram *scram, const char *text, size_t length, struct buffer *out,
                             struct words *words)
{
	const char *at = text, *end = text + length;
	size_t ours = strlen(scram->nonce);
	struct field nonce, salt64, count;
	struct buffer salt;
	unsigned rounds;
	enum error error;

	if (!take_field(&at, end, 'r', &nonce) || !take_field(&at, end, 's', &salt64) ||
	    !take_field(&at, end, 'i', &count) || !take_rounds(&count, &rounds) || !is_printable(&nonce))
		return not_scram(scram, words);
	if (nonce.length <= ours || memcmp(nonce.value, scram->nonce, ours) != 0) {
		words_set(words, "%s answers %s with a nonce that is not ours", scram->host, scram->name);
		return ERROR_PROTOCOL;
	}
	if (rounds > SCRAM_ROUNDS_MAX) {
		words_set(words, "%s asks for more than %d rounds of %s", scram->host, SCRAM_ROUNDS_MAX,
		          scram->name);
		return ERROR_PROTOCOL;
	}
	buffer_init(&salt, MESSAGE_BYTES);
	buffer_append(&salt, "", 0);
	if (!text_base64_decode(&salt, salt64.value, salt64.length)) {
		error = not_scram(scram, words);
	} else {
		error = answer(scram, text, length, &nonce, &salt, rounds, out);
		if (error != OK)
			words_set(words, "%s cannot be computed as %s asks", scram->name, scram->host);
	}
	buffer_fini(&salt);
	return error;
}

static enum error hear_final(struct scram *scram, const char *text, size_t length, struct words *words)
{
	const char *at = text;
	size_t size = digest_bytes(scram->digest);
	struct field verifier;
	struct buffer signature;
	unsigned char difference = 0;

	scram->place = PLACE_OVER;
	if (!take_field(&at, text + length, 'v', &verifier))
		return not_scram(scram, words);
	buffer_init(&signature, MESSAGE_BYTES);
	if (!text_base64_decode(&signature, verifier.value, verifier.length) || signature.length != size) {
		buffer_fini(&signature);
		words_set(words, "%s does not prove that it knows the password (%s)", scram->host,
		          scram->name);
		return ERROR_PROTOCOL;
	}
	for (size_t i = 0; i < size; i++)
		difference |= (unsigned char)signature.data[i] ^ scram->server_signature[i];
	buffer_fini(&signature);
	scram->proved = difference == 0;
	if (!scram->proved)
		words_set(words, "%s does not prove that it knows the password (%s)", scram->host,
		          scram->name);
	return scram->proved ? OK : ERROR_PROTOCOL;
}

/* RFC 5802 7: server-error. A bound login that the server cannot bind has a way out, and it is told. */
static enum error hear_refusal(struct scram *scram, const char *reason, size_t length, struct words *words)
{
	const struct secret password = { (unsigned char *)scram->password, strlen(scram->password) };
	char *whole = memory_strndup(reason, length), *clean;
	bool unbound;

	secret_mask(&password, whole); /* before it is cut: a part would not be recognised */
	clean = text_clean(whole, strlen(whole), REASON_BYTES);
	free(whole);
	unbound = scram->binding.length > 0 && strstr(clean, "channel-binding");
	words_set(words, "%s refused %s: %s%s", scram->host, scram->name, clean,
	          unbound ? " (auth = scram-sha-256 or scram-sha-1 logs in without channel binding)" : "");
	free(clean);
	scram->place = PLACE_OVER;
	return ERROR_PROTOCOL;
}

enum error scram_hear(struct scram *scram, const char *text, size_t length, struct buffer *out,
                      struct words *words)
{
	enum error error;

	if (scram->place == PLACE_OVER) {
		words_set(words, "%s asks for more after all of %s was said", scram->host, scram->name);
		return ERROR_PROTOCOL;
	}
	if (length >= 2 && memcmp(text, "e=", 2) == 0)
		return hear_refusal(scram, text + 2, length - 2, words);
	if (scram->place == PLACE_FINAL)
		return hear_final(scram, text, length, words);
	error = hear_first(scram, text, length, out, words);
	if (error != OK)
		scram->place = PLACE_OVER;
	return error;
}
