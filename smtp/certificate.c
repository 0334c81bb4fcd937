/*
 * certificate.c - what is wrong with a server's certificate, in words. Pure.
 *
 * Cannot fail. The words never hold a control character or broken UTF-8 of the
 * peer's, and keep to one line.
 */
#include "smtp/certificate.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/buffer.h"
#include "common/text.h"

#define WHOLE_NAME_BYTES 4096

void certificate_set_name(char name[CERTIFICATE_NAME_BYTES], const char *raw, size_t length)
{
	char *clean = text_clean(raw, length, CERTIFICATE_NAME_BYTES - 1);

	snprintf(name, CERTIFICATE_NAME_BYTES, "%s", clean);
	free(clean);
}

/* The value of an attribute ("CN=") of a whole name, without its escapes; false if there is none. */
static bool find_attribute(const char *whole, size_t length, const char *attribute, struct buffer *value)
{
	size_t skip = strlen(attribute);
	bool begins = true;

	for (size_t i = 0; i < length; i++) {
		if (begins && length - i > skip && memcmp(whole + i, attribute, skip) == 0) {
			for (i += skip; i < length && whole[i] != ',' && whole[i] != '+'; i++) {
				if (whole[i] == '\\' && i + 1 < length)
					i++;
				buffer_append_char(value, whole[i]);
			}
			return value->length > 0;
		}
		begins = whole[i] == ',' || whole[i] == '+';
		if (whole[i] == '\\')
			i++;
	}
	return false;
}

void certificate_set_authority(char name[CERTIFICATE_NAME_BYTES], const char *whole, size_t length)
{
	struct buffer value;

	buffer_init(&value, WHOLE_NAME_BYTES);
	if (find_attribute(whole, length, "CN=", &value) || find_attribute(whole, length, "O=", &value))
		certificate_set_name(name, value.data, value.length);
	else if (length > 0)
		certificate_set_name(name, whole, length);
	else
		certificate_set_name(name, "nameless", 8);
	buffer_fini(&value);
}

void certificate_add_name(struct certificate_names *names, const char *raw, size_t length)
{
	if (names->count < CERTIFICATE_NAMES_TOLD)
		certificate_set_name(names->told[names->count], raw, length);
	names->count++;
}

void certificate_add_address(struct certificate_names *names, const void *octets, size_t size)
{
	char text[INET6_ADDRSTRLEN];

	if ((size == 4 || size == 16) &&
	    inet_ntop(size == 4 ? AF_INET : AF_INET6, octets, text, sizeof(text)))
		certificate_add_name(names, text, strlen(text));
}

void certificate_fault(struct words *words, const char *server, const char *format, ...)
{
	struct words so_far = *words, this;
	va_list arguments;

	va_start(arguments, format);
	words_vset(&this, format, arguments);
	va_end(arguments);
	if (so_far.text[0])
		words_set(words, "%s, and %s", so_far.text, this.text);
	else
		words_set(words, "the certificate of %s %s", server, this.text);
}

static void day_text(int64_t when_s, char day[16])
{
	time_t when = (time_t)when_s;
	struct tm parts;

	if (!gmtime_r(&when, &parts) || strftime(day, 16, "%Y-%m-%d", &parts) == 0)
		strcpy(day, "?");
}

void certificate_fault_time(struct words *words, const char *server, const struct certificate *chain,
                            unsigned count, int64_t now_s)
{
	char day[16];

	for (unsigned i = 0; i < count; i++) {
		bool expired = chain[i].ends_s < now_s;
		const char *what = expired ? "expired on" : "is not valid before";

		if (!expired && chain[i].begins_s <= now_s)
			continue;
		day_text(expired ? chain[i].ends_s : chain[i].begins_s, day);
		if (i == 0)
			certificate_fault(words, server, "%s %s", what, day);
		else
			certificate_fault(words, server,
			                  "is signed by an authority (%s) whose own certificate %s %s",
			                  chain[i].subject, what, day);
		return;
	}
	certificate_fault(words, server, "is signed by an authority whose own certificate is out of date");
}

void certificate_fault_signer(struct words *words, const char *server, const struct certificate *chain,
                              unsigned count)
{
	if (count == 1 && chain[0].own_issuer)
		certificate_fault(words, server, "is self-signed and not among the trusted authorities");
	else
		certificate_fault(words, server, "is signed by an unknown authority (%s)",
		                  count > 0 ? chain[count - 1].issuer : "?");
}

void certificate_fault_pins(struct words *words, const char *server, const unsigned char whole[32],
                            const unsigned char key[32])
{
	char whole_hex[65], key_hex[65];

	text_hex(whole, 32, whole_hex);
	text_hex(key, 32, key_hex);
	certificate_fault(words, server, "is not one of tls_fingerprints: it is sha256:%s, its key spki:%s",
	                  whole_hex, key_hex);
}

void certificate_fault_owner(struct words *words, const char *server, const struct certificate_names *names)
{
	struct buffer list;

	buffer_init(&list, sizeof(names->told) + 64);
	for (int i = 0; i < names->count && i < CERTIFICATE_NAMES_TOLD; i++)
		buffer_printf(&list, "%s%s", i > 0 ? ", " : "", names->told[i]);
	if (names->count > CERTIFICATE_NAMES_TOLD)
		buffer_printf(&list, " and %d more", names->count - CERTIFICATE_NAMES_TOLD);
	certificate_fault(words, server, "is for %s, not for %s", names->count > 0 ? list.data : "nobody",
	                  server);
	buffer_fini(&list);
}
