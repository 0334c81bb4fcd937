/*
 * bearer.c - bearer tokens in SASL: OAUTHBEARER (RFC 7628) and XOAUTH2. Pure.
 *
 * The JSON of a refusal is read by hand: an object of at most a few words, of which
 * three are told; whatever is not that is told as text. Promises that the token is masked
 * in what the JSON spells in escapes too, since they are read before.
 */
#include "smtp/bearer.h"

#include <stdlib.h>
#include <string.h>

#include "common/text.h"

#define VALUE_BYTES 120 /* of one word that is told */

/* --- what we say ------------------------------------------------------------------- */

static bool is_token(const struct secret *token)
{
	for (size_t i = 0; i < token->length; i++)
		if (token->bytes[i] < 0x21 || token->bytes[i] > 0x7e)
			return false;
	return true;
}

static bool is_name(const char *name)
{
	for (; *name; name++)
		if ((unsigned char)*name < 0x20 || *name == 0x7f)
			return false;
	return true;
}

/* RFC 5801 4: saslname. */
static void append_escaped(struct buffer *out, const char *name)
{
	for (; *name; name++) {
		if (*name == ',' || *name == '=')
			buffer_append_text(out, *name == ',' ? "=2C" : "=3D");
		else
			buffer_append_char(out, *name);
	}
}

enum error bearer_message(const struct bearer *bearer, struct buffer *out, struct words *words)
{
	if (!is_name(bearer->username)) {
		words_set(words, "the username for %s has a control character in it", bearer->host);
		return ERROR_INVALID;
	}
	if (!is_token(bearer->token)) {
		words_set(words,
		          "the token (password) for %s has a character that no bearer token has (RFC 6750)",
		          bearer->host);
		return ERROR_INVALID;
	}
	if (bearer->standard) {
		buffer_append_text(out, "n,a=");
		append_escaped(out, bearer->username);
		buffer_printf(out, ",\x01host=%s\x01port=%d", bearer->host, bearer->port);
	} else {
		buffer_printf(out, "user=%s", bearer->username);
	}
	buffer_append_text(out, "\x01"
	                        "auth=Bearer ");
	buffer_append(out, bearer->token->bytes, bearer->token->length);
	buffer_append_text(out, "\x01\x01");
	return OK;
}

void bearer_answer(const struct bearer *bearer, struct buffer *out)
{
	if (bearer->standard)
		buffer_append_char(out, '\x01');
}

/* --- what a refusal says -------------------------------------------------------------- */

struct json {
	const char *at, *end;
};

static void skip_spaces(struct json *json)
{
	while (json->at < json->end && strchr(" \t\r\n", *json->at) && *json->at)
		json->at++;
}

static bool take_char(struct json *json, char c)
{
	skip_spaces(json);
	if (json->at == json->end || *json->at != c)
		return false;
	json->at++;
	return true;
}

static bool take_unicode(struct json *json, struct buffer *value)
{
	unsigned code = 0;

	if (json->end - json->at < 4)
		return false;
	for (int i = 0; i < 4; i++) {
		char c = *json->at++;
		const char *digits = "0123456789abcdef0123456789ABCDEF",
			   *digit = c ? strchr(digits, c) : NULL;

		if (!digit)
			return false;
		code = code << 4 | (unsigned)((digit - digits) % 16);
	}
	/* people are told ASCII; half of a pair or a letter beyond it is not what a status is made of */
	return buffer_append_char(value, code > 0 && code < 0x80 ? (char)code : '?');
}

/* RFC 8259 7; the text without its escapes is appended. */
static bool take_string(struct json *json, struct buffer *value)
{
	static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";

	if (!take_char(json, '"'))
		return false;
	while (json->at < json->end && *json->at != '"') {
		const char *name;

		if (*json->at != '\\') {
			buffer_append_char(value, *json->at++);
			continue;
		}
		if (++json->at == json->end)
			return false;
		name = *json->at ? strchr(names, *json->at) : NULL;
		if (name)
			buffer_append_char(value, values[name - names]);
		else if (*json->at != 'u')
			return false;
		if (*json->at++ == 'u' && !take_unicode(json, value))
			return false;
	}
	return take_char(json, '"');
}

/* An object or an array, with whatever is in it. */
static bool skip_nested(struct json *json)
{
	struct buffer ignored;
	bool good = true;
	int depth = 0;

	buffer_init(&ignored, SECRET_MAX_BYTES);
	do {
		skip_spaces(json);
		if (json->at == json->end)
			good = false;
		else if (*json->at == '"')
			good = take_string(json, &ignored);
		else if (*json->at == '{' || *json->at == '[')
			depth++, json->at++;
		else if (*json->at == '}' || *json->at == ']')
			depth--, json->at++;
		else
			json->at++;
	} while (good && depth > 0);
	buffer_fini(&ignored);
	return good;
}

/* The text of a string, a number or a plain word is appended, of other values nothing. */
static bool take_value(struct json *json, struct buffer *value)
{
	const char *begin;

	skip_spaces(json);
	if (json->at == json->end)
		return false;
	if (*json->at == '"')
		return take_string(json, value);
	if (*json->at == '{' || *json->at == '[')
		return skip_nested(json);
	for (begin = json->at; json->at < json->end && *json->at && !strchr(",}] \t\r\n", *json->at);)
		buffer_append_char(value, *json->at++);
	return json->at > begin;
}

static void tell(const struct secret *token, const char *name, struct buffer *value, struct buffer *told)
{
	char *clean;

	if (value->length == 0)
		return;
	secret_mask(token, value->data);
	clean = text_clean(value->data, strlen(value->data), VALUE_BYTES);
	buffer_printf(told, "%s%s%s%s", told->length > 0 ? ", " : "", name, *name ? " " : "", clean);
	free(clean);
}

/* Those of its members that tell something (RFC 7628 3.2.2, and what servers of OAuth say). */
static bool tell_member(struct json *json, const struct secret *token, struct buffer *told)
{
	static const char *const names[] = { "status", "error", "error_description", "scope" };
	struct buffer name, value;
	bool good;

	buffer_init(&name, SECRET_MAX_BYTES);
	buffer_init(&value, SECRET_MAX_BYTES);
	good = take_string(json, &name) && take_char(json, ':') && take_value(json, &value);
	for (size_t i = 0; good && i < sizeof(names) / sizeof(names[0]); i++)
		if (name.length > 0 && strcmp(name.data, names[i]) == 0)
			tell(token, names[i], &value, told);
	buffer_fini(&name);
	buffer_fini(&value);
	return good;
}

static bool tell_json(const struct secret *token, const char *text, size_t length, struct buffer *told)
{
	struct json json = { text, text + length };

	if (!take_char(&json, '{'))
		return false;
	if (take_char(&json, '}'))
		return true;
	do
		if (!tell_member(&json, token, told))
			return false;
	while (take_char(&json, ','));
	return take_char(&json, '}');
}

char *bearer_refusal(const struct secret *token, const char *text, size_t length)
{
	struct buffer told, plain;

	buffer_init(&told, SECRET_MAX_BYTES);
	buffer_append_text(&told, "");
	if (!tell_json(token, text, length, &told)) {
		buffer_clear(&told);
		buffer_append_text(&told, "");
		/* escapes that were not read could hide the token from the mask */
		if (length > 0 && !memchr(text, '\\', length) && !memchr(text, '\0', length)) {
			buffer_init(&plain, SECRET_MAX_BYTES);
			buffer_append(&plain, text, length);
			tell(token, "", &plain, &told);
			buffer_fini(&plain);
		}
	}
	return buffer_take(&told);
}
