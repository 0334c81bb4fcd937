/*
 * token_run.c - see token_run.h.
 *
 * Which grant it is follows from what the tenant has: a refresh token; else a Google service
 * account's JSON (JWT bearer) or a key with its certificate (both known by how they begin) in
 * oauth_client_secret_file; else the client's secret.
 */
#include "run/token_run.h"

#include <stdio.h>
#include <string.h>

#include "common/buffer.h"
#include "common/fields.h"
#include "common/seal_file.h"
#include "common/secret_file.h"
#include "common/text.h"
#include "run/token_ask.h"

/* What is told to the endpoint. */
struct credentials {
	struct secret client, refresh;
};

static bool same(const struct secret *a, const struct secret *b)
{
	return a->length == b->length && (a->length == 0 || memcmp(a->bytes, b->bytes, a->length) == 0);
}

static struct seal_place refresh_place(const struct tenant_settings *settings)
{
	return (struct seal_place){ settings, "oauth_refresh_token_file",
		                    settings->oauth_refresh_token_file };
}

/* The file's, but for a newer one that could not be written, unless somebody has written the file since. */
static enum error read_refresh_token(const struct token_place *place, const struct tenant_settings *settings,
                                     struct token_fetch *fetch, struct secret *refresh)
{
	const struct seal_files files = { place->secrets_dir, place->keys };
	const struct seal_place file = refresh_place(settings);
	enum error error = seal_file_read(&files, &file, refresh, &fetch->sealed, &fetch->words);

	if (error != OK)
		return error;
	if (secret_is_set(&fetch->unsaved) && same(refresh, &fetch->replaces)) {
		secret_copy(refresh, &fetch->unsaved);
	} else {
		secret_wipe(&fetch->unsaved);
		secret_copy(&fetch->replaces, refresh);
	}
	return OK;
}

static enum error read_credentials(const struct token_place *place, const struct tenant_settings *settings,
                                   struct token_fetch *fetch, struct credentials *credentials)
{
	const struct seal_files files = { place->secrets_dir, place->keys };
	const struct seal_place client = { settings, "oauth_client_secret_file",
		                           settings->oauth_client_secret_file };
	enum error error = OK;

	if (client.file)
		error = seal_file_read(&files, &client, &credentials->client, NULL, &fetch->words);
	if (error == OK && settings->oauth_refresh_token_file)
		error = read_refresh_token(place, settings, fetch, &credentials->refresh);
	return error;
}

static bool begins(const struct secret *secret, const char *text)
{
	return secret->length > strlen(text) && memcmp(secret->bytes, text, strlen(text)) == 0;
}

static const char *grant_of(const struct credentials *credentials)
{
	if (secret_is_set(&credentials->refresh))
		return "refresh_token";
	if (begins(&credentials->client, "{"))
		return "jwt_bearer";
	return begins(&credentials->client, "-----BEGIN ") ? "certificate" : "client_credentials";
}

static bool write_request(const struct token_place *place, const struct tenant_settings *settings,
                          const struct credentials *credentials, struct buffer *request)
{
	char timeout[16];

	(void)snprintf(timeout, sizeof(timeout), "%d", TOKEN_ASK_MS);
	return fields_add(request, "grant", grant_of(credentials)) &&
	       fields_add(request, "url", settings->oauth_token_url) &&
	       fields_add(request, "client_id", settings->oauth_client_id) &&
	       fields_add(request, "scope", settings->oauth_scope) &&
	       fields_add(request, "subject", settings->username) &&
	       fields_add(request, "ca_file", place->ca_file) && fields_add(request, "timeout_ms", timeout) &&
	       fields_add_secret(request, "secret", &credentials->client) &&
	       fields_add_secret(request, "refresh_token", &credentials->refresh);
}

/* --- what it said -------------------------------------------------------------------------- */

static bool take_secret(const struct buffer *result, const char *name, struct secret *secret)
{
	const char *value = fields_find(result, name);

	return value && *value && secret_set(secret, value, strlen(value));
}

