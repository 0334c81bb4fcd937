/*
 * dsn.c - see dsn.h. Promises: what it writes is printable ASCII without a space
 * inside a value, within the RFC's lengths, whatever the address and the id are.
 */
#include "smtp/dsn.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/text.h"

#define WORD_BYTES 16

static const struct {
	const char *word, *keyword;
	unsigned bit;
} notify_words[] = {
	{ "never", "NEVER", DSN_NEVER },
	{ "success", "SUCCESS", DSN_SUCCESS },
	{ "failure", "FAILURE", DSN_FAILURE },
	{ "delay", "DELAY", DSN_DELAY },
};

#define NOTIFY_WORDS (sizeof(notify_words) / sizeof(notify_words[0]))

/* --- the columns ------------------------------------------------------------------- */

/* 0 = none of them. */
static unsigned notify_bit(const char *word, size_t length)
{
	for (size_t i = 0; i < NOTIFY_WORDS; i++)
		if (strlen(notify_words[i].word) == length && memcmp(notify_words[i].word, word, length) == 0)
			return notify_words[i].bit;
	return 0;
}

static bool parse_notify(const char *text, unsigned *notify)
{
	for (;;) {
		size_t length = strcspn(text, ",");
		unsigned bit = notify_bit(text, length);

		if (bit == 0)
			return false;
		*notify |= bit;
		text += length;
		if (*text == '\0')
			return *notify == DSN_NEVER || !(*notify & DSN_NEVER);
		text += text[1] == ' ' ? 2 : 1;
	}
}

enum error dsn_parse(const char *notify, const char *returns, struct dsn_request *request,
                     struct words *words)
{
	request->notify = 0;
	request->returns = DSN_RETURN_UNSAID;
	if (notify && !parse_notify(notify, &request->notify)) {
		words_set(words, "dsn_notify must be 'never' or a list of 'success', 'failure' and 'delay' "
		                 "with commas between them");
		return ERROR_INVALID;
	}
	if (returns && strcmp(returns, "full") == 0) {
		request->returns = DSN_RETURN_FULL;
	} else if (returns && strcmp(returns, "headers") == 0) {
		request->returns = DSN_RETURN_HEADERS;
	} else if (returns) {
		words_set(words, "dsn_return must be 'full' or 'headers'");
		return ERROR_INVALID;
	}
	return OK;
}

bool dsn_is_asked(const struct dsn_request *request)
{
	return request->notify != 0 || request->returns != DSN_RETURN_UNSAID;
}

/* --- the parameters ---------------------------------------------------------------- */

/* A value while it is written; full = it would be longer than it may be. */
struct value {
	char *text; /* has room for most octets and the end */
	size_t length, most;
	bool full;
};

static void put(struct value *value, const char *text)
{
	size_t length = strlen(text);

	if (value->full || length > value->most - value->length) {
		value->full = true;
		return;
	}
	memcpy(value->text + value->length, text, length + 1);
	value->length += length;
}

/* RFC 3461 4: xchar, or '+' and two digits. */
static void put_xtext(struct value *value, const char *text)
{
	for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
		char encoded[4] = { (char)*at, '\0' };

		if (*at < '!' || *at > '~' || *at == '+' || *at == '=')
			snprintf(encoded, sizeof(encoded), "+%02X", *at);
		put(value, encoded);
	}
}

/* RFC 6533 3: utf-8-addr-xtext, which may go to any server. */
static void put_utf8(struct value *value, const char *address)
{
	size_t length = strlen(address);

	for (size_t at = 0; at < length;) {
		uint32_t point;
		size_t octets = text_utf8_next(address + at, length - at, &point);
		char encoded[WORD_BYTES] = { address[at], '\0' };

		if (octets == 0) {
			value->full = true; /* no UTF-8: it cannot be said */
			return;
		}
		if (point < '!' || point > '~' || point == '+' || point == '=' || point == '\\')
			snprintf(encoded, sizeof(encoded), "\\x{%02X}", (unsigned)point);
		put(value, encoded);
		at += octets;
	}
}

/* Appends " NAME=value", or nothing if the value is too long. */
static void append(char *text, size_t size, const char *name, const struct value *value)
{
	size_t length = strlen(text);

	if (!value->full && value->length > 0)
		snprintf(text + length, size - length, " %s=%s", name, value->text);
}

void dsn_mail_parameters(const struct dsn_request *request, char text[DSN_MAIL_BYTES])
{
	char room[DSN_ENVID_BYTES + 1] = "";
	struct value id = { .text = room, .most = DSN_ENVID_BYTES };

	text[0] = '\0';
	if (!dsn_is_asked(request))
		return;
	switch (request->returns) {
	case DSN_RETURN_UNSAID: break;
	case DSN_RETURN_FULL: strcpy(text, " RET=FULL"); break;
	case DSN_RETURN_HEADERS: strcpy(text, " RET=HDRS"); break;
	}
	put_xtext(&id, request->envelope_id);
	append(text, DSN_MAIL_BYTES, "ENVID", &id);
}

void dsn_rcpt_parameters(const struct dsn_request *request, const char *address, char text[DSN_RCPT_BYTES])
{
	char list[sizeof("SUCCESS,FAILURE,DELAY")] = "", room[DSN_ORCPT_BYTES + 1] = "";
	struct value notify = { .text = list, .most = sizeof(list) - 1 };
	struct value original = { .text = room, .most = DSN_ORCPT_BYTES };

	text[0] = '\0';
	if (!dsn_is_asked(request))
		return;
	for (size_t i = 0; i < NOTIFY_WORDS; i++) {
		if (!(request->notify & notify_words[i].bit))
			continue;
		put(&notify, notify.length > 0 ? "," : "");
		put(&notify, notify_words[i].keyword);
	}
	append(text, DSN_RCPT_BYTES, "NOTIFY", &notify);
	if (text_is_ascii(address, strlen(address))) {
		put(&original, "rfc822;");
		put_xtext(&original, address);
	} else {
		put(&original, "utf-8;");
		put_utf8(&original, address);
	}
	append(text, DSN_RCPT_BYTES, "ORCPT", &original);
}
