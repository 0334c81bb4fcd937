/*
 * domain.c - domains and address literals of RFC 5321 4.1.2 and 4.1.3.
 *
 * Promises that what it returns is ASCII, at most 255 octets, of letters,
 * digits, hyphens, underscores and dots, or a literal that inet_pton() knows:
 * nothing in it can end an SMTP command or a header field. Underscores are no
 * host names of RFC 1123, but they are in use and harm nobody.
 */
#include "mime/domain.h"

#include <arpa/inet.h>
#include <idn2.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/text.h"

#define DOMAIN_MAX       255  /* octets, RFC 5321 4.5.3.1.2 */
#define LABEL_MAX        63   /* octets, RFC 1035 2.3.4 */
#define DOMAIN_INPUT_MAX 1020 /* octets of UTF-8 that could still become DOMAIN_MAX */

static bool is_label_octet(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
	       c == '_';
}

static enum error check_label(const char *label, size_t length, struct words *words)
{
	if (length == 0) {
		words_set(words, "a domain has no empty part before, after or between dots");
		return ERROR_INVALID;
	}
	if (length > LABEL_MAX) {
		words_set(words, "a part of the domain is longer than %d octets", LABEL_MAX);
		return ERROR_INVALID;
	}
	if (label[0] == '-' || label[length - 1] == '-') {
		words_set(words, "no part of a domain begins or ends with '-'");
		return ERROR_INVALID;
	}
	for (size_t i = 0; i < length; i++) {
		if (!is_label_octet(label[i])) {
			words_set(words, "'%c' is not allowed in a domain", label[i]);
			return ERROR_INVALID;
		}
	}
	return OK;
}

static enum error check_ascii(const char *name, struct words *words)
{
	if (strlen(name) > DOMAIN_MAX) {
		words_set(words, "the domain is longer than %d octets", DOMAIN_MAX);
		return ERROR_INVALID;
	}
	for (;;) {
		size_t length = strcspn(name, ".");
		enum error error = check_label(name, length, words);

		if (error || name[length] == '\0')
			return error;
		name += length + 1;
	}
}

static char *to_a_labels(const char *name, struct words *words)
{
	char *out = NULL;
	char *ascii = NULL;
	int code = idn2_lookup_u8((const uint8_t *)name, (uint8_t **)&out,
	                          IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);

	if (code == IDN2_OK)
		ascii = memory_strdup(out);
	else
		words_set(words, "'%.*s' is no internationalised domain: %s",
		          (int)text_cut(name, strlen(name), 200), name, idn2_strerror(code));
	idn2_free(out);
	return ascii;
}

enum error domain_to_ascii(const char *name, size_t length, char **ascii, struct words *words)
{
	char *copy;
	enum error error;

	*ascii = NULL;
	if (length > DOMAIN_INPUT_MAX) {
		words_set(words, "the domain is longer than %d octets", DOMAIN_MAX);
		return ERROR_INVALID;
	}
	copy = memory_strndup(name, length);
	if (!text_is_ascii(copy, length)) {
		char *converted = to_a_labels(copy, words);

		free(copy);
		if (!converted)
			return ERROR_INVALID;
		copy = converted;
	}
	error = check_ascii(copy, words);
	if (error)
		free(copy);
	else
		*ascii = copy;
	return error;
}

enum error domain_literal(const char *literal, size_t length, char **ascii, struct words *words)
{
	unsigned char bytes[sizeof(struct in6_addr)];
	char inner[64] = "";
	bool good = false;

	*ascii = NULL;
	if (length > 2 && length - 2 < sizeof(inner)) {
		memcpy(inner, literal + 1, length - 2);
		inner[length - 2] = '\0';
		if (text_starts_nocase(inner, "IPv6:"))
			good = inet_pton(AF_INET6, inner + 5, bytes) == 1;
		else
			good = inet_pton(AF_INET, inner, bytes) == 1;
	}
	if (!good) {
		words_set(words, "between '[' and ']' stands an IPv4 address, or 'IPv6:' and an "
		                 "IPv6 address");
		return ERROR_INVALID;
	}
	*ascii = memory_strndup(literal, length);
	return OK;
}
