/*
 * auth.c - SASL by GNU SASL (RFC 4954).
 *
 * Promises: a mechanism that shows the password is chosen by itself only on an
 * encrypted and verified connection (the contract's promise 4); a SCRAM server
 * proves that it knows the password before anything is handed to it; no server
 * makes us compute for longer than a bound; words never hold the secret.
 * Fails with ERROR_REFUSED (nothing fits), ERROR_INVALID (name or password),
 * ERROR_PROTOCOL (the server's challenge), ERROR_SYSTEM (the library).
 */
#include "smtp/auth.h"

#include <gsasl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"

/*
 * RFC 5802 lets the server say how many rounds of a hash we compute, without a
 * bound: a million takes about a second, and nobody stores passwords with more.
 */
#define SCRAM_ROUNDS_MAX 1000000
#define OFFER_BYTES      200 /* of what the server offers, in words */

struct mechanism {
	const char *name;
	enum auth_choice choice;
	bool shows_password;
	bool client_first; /* begins with the client's response */
};

/* Our order, strongest first: GNU SASL's suggestion is not by strength. */
static const struct mechanism mechanisms[] = {
	{ "SCRAM-SHA-256", AUTH_SCRAM_SHA_256, false, true },
	{ "SCRAM-SHA-1", AUTH_SCRAM_SHA_1, false, true },
	{ "CRAM-MD5", AUTH_CRAM_MD5, false, false },
	{ "PLAIN", AUTH_PLAIN, true, true },
	/* many servers take no initial response to LOGIN, which has no standard */
	{ "LOGIN", AUTH_LOGIN, true, false },
};
#define MECHANISMS (sizeof(mechanisms) / sizeof(mechanisms[0]))

struct auth {
	const struct mechanism *mechanism;
	Gsasl_session *session;
	char *host;
	bool satisfied;
};

static pthread_once_t library_once = PTHREAD_ONCE_INIT;
static Gsasl *library; /* NULL if it could not be started; constant after that, shared by all threads */

static void start_library(void)
{
	if (gsasl_init(&library) != GSASL_OK)
		library = NULL;
}

/* --- choosing ---------------------------------------------------------------------- */

static bool is_offered(const char *offered, const char *name)
{
	size_t length = strlen(name);

	for (const char *at = offered; *at;) {
		size_t word = strcspn(at, " ");

		if (word == length && text_starts_nocase(at, name))
			return true;
		at += word;
		at += strspn(at, " ");
	}
	return false;
}

static bool may_show_password(const struct auth_channel *channel)
{
	return channel->encrypted && channel->verified && !channel->opportunistic;
}

static const char *why_not_shown(const struct auth_channel *channel)
{
	if (!channel->encrypted)
		return "on a connection without TLS";
	return channel->opportunistic ? "on a connection that tls = opportunistic does not verify"
	                              : "on a connection that is not verified";
}

/* Known mechanisms that the server offers, for people: "PLAIN and LOGIN". */
static void list_known(const char *offered, struct buffer *list)
{
	buffer_init(list, OFFER_BYTES);
	for (size_t i = 0; i < MECHANISMS; i++)
		if (is_offered(offered, mechanisms[i].name))
			buffer_printf(list, "%s%s", list->length > 0 ? " and " : "", mechanisms[i].name);
}

static enum error nothing_fits(const struct tenant_settings *tenant, const char *offered,
                               const struct auth_channel *channel, struct words *words)
{
	char *all = text_clean(offered, strlen(offered), OFFER_BYTES);
	struct buffer known;

	list_known(offered, &known);
	if (!all[0])
		words_set(words, "%s offers no authentication%s, and the tenant has a username", tenant->host,
		          channel->encrypted ? "" : " without TLS");
	else if (known.length == 0)
		words_set(words, "%s offers only %s to log in, of which outboxd knows none", tenant->host,
		          all);
	else
		words_set(words, "%s offers only %s, which would show the password %s", tenant->host,
		          known.data, why_not_shown(channel));
	buffer_fini(&known);
	free(all);
	return ERROR_REFUSED;
}

static enum error choose_best(const struct tenant_settings *tenant, const char *offered,
                              const struct auth_channel *channel, const char **name, struct words *words)
{
	for (size_t i = 0; i < MECHANISMS; i++) {
		const struct mechanism *mechanism = &mechanisms[i];

		if (mechanism->shows_password && !may_show_password(channel))
			continue;
		if (!is_offered(offered, mechanism->name) ||
		    !gsasl_client_support_p(library, mechanism->name))
			continue;
		*name = mechanism->name;
		return OK;
	}
	return nothing_fits(tenant, offered, channel, words);
}

