/*
 * request.c - see request.h.
 *
 * RFC 6749 4.4 (client credentials) and 6 (refresh), RFC 7523 2.1 (JWT as a grant) and 2.2
 * (JWT instead of a client's secret).
 */
#include "token/request.h"

#include <string.h>

#include "common/fields.h"
#include "common/text.h"
#include "token/assertion.h"

static const char *const grants[] = {
	[GRANT_CLIENT_CREDENTIALS] = "client_credentials",
	[GRANT_CERTIFICATE] = "certificate",
	[GRANT_REFRESH_TOKEN] = "refresh_token",
	[GRANT_JWT_BEARER] = "jwt_bearer",
};

#define GRANTS (sizeof(grants) / sizeof(grants[0]))

static enum error missing(const char *what, struct words *words)
{
	words_set(words, "the request has no %s", what);
	return ERROR_INVALID;
}

static bool take_secret(const struct buffer *fields, const char *name, struct secret *secret)
{
	const char *value = fields_find(fields, name);

	return value && value[0] && secret_set(secret, value, strlen(value));
}

static enum error read_grant(const char *name, struct request *request, struct words *words)
{
	for (size_t i = 0; name && i < GRANTS; i++) {
		if (strcmp(name, grants[i]) == 0) {
			request->grant = (enum grant)i;
			return OK;
		}
	}
	return missing("grant that is known", words);
}

static enum error check(const struct request *request, struct words *words)
{
	bool named = request->grant != GRANT_JWT_BEARER;

	if (!request->url || !text_starts_nocase(request->url, "https://")) {
		words_set(words, "oauth_token_url must begin with https://: a secret is sent to no other");
		return ERROR_INVALID;
	}
	if (named && !request->client_id)
		return missing("client_id", words);
	if (request->grant == GRANT_REFRESH_TOKEN && !secret_is_set(&request->refresh_token))
		return missing("refresh_token", words);
	if (request->grant != GRANT_REFRESH_TOKEN && !secret_is_set(&request->secret))
		return missing("secret", words);
	return OK;
}

enum error request_read(const struct buffer *fields, struct request *request, struct words *words)
{
	const char *timeout = fields_find(fields, "timeout_ms");
	enum error error;

	*request = (struct request){ .timeout_ms = REQUEST_TIMEOUT_MS };
	error = read_grant(fields_find(fields, "grant"), request, words);
	if (error != OK)
		return error;
	request->url = fields_find(fields, "url");
	request->client_id = fields_find(fields, "client_id");
	request->scope = fields_find(fields, "scope");
	request->subject = fields_find(fields, "subject");
	request->ca_file = fields_find(fields, "ca_file");
	take_secret(fields, "secret", &request->secret);
	take_secret(fields, "refresh_token", &request->refresh_token);
	if (timeout && !text_to_int(timeout, 1, REQUEST_MAX_MS, &request->timeout_ms)) {
		words_set(words, "timeout_ms is a number from 1 to %d", REQUEST_MAX_MS);
		return ERROR_INVALID;
	}
	return check(request, words);
}

void request_fini(struct request *request)
{
	secret_wipe(&request->secret);
	secret_wipe(&request->refresh_token);
}

/* --- the form --------------------------------------------------------------------------- */

/* RFC 6749 Appendix B; whatever is not unreserved (RFC 3986 2.3) is escaped. */
static bool add_octets(struct buffer *form, const char *name, const void *value, size_t length)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
	const unsigned char *octets = value;
	bool good = (form->length == 0 || buffer_append_char(form, '&')) && buffer_append_text(form, name) &&
	            buffer_append_char(form, '=');

	for (size_t i = 0; good && i < length; i++) {
		if (octets[i] && strchr(plain, octets[i]))
			good = buffer_append_char(form, (char)octets[i]);
		else
			good = buffer_printf(form, "%%%02X", octets[i]);
	}
	return good;
}

static bool add(struct buffer *form, const char *name, const char *value)
{
	return !value || add_octets(form, name, value, strlen(value));
}

static bool add_secret(struct buffer *form, const char *name, const struct secret *secret)
{
	return !secret_is_set(secret) || add_octets(form, name, secret->bytes, secret->length);
}

/* RFC 7523 3: who says it, of whom, to whom. */
static enum error sign(const struct request *request, int64_t now_s, struct buffer *assertion,
                       struct words *words)
{
	struct assertion claims = {
		.issuer = request->client_id,
		.subject = request->grant == GRANT_CERTIFICATE ? request->client_id : request->subject,
		.audience = request->url,
		/* RFC 7523 2.2: a client's assertion says who it is; the scope is the form's */
		.scope = request->grant == GRANT_CERTIFICATE ? NULL : request->scope,
		.now_s = now_s,
		.certificate = request->grant == GRANT_CERTIFICATE,
	};

	return assertion_sign(&claims, &request->secret, assertion, words);
}

static enum error add_assertion(const struct request *request, int64_t now_s, struct buffer *form,
                                struct words *words)
{
	struct buffer assertion;
	bool client = request->grant == GRANT_CERTIFICATE;
	enum error error;

	buffer_init(&assertion, ASSERTION_BYTES);
	error = sign(request, now_s, &assertion, words);
	if (error == OK && !((!client || add(form, "client_assertion_type",
	                                     "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")) &&
	                     add(form, client ? "client_assertion" : "assertion", assertion.data))) {
		words_set(words, "the request is too large");
		error = ERROR_INVALID;
	}
	buffer_fini(&assertion);
	return error;
}

static const char *grant_type(enum grant grant)
{
	if (grant == GRANT_JWT_BEARER)
		return "urn:ietf:params:oauth:grant-type:jwt-bearer";
	return grant == GRANT_REFRESH_TOKEN ? "refresh_token" : "client_credentials";
}

enum error request_form(const struct request *request, int64_t now_s, struct buffer *form,
                        struct words *words)
{
	bool signs = request->grant == GRANT_CERTIFICATE || request->grant == GRANT_JWT_BEARER;
	bool good = add(form, "grant_type", grant_type(request->grant));

	if (request->grant != GRANT_JWT_BEARER)
		good = good && add(form, "client_id", request->client_id) &&
		       add(form, "scope", request->scope);
	if (!signs)
		good = good && add_secret(form, "client_secret", &request->secret);
	if (request->grant == GRANT_REFRESH_TOKEN)
		good = good && add_secret(form, "refresh_token", &request->refresh_token);
	if (!good) {
		words_set(words, "the request is too large");
		return ERROR_INVALID;
	}
	return signs ? add_assertion(request, now_s, form, words) : OK;
}
