/*
 * answer.c - see answer.h.
 *
 * Promises a token that an AUTH command can carry, or words; never both, never neither.
 */
#include "token/answer.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/text.h"

#define ERROR_BYTES       60
#define DESCRIPTION_BYTES 300

/* RFC 6750 2.1: what can stand behind "Bearer ". */
static bool is_visible(const char *text)
{
	for (; *text; text++)
		if (*text < 0x21 || *text > 0x7e)
			return false;
	return true;
}

/* What the endpoint says, fit for people; "" if it says nothing. The caller frees it. */
static char *told(json_t *document, const char *name, const struct secret *const masks[], size_t max_bytes)
{
	const char *value = json_string_value(json_object_get(document, name));
	char *copy = memory_strdup(value ? value : ""), *clean;

	for (size_t i = 0; masks[i]; i++)
		secret_mask(masks[i], copy);
	clean = text_clean(copy, strlen(copy), max_bytes);
	free(copy);
	return clean;
}

/* RFC 6749 5.2, RFC 8628 3.5 and what servers say beside it: these pass, the others are for people to mend.
 */
static bool is_passing(int status, const char *error)
{
	static const char *const names[] = { "temporarily_unavailable", "server_error", "slow_down",
		                             "authorization_pending" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(error, names[i]) == 0)
			return true;
	return status == 429 || status >= 500;
}

static void tell_error(int status, json_t *document, const char *host, const struct secret *const masks[],
                       struct answer *answer)
{
	char *error = told(document, "error", masks, ERROR_BYTES);
	char *description = told(document, "error_description", masks, DESCRIPTION_BYTES);

	(void)strncpy(answer->error, error, sizeof(answer->error) - 1);
	answer->refused = !is_passing(status, error);
	words_set(&answer->words, "%s gives no token: %s%s%s%s", host, error, *description ? " (" : "",
	          description, *description ? ")" : "");
	free(error);
	free(description);
}

/* Some write the number as a text. */
static int64_t seconds_of(json_t *document, const char *name, int64_t otherwise)
{
	json_t *value = json_object_get(document, name);
	int64_t life_s = otherwise;

	if (json_is_integer(value))
		life_s = json_integer_value(value);
	else if (json_is_real(value) && json_real_value(value) >= 1 &&
	         json_real_value(value) <= ANSWER_LIFE_MAX_S)
		life_s = (int64_t)json_real_value(value);
	else if (json_is_string(value) &&
	         !text_to_int(json_string_value(value), 1, ANSWER_LIFE_MAX_S, &life_s))
		life_s = otherwise;
	if (life_s < 1)
		return 1;
	return life_s < ANSWER_LIFE_MAX_S ? life_s : ANSWER_LIFE_MAX_S;
}

static const char *what_is_wrong(const char *token, const char *type, const char *refresh)
{
	if (strlen(token) > ANSWER_TOKEN_BYTES)
		return "a token that is longer than any server takes";
	if (!is_visible(token))
		return "a token with characters that no bearer token has (RFC 6750)";
	if (type && !text_equal_nocase(type, "Bearer"))
		return "a token that is not of type Bearer";
	if (refresh && (strlen(refresh) > ANSWER_REFRESH_BYTES || !is_visible(refresh)))
		return "a refresh token that cannot be kept";
	return NULL;
}

static void take_token(json_t *document, const char *token, const char *host, struct answer *answer)
{
	const char *type = json_string_value(json_object_get(document, "token_type"));
	const char *refresh = json_string_value(json_object_get(document, "refresh_token"));
	const char *wrong = what_is_wrong(token, type, refresh && *refresh ? refresh : NULL);

	if (wrong) {
		words_set(&answer->words, "%s gives %s", host, wrong);
		return;
	}
	secret_set(&answer->token, token, strlen(token));
	answer->expires_in_s = seconds_of(document, "expires_in", ANSWER_LIFE_S);
	if (refresh && *refresh)
		secret_set(&answer->refresh_token, refresh, strlen(refresh));
}

