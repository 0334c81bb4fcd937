/*
 * auth.c - what is said in a SASL exchange (RFC 4954): GNU SASL, SCRAM, bearer tokens.
 *
 * Promises: a SCRAM server proves that it knows the password before anything is
 * handed to it; no server makes us compute for longer than a bound; words never hold
 * the secret. Fails with ERROR_REFUSED (EXTERNAL without a certificate), ERROR_INVALID
 * (name or password), ERROR_PROTOCOL (the server's challenge), ERROR_SYSTEM (the library).
 */
#include "smtp/auth.h"

#include <gsasl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/digest.h"
#include "common/text.h"
#include "smtp/auth_mechanism.h"
#include "smtp/bearer.h"
#include "smtp/scram.h"

#define NONCE_BYTES 18

struct auth {
	const struct auth_mechanism *mechanism;
	Gsasl_session *session; /* of AUTH_KIND_LIBRARY */
	struct scram *scram;
	struct bearer bearer; /* points to what follows */
	struct secret token;
	char *host, *username;
	char *refusal; /* what came of a token */
	bool satisfied;
};

static pthread_once_t library_once = PTHREAD_ONCE_INIT;
static Gsasl *library; /* NULL if it could not be started; constant after that, shared by all threads */

static void start_library(void)
{
	if (gsasl_init(&library) != GSASL_OK)
		library = NULL;
}

bool auth_library_has(const char *name)
{
	pthread_once(&library_once, start_library);
	return library && gsasl_client_support_p(library, name);
}

/* --- beginning ----------------------------------------------------------------------- */

static enum error check_credentials(const struct auth_login *login, const struct auth_mechanism *mechanism,
                                    struct words *words)
{
	const struct secret *password = login->password;
	const char *host = login->tenant->host;
	bool bearer = mechanism->kind == AUTH_KIND_BEARER;

	if (!login->tenant->username || !login->tenant->username[0])
		words_set(words, "there is no username to log in to %s with", host);
	else if (!password || !secret_is_set(password) || password->length == 0)
		words_set(words, "there is no %s to log in to %s with",
		          bearer ? "token (password)" : "password", host);
	else if (memchr(password->bytes, '\0', password->length))
		words_set(words, "the password for %s has a NUL in it", host);
	else
		return OK;
	return ERROR_INVALID;
}

/* RFC 4422 A: without a certificate there is nothing that a server could go by. */
static enum error begin_external(const struct auth_login *login, struct words *words)
{
	const char *host = login->tenant->host;

	if (!login->channel->encrypted)
		words_set(words, "auth = external needs TLS, and the connection to %s has none", host);
	else if (!login->tenant->tls_cert_file)
		words_set(words, "auth = external needs a client certificate (tls_cert_file, tls_key_file)");
	else if (!login->channel->certificate)
		words_set(words,
		          "%s did not ask for the client certificate, without which auth = external "
		          "says nothing",
		          host);
	else
		return OK;
	return ERROR_REFUSED;
}

static enum error begin_library(struct auth *auth, const struct secret *password, struct words *words)
{
	const char *name = auth->mechanism->name;
	int rc = auth_library_has(name) ? gsasl_client_start(library, name, &auth->session)
	                                : GSASL_UNKNOWN_MECHANISM;

	if (rc == GSASL_OK)
		rc = gsasl_property_set(auth->session, GSASL_AUTHID, auth->username);
	if (rc == GSASL_OK)
		rc = gsasl_property_set(auth->session, GSASL_PASSWORD, (const char *)password->bytes);
	if (rc == GSASL_OK)
		return OK;
	words_set(words, "%s: %s", name, gsasl_strerror(rc));
	return ERROR_SYSTEM;
}

static enum error create_scram(struct auth *auth, const struct auth_login *login, const char *username,
                               const char *password)
{
	const struct auth_channel *channel = login->channel;
	bool binds = auth->mechanism->binds;
	unsigned char dice[NONCE_BYTES];
	struct buffer nonce;

	digest_random(dice, sizeof(dice));
	buffer_init(&nonce, 2 * NONCE_BYTES);
	text_base64_encode(&nonce, dice, sizeof(dice));
	auth->scram = scram_create(&(struct scram_settings){
		.digest = auth->mechanism->choice == AUTH_SCRAM_SHA_1 ? DIGEST_SHA1 : DIGEST_SHA256,
		.name = auth->mechanism->name,
		.host = auth->host,
		.username = username,
		.password = password,
		.nonce = nonce.data,
		.binding_type = binds ? channel->binding_type : NULL,
		/* RFC 5802 6: "y" only where no -PLUS was seen */
		.could_bind = channel->binding_type && !auth_offers_binding(login->offered),
		.binding = channel->binding,
		.binding_length = channel->binding_length,
	});
	buffer_fini(&nonce);
	return OK;
}

