/*
 * compose_rows.c - composes rows from standard input, for tests/oracle/compose.py.
 *
 * A value is a netstring ("3:abc,"), "-," is NULL. A row is from_address,
 * envelope_from, to_addresses, cc_addresses, bcc_addresses, reply_to, subject,
 * body_text, message; ids count from 1. The answer is: "ok" or what was wrong;
 * sender; recipients, one a line; Message-ID; the message.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "mime/compose.h"

#define VALUE_MAX (64 << 20)
#define COLUMNS   9

static void die(const char *what)
{
	fprintf(stderr, "compose_rows: %s\n", what);
	exit(EXIT_FAILURE);
}

/* False at the end of the input. *value is allocated, or NULL. */
static bool read_value(char **value, size_t *length)
{
	int c = getchar();
	size_t wanted = 0;

	*value = NULL;
	*length = 0;
	if (c == EOF)
		return false;
	if (c == '-') {
		if (getchar() != ',')
			die("',' expected behind '-'");
		return true;
	}
	for (; c >= '0' && c <= '9' && wanted < VALUE_MAX; c = getchar())
		wanted = wanted * 10 + (size_t)(c - '0');
	if (c != ':' || wanted > VALUE_MAX)
		die("a netstring expected");
	*value = memory_alloc(wanted + 1);
	*length = wanted;
	if (fread(*value, 1, wanted, stdin) != wanted || getchar() != ',')
		die("the netstring is cut off");
	return true;
}

static void write_value(const void *bytes, size_t length)
{
	printf("%zu:", length);
	if (fwrite(bytes, 1, length, stdout) != length || putchar(',') == EOF)
		die("cannot write");
}

static void write_text(const char *text)
{
	write_value(text, strlen(text));
}

static void write_composed(struct composed *composed)
{
	struct buffer out;
	char bytes[4096];
	size_t got;

	buffer_init(&out, VALUE_MAX);
	for (size_t i = 0; i < composed->envelope.recipient_count; i++)
		buffer_printf(&out, "%s\n", composed->envelope.recipients[i]);
	write_text("ok");
	write_text(composed->envelope.sender);
	write_value(out.data, out.length);
	write_text(composed->message_id);
	buffer_clear(&out);
	do {
		if (composed->source->read(composed->source, bytes, sizeof(bytes), &got) != OK ||
		    !buffer_append(&out, bytes, got))
			die("the composed message cannot be read");
	} while (got > 0);
	if ((int64_t)out.length != composed->size)
		die("the size is not what was promised");
	write_value(out.data, out.length);
	buffer_fini(&out);
}

static bool compose_row(int64_t id)
{
	char *values[COLUMNS];
	size_t lengths[COLUMNS];
	struct mail mail = { .id = id, .first_queued_at_ms = 1764039900000 };
	struct composed *composed;
	struct words words;

	for (size_t i = 0; i < COLUMNS; i++) {
		if (!read_value(&values[i], &lengths[i]) && i == 0)
			return false;
	}
	mail.from_address = values[0];
	mail.envelope_from = values[1];
	mail.to_addresses = values[2];
	mail.cc_addresses = values[3];
	mail.bcc_addresses = values[4];
	mail.reply_to = values[5];
	mail.subject = values[6];
	mail.body_text = (struct body){ values[7], -1, 0, (int64_t)lengths[7], values[7] != NULL };
	mail.message = (struct body){ values[8], -1, 0, (int64_t)lengths[8], values[8] != NULL };
	mail.body_html.fd = -1;
	if (mime_compose(&mail, &(struct compose_options){ .instance = "oracle" }, &composed, &words) == OK) {
		write_composed(composed);
		composed_destroy(&composed);
	} else {
		write_text(words.text);
		for (int i = 0; i < 4; i++)
			write_text("");
	}
	for (size_t i = 0; i < COLUMNS; i++)
		free(values[i]);
	return true;
}

int main(void)
{
	int64_t id = 1;

	while (compose_row(id))
		id++;
	return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}
