/*
 * fuzz_token.c - whatever a token endpoint answers, and whatever comes as a request.
 *
 * The same for a device authorization endpoint. The first octet picks the HTTP status. A token that an AUTH
 * command can carry and a life within bounds, or words without the secret, never both; a request that is
 * taken has what its grant needs.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/fields.h"
#include "token/answer.h"
#include "token/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int good)
{
	if (!good)
		abort();
}

static void must_be_visible(const struct secret *secret)
{
	for (size_t i = 0; i < secret->length; i++)
		must(secret->bytes[i] > 0x20 && secret->bytes[i] < 0x7f);
}

static void answer(int status, const char *body, size_t length)
{
	struct secret mask = { NULL, 0 };
	const struct secret *const masks[] = { &mask, NULL };
	struct answer answer;

	secret_set(&mask, "s3cret-Wort", 11);
	answer_read(status, body, length, "login.example", masks, &answer);
	if (secret_is_set(&answer.token)) {
		must(status >= 200 && status < 300 && answer.token.length > 0 &&
		     answer.token.length <= ANSWER_TOKEN_BYTES && !answer.words.text[0] && !answer.refused);
		must(answer.expires_in_s >= 1 && answer.expires_in_s <= ANSWER_LIFE_MAX_S);
		must_be_visible(&answer.token);
		must_be_visible(&answer.refresh_token);
	} else {
		must(answer.words.text[0] && !secret_is_set(&answer.refresh_token));
		must(!strstr(answer.words.text, "s3cret-Wort") && !strstr(answer.error, "s3cret-Wort"));
		for (const char *at = answer.words.text; *at; at++)
			must((unsigned char)*at >= 0x20 && *at != 0x7f);
	}
	answer_fini(&answer);
	secret_wipe(&mask);
}

static void answer_to_device(int status, const char *body, size_t length)
{
	const struct secret *const masks[] = { NULL };
	struct answer answer;

	answer_read_device(status, body, length, "login.example", masks, &answer);
	must(!secret_is_set(&answer.token) && !secret_is_set(&answer.refresh_token));
	must((answer.device != NULL) != (answer.words.text[0] != '\0'));
	if (answer.device) {
		must_be_visible(&answer.device->code);
		must(answer.device->code.length > 0 && answer.device->user_code[0] &&
		     strlen(answer.device->user_code) <= ANSWER_DEVICE_BYTES);
		must(strncasecmp(answer.device->uri, "https://", 8) == 0 &&
		     strlen(answer.device->uri) <= ANSWER_DEVICE_BYTES);
		must(answer.device->interval_s >= 1 && answer.device->interval_s <= ANSWER_INTERVAL_MAX_S &&
		     answer.expires_in_s >= 1);
	}
	answer_fini(&answer);
}

static void request(const char *octets, size_t length)
{
	struct buffer fields, form;
	struct request request;
	struct words words = { "" };

	fields_init(&fields);
	if (buffer_append(&fields, octets, length)) {
		enum error error = request_read(&fields, &request, &words);

		must(error == OK || (error == ERROR_INVALID && words.text[0]));
		if (error == OK) {
			must(strncasecmp(request.url, "https://", 8) == 0 && request.timeout_ms > 0);
			buffer_init(&form, REQUEST_FORM_BYTES);
			words.text[0] = '\0';
			if (request_form(&request, 1, &form, &words) == OK)
				must(strspn(form.data, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				                       "0123456789-._~%=&") == form.length);
			else
				must(words.text[0]);
			buffer_fini(&form);
		}
		request_fini(&request);
	}
	fields_fini(&fields);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int statuses[] = { 200, 201, 302, 400, 401, 404, 429, 500, 503, 0 };

	if (size == 0)
		return 0;
	answer(statuses[data[0] % (sizeof(statuses) / sizeof(statuses[0]))], (const char *)data + 1,
	       size - 1);
	answer_to_device(statuses[data[0] % (sizeof(statuses) / sizeof(statuses[0]))], (const char *)data + 1,
	                 size - 1);
	request((const char *)data + 1, size - 1);
	return 0;
}
