/*
 * compose_gmime.c TIMES [FILE] - does with GMime what compose_ours.c does: the same strings parsed, the same
 * message made and written with CRLF. For tests/bench/compose.py.
 */
#include <gmime/gmime.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/bench/compose_text.h"

static void set_people(GMimeMessage *message, GMimeAddressType type, const char *text)
{
	InternetAddressList *list = internet_address_list_parse(NULL, text);

	internet_address_list_append(g_mime_message_get_addresses(message, type), list);
	g_object_unref(list);
}

static GMimeObject *text_part(void)
{
	GMimeTextPart *part = g_mime_text_part_new_with_subtype("plain");

	g_mime_text_part_set_charset(part, "utf-8");
	g_mime_text_part_set_text(part, BENCH_TEXT);
	g_mime_part_set_content_encoding(GMIME_PART(part), GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE);
	return GMIME_OBJECT(part);
}

/* The bytes stay in their array, as in the other programs: nothing is copied. */
static GMimeObject *file_part(GByteArray *bytes)
{
	GMimePart *part = g_mime_part_new_with_type("application", "pdf");
	GMimeStream *stream = g_mime_stream_mem_new();
	GMimeDataWrapper *content;

	g_mime_stream_mem_set_byte_array(GMIME_STREAM_MEM(stream), bytes);
	content = g_mime_data_wrapper_new_with_stream(stream, GMIME_CONTENT_ENCODING_DEFAULT);
	g_mime_part_set_content(part, content);
	g_mime_part_set_content_encoding(part, GMIME_CONTENT_ENCODING_BASE64);
	g_mime_object_set_disposition(GMIME_OBJECT(part), GMIME_DISPOSITION_ATTACHMENT);
	g_mime_part_set_filename(part, BENCH_FILENAME);
	g_object_unref(content);
	g_object_unref(stream);
	return GMIME_OBJECT(part);
}

static GMimeMessage *make_message(GByteArray *bytes, GDateTime *date, long id)
{
	GMimeMessage *message = g_mime_message_new(TRUE);
	GMimeObject *body = text_part();
	char message_id[64];

	set_people(message, GMIME_ADDRESS_TYPE_FROM, BENCH_FROM);
	set_people(message, GMIME_ADDRESS_TYPE_TO, BENCH_TO);
	g_mime_message_set_subject(message, BENCH_SUBJECT, "utf-8");
	g_mime_message_set_date(message, date);
	snprintf(message_id, sizeof(message_id), "%ld.bench@acme.example", id);
	g_mime_message_set_message_id(message, message_id);
	if (bytes) {
		GMimeMultipart *mixed = g_mime_multipart_new_with_subtype("mixed");
		GMimeObject *file = file_part(bytes);

		g_mime_multipart_add(mixed, body);
		g_mime_multipart_add(mixed, file);
		g_object_unref(body);
		g_object_unref(file);
		body = GMIME_OBJECT(mixed);
	}
	g_mime_message_set_mime_part(message, body);
	g_object_unref(body);
	return message;
}

int main(int argc, char **argv)
{
	long times = argc > 1 ? strtol(argv[1], NULL, 10) : 1;
	GMimeFormatOptions *options;
	GDateTime *date = g_date_time_new_from_unix_utc(1764039900);
	GByteArray *bytes = NULL;
	gchar *content;
	gsize length;
	long long octets = 0;
	clock_t start;

	g_mime_init();
	options = g_mime_format_options_new();
	g_mime_format_options_set_newline_format(options, GMIME_NEWLINE_FORMAT_DOS);
	if (argc > 2) {
		if (!g_file_get_contents(argv[2], &content, &length, NULL))
			return EXIT_FAILURE;
		bytes = g_byte_array_new_take((guint8 *)content, length);
	}
	start = clock();
	for (long i = 1; i <= times; i++) {
		GMimeMessage *message = make_message(bytes, date, i);
		GMimeStream *null = g_mime_stream_null_new();

		if (g_mime_object_write_to_stream(GMIME_OBJECT(message), options, null) < 0)
			return EXIT_FAILURE;
		octets += (long long)GMIME_STREAM_NULL(null)->written;
		g_object_unref(null);
		g_object_unref(message);
	}
	printf("%.6f %lld\n", (double)(clock() - start) / CLOCKS_PER_SEC, octets);
	return EXIT_SUCCESS;
}