/* RFC 5802 5.1 and 2.2: both are prepared by SASLprep. */
static enum error begin_scram(struct auth *auth, const struct auth_login *login, struct words *words)
{
	char *username = NULL, *password = NULL;
	int rc = gsasl_saslprep(auth->username, GSASL_ALLOW_UNASSIGNED, &username, NULL);
	enum error error = ERROR_INVALID;

	if (rc == GSASL_OK)
		rc = gsasl_saslprep((const char *)login->password->bytes, GSASL_ALLOW_UNASSIGNED, &password,
		                    NULL);
	if (rc == GSASL_OK)
		error = create_scram(auth, login, username, password);
	else
		words_set(words, "username or password have a character that SASL forbids (RFC 4013)");
	if (password)
		explicit_bzero(password, strlen(password));
	gsasl_free(password);
	gsasl_free(username);
	return error;
}

static enum error begin_bearer(struct auth *auth, const struct auth_login *login)
{
	secret_copy(&auth->token, login->password);
	auth->bearer = (struct bearer){
		.standard = auth->mechanism->choice == AUTH_OAUTHBEARER,
		.username = auth->username,
		.host = auth->host,
		.port = login->tenant->port,
		.token = &auth->token,
	};
	return OK;
}

static enum error begin_kind(struct auth *auth, const struct auth_login *login, struct words *words)
{
	switch (auth->mechanism->kind) {
	case AUTH_KIND_SCRAM: return begin_scram(auth, login, words);
	case AUTH_KIND_BEARER: return begin_bearer(auth, login);
	case AUTH_KIND_EXTERNAL: return OK;
	case AUTH_KIND_LIBRARY: break;
	}
	return begin_library(auth, login->password, words);
}

enum error auth_begin(const struct auth_login *login, const char *mechanism, struct auth **auth,
                      struct words *words)
{
	const struct auth_mechanism *found = auth_mechanism_find(mechanism);
	enum error error;

	*auth = NULL;
	if (!found) {
		words_set(words, "%s is not a mechanism that outboxd knows", mechanism);
		return ERROR_SYSTEM;
	}
	error = found->kind == AUTH_KIND_EXTERNAL ? begin_external(login, words)
	                                          : check_credentials(login, found, words);
	if (error != OK)
		return error;
	*auth = memory_alloc(sizeof(**auth));
	(*auth)->mechanism = found;
	(*auth)->host = memory_strdup(login->tenant->host);
	(*auth)->username = memory_strdup(login->tenant->username ? login->tenant->username : "");
	error = begin_kind(*auth, login, words);
	if (error != OK)
		auth_end(auth);
	return error;
}

/* --- the exchange -------------------------------------------------------------------- */

/* Decodes into bytes, always terminated; false with words if we do not go on with it. */
static bool take_challenge(const struct auth *auth, const char *text, struct buffer *bytes,
                           struct words *words)
{
	buffer_append(bytes, "", 0);
	/* the prompts of LOGIN say nothing, and there are servers that send them without base64 */
	if (auth->mechanism->choice == AUTH_LOGIN || !text || strcmp(text, "=") == 0)
		return true;
	if (text_base64_decode(bytes, text, strlen(text)))
		return true;
	words_set(words, "%s sent a challenge of %s that is not base64", auth->host, auth->mechanism->name);
	return false;
}

static enum error too_many(const struct auth *auth, struct words *words)
{
	words_set(words, "%s asks for more after all of %s was said", auth->host, auth->mechanism->name);
	return ERROR_PROTOCOL;
}

static enum error step_trouble(const struct auth *auth, int rc, struct words *words)
{
	const char *host = auth->host, *name = auth->mechanism->name;

	switch (rc) {
	case GSASL_SASLPREP_ERROR:
		words_set(words, "username or password have a character that SASL forbids (RFC 4013)");
		return ERROR_INVALID;
	case GSASL_MECHANISM_PARSE_ERROR:
	case GSASL_BASE64_ERROR:
		words_set(words, "%s sent a challenge that is not one of %s", host, name);
		return ERROR_PROTOCOL;
	case GSASL_MECHANISM_CALLED_TOO_MANY_TIMES: return too_many(auth, words);
	default: words_set(words, "%s: %s", name, gsasl_strerror(rc)); return ERROR_SYSTEM;
	}
}

static enum error step_library(struct auth *auth, const struct buffer *challenge, struct buffer *said,
                               struct words *words)
{
	char *response = NULL;
	size_t length = 0;
	int rc = gsasl_step(auth->session, challenge->data, challenge->length, &response, &length);

