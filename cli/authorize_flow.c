/*
 * authorize_flow.c - see authorize.h: the device flow (RFC 8628) and the browser's (RFC 8252, with PKCE,
 * RFC 7636). HTTP is outboxd-token's; neither codes nor tokens are shown, but for the user's code.
 */
#include "cli/authorize.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "cli/authorize_url.h"
#include "cli/loopback.h"
#include "common/clock.h"
#include "common/fields.h"
#include "common/text.h"
#include "common/wait.h"
#include "run/token_ask.h"

#define URL_BYTES      16384
#define SLOWER_MS      5000   /* RFC 8628 3.5 */
#define SLOWEST_MS     300000 /* while the endpoint is in trouble */
#define RANDOM_BYTES   32
#define REDIRECT_BYTES 40

static bool write_request(const struct authorize *authorize, const char *grant, const char *url,
                          const struct authorize_more *more, struct buffer *request)
{
	char timeout[16];

	(void)snprintf(timeout, sizeof(timeout), "%d", TOKEN_ASK_MS);
	return fields_add(request, "grant", grant) && fields_add(request, "url", url) &&
	       fields_add(request, "client_id", authorize->tenant->oauth_client_id) &&
	       fields_add(request, "scope", authorize->tenant->oauth_scope) &&
	       fields_add(request, "ca_file", authorize->ca_file) &&
	       fields_add(request, "timeout_ms", timeout) &&
	       fields_add(request, "redirect_uri", more->redirect_uri) &&
	       fields_add_secret(request, "secret", &authorize->client) &&
	       (!more->code || fields_add_secret(request, "code", more->code)) &&
	       (!more->verifier || fields_add_secret(request, "verifier", more->verifier));
}

static enum error judge_result(const struct buffer *result, char error[64], struct words *words)
{
	const char *said = fields_find(result, "words"), *name = fields_find(result, "error");

	if (!said && (fields_find(result, "token") || fields_find(result, "user_code")))
		return OK;
	words_set(words, "%s", said ? said : "outboxd-token ended without a result");
	(void)snprintf(error, 64, "%s", name ? name : "");
	return fields_find(result, "refused") ? ERROR_REFUSED : ERROR_PROTOCOL;
}

enum error authorize_ask(const struct authorize *authorize, const char *grant, const char *url,
                         const struct authorize_more *more, struct buffer *result, char error[64],
                         struct words *words)
{
	struct buffer request;
	enum error asked = ERROR_INVALID;

	error[0] = '\0';
	fields_init(&request);
	if (write_request(authorize, grant, url, more, &request))
		asked = token_ask(authorize->program, &request, result, words);
	else
		words_set(words, "a secret of the tenant has a NUL in it, or is too large");
	fields_fini(&request);
	return asked == OK ? judge_result(result, error, words) : asked;
}

/* ---- on another device ------------------------------------------------------------------ */

struct device {
	struct secret code;
	int64_t interval_ms, deadline_ms;
};

static enum error ask_for_code(const struct authorize *authorize, struct device *device, struct words *words)
{
	const struct authorize_more more = { .code = NULL };
	const char *uri, *user_code, *code;
	struct buffer result;
	char name[64];
	int64_t life_s = 0, interval_s = 0, until_ms;
	enum error error;

	fields_init(&result);
	error = authorize_ask(authorize, "device_code", authorize->url, &more, &result, name, words);
	if (error == OK) {
		uri = fields_find(&result, "uri");
		user_code = fields_find(&result, "user_code");
		code = fields_find(&result, "code");
		if (uri && user_code && code && secret_set(&device->code, code, strlen(code)) &&
		    text_to_int(fields_find(&result, "expires_in"), 1, INT32_MAX, &life_s) &&
		    text_to_int(fields_find(&result, "interval"), 1, INT32_MAX, &interval_s)) {
			(void)printf("Open %s\nand enter the code %s\n", uri, user_code);
			(void)fflush(stdout);
		} else {
			words_set(words, "outboxd-token ended without a result");
			error = ERROR_PROTOCOL;
		}
	}
	fields_fini(&result);
	until_ms = deadline_after_ms(life_s * 1000);
	device->interval_ms = interval_s * 1000;
	device->deadline_ms = until_ms < authorize->deadline_ms ? until_ms : authorize->deadline_ms;
	return error;
}

/* False: the time is over. */
static bool pause_before_poll(const struct device *device)
{
	int64_t until_ms = deadline_after_ms(device->interval_ms);
	enum error error;

	if (until_ms >= device->deadline_ms)
		until_ms = device->deadline_ms;
	do
		error = wait_for(-1, 0, until_ms, NULL);
	while (error == ERROR_UNAVAILABLE);
	return until_ms < device->deadline_ms;
}

