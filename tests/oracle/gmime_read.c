/*
 * gmime_read.c - what GMime sees in messages, for tests/oracle: a reader that
 * is not ours and not Python's.
 *
 * Takes messages as netstrings and answers each with a line of JSON: field
 * names in their order, the fields' meanings, the tree of parts, and what the
 * parser complained of. A program of its own, without sanitizers: GLib blinds
 * ThreadSanitizer, and nothing of ours is in it.
 */
#include <gmime/gmime.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_MAX (512 << 20)

static void die(const char *what)
{
	fprintf(stderr, "gmime_read: %s\n", what);
	exit(EXIT_FAILURE);
}

/* NULL at the end of the input. */
static char *read_message(size_t *length)
{
	int c = getchar();
	char *message;

	*length = 0;
	if (c == EOF)
		return NULL;
	for (; c >= '0' && c <= '9' && *length < MESSAGE_MAX; c = getchar())
		*length = *length * 10 + (size_t)(c - '0');
	if (c != ':' || *length > MESSAGE_MAX)
		die("a netstring expected");
	message = g_malloc(*length + 1);
	if (fread(message, 1, *length, stdin) != *length || getchar() != ',')
		die("the netstring is cut off");
	return message;
}

/* null for NULL, and for what is not UTF-8: that no comparison passes. */
static json_t *text_of(const char *text)
{
	json_t *value = text ? json_string(text) : NULL;

	return value ? value : json_null();
}

static json_t *mailbox_of(InternetAddress *address)
{
	const char *plain = internet_address_mailbox_get_idn_addr(INTERNET_ADDRESS_MAILBOX(address));

	return json_pack("[o,o]", text_of(internet_address_get_name(address)), text_of(plain));
}

/* [[null or the group's name, [[name, address], …]], …] */
static json_t *addresses_of(InternetAddressList *list)
{
	json_t *found = json_array();
	int count = list ? internet_address_list_length(list) : 0;

	for (int i = 0; i < count; i++) {
		InternetAddress *address = internet_address_list_get_address(list, i);
		InternetAddressList *members;
		json_t *boxes = json_array();

		if (INTERNET_ADDRESS_IS_MAILBOX(address)) {
			json_array_append_new(boxes, mailbox_of(address));
			json_array_append_new(found, json_pack("[n,o]", boxes));
			continue;
		}
		members = internet_address_group_get_members(INTERNET_ADDRESS_GROUP(address));
		for (int k = 0; members && k < internet_address_list_length(members); k++)
			json_array_append_new(boxes,
			                      mailbox_of(internet_address_list_get_address(members, k)));
		json_array_append_new(found,
		                      json_pack("[o,o]", text_of(internet_address_get_name(address)), boxes));
	}
	return found;
}

static json_t *params_of(GMimeParamList *list)
{
	json_t *found = json_array();

	for (int i = 0; list && i < g_mime_param_list_length(list); i++) {
		GMimeParam *param = g_mime_param_list_get_parameter_at(list, i);

		json_array_append_new(found, json_pack("[o,o]", text_of(g_mime_param_get_name(param)),
		                                       text_of(g_mime_param_get_value(param))));
	}
	return found;
}

static json_t *headers_of(GMimeObject *object)
{
	GMimeHeaderList *list = g_mime_object_get_header_list(object);
	json_t *found = json_array();

	for (int i = 0; i < g_mime_header_list_get_count(list); i++) {
		GMimeHeader *header = g_mime_header_list_get_header_at(list, i);

		json_array_append_new(found, json_pack("[o,o]", text_of(g_mime_header_get_name(header)),
		                                       text_of(g_mime_header_get_value(header))));
	}
	return found;
}

static void set_content(json_t *part, GMimeDataWrapper *content)
{
	GMimeStream *stream = g_mime_stream_mem_new();
	GByteArray *bytes = g_mime_stream_mem_get_byte_array(GMIME_STREAM_MEM(stream));
	char *base64;

	if (content && g_mime_data_wrapper_write_to_stream(content, stream) < 0)
		die("a content cannot be written to memory");
	base64 = g_base64_encode(bytes->data, bytes->len);
	json_object_set_new(part, "content", text_of(base64));
	g_free(base64);
	g_object_unref(stream);
}

static void set_text(json_t *part, GMimeObject *object)
{
	char *text;

	if (!GMIME_IS_TEXT_PART(object))
		return;
	text = g_mime_text_part_get_text(GMIME_TEXT_PART(object));
	json_object_set_new(part, "text", text_of(text));
	g_free(text);
}

/* A message within the message: its subject, and its text as it is. */
static void set_message(json_t *part, GMimeMessage *message)
{
	GMimeObject *body = message ? g_mime_message_get_mime_part(message) : NULL;

	json_object_set_new(part, "subject", text_of(message ? g_mime_message_get_subject(message) : NULL));
	if (body && GMIME_IS_PART(body))
		set_content(part, g_mime_part_get_content(GMIME_PART(body)));
}