static void tell_status(int status, const char *host, struct answer *answer)
{
	if (status >= 300 && status < 400)
		words_set(&answer->words,
		          "%s answers HTTP %d, a redirect, which is not followed: "
		          "is oauth_token_url right?",
		          host, status);
	else if (status == 404)
		words_set(&answer->words, "%s answers HTTP 404: is oauth_token_url right?", host);
	else
		words_set(&answer->words,
		          "%s answers HTTP %d, and what it says is no answer of a token endpoint", host,
		          status);
}

void answer_read(int status, const char *body, size_t length, const char *host,
                 const struct secret *const masks[], struct answer *answer)
{
	json_t *document = json_loadb(body, length, JSON_REJECT_DUPLICATES, NULL);
	const char *token = json_string_value(json_object_get(document, "access_token"));
	const char *error = json_string_value(json_object_get(document, "error"));

	*answer = (struct answer){ .refused = false };
	if (status >= 200 && status < 300 && token && *token)
		take_token(document, token, host, answer);
	else if (error && *error && (status < 300 || status >= 400))
		tell_error(status, document, host, masks, answer);
	else
		tell_status(status, host, answer);
	json_decref(document);
}

static const char *what_is_wrong_for_device(const char *code, const char *user_code, const char *uri)
{
	if (strlen(code) > ANSWER_REFRESH_BYTES || !is_visible(code))
		return "a device code that cannot be repeated";
	if (!user_code || !*user_code || strlen(user_code) > ANSWER_DEVICE_BYTES || !is_visible(user_code))
		return "no code that a person could enter";
	if (!uri || strlen(uri) > ANSWER_DEVICE_BYTES || !is_visible(uri) ||
	    !text_starts_nocase(uri, "https://"))
		return "no https address where a person could enter the code";
	return NULL;
}

static void take_device(json_t *document, const char *code, const char *host, struct answer *answer)
{
	const char *user_code = json_string_value(json_object_get(document, "user_code"));
	/* Google's name for it is older than the RFC */
	const char *uri = json_string_value(json_object_get(document, "verification_uri")), *wrong;
	struct answer_device *device;

	if (!uri)
		uri = json_string_value(json_object_get(document, "verification_url"));
	wrong = what_is_wrong_for_device(code, user_code, uri);
	if (wrong) {
		words_set(&answer->words, "%s gives %s", host, wrong);
		return;
	}
	device = memory_alloc(sizeof(*device));
	secret_set(&device->code, code, strlen(code));
	device->user_code = memory_strdup(user_code);
	device->uri = memory_strdup(uri);
	device->interval_s = seconds_of(document, "interval", ANSWER_INTERVAL_S);
	if (device->interval_s > ANSWER_INTERVAL_MAX_S)
		device->interval_s = ANSWER_INTERVAL_MAX_S;
	answer->expires_in_s = seconds_of(document, "expires_in", ANSWER_LIFE_S);
	answer->device = device;
}

void answer_read_device(int status, const char *body, size_t length, const char *host,
                        const struct secret *const masks[], struct answer *answer)
{
	json_t *document = json_loadb(body, length, JSON_REJECT_DUPLICATES, NULL);
	const char *code = json_string_value(json_object_get(document, "device_code"));
	const char *error = json_string_value(json_object_get(document, "error"));

	*answer = (struct answer){ .refused = false };
	if (status >= 200 && status < 300 && code && *code)
		take_device(document, code, host, answer);
	else if (error && *error && (status < 300 || status >= 400))
		tell_error(status, document, host, masks, answer);
	else
		words_set(&answer->words,
		          "%s answers HTTP %d, and gives no device code: is its address right?", host,
		          status);
	json_decref(document);
}

void answer_fini(struct answer *answer)
{
	if (answer->device) {
		secret_wipe(&answer->device->code);
		free(answer->device->user_code);
		free(answer->device->uri);
		free(answer->device);
		answer->device = NULL;
	}
	secret_wipe(&answer->token);
	secret_wipe(&answer->refresh_token);
}