/* What an answer without a token means (RFC 8628 3.5). OK: ask again, at device's interval. */
static enum error judge_poll(enum error error, const char *name, struct device *device, struct words *words)
{
	if (strcmp(name, "authorization_pending") == 0) {
		words->text[0] = '\0';
		return OK;
	}
	if (strcmp(name, "slow_down") == 0) {
		words->text[0] = '\0';
		device->interval_ms += SLOWER_MS;
		return OK;
	}
	if (strcmp(name, "access_denied") == 0 || strcmp(name, "authorization_declined") == 0)
		words_set(words, "the person said no to it");
	else if (strcmp(name, "expired_token") == 0)
		words_set(words, "the code was not entered before it expired");
	/* trouble that may pass */
	if (error == ERROR_REFUSED || error == ERROR_INVALID || error == ERROR_SYSTEM)
		return ERROR_REFUSED;
	device->interval_ms *= 2;
	if (device->interval_ms > SLOWEST_MS)
		device->interval_ms = SLOWEST_MS;
	return OK;
}

static enum error poll_for_token(const struct authorize *authorize, struct device *device,
                                 struct buffer *result, struct words *words)
{
	const struct authorize_more more = { .code = &device->code };
	struct words last = { "" };

	while (pause_before_poll(device)) {
		char name[64];
		enum error error;

		fields_fini(result);
		fields_init(result);
		error = authorize_ask(authorize, "device_poll", authorize->tenant->oauth_token_url, &more,
		                      result, name, words);
		if (error == OK)
			return OK;
		error = judge_poll(error, name, device, words);
		if (error != OK)
			return error;
		last = *words;
	}
	words_set(words, "nobody entered the code in time%s%s", last.text[0] ? "; " : "", last.text);
	return ERROR_TIMEOUT;
}

enum error authorize_by_device(const struct authorize *authorize, struct buffer *result, struct words *words)
{
	struct device device = { .interval_ms = 0 };
	enum error error = ask_for_code(authorize, &device, words);

	if (error == OK)
		error = poll_for_token(authorize, &device, result, words);
	secret_wipe(&device.code);
	return error;
}

/* ---- in a browser ------------------------------------------------------------------------- */

static enum error make_random(char text[AUTHORIZE_CODE_BYTES], struct words *words)
{
	unsigned char octets[RANDOM_BYTES];

	if (getrandom(octets, sizeof(octets), 0) != (ssize_t)sizeof(octets)) {
		words_set_errno(words, errno, "no random octets can be had");
		return ERROR_SYSTEM;
	}
	authorize_base64url(octets, text);
	explicit_bzero(octets, sizeof(octets));
	return OK;
}

static enum error tell_browser(const struct authorize *authorize, const struct authorize_question *question,
                               struct words *words)
{
	struct buffer url;
	enum error error = OK;

	buffer_init(&url, URL_BYTES);
	if (authorize_question_url(question, authorize->tenant, &url)) {
		(void)printf("Open this in a browser on this machine:\n%s\n", url.data);
		(void)fflush(stdout);
	} else {
		words_set(words, "the address for the browser would be too long");
		error = ERROR_INVALID;
	}
	buffer_fini(&url);
	return error;
}

/* Opens the port, shows the address, and waits. */
static enum error get_code(const struct authorize *authorize, const char *challenge,
                           char redirect_uri[REDIRECT_BYTES], struct secret *code, struct words *words)
{
	char state[AUTHORIZE_CODE_BYTES];
	struct authorize_question question = {
		.url = authorize->url,
		.redirect_uri = redirect_uri,
		.state = state,
		.challenge = challenge,
		.google = authorize_is_google(authorize->tenant->oauth_token_url),
	};
	int fd = -1, port = 0;
	enum error error = make_random(state, words);

	if (error == OK)
		error = loopback_open(&fd, &port, words);
	if (error == OK) {
		(void)snprintf(redirect_uri, REDIRECT_BYTES, "http://127.0.0.1:%d", port);
		error = tell_browser(authorize, &question, words);
	}
	if (error == OK)
		error = loopback_wait(fd, state, authorize->deadline_ms, code, words);
	if (fd >= 0)
		close(fd);
	return error;
}

enum error authorize_by_loopback(const struct authorize *authorize, struct buffer *result,
                                 struct words *words)
{
	char text[AUTHORIZE_CODE_BYTES], challenge[AUTHORIZE_CODE_BYTES], redirect_uri[REDIRECT_BYTES],
		name[64];
	struct secret code = { .bytes = NULL }, verifier = { .bytes = NULL };
	const struct authorize_more more = { &code, &verifier, redirect_uri };
	enum error error = make_random(text, words);

	if (error != OK)
		return error;
	(void)secret_set(&verifier, text, strlen(text));
	authorize_challenge(text, challenge);
	explicit_bzero(text, sizeof(text));
	error = get_code(authorize, challenge, redirect_uri, &code, words);
	if (error == OK)
		error = authorize_ask(authorize, "authorization_code", authorize->tenant->oauth_token_url,
		                      &more, result, name, words);
	secret_wipe(&code);
	secret_wipe(&verifier);
	return error;
}