static json_t *part_of(GMimeObject *object);

static json_t *children_of(GMimeMultipart *multipart)
{
	json_t *children = json_array();

	for (int i = 0; i < g_mime_multipart_get_count(multipart); i++)
		json_array_append_new(children, part_of(g_mime_multipart_get_part(multipart, i)));
	return children;
}

static json_t *part_of(GMimeObject *object)
{
	GMimeContentType *type = object ? g_mime_object_get_content_type(object) : NULL;
	GMimeContentDisposition *disposition;
	json_t *part = json_object();
	char *name;

	if (!type)
		return part;
	name = g_mime_content_type_get_mime_type(type);
	disposition = g_mime_object_get_content_disposition(object);
	json_object_set_new(part, "type", text_of(name));
	json_object_set_new(part, "params", params_of(g_mime_content_type_get_parameters(type)));
	json_object_set_new(
		part, "disposition",
		text_of(disposition ? g_mime_content_disposition_get_disposition(disposition) : NULL));
	json_object_set_new(part, "filename",
	                    text_of(g_mime_object_get_content_disposition_parameter(object, "filename")));
	json_object_set_new(part, "id", text_of(g_mime_object_get_content_id(object)));
	json_object_set_new(part, "headers", headers_of(object));
	if (GMIME_IS_MULTIPART(object)) {
		json_object_set_new(part, "children", children_of(GMIME_MULTIPART(object)));
	} else if (GMIME_IS_MESSAGE_PART(object)) {
		set_message(part, g_mime_message_part_get_message(GMIME_MESSAGE_PART(object)));
	} else if (GMIME_IS_PART(object)) {
		set_content(part, g_mime_part_get_content(GMIME_PART(object)));
		set_text(part, object);
	}
	g_free(name);
	return part;
}

static void complain(gint64 offset, GMimeParserWarning code, const gchar *item, gpointer defects)
{
	json_array_append_new(defects, json_pack("[I,i,o]", (json_int_t)offset, (int)code, text_of(item)));
}

static GMimeParserOptions *strict_options(json_t *defects)
{
	GMimeParserOptions *options = g_mime_parser_options_new();

	g_mime_parser_options_set_address_compliance_mode(options, GMIME_RFC_COMPLIANCE_STRICT);
	g_mime_parser_options_set_parameter_compliance_mode(options, GMIME_RFC_COMPLIANCE_STRICT);
	g_mime_parser_options_set_rfc2047_compliance_mode(options, GMIME_RFC_COMPLIANCE_STRICT);
	g_mime_parser_options_set_warning_callback(options, complain, defects);
	return options;
}

static json_t *message_of(GMimeMessage *message)
{
	GDateTime *date = g_mime_message_get_date(message);

	return json_pack("{so,so,so,so,so,so,so,so,so,so}", "fields", headers_of(GMIME_OBJECT(message)),
	                 "subject", text_of(g_mime_message_get_subject(message)), "message-id",
	                 text_of(g_mime_message_get_message_id(message)), "date",
	                 date ? json_integer(g_date_time_to_unix(date)) : json_null(), "from",
	                 addresses_of(g_mime_message_get_from(message)), "to",
	                 addresses_of(g_mime_message_get_to(message)), "cc",
	                 addresses_of(g_mime_message_get_cc(message)), "bcc",
	                 addresses_of(g_mime_message_get_bcc(message)), "reply-to",
	                 addresses_of(g_mime_message_get_reply_to(message)), "body",
	                 part_of(g_mime_message_get_mime_part(message)));
}

static void answer(const char *bytes, size_t length)
{
	GMimeStream *stream = g_mime_stream_mem_new_with_buffer(bytes, length);
	GMimeParser *parser = g_mime_parser_new_with_stream(stream);
	json_t *defects = json_array();
	GMimeParserOptions *options = strict_options(defects);
	GMimeMessage *message = g_mime_parser_construct_message(parser, options);
	json_t *found = message ? message_of(message) : json_object();

	json_object_set_new(found, "defects", defects);
	if (json_dumpf(found, stdout, JSON_COMPACT | JSON_ENSURE_ASCII) != 0 || putchar('\n') == EOF)
		die("cannot write");
	json_decref(found);
	if (message)
		g_object_unref(message);
	g_mime_parser_options_free(options);
	g_object_unref(parser);
	g_object_unref(stream);
}

int main(void)
{
	char *message;
	size_t length;

	g_mime_init();
	while ((message = read_message(&length)) != NULL) {
		answer(message, length);
		g_free(message);
	}
	g_mime_shutdown();
	return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}