	if ((rc == GSASL_OK || rc == GSASL_NEEDS_MORE) && length > 0)
		buffer_append(said, response, length);
	if (response) {
		explicit_bzero(response, length);
		gsasl_free(response);
	}
	if (rc != GSASL_OK && rc != GSASL_NEEDS_MORE)
		return step_trouble(auth, rc, words);
	auth->satisfied = rc == GSASL_OK;
	return OK;
}

static enum error step_scram(struct auth *auth, bool first, const struct buffer *challenge,
                             struct buffer *said, struct words *words)
{
	enum error error;

	if (first) {
		scram_first(auth->scram, said);
		return OK;
	}
	error = scram_hear(auth->scram, challenge->data, challenge->length, said, words);
	auth->satisfied = scram_is_proved(auth->scram);
	return error;
}

/* The message, and once more an answer: a refusal comes as a challenge (RFC 7628 3.2.3). */
static enum error step_bearer(struct auth *auth, bool first, const struct buffer *challenge,
                              struct buffer *said, struct words *words)
{
	if (first) {
		enum error error = bearer_message(&auth->bearer, said, words);

		auth->satisfied = error == OK;
		return error;
	}
	if (auth->refusal)
		return too_many(auth, words);
	auth->satisfied = false;
	auth->refusal = bearer_refusal(&auth->token, challenge->data, challenge->length);
	bearer_answer(&auth->bearer, said);
	return OK;
}

static enum error step(struct auth *auth, bool first, const struct buffer *challenge, struct buffer *said,
                       struct words *words)
{
	switch (auth->mechanism->kind) {
	case AUTH_KIND_SCRAM: return step_scram(auth, first, challenge, said, words);
	case AUTH_KIND_BEARER: return step_bearer(auth, first, challenge, said, words);
	case AUTH_KIND_LIBRARY: return step_library(auth, challenge, said, words);
	case AUTH_KIND_EXTERNAL: break;
	}
	buffer_append_text(said, auth->username); /* the identity to act as; none = the certificate's own */
	auth->satisfied = true;
	return OK;
}

/* Wipes before it frees: a response holds the secret. */
static void wipe(struct buffer *buffer)
{
	if (buffer->length > 0)
		explicit_bzero(buffer->data, buffer->length);
	buffer_fini(buffer);
}

enum error auth_step(struct auth *auth, const char *challenge, struct buffer *out, bool *complete,
                     struct words *words)
{
	bool first = !challenge;
	enum error error = ERROR_PROTOCOL;
	struct buffer bytes, said;

	*complete = false;
	if (first && !auth->mechanism->client_first)
		return OK;
	if (auth->satisfied && auth->mechanism->kind != AUTH_KIND_BEARER)
		return too_many(auth, words);
	buffer_init(&bytes, SECRET_MAX_BYTES);
	buffer_init(&said, 2 * SECRET_MAX_BYTES);
	if (buffer_reserve(&said, SECRET_MAX_BYTES) && take_challenge(auth, challenge, &bytes, words))
		error = step(auth, first, &bytes, &said, words);
	if (error == OK && said.length > 0 && !text_base64_encode(out, said.data, said.length)) {
		words_set(words, "what %s wants said to log in is too long", auth->mechanism->name);
		error = ERROR_INVALID;
	}
	if (error == OK && said.length == 0 && first)
		buffer_append_char(out, '='); /* RFC 4954 4 */
	*complete = error == OK && auth->satisfied;
	buffer_fini(&bytes);
	wipe(&said);
	return error;
}

const char *auth_refusal(const struct auth *auth)
{
	return auth->refusal && auth->refusal[0] ? auth->refusal : NULL;
}

enum error auth_verify(struct auth *auth, struct words *words)
{
	const char *host = auth->host, *name = auth->mechanism->name;

	if (auth->satisfied)
		return OK;
	if (auth->refusal)
		words_set(words, "%s accepted %s after it had refused the token", host, name);
	else
		words_set(words, "%s accepted %s before it was complete%s", host, name,
		          auth->mechanism->kind == AUTH_KIND_SCRAM
		                  ? ": it does not prove that it knows the password"
		                  : "");
	return ERROR_PROTOCOL;
}

/* GNU SASL frees its copies without wiping them. */
static void wipe_property(Gsasl_session *session, Gsasl_property property)
{
	char *copy = (char *)gsasl_property_fast(session, property);

	if (copy)
		explicit_bzero(copy, strlen(copy));
}

void auth_end(struct auth **auth)
{
	struct auth *ended = *auth;

	if (!ended)
		return;
	if (ended->session) {
		wipe_property(ended->session, GSASL_PASSWORD);
		gsasl_finish(ended->session);
	}
	scram_destroy(&ended->scram);
	secret_wipe(&ended->token);
	free(ended->host);
	free(ended->username);
	free(ended->refusal);
	free(ended);
	*auth = NULL;
}
