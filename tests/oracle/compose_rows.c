/*
 * compose_rows.c - composes rows from standard input, for tests/oracle.
 *
 * A value is a netstring ("3:abc,"), "-," is NULL. A row is a text of three
 * numbers (id, first_queued_at_ms, 1 where the server has 8BITMIME);
 * from_address, envelope_from, to_addresses, cc_addresses, bcc_addresses,
 * reply_to, subject, headers, body_text, body_html, message; the number of
 * attachments; and for each its filename, content_type, content_id, content.
 * The answer is: "ok" or what was wrong; sender; recipients, one a line;
 * Message-ID; of the words "eight_bit" and "smtputf8" those that hold; the message.
 *
 * Each row is composed twice, the second time with its bodies in spool files,
 * and each stream is read twice, in slices of two sizes: all four must be the
 * same, and as long as announced.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/buffer.h"
#include "mime/compose.h"

#define VALUE_MAX       (256 << 20)
#define ATTACHMENTS_MAX 1000
#define SLICE_FIRST     4096
#define SLICE_SECOND    1021
#define SPOOL_OFFSET    7 /* a body need not start where its file does */

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

static char *read_text(void)
{
	char *value;
	size_t length;

	if (!read_value(&value, &length))
		die("the row is cut off");
	if (value && strlen(value) != length)
		die("a NUL in a column of text");
	return value;
}

static struct body read_body(void)
{
	char *value;
	size_t length;

	if (!read_value(&value, &length))
		die("the row is cut off");
	return (struct body){ value, -1, 0, (int64_t)length, value != NULL };
}

static void read_attachments(struct mail *mail)
{
	char *count = read_text();

	mail->attachment_count = count ? strtoul(count, NULL, 10) : 0;
	free(count);
	if (mail->attachment_count > ATTACHMENTS_MAX)
		die("too many attachments");
	mail->attachments = memory_alloc((mail->attachment_count + 1) * sizeof(*mail->attachments));
	for (size_t i = 0; i < mail->attachment_count; i++) {
		mail->attachments[i].filename = read_text();
		mail->attachments[i].content_type = read_text();
		mail->attachments[i].content_id = read_text();
		mail->attachments[i].content = read_body();
	}
}

/* False at the end of the input. */
static bool read_row(struct mail *mail, struct compose_options *options)
{
	char *numbers;
	size_t length;
	int eight_bit;

	if (!read_value(&numbers, &length))
		return false;
	*mail = (struct mail){ .id = 0 };
	if (!numbers || sscanf(numbers, "%" SCNd64 " %" SCNd64 " %d", &mail->id, &mail->first_queued_at_ms,
	                       &eight_bit) != 3)
		die("three numbers expected");
	free(numbers);
	*options = (struct compose_options){ .instance = "oracle", .eight_bit_mime = eight_bit != 0 };
	mail->from_address = read_text();
	mail->envelope_from = read_text();
	mail->to_addresses = read_text();
	mail->cc_addresses = read_text();
	mail->bcc_addresses = read_text();
	mail->reply_to = read_text();
	mail->subject = read_text();
	mail->headers = read_text();
	mail->body_text = read_body();
	mail->body_html = read_body();
	mail->message = read_body();
	read_attachments(mail);
	return true;
}

static void body_fini(struct body *body)
{
	free(body->memory);
	if (body->fd >= 0)
		close(body->fd);
}

static void row_fini(struct mail *mail)
{
	char *texts[] = { mail->from_address,  mail->envelope_from, mail->to_addresses, mail->cc_addresses,
		          mail->bcc_addresses, mail->reply_to,      mail->subject,      mail->headers };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		free(texts[i]);
	body_fini(&mail->body_text);
	body_fini(&mail->body_html);
	body_fini(&mail->message);
	for (size_t i = 0; i < mail->attachment_count; i++) {
		free(mail->attachments[i].filename);
		free(mail->attachments[i].content_type);
		free(mail->attachments[i].content_id);
		body_fini(&mail->attachments[i].content);
	}
	free(mail->attachments);
}

/* Puts a body into a file, where storage_take() puts large ones. */
static void spool_body(struct body *body)
{
	if (!body->present)
		return;
	body->fd = memfd_create("spool", MFD_CLOEXEC);
	body->offset = SPOOL_OFFSET;
	if (body->fd < 0 || pwrite(body->fd, body->memory, (size_t)body->size, SPOOL_OFFSET) != body->size)
		die("cannot make a spool file");
	free(body->memory);
	body->memory = NULL;
}

static void spool_row(struct mail *mail)
{
	spool_body(&mail->body_text);
	spool_body(&mail->body_html);
	spool_body(&mail->message);
	for (size_t i = 0; i < mail->attachment_count; i++)
		spool_body(&mail->attachments[i].content);
}

static void read_stream(struct composed *composed, size_t slice, struct buffer *out)
{
	char bytes[SLICE_FIRST];
	size_t got;

	buffer_clear(out);
	composed->source->rewind(composed->source);
	do {
		if (composed->source->read(composed->source, bytes, slice, &got) != OK ||
		    !buffer_append(out, bytes, got))
			die("the composed message cannot be read");
	} while (got > 0);
	if ((int64_t)out->length != composed->size)
		die("the size is not what was announced");
}

static void check_same(const struct buffer *one, const struct buffer *other)
{
	if (one->length != other->length || memcmp(one->data, other->data, one->length) != 0)
		die("a repeat is not the same");
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

static void write_composed(const struct composed *composed, const struct buffer *message)
{
	const struct envelope *envelope = &composed->envelope;
	struct buffer recipients;

	buffer_init(&recipients, VALUE_MAX);
	for (size_t i = 0; i < envelope->recipient_count; i++)
		buffer_printf(&recipients, "%s\n", envelope->recipients[i]);
	write_text("ok");
	write_text(envelope->sender);
	write_value(recipients.data, recipients.length);
	write_text(composed->message_id);
	buffer_clear(&recipients);
	buffer_printf(&recipients, "%s%s", envelope->eight_bit ? "eight_bit " : "",
	              envelope->smtputf8 ? "smtputf8" : "");
	write_value(recipients.data, recipients.length);
	write_value(message->data, message->length);
	buffer_fini(&recipients);
}

static void write_refused(const char *words)
{
	write_text(words);
	for (int i = 0; i < 5; i++)
		write_text("");
}

static void compose_row(struct mail *mail, const struct compose_options *options)
{
	struct composed *composed;
	struct words words;
	struct buffer first, again;

	if (mime_compose(mail, options, &composed, &words) != OK) {
		write_refused(words.text);
		return;
	}
	buffer_init(&first, 2 * (size_t)VALUE_MAX);
	buffer_init(&again, 2 * (size_t)VALUE_MAX);
	read_stream(composed, SLICE_FIRST, &first);
	read_stream(composed, SLICE_SECOND, &again);
	check_same(&first, &again);
	write_composed(composed, &first);
	composed_destroy(&composed);
	spool_row(mail);
	if (mime_compose(mail, options, &composed, &words) != OK)
		die("a row that was composed is refused when it is repeated");
	read_stream(composed, SLICE_SECOND, &again);
	check_same(&first, &again);
	composed_destroy(&composed);
	buffer_fini(&first);
	buffer_fini(&again);
}

int main(void)
{
	struct mail mail;
	struct compose_options options;

	while (read_row(&mail, &options)) {
		compose_row(&mail, &options);
		row_fini(&mail);
	}
	return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}
