/*
 * fuzz_address.c - any text as an address list.
 *
 * What is accepted must be fit for a command and a header field, and must come
 * out of the field that is written from it as it went in.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/text.h"
#include "mime/address.h"
#include "mime/address_scan.h"
#include "mime/compose.h"
#include "mime/field.h"
#include "mime/word.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool promise)
{
	if (!promise)
		abort();
}

static void check_text(const char *text)
{
	size_t length = strlen(text);

	must(text_utf8_valid(text, length) == length);
	for (size_t i = 0; i < length; i++)
		must((unsigned char)text[i] >= 0x20 || text[i] == '\t');
}

static void check_address(const struct address *address)
{
	const char *at = strrchr(address->address, '@');
	bool quoted = address->address[0] == '"';

	check_text(address->address);
	must(at && at > address->address && strlen(address->address) <= ADDRESS_MAX);
	must(text_is_ascii(at, strlen(at)));
	must(!strpbrk(at, " \t\"<>(),;:\\") || at[1] == '[');
	must(quoted || !strpbrk(address->address, " \t\"<>(),;\\"));
	must(address->smtputf8 != text_is_ascii(address->address, strlen(address->address)));
	must(mime_sender_allowed(address->address, address->address));
	if (address->display)
		check_text(address->display);
}

static void check_lines(const struct buffer *out)
{
	size_t start = 0;

	must(out->length >= 2);
	while (start < out->length) {
		const char *line = out->data + start;
		const char *end = memmem(line, out->length - start, "\r\n", 2);
		const char *word;
		size_t length;

		must(end != NULL);
		length = (size_t)(end - line);
		must(length <= 998);
		must(!memchr(line, '\r', length) && !memchr(line, '\n', length));
		must(start == 0 || line[0] == ' ');
		/* longer than a line should be: then it is one token behind one space */
		must(length <= FIELD_LINE || !memchr(line + 5, ' ', length - 5) || memchr(line, '"', length));
		word = memmem(line, length, "=?utf-8?", 8);
		must(!word || length <= FIELD_LINE_ENCODED || memchr(line, '@', length));
		start += length + 2;
	}
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static void check_same(const struct address_list *a, const struct address_list *b)
{
	must(a->count == b->count && a->group_count == b->group_count);
	for (size_t i = 0; i < a->count; i++) {
		must(same_text(a->items[i].display, b->items[i].display));
		must(same_text(a->items[i].address, b->items[i].address));
		must(same_text(a->items[i].group, b->items[i].group));
		must(a->items[i].smtputf8 == b->items[i].smtputf8);
	}
	for (size_t i = 0; i < a->group_count; i++)
		must(same_text(a->groups[i], b->groups[i]));
}

static void check_round(const struct address_list *list)
{
	struct address_list again;
	struct buffer out;
	struct buffer value;
	struct field field;
	struct words words;

	buffer_init(&out, 64 << 20);
	field_begin(&field, &out, "To");
	field_addresses(&field, list);
	must(field_end(&field));
	check_lines(&out);
	buffer_init(&value, 64 << 20);
	for (size_t i = 3; i < out.length; i++) {
		if (out.data[i] != '\r' && out.data[i] != '\n')
			buffer_append_char(&value, out.data[i]);
	}
	must(address_list_parse("to", value.data, value.length, &again, &words) == OK);
	check_same(list, &again);
	address_list_fini(&again);
	buffer_fini(&value);
	buffer_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct address_list list;
	struct address address;
	struct words words;
	enum error error;

	memset(&words, 0, sizeof(words));
	error = address_list_parse("to", text, size, &list, &words);
	must(error == OK || error == ERROR_INVALID || error == ERROR_LIMIT);
	must(error == OK || strncmp(words.text, "to", 2) == 0);
	must(text_utf8_valid(words.text, strlen(words.text)) == strlen(words.text));
	for (size_t i = 0; i < list.count; i++)
		check_address(&list.items[i]);
	for (size_t i = 0; i < list.group_count; i++)
		check_text(list.groups[i]);
	if (error == OK)
		check_round(&list);
	address_list_fini(&list);
	if (address_list_parse_field("to", text, size, &list, &words) != OK)
		must(error != OK); /* the field's rules are the milder ones */
	address_list_fini(&list);
	if (address_parse_one("from", text, size, &address, &words) == OK) {
		must(error == OK);
		check_address(&address);
	}
	address_fini(&address);
	return 0;
}
