/*
 * request.c - see request.h.
 *
 * RFC 6749 4.4 (client credentials), 6 (refresh) and 4.1.3 (authorization code, with RFC 7636 4.5), RFC 7523
 * 2.1 (JWT as a grant) and 2.2 (JWT instead of a client's secret), RFC 8628 3.1 and 3.4 (device).
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
	[GRANT_DEVICE_CODE] = "device_code",
	[GRANT_DEVICE_POLL] = "device_poll",
	[GRANT_AUTHORIZATION_CODE] = "authorization_code",
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

/* Of a grant for which a person consents; the client may be public (RFC 6749 2.1). */
static const char *lacks(const struct request *request)
{
	if (request->grant == GRANT_REFRESH_TOKEN)
		return secret_is_set(&request->refresh_token) ? NULL : "refresh_token";
	if (request->grant != GRANT_DEVICE_CODE && !secret_is_set(&request->code))
		return "code";
	if (request->grant == GRANT_AUTHORIZATION_CODE && !secret_is_set(&request->verifier))
		return "verifier";
	return request->grant == GRANT_AUTHORIZATION_CODE && !request->redirect_uri ? "redirect_uri" : NULL;
}

static enum error check(const struct request *request, struct words *words)
{
	bool consented = request->grant == GRANT_REFRESH_TOKEN || request->grant >= GRANT_DEVICE_CODE;
	bool named = request->grant != GRANT_JWT_BEARER;

	if (!request->url || !text_starts_nocase(request->url, "https://")) {
		words_set(words, "oauth_token_url must begin with https://: a secret is sent to no other");
		return ERROR_INVALID;
	}
	if (named && !request->client_id)
		return missing("client_id", words);
	if (consented && lacks(request))
		return missing(lacks(request), words);
	if (!consented && !secret_is_set(&request->secret))
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
	request->redirect_uri = fields_find(fields, "redirect_uri");
	request->ca_file = fields_find(fields, "ca_file");
	take_secret(fields, "secret", &request->secret);
	take_secret(fields, "refresh_token", &request->refresh_token);
	take_secret(fields, "code", &request->code);
	take_secret(fields, "verifier", &request->verifier);
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
	secret_wipe(&request->code);
	secret_wipe(&request->verifier);
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

/* NULL: the request for a device code is none for a token. */
static const char *const grant_types[] = {
	[GRANT_CLIENT_CREDENTIALS] = "client_credentials",
	[GRANT_CERTIFICATE] = "client_credentials",
	[GRANT_REFRESH_TOKEN] = "refresh_token",
	[GRANT_JWT_BEARER] = "urn:ietf:params:oauth:grant-type:jwt-bearer",
	[GRANT_DEVICE_CODE] = NULL,
	[GRANT_DEVICE_POLL] = "urn:ietf:params:oauth:grant-type:device_code",
	[GRANT_AUTHORIZATION_CODE] = "authorization_code",
};

/* The code and what belongs to it; its scope was asked for with it. */
static bool add_code(const struct request *request, struct buffer *form)
{
	if (request->grant == GRANT_DEVICE_POLL)
		return add_secret(form, "device_code", &request->code);
	return add_secret(form, "code", &request->code) && add(form, "redirect_uri", request->redirect_uri) &&
	       add_secret(form, "code_verifier", &request->verifier);
}

enum error request_form(const struct request *request, int64_t now_s, struct buffer *form,
                        struct words *words)
{
	bool signs = request->grant == GRANT_CERTIFICATE || request->grant == GRANT_JWT_BEARER;
	bool has_code = request->grant == GRANT_DEVICE_POLL || request->grant == GRANT_AUTHORIZATION_CODE;
	bool good = add(form, "grant_type", grant_types[request->grant]);

	if (request->grant != GRANT_JWT_BEARER)
		good = good && add(form, "client_id", request->client_id);
	if (request->grant != GRANT_JWT_BEARER && !has_code)
		good = good && add(form, "scope", request->scope);
	if (!signs && request->grant != GRANT_DEVICE_CODE)
		good = good && add_secret(form, "client_secret", &request->secret);
	if (request->grant == GRANT_REFRESH_TOKEN)
		good = good && add_secret(form, "refresh_token", &request->refresh_token);
	if (has_code)
		good = good && add_code(request, form);
	if (!good) {
		words_set(words, "the request is too large");
		return ERROR_INVALID;
	}
	return signs ? add_assertion(request, now_s, form, words) : OK;
}