/* The operator named one: that, or nothing. */
static enum error choose_named(const struct tenant_settings *tenant, const char *offered, const char **name,
                               struct words *words)
{
	const struct mechanism *mechanism = NULL;
	const char *choice = auth_choice_name(tenant->auth);
	char *all;

	for (size_t i = 0; i < MECHANISMS; i++)
		if (mechanisms[i].choice == tenant->auth)
			mechanism = &mechanisms[i];
	if (!mechanism) {
		words_set(words, "auth = %s is not built yet", choice);
		return ERROR_REFUSED;
	}
	if (!tenant->username) {
		words_set(words, "auth = %s needs a username", choice);
		return ERROR_REFUSED;
	}
	if (is_offered(offered, mechanism->name)) {
		*name = mechanism->name;
		return OK;
	}
	all = text_clean(offered, strlen(offered), OFFER_BYTES);
	words_set(words, "%s does not offer %s (auth = %s); it offers %s", tenant->host, mechanism->name,
	          choice, all[0] ? all : "no authentication");
	free(all);
	return ERROR_REFUSED;
}

enum error auth_choose(const struct tenant_settings *tenant, const char *offered,
                       const struct auth_channel *channel, const char **name, struct words *words)
{
	*name = NULL;
	if (tenant->auth == AUTH_NONE || (tenant->auth == AUTH_AUTO && !tenant->username))
		return OK;
	pthread_once(&library_once, start_library);
	if (!library) {
		words_set(words, "GNU SASL cannot be started");
		return ERROR_SYSTEM;
	}
	if (tenant->auth == AUTH_AUTO)
		return choose_best(tenant, offered, channel, name, words);
	return choose_named(tenant, offered, name, words);
}

/* --- the exchange -------------------------------------------------------------------- */

static enum error check_credentials(const struct tenant_settings *tenant, const struct secret *password,
                                    struct words *words)
{
	if (!tenant->username || !tenant->username[0])
		words_set(words, "there is no username to log in to %s with", tenant->host);
	else if (!password || !secret_is_set(password) || password->length == 0)
		words_set(words, "there is no password to log in to %s with", tenant->host);
	else if (memchr(password->bytes, '\0', password->length))
		words_set(words, "the password for %s has a NUL in it", tenant->host);
	else
		return OK;
	return ERROR_INVALID;
}

enum error auth_begin(const char *mechanism, const struct tenant_settings *tenant,
                      const struct secret *password, struct auth **auth, struct words *words)
{
	enum error error = check_credentials(tenant, password, words);
	const struct mechanism *found = NULL;
	Gsasl_session *session;
	int rc;

	*auth = NULL;
	if (error != OK)
		return error;
	for (size_t i = 0; i < MECHANISMS; i++)
		if (strcmp(mechanisms[i].name, mechanism) == 0)
			found = &mechanisms[i];
	pthread_once(&library_once, start_library);
	rc = found && library ? gsasl_client_start(library, mechanism, &session) : GSASL_UNKNOWN_MECHANISM;
	if (rc != GSASL_OK) {
		words_set(words, "%s: %s", mechanism, gsasl_strerror(rc));
		return ERROR_SYSTEM;
	}
	*auth = memory_alloc(sizeof(**auth));
	(*auth)->mechanism = found;
	(*auth)->session = session;
	(*auth)->host = memory_strdup(tenant->host);
	rc = gsasl_property_set(session, GSASL_AUTHID, tenant->username);
	if (rc == GSASL_OK)
		rc = gsasl_property_set(session, GSASL_PASSWORD, (const char *)password->bytes);
	if (rc == GSASL_OK)
		return OK;
	words_set(words, "%s: %s", mechanism, gsasl_strerror(rc));
	auth_end(auth);
	return ERROR_SYSTEM;
}

/* Whether an attribute "i=…" of a SCRAM challenge asks for more rounds than we do. */
static bool asks_too_much(const struct buffer *challenge)
{
	const char *end = challenge->data + challenge->length;

	for (const char *at = challenge->data; at < end; at++) {
		long long rounds = 0;

		if (end - at > 2 && at[0] == 'i' && at[1] == '=')
			for (at += 2; at < end && *at >= '0' && *at <= '9' && rounds <= SCRAM_ROUNDS_MAX;
			     at++)
				rounds = rounds * 10 + (*at - '0');
		if (rounds > SCRAM_ROUNDS_MAX)
			return true;
		at = at < end ? memchr(at, ',', (size_t)(end - at)) : NULL;
		if (!at)
			break;
	}
	return false;
}

