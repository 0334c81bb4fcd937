/*
 * certificate.c - what is wrong with a server's certificate, in words. Pure.
 *
 * Cannot fail. The words never hold a control character or broken UTF-8 of the
 * peer's, and keep to one line.
 */
#include "smtp/certificate.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/buffer.h"
#include "common/text.h"

void certificate_set_name(char name[CERTIFICATE_NAME_BYTES], const char *raw, size_t length)
{
	char *clean = text_clean(raw, length, CERTIFICATE_NAME_BYTES - 1);

	snprintf(name, CERTIFICATE_NAME_BYTES, "%s", clean);
	free(clean);
}

void certificate_add_name(struct certificate_names *names, const char *raw, size_t length)
{
	if (names->count < CERTIFICATE_NAMES_TOLD)
		certificate_set_name(names->told[names->count], raw, length);
	names->count++;
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

void certificate_fault_owner(struct words *words, const char *server, const struct certificate_names *names)
{
	struct buffer list;

	buffer_init(&list, sizeof(names->told) + 64);
	for (int i = 0; i < names->count && i < CERTIFICATE_NAMES_TOLD; i++)
		buffer_printf(&list, "%s%s", i > 0 ? ", " : "", names->told[i]);
	if (names->count > CERTIFICATE_NAMES_TOLD)
		buffer_printf(&list, " and %d more", names->count - CERTIFICATE_NAMES_TOLD);
	certificate_fault(words, server, "is for %s, not for %s", names->count > 0 ? list.data : "nobody", server);
	buffer_fini(&list);
}
