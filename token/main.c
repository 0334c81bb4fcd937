/*
 * main.c - outboxd-token: fetches one access token.
 *
 * Started by outboxd, which kills it when it is late. One request comes on standard input
 * (token/request.h); the result goes to standard output as fields (common/fields.h): token,
 * expires_in and, if there is a new one to keep, refresh_token; for a device code: code, user_code,
 * uri, expires_in, interval; or words, with error (RFC 6749 5.2) if the endpoint named one, and
 * refused=1 where asking again changes nothing.
 *
 * Promises: no secret in arguments, environment, a file or a core; one request and the end.
 * Exit status 0: a token or code; 64: called in another way; 65: the request is none; 69: no token.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/fields.h"
#include "config.h"
#include "token/answer.h"
#include "token/post.h"
#include "token/request.h"

#define LATE_S 2 /* after the request's timeout: libcurl hangs in something that has none */

static bool read_all(struct buffer *fields)
{
	for (;;) {
		char octets[4096];
		ssize_t got = read(STDIN_FILENO, octets, sizeof(octets));
		bool good = got <= 0 || buffer_append(fields, octets, (size_t)got);

		explicit_bzero(octets, sizeof(octets));
		if (got <= 0 || !good)
			return got == 0;
	}
}

static void write_all(const struct buffer *fields)
{
	for (size_t sent = 0; sent < fields->length;) {
		ssize_t n = write(STDOUT_FILENO, fields->data + sent, fields->length - sent);

		if (n < 0)
			return;
		sent += (size_t)n;
	}
}

static void add_number(struct buffer *fields, const char *name, int64_t value)
{
	char number[24];

	(void)snprintf(number, sizeof(number), "%lld", (long long)value);
	fields_add(fields, name, number);
}

static int tell(const struct answer *answer)
{
	const struct answer_device *device = answer->device;
	bool good = device || secret_is_set(&answer->token);
	struct buffer fields;

	fields_init(&fields);
	if (good)
		add_number(&fields, "expires_in", answer->expires_in_s);
	if (device) {
		fields_add_secret(&fields, "code", &device->code);
		fields_add(&fields, "user_code", device->user_code);
		fields_add(&fields, "uri", device->uri);
		add_number(&fields, "interval", device->interval_s);
	} else if (good) {
		fields_add_secret(&fields, "token", &answer->token);
		fields_add_secret(&fields, "refresh_token", &answer->refresh_token);
	} else {
		fields_add(&fields, "words", answer->words.text);
		fields_add(&fields, "error", answer->error[0] ? answer->error : NULL);
		fields_add(&fields, "refused", answer->refused ? "1" : NULL);
	}
	write_all(&fields);
	fields_fini(&fields);
	return good ? EX_OK : EX_UNAVAILABLE;
}

static bool same(const struct secret *a, const struct secret *b)
{
	return secret_is_set(a) && secret_is_set(b) && a->length == b->length &&
	       memcmp(a->bytes, b->bytes, a->length) == 0;
}

/* Answers it in all cases. */
static void fetch(const struct request *request, const char *host, struct answer *answer)
{
	const struct secret *masks[] = { &request->secret, &request->refresh_token, &request->code,
		                         &request->verifier };
	const struct secret *said[] = { NULL, NULL, NULL, NULL, NULL };
	struct buffer form, body;
	enum error error;
	int status = 0, count = 0;

	for (int i = 0; i < 4; i++)
		if (secret_is_set(masks[i]))
			said[count++] = masks[i];
	buffer_init(&form, REQUEST_FORM_BYTES);
	buffer_init(&body, ANSWER_BYTES);
	error = request_form(request, (int64_t)time(NULL), &form, &answer->words);
	if (error != OK)
		answer->refused = true;
	else if (post(request, host, &form, &status, &body, &answer->words) == OK)
		(request->grant == GRANT_DEVICE_CODE ? answer_read_device : answer_read)(
			status, body.length ? body.data : "", body.length, host, said, answer);
	/* one that stays as it was needs no writing */
	if (same(&answer->refresh_token, &request->refresh_token))
		secret_wipe(&answer->refresh_token);
	if (form.data)
		explicit_bzero(form.data, form.capacity);
	if (body.data)
		explicit_bzero(body.data, body.capacity);
	buffer_fini(&form);
	buffer_fini(&body);
}

static int serve(void)
{
	struct answer answer = { .refused = true };
	struct buffer fields;
	struct request request = { .url = NULL };
	char *host = NULL;
	int status = EX_DATAERR;

	fields_init(&fields);
	if (!read_all(&fields)) {
		words_set(&answer.words, "the request is too large or cannot be read");
		(void)tell(&answer);
	} else if (request_read(&fields, &request, &answer.words) != OK) {
		(void)tell(&answer);
	} else if (!(host = post_host(request.url))) {
		words_set(&answer.words, "oauth_token_url is no URL");
		(void)tell(&answer);
	} else {
		alarm((unsigned)(request.timeout_ms / 1000) + LATE_S);
		answer.refused = false;
		fetch(&request, host, &answer);
		status = tell(&answer);
	}
	free(host);
	answer_fini(&answer);
	request_fini(&request);
	fields_fini(&fields);
	return status;
}

int main(int argc, char **argv)
{
	(void)setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
#ifndef WITH_SANITIZER /* whose leak check must be able to attach */
	(void)prctl(PR_SET_DUMPABLE, 0);
#endif
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		(void)printf("outboxd-token %s\n", PACKAGE_VERSION);
		return EX_OK;
	}
	if (argc > 1) {
		(void)fprintf(stderr, "outboxd-token: takes no arguments: outboxd starts it\n");
		return EX_USAGE;
	}
	/* not exit(): a resolver that hangs may be waited for there */
	_exit(serve());
}