enum file_now {
	FILE_OURS,    /* what the new one replaces, or not there: to be written */
	FILE_WRITTEN, /* somebody has authorized anew (outboxctl tenant authorize): what came of the old one
	               * is worth nothing beside that */
	FILE_CLOSED, /* sealed for other settings than ours, or by a key that we have not read yet: nobody can
	              * say which of the two it is, before we have those */
};

/* Locked. To have sealed it since it was read is no writing, and it stays sealed. */
static enum file_now look_again(const struct seal_files *files, const struct seal_place *file,
                                struct token_fetch *fetch)
{
	enum file_now state = FILE_OURS;
	struct secret now = { NULL, 0 };
	struct words words;
	bool sealed = false;
	enum error error = seal_file_read(files, file, &now, &sealed, &words);

	if (error == OK) {
		fetch->sealed = sealed;
		state = same(&now, &fetch->replaces) ? FILE_OURS : FILE_WRITTEN;
	} else if (sealed) {
		words_set(&fetch->words, "a new refresh token is not written yet: %s", words.text);
		state = FILE_CLOSED;
	}
	secret_wipe(&now);
	return state;
}

void token_save(const struct token_place *place, const struct tenant_settings *settings,
                struct token_fetch *fetch)
{
	const struct seal_files files = { place->secrets_dir, place->keys };
	const struct seal_place file = refresh_place(settings);
	enum file_now state;
	int lock;

	if (!secret_is_set(&fetch->unsaved) || secret_file_lock(files.folder, &lock, &fetch->words) != OK)
		return;
	fetch->words.text[0] = '\0';
	state = look_again(&files, &file, fetch);
	if (state == FILE_WRITTEN ||
	    (state == FILE_OURS &&
	     seal_file_replace(&files, &file, &fetch->unsaved, fetch->sealed, &fetch->words) == OK))
		secret_wipe(&fetch->unsaved);
	secret_file_unlock(lock);
}

static enum error take_result(const struct token_place *place, const struct tenant_settings *settings,
                              const struct buffer *result, struct token_fetch *fetch)
{
	const char *words = fields_find(result, "words"), *life = fields_find(result, "expires_in");
	const char *error = fields_find(result, "error");

	if (take_secret(result, "token", &fetch->token) && life &&
	    text_to_int(life, 1, INT32_MAX, &fetch->expires_in_s)) {
		/* whatever happens to the file, the new one is known here */
		if (settings->oauth_refresh_token_file) {
			take_secret(result, "refresh_token", &fetch->unsaved);
			token_save(place, settings, fetch);
		}
		return OK;
	}
	secret_wipe(&fetch->token);
	words_set(&fetch->words, "%s", words ? words : "outboxd-token ended without a result");
	(void)snprintf(fetch->error, sizeof(fetch->error), "%s", error ? error : "");
	fetch->refused = fields_find(result, "refused") != NULL;
	return ERROR_PROTOCOL;
}

enum error token_run(const struct token_place *place, const struct tenant_settings *settings,
                     struct token_fetch *fetch)
{
	struct credentials credentials = { { NULL, 0 }, { NULL, 0 } };
	struct buffer request, result;
	enum error error;

	fetch->words.text[0] = '\0';
	fields_init(&request);
	fields_init(&result);
	error = read_credentials(place, settings, fetch, &credentials);
	if (error == OK && !write_request(place, settings, &credentials, &request)) {
		words_set(&fetch->words, "a secret of the tenant has a NUL in it, or is too large");
		error = ERROR_INVALID;
	}
	if (error == OK)
		error = token_ask(place->program, &request, &result, &fetch->words);
	if (error == OK)
		error = take_result(place, settings, &result, fetch);
	secret_wipe(&credentials.client);
	secret_wipe(&credentials.refresh);
	fields_fini(&request);
	fields_fini(&result);
	return error;
}

void token_fetch_fini(struct token_fetch *fetch)
{
	secret_wipe(&fetch->unsaved);
	secret_wipe(&fetch->replaces);
	secret_wipe(&fetch->token);
}