/* Decodes into bytes, always terminated; false with words if we do not go on with it. */
static bool take_challenge(const struct auth *auth, const char *text, struct buffer *bytes,
                           struct words *words)
{
	const char *name = auth->mechanism->name;

	buffer_append(bytes, "", 0);
	/* the prompts of LOGIN say nothing, and there are servers that send them without base64 */
	if (auth->mechanism->choice == AUTH_LOGIN || !text || strcmp(text, "=") == 0)
		return true;
	if (!text_base64_decode(bytes, text, strlen(text))) {
		words_set(words, "%s sent a challenge of %s that is not base64", auth->host, name);
		return false;
	}
	if (!auth->mechanism->client_first || auth->mechanism->choice == AUTH_PLAIN)
		return true;
	if (asks_too_much(bytes)) {
		words_set(words, "%s asks for more than %d rounds of %s", auth->host, SCRAM_ROUNDS_MAX, name);
		return false;
	}
	if (bytes->length >= 2 && memcmp(bytes->data, "e=", 2) == 0) { /* RFC 5802 7: server-error */
		char *reason = text_clean(bytes->data + 2, bytes->length - 2, OFFER_BYTES);

		words_set(words, "%s refused %s: %s", auth->host, name, reason);
		free(reason);
		return false;
	}
	return true;
}

static enum error step_trouble(const struct auth *auth, int rc, struct words *words)
{
	const char *host = auth->host, *name = auth->mechanism->name;

	switch (rc) {
	case GSASL_SASLPREP_ERROR:
		words_set(words, "username or password have a character that SASL forbids (RFC 4013)");
		return ERROR_INVALID;
	case GSASL_AUTHENTICATION_ERROR:
	case GSASL_INTEGRITY_ERROR:
		words_set(words, "%s does not prove that it knows the password (%s)", host, name);
		return ERROR_PROTOCOL;
	case GSASL_MECHANISM_PARSE_ERROR:
	case GSASL_BASE64_ERROR:
		words_set(words, "%s sent a challenge that is not one of %s", host, name);
		return ERROR_PROTOCOL;
	case GSASL_MECHANISM_CALLED_TOO_MANY_TIMES:
		words_set(words, "%s asks for more after all of %s was said", host, name);
		return ERROR_PROTOCOL;
	default: words_set(words, "%s: %s", name, gsasl_strerror(rc)); return ERROR_SYSTEM;
	}
}

static int step(struct auth *auth, const struct buffer *challenge, bool initial, struct buffer *out)
{
	char *response = NULL;
	size_t length = 0;
	int rc = gsasl_step(auth->session, challenge->data, challenge->length, &response, &length);

	if (rc == GSASL_OK || rc == GSASL_NEEDS_MORE) {
		if (length > 0)
			text_base64_encode(out, response, length);
		else if (initial)
			buffer_append_char(out, '='); /* RFC 4954 4 */
	}
	if (response) {
		explicit_bzero(response, length);
		gsasl_free(response);
	}
	return rc;
}

enum error auth_step(struct auth *auth, const char *challenge, struct buffer *out, bool *complete,
                     struct words *words)
{
	enum error error = OK;
	struct buffer bytes;
	int rc;

	*complete = false;
	if (!challenge && !auth->mechanism->client_first)
		return OK;
	if (auth->satisfied)
		return step_trouble(auth, GSASL_MECHANISM_CALLED_TOO_MANY_TIMES, words);
	buffer_init(&bytes, SECRET_MAX_BYTES);
	if (take_challenge(auth, challenge, &bytes, words)) {
		rc = step(auth, &bytes, !challenge, out);
		auth->satisfied = *complete = rc == GSASL_OK;
		if (rc != GSASL_OK && rc != GSASL_NEEDS_MORE)
			error = step_trouble(auth, rc, words);
	} else {
		error = ERROR_PROTOCOL;
	}
	buffer_fini(&bytes);
	return error;
}

enum error auth_verify(struct auth *auth, struct words *words)
{
	if (auth->satisfied)
		return OK;
	words_set(words, "%s accepted %s before it was complete%s", auth->host, auth->mechanism->name,
	          auth->mechanism->shows_password ? "" : ": it does not prove that it knows the password");
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
	if (!*auth)
		return;
	wipe_property((*auth)->session, GSASL_PASSWORD);
	wipe_property((*auth)->session, GSASL_SCRAM_SALTED_PASSWORD);
	gsasl_finish((*auth)->session);
	free((*auth)->host);
	free(*auth);
	*auth = NULL;
}
