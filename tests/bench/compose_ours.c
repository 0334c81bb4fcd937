/*
 * compose_ours.c TIMES [FILE] - composes one row so many times, reads each stream to its end, and prints the
 * processor's seconds and the octets. FILE is attached. For tests/bench/compose.py.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/buffer.h"
#include "mime/compose.h"
#include "tests/bench/compose_text.h"

#define SLICE (16 * 1024) /* what a session reads at a time */

static void die(const char *what)
{
	fprintf(stderr, "compose_ours: %s\n", what);
	exit(EXIT_FAILURE);
}

static struct body read_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct buffer content;
	char bytes[SLICE];
	size_t got;
	int64_t size;

	if (!file)
		die("the file cannot be opened");
	buffer_init(&content, SIZE_MAX);
	while ((got = fread(bytes, 1, sizeof(bytes), file)) > 0)
		buffer_append(&content, bytes, got);
	fclose(file);
	size = (int64_t)content.length;
	return (struct body){ buffer_take(&content), -1, 0, size, true };
}

static int64_t compose(const struct mail *mail)
{
	static char bytes[SLICE];
	struct compose_options options = { .instance = "bench" };
	struct composed *composed;
	struct words words;
	int64_t octets = 0;
	size_t got;

	if (mime_compose(mail, &options, &composed, &words) != OK)
		die(words.text);
	do {
		if (composed->source->read(composed->source, bytes, sizeof(bytes), &got) != OK)
			die("the message cannot be read");
		octets += (int64_t)got;
	} while (got > 0);
	composed_destroy(&composed);
	return octets;
}

int main(int argc, char **argv)
{
	char from[] = BENCH_FROM, to[] = BENCH_TO, subject[] = BENCH_SUBJECT, text[] = BENCH_TEXT;
	char filename[] = BENCH_FILENAME, type[] = "application/pdf";
	struct attachment attachment = { .filename = filename, .content_type = type };
	struct mail mail = { .from_address = from, .to_addresses = to, .subject = subject };
	long times = argc > 1 ? strtol(argv[1], NULL, 10) : 1;
	int64_t octets = 0;
	clock_t start;

	mail.first_queued_at_ms = 1764039900000;
	mail.body_text = (struct body){ text, -1, 0, (int64_t)strlen(text), true };
	mail.body_html.fd = mail.message.fd = -1;
	if (argc > 2) {
		attachment.content = read_file(argv[2]);
		mail.attachments = &attachment;
		mail.attachment_count = 1;
	}
	start = clock();
	for (mail.id = 1; mail.id <= times; mail.id++)
		octets += compose(&mail);
	printf("%.6f %lld\n", (double)(clock() - start) / CLOCKS_PER_SEC, (long long)octets);
	free(attachment.content.memory);
	return EXIT_SUCCESS;
}
