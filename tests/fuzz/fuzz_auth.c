/*
 * fuzz_auth.c - what a server may say to log somebody in: challenges of every mechanism.
 *
 * The first octet chooses the mechanism, lines are the challenges. Whatever they are: an
 * error has words, no text for people holds the secret, an exchange that failed is no login
 * and stays none, and it ends within a bound.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "smtp/auth.h"
#include "smtp/bearer.h"
#include "smtp/scram.h"

#define SECRET    "sesame-open"
#define STEPS_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int good)
{
	if (!good)
		abort();
}

static void check_words(const struct words *words)
{
	must(words->text[0] != '\0' && memchr(words->text, '\0', sizeof(words->text)) != NULL);
	must(strstr(words->text, SECRET) == NULL);
}

/* Each line of the input, as a terminated text; NULL after the last. */
static char *next_line(const char **at, const char *end)
{
	const char *newline;
	char *line;

	if (*at >= end)
		return NULL;
	newline = memchr(*at, '\n', (size_t)(end - *at));
	line = memory_strndup(*at, (size_t)((newline ? newline : end) - *at));
	*at = newline ? newline + 1 : end;
	return line;
}

static void log_in(const char *mechanism, const char *at, const char *end)
{
	static struct tenant_settings *tenant;
	static struct secret secret;
	const struct auth_channel channel = { .encrypted = true,
		                              .certificate = true,
		                              .binding_type = "tls-exporter",
		                              .binding = "0123456789",
		                              .binding_length = 10 };
	struct words words = { "" };
	struct auth_login login = { .password = &secret, .offered = mechanism, .channel = &channel };
	struct auth *auth;
	struct buffer out;
	enum error error;
	bool complete;
	char *line = NULL;

	if (!tenant) {
		tenant = tenant_settings_create("acme");
		must(tenant_settings_set(tenant, "host", "mail", &words) == OK);
		must(tenant_settings_set(tenant, "username", "pbx", &words) == OK);
		must(tenant_settings_set(tenant, "tls_cert_file", "c", &words) == OK);
		must(tenant_settings_set(tenant, "tls_key_file", "k", &words) == OK);
		must(secret_set(&secret, SECRET, strlen(SECRET)));
	}
	login.tenant = tenant;
	must(auth_begin(&login, mechanism, &auth, &words) == OK);
	buffer_init(&out, 1 << 20);
	error = auth_step(auth, NULL, &out, &complete, &words);
	must(error == OK);
	for (int i = 0; i < STEPS_MAX && error == OK && (line = next_line(&at, end)); i++) {
		words.text[0] = '\0';
		buffer_clear(&out);
		error = auth_step(auth, line, &out, &complete, &words);
		must(error == OK || !complete);
		free(line);
	}
	if (error != OK)
		check_words(&words);
	if (auth_refusal(auth))
		must(strstr(auth_refusal(auth), SECRET) == NULL);
	/* nobody here knows the password, so nobody can prove it */
	words.text[0] = '\0';
	error = auth_verify(auth, &words);
	must(error != OK || strncmp(mechanism, "SCRAM", 5) != 0);
	if (error != OK)
		check_words(&words);
	auth_end(&auth);
	buffer_fini(&out);
}

/* With a nonce that the corpus knows, so that what comes behind its check is reached. */
static void scram(const char *at, const char *end)
{
	struct scram *scram = scram_create(&(struct scram_settings){ .digest = DIGEST_SHA256,
	                                                             .name = "SCRAM-SHA-256",
	                                                             .host = "mail",
	                                                             .username = "user",
	                                                             .password = SECRET,
	                                                             .nonce = "nonce" });
	struct words words = { "" };
	enum error error = OK;
	struct buffer out;
	char *line;

	buffer_init(&out, 1 << 20);
	scram_first(scram, &out);
	for (int i = 0; i < STEPS_MAX && (line = next_line(&at, end)); i++) {
		/* a million rounds are a second: the bound is tested elsewhere */
		const char *rounds = strstr(line, ",i=");
		enum error now;

		if (rounds && strtol(rounds + 3, NULL, 10) > 100 &&
		    strtol(rounds + 3, NULL, 10) <= SCRAM_ROUNDS_MAX) {
			free(line);
			break;
		}
		now = scram_hear(scram, line, strlen(line), &out, &words);
		must(error == OK || now != OK);
		error = now;
		if (error != OK)
			check_words(&words);
		free(line);
	}
	must(!scram_is_proved(scram));
	scram_destroy(&scram);
	buffer_fini(&out);
}

static void refuse(const char *text, size_t length)
{
	struct secret secret = { NULL, 0 };
	char *told;

	secret_set(&secret, SECRET, strlen(SECRET));
	told = bearer_refusal(&secret, text, length);
	must(strstr(told, SECRET) == NULL);
	must(text_utf8_valid(told, strlen(told)) == strlen(told));
	for (const char *at = told; *at; at++)
		must((unsigned char)*at >= ' ');
	free(told);
	secret_wipe(&secret);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const mechanisms[] = {
		"SCRAM-SHA-256-PLUS", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN", "XOAUTH2",
		"OAUTHBEARER",        "EXTERNAL"
	};
	const char *text = (const char *)data + 1, *end = (const char *)data + size;

	if (size < 1 || size > 8192) /* a reply's text is no longer */
		return 0;
	if (data[0] == 's')
		scram(text, end);
	else if (data[0] == 'r')
		refuse(text, size - 1);
	else
		log_in(mechanisms[data[0] % 8], text, end);
	return 0;
}
