/*
 * mime_bed.c - rows for the tests of mime_compose(), and its answers as texts.
 */
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/text.h"
#include "tests/unit/mime_test.h"

const struct compose_options bed_options = { .instance = INSTANCE };

struct body bed_body_of(const char *text, size_t length)
{
	return (struct body){ .memory = TEXT(text), .fd = -1, .size = (int64_t)length, .present = true };
}

struct mail bed_mail_of(const char *message)
{
	struct mail mail = { .id = 42,
		             .first_queued_at_ms = 1764039900999,
		             .from_address = TEXT("pbx@acme.example") };

	mail.body_text.fd = mail.body_html.fd = mail.message.fd = -1;
	if (message)
		mail.message = bed_body_of(message, strlen(message));
	return mail;
}

char *bed_read_source(struct composed *composed, size_t slice)
{
	struct buffer out;
	char *bytes = malloc(slice);
	bool good = true;
	size_t got;

	ck_assert_ptr_nonnull(bytes);
	buffer_init(&out, 256 << 20);
	composed->source->rewind(composed->source);
	/* what was begun and left must not show in what follows */
	for (int64_t i = 0; i < composed->size - 1 && good; i++)
		good = composed->source->read(composed->source, bytes, 1, &got) == OK && got == 1;
	composed->source->rewind(composed->source);
	do {
		good = composed->source->read(composed->source, bytes, slice, &got) == OK && got <= slice;
		if (good)
			buffer_append(&out, bytes, got);
	} while (good && got > 0);
	ck_assert(good);
	ck_assert_int_eq(composed->source->read(composed->source, bytes, slice, &got), OK);
	ck_assert_uint_eq(got, 0);
	ck_assert_int_eq(composed->size, (int64_t)out.length);
	for (size_t i = 0; i < out.length; i++) {
		good = good && (out.data[i] != '\n' || (i > 0 && out.data[i - 1] == '\r'));
		good = good && (out.data[i] != '\r' || out.data[i + 1] == '\n');
	}
	ck_assert_msg(good, "%s", out.data);
	ck_assert(out.length >= 2 && out.data[out.length - 1] == '\n');
	free(bytes);
	return buffer_take(&out);
}

void bed_check_base64(const char *base64, const char *octets, size_t length)
{
	struct buffer out;

	buffer_init(&out, 1 << 20);
	ck_assert(text_base64_decode(&out, base64, strlen(base64)));
	ck_assert_uint_eq(out.length, length);
	ck_assert(length == 0 || memcmp(out.data, octets, length) == 0);
	buffer_fini(&out);
}

char *bed_recipients_of(const struct envelope *envelope)
{
	struct buffer out;

	buffer_init(&out, 1 << 20);
	for (size_t i = 0; i < envelope->recipient_count; i++)
		buffer_printf(&out, "%s%s", i ? " " : "", envelope->recipients[i]);
	return buffer_take(&out);
}

struct composed *bed_compose(const struct mail *mail)
{
	struct composed *composed;
	struct words words = { "" };
	enum error error = mime_compose(mail, &bed_options, &composed, &words);

	ck_assert_msg(error == OK, "%s", words.text);
	return composed;
}

void bed_check_refused(const struct mail *mail, const char *expected)
{
	struct composed *composed;
	struct words words = { "" };

	ck_assert_msg(mime_compose(mail, &bed_options, &composed, &words) == ERROR_INVALID,
	              "accepted, not: %s", expected);
	ck_assert_ptr_null(composed);
	ck_assert_str_eq(words.text, expected);
}
