/*
 * authorize_url.c - see authorize_url.h.
 *
 * Microsoft: learn.microsoft.com/entra/identity-platform/v2-oauth2-device-code and
 * v2-oauth2-auth-code-flow: devicecode and authorize beside token, in each of its clouds.
 * Google: developers.google.com/identity/protocols/oauth2/native-app; the scopes that its device flow
 * takes, none of them mail's: .../oauth2/limited-input-device#allowedscopes.
 */
#include "cli/authorize_url.h"

#include <stdlib.h>
#include <string.h>

#include "common/digest.h"
#include "common/text.h"

static bool is_microsoft(const char *token_url)
{
	static const char *const hosts[] = { "https://login.microsoftonline.com/",
		                             "https://login.microsoftonline.us/",
		                             "https://login.partner.microsoftonline.cn/" };

	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
		if (text_starts_nocase(token_url, hosts[i]))
			return true;
	return false;
}

bool authorize_is_google(const char *token_url)
{
	return text_starts_nocase(token_url, "https://oauth2.googleapis.com/") ||
	       text_starts_nocase(token_url, "https://accounts.google.com/");
}

/* Of …/oauth2/v2.0/token; NULL: it is another one. */
static char *beside_token(const char *token_url, const char *name)
{
	size_t length = strlen(token_url), last = strlen("/token");
	char *url;

	if (length <= last || strcmp(token_url + length - last, "/token") != 0)
		return NULL;
	url = memory_alloc(length - last + 1 + strlen(name) + 1);
	memcpy(url, token_url, length - last + 1);
	memcpy(url + length - last + 1, name, strlen(name));
	return url;
}

char *authorize_device_url(const char *token_url)
{
	return is_microsoft(token_url) ? beside_token(token_url, "devicecode") : NULL;
}

char *authorize_browser_url(const char *token_url)
{
	if (authorize_is_google(token_url))
		return memory_strdup("https://accounts.google.com/o/oauth2/v2/auth");
	return is_microsoft(token_url) ? beside_token(token_url, "authorize") : NULL;
}

static bool add(struct buffer *out, const char *name, const char *value)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
	bool good = buffer_append_char(out, strchr(out->data, '?') ? '&' : '?') &&
	            buffer_append_text(out, name) && buffer_append_char(out, '=');

	for (const char *at = value; good && *at; at++)
		good = strchr(plain, *at) ? buffer_append_char(out, *at)
		                          : buffer_printf(out, "%%%02X", (unsigned char)*at);
	return good;
}

bool authorize_question_url(const struct authorize_question *question, const struct tenant_settings *tenant,
                            struct buffer *out)
{
	return buffer_append_text(out, question->url) && add(out, "response_type", "code") &&
	       add(out, "client_id", tenant->oauth_client_id) &&
	       add(out, "redirect_uri", question->redirect_uri) &&
	       (!tenant->oauth_scope || add(out, "scope", tenant->oauth_scope)) &&
	       add(out, "state", question->state) && add(out, "code_challenge", question->challenge) &&
	       add(out, "code_challenge_method", "S256") &&
	       (!tenant->username || add(out, "login_hint", tenant->username)) &&
	       (!question->google || (add(out, "access_type", "offline") && add(out, "prompt", "consent")));
}

void authorize_base64url(const unsigned char octets[32], char out[AUTHORIZE_CODE_BYTES])
{
	struct buffer text;

	buffer_init(&text, 128);
	(void)text_base64_encode(&text, octets, 32);
	memcpy(out, text.data, AUTHORIZE_CODE_BYTES - 1);
	out[AUTHORIZE_CODE_BYTES - 1] = '\0';
	for (char *at = out; *at; at++)
		*at = (char)(*at == '+' ? '-' : *at == '/' ? '_' : *at);
	explicit_bzero(text.data, text.length);
	buffer_fini(&text);
}

void authorize_challenge(const char *verifier, char out[AUTHORIZE_CODE_BYTES])
{
	unsigned char digest[DIGEST_SHA256_BYTES];

	digest_sha256(verifier, strlen(verifier), digest);
	authorize_base64url(digest, out);
}
