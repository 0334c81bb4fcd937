/*
 * fuzz_dsn.c - any words, id and address in what is asked of notifications.
 *
 * A line each: dsn_notify, dsn_return, the envelope id, an address. Whatever they
 * are, MAIL and RCPT stay one line within the RFC's lengths, and a value that is
 * said means what went in when it is read as RFC 3461 and RFC 6533 say.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "smtp/dsn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool promise)
{
	if (!promise)
		abort();
}

/* The next line as a string, NUL and what follows it cut; NULL if it is empty. */
static char *next_line(const char **at, const char *end, char *text, size_t size)
{
	const char *newline = *at < end ? memchr(*at, '\n', (size_t)(end - *at)) : NULL;
	const char *stop = newline ? newline : end;
	size_t length = *at < stop ? (size_t)(stop - *at) : 0;

	snprintf(text, size, "%.*s", (int)(length < size ? length : size - 1), length ? *at : "");
	*at = newline ? newline + 1 : end;
	return *text ? text : NULL;
}

/* The value of " NAME=" in text up to a space, copied; false if it is not there. */
static bool value_of(const char *text, const char *name, char *value, size_t size)
{
	const char *found = strstr(text, name);

	if (!found)
		return false;
	found += strlen(name);
	snprintf(value, size, "%.*s", (int)strcspn(found, " "), found);
	return true;
}

static void append_point(char *out, size_t *length, unsigned long point)
{
	unsigned char octets[4];
	size_t count = 1;

	octets[0] = (unsigned char)point;
	if (point >= 0x80) {
		count = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
		for (size_t i = count; i-- > 1; point >>= 6)
			octets[i] = (unsigned char)(0x80 | (point & 0x3f));
		octets[0] = (unsigned char)((count == 2 ? 0xc0 : count == 3 ? 0xe0 : 0xf0) | point);
	}
	memcpy(out + *length, octets, count);
	*length += count;
}

/* RFC 3461 4: xtext; RFC 6533 3: utf-8-addr-xtext. */
static void decode(const char *value, bool utf8, char *out)
{
	size_t length = 0;

	while (*value) {
		char *end = NULL;

		must(*value > ' ' && *value <= '~' && *value != '=');
		if (!utf8 && *value == '+') {
			const char digits[3] = { value[1], value[1] ? value[2] : '\0', '\0' };

			out[length++] = (char)strtoul(digits, &end, 16);
			must(end == digits + 2);
			value += 3;
		} else if (utf8 && *value == '\\') {
			must(value[1] == 'x' && value[2] == '{');
			append_point(out, &length, strtoul(value + 3, &end, 16));
			must(*end == '}' && end - value >= 5);
			value = end + 1;
		} else {
			must(!utf8 || *value != '+');
			out[length++] = *value++;
		}
	}
	out[length] = '\0';
}

static size_t check_line(const char *text, size_t size)
{
	must(strlen(text) < size);
	for (const char *at = text; *at; at++)
		must(*at >= ' ' && *at <= '~');
	return strlen(text);
}

static void check_mail(const struct dsn_request *request)
{
	char text[DSN_MAIL_BYTES], value[DSN_MAIL_BYTES], back[DSN_MAIL_BYTES];

	dsn_mail_parameters(request, text);
	must(check_line(text, sizeof(text)) == 0 || dsn_is_asked(request));
	if (!value_of(text, " ENVID=", value, sizeof(value)))
		return;
	must(strlen(value) <= 100);
	decode(value, false, back);
	must(strcmp(back, request->envelope_id) == 0);
}

static void check_rcpt(const struct dsn_request *request, const char *address)
{
	char text[DSN_RCPT_BYTES], value[DSN_RCPT_BYTES], back[DSN_RCPT_BYTES];
	bool utf8 = !text_is_ascii(address, strlen(address));
	const char *type = utf8 ? "utf-8;" : "rfc822;";

	dsn_rcpt_parameters(request, address, text);
	must(check_line(text, sizeof(text)) == 0 || dsn_is_asked(request));
	if (!value_of(text, " ORCPT=", value, sizeof(value)))
		return;
	must(strlen(value) <= 500 && strncmp(value, type, strlen(type)) == 0);
	decode(value + strlen(type), utf8, back);
	must(strcmp(back, address) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *at = (const char *)data, *end = at + size;
	struct dsn_request request = { .notify = 0 };
	char notify[128], returns[64], address[1024];
	struct words words = { "" };
	const char *columns[2];

	columns[0] = next_line(&at, end, notify, sizeof(notify));
	columns[1] = next_line(&at, end, returns, sizeof(returns));
	(void)next_line(&at, end, request.envelope_id, sizeof(request.envelope_id));
	(void)next_line(&at, end, address, sizeof(address));
	if (dsn_parse(columns[0], columns[1], &request, &words) != OK) {
		must(words.text[0] != '\0');
		request.notify = DSN_SUCCESS;
	}
	must(!(request.notify & DSN_NEVER) || request.notify == DSN_NEVER);
	check_mail(&request);
	check_rcpt(&request, address);
	return 0;
}
