/*
 * extra.c - the column headers: lines, names, and which names may stand there.
 *
 * Promises: what is accepted is one field a line, with a name and a value of
 * its own; none of them is a field that a column or we ourselves make, so that
 * a message never has two of what RFC 5322 3.6 allows once. Fails with
 * ERROR_INVALID and words that name line and field, and with ERROR_LIMIT.
 */
#include "mime/extra.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "mime/address_scan.h"
#include "mime/field.h"

#define BY_US     "it is made of the columns"
#define BY_SERVER "servers write it"
#define SIGNED    "a signature needs a message that is whole already, in the column message"

/* A name that ends with '-' stands for all that begin so. The first that fits counts. */
static const struct rule {
	const char *name;
	const char *refused; /* why, NULL = it is allowed */
	enum extra_kind kind;
	bool once;
} rules[] = {
	{ "From", "the column from_address makes it", EXTRA_TEXT, false },
	{ "To", "the column to_addresses makes it", EXTRA_TEXT, false },
	{ "Cc", "the column cc_addresses makes it", EXTRA_TEXT, false },
	{ "Bcc", "the column bcc_addresses is for that", EXTRA_TEXT, false },
	{ "Subject", "the column subject makes it", EXTRA_TEXT, false },
	{ "Reply-To", "the column reply_to makes it", EXTRA_TEXT, false },
	{ "MIME-Version", BY_US, EXTRA_TEXT, false },
	{ "Content-", BY_US, EXTRA_TEXT, false },
	{ "Resent-", "what is sent again is a message that is whole already, in the column message",
	  EXTRA_TEXT, false },
	{ "Return-Path", BY_SERVER, EXTRA_TEXT, false },
	{ "Received", BY_SERVER, EXTRA_TEXT, false },
	{ "Authentication-Results", BY_SERVER, EXTRA_TEXT, false },
	{ "DKIM-Signature", SIGNED, EXTRA_TEXT, false },
	{ "DomainKey-Signature", SIGNED, EXTRA_TEXT, false },
	{ "ARC-", SIGNED, EXTRA_TEXT, false },
	{ "Date", NULL, EXTRA_DATE, true },
	{ "Message-ID", NULL, EXTRA_MESSAGE_ID, true },
	{ "Sender", NULL, EXTRA_SENDER, true },
	{ "In-Reply-To", NULL, EXTRA_IDS, true },
	{ "References", NULL, EXTRA_IDS, true },
	{ "Keywords", NULL, EXTRA_PHRASES, false },
	{ "Disposition-Notification-To", NULL, EXTRA_ADDRESSES, true },
	{ "Disposition-Notification-Options", NULL, EXTRA_PLAIN, true },
	{ "Return-Receipt-To", NULL, EXTRA_ADDRESSES, true },
	{ "Errors-To", NULL, EXTRA_ADDRESSES, true },
	{ "Mail-Followup-To", NULL, EXTRA_ADDRESSES, true },
	{ "Mail-Reply-To", NULL, EXTRA_ADDRESSES, true },
	{ "List-Id", NULL, EXTRA_TEXT, true },
	{ "List-", NULL, EXTRA_PLAIN, true },
	{ "Auto-Submitted", NULL, EXTRA_PLAIN, true },
	{ "Importance", NULL, EXTRA_PLAIN, true },
	{ "Priority", NULL, EXTRA_PLAIN, true },
	{ "Sensitivity", NULL, EXTRA_PLAIN, true },
	{ "Precedence", NULL, EXTRA_PLAIN, true },
	{ "Expires", NULL, EXTRA_PLAIN, true },
	{ "Organization", NULL, EXTRA_TEXT, true },
	{ "User-Agent", NULL, EXTRA_TEXT, true },
};

static const struct rule any_other = { "", NULL, EXTRA_TEXT, false };

static const struct rule *find_rule(const char *name)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		const char *rule = rules[i].name;
		bool prefix = rule[strlen(rule) - 1] == '-';

		if (prefix ? text_starts_nocase(name, rule) : text_equal_nocase(name, rule))
			return &rules[i];
	}
	return &any_other;
}

/* One line of the column. */
struct line {
	const char *text;
	size_t length;
	int64_t number;
	struct words *words;
};

static enum error fail(const struct line *line, const char *what)
{
	words_set(line->words, "headers, line %lld: %s", (long long)line->number, what);
	return ERROR_INVALID;
}

/* RFC 5322 2.2: printable ASCII but ':'. Sets *length. */
static enum error read_name(const struct line *line, size_t *length)
{
	size_t at = 0;

	if (line->length == 0)
		return fail(line, "an empty line is not allowed");
	if (line->text[0] == ' ' || line->text[0] == '\t')
		return fail(line, "white space at the start; a field stands on one line, it is folded later");
	while (at < line->length && line->text[at] > ' ' && line->text[at] < 0x7f && line->text[at] != ':')
		at++;
	if (at == line->length || line->text[at] != ':')
		return fail(line, "this is no 'Name: value'");
	if (at == 0)
		return fail(line, "a name is missing before ':'");
	if (at > EXTRA_NAME_MAX)
		return fail(line, "the name is longer than 76 octets");
	*length = at;
	return OK;
}

static char *trimmed(const char *text, size_t length)
{
	while (length > 0 && (text[0] == ' ' || text[0] == '\t')) {
		text++;
		length--;
	}
	while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\t'))
		length--;
	return memory_strndup(text, length);
}

static enum error check_rule(const struct extra *extra, const struct line *line, const char *name,
                             const struct rule *rule)
{
	if (rule->refused) {
		words_set(line->words, "headers, line %lld: %s is not allowed here: %s",
		          (long long)line->number, name, rule->refused);
		return ERROR_INVALID;
	}
	for (size_t i = 0; i < extra->count && rule->once; i++) {
		if (!text_equal_nocase(extra->items[i].name, name))
			continue;
		words_set(line->words, "headers, line %lld: a second %s, the first is in line %lld",
		          (long long)line->number, name, (long long)extra->items[i].line);
		return ERROR_INVALID;
	}
	return OK;
}

static struct extra_field *add(struct extra *extra)
{
	if (extra->count == extra->capacity) {
		extra->capacity = extra->capacity ? 2 * extra->capacity : 4;
		extra->items = memory_resize(extra->items, extra->capacity * sizeof(extra->items[0]));
	}
	extra->items[extra->count] = (struct extra_field){ .name = NULL };
	return &extra->items[extra->count++];
}

static enum error parse_line(struct extra *extra, const struct line *line)
{
	char place[EXTRA_NAME_MAX + 64];
	char name[EXTRA_NAME_MAX + 1];
	const struct rule *rule;
	struct extra_field *field;
	size_t length;
	enum error error = read_name(line, &length);

	if (error)
		return error;
	memcpy(name, line->text, length);
	name[length] = '\0';
	rule = find_rule(name);
	error = check_rule(extra, line, name, rule);
	if (error)
		return error;
	if (extra->count == EXTRA_FIELDS_MAX) {
		words_set(line->words, "headers: more than %d fields", EXTRA_FIELDS_MAX);
		return ERROR_LIMIT;
	}
	field = add(extra);
	field->name = memory_strdup(name);
	field->value = trimmed(line->text + length + 1, line->length - length - 1);
	field->kind = rule->kind;
	field->line = line->number;
	snprintf(place, sizeof(place), "headers, line %lld, %s", (long long)line->number, name);
	return extra_check_value(place, field, line->words);
}

enum error extra_parse(struct extra *extra, const char *headers, struct words *words)
{
	struct line line = { .text = headers, .number = 1, .words = words };
	enum error error = OK;

	*extra = (struct extra){ .count = 0 };
	if (headers && strlen(headers) > EXTRA_LENGTH_MAX) {
		words_set(words, "headers: longer than %d octets", EXTRA_LENGTH_MAX);
		return ERROR_LIMIT;
	}
	while (line.text && *line.text && !error) {
		const char *end = strchr(line.text, '\n');

		line.length = end ? (size_t)(end - line.text) : strlen(line.text);
		if (end && line.length > 0 && end[-1] == '\r')
			line.length--;
		error = parse_line(extra, &line);
		line.text = end ? end + 1 : NULL;
		line.number++;
	}
	return error;
}

void extra_fini(struct extra *extra)
{
	for (size_t i = 0; i < extra->count; i++) {
		free(extra->items[i].name);
		free(extra->items[i].value);
		address_list_fini(&extra->items[i].addresses);
	}
	free(extra->items);
	*extra = (struct extra){ .count = 0 };
}

const struct extra_field *extra_find(const struct extra *extra, enum extra_kind kind)
{
	for (size_t i = 0; i < extra->count; i++) {
		if (extra->items[i].kind == kind)
			return &extra->items[i];
	}
	return NULL;
}

bool extra_needs_smtputf8(const struct extra *extra)
{
	for (size_t i = 0; i < extra->count; i++) {
		if (address_list_smtputf8(&extra->items[i].addresses))
			return true;
	}
	return false;
}

static void put_phrases(struct field *field, const char *value)
{
	for (;;) {
		size_t length = strcspn(value, ",");
		bool last = value[length] == '\0';
		char *phrase = trimmed(value, length);

		field_phrase(field, phrase, last ? "" : ",");
		free(phrase);
		if (last)
			return;
		value += length + 1;
	}
}

/* What a reader could take for an encoded-word (RFC 2047) would not show as it is. */
static bool looks_encoded(const char *text)
{
	const char *start = strstr(text, "=?");

	return start && strstr(start, "?=");
}

bool extra_put(struct buffer *out, const struct extra_field *extra)
{
	bool ascii = text_is_ascii(extra->value, strlen(extra->value));
	struct field field;

	field_begin(&field, out, extra->name);
	switch (extra->kind) {
	case EXTRA_ADDRESSES:
	case EXTRA_SENDER: field_addresses(&field, &extra->addresses); break;
	case EXTRA_PHRASES:
		ascii ? field_plain(&field, extra->value) : put_phrases(&field, extra->value);
		break;
	case EXTRA_TEXT:
		if (!ascii || looks_encoded(extra->value))
			field_text(&field, extra->value);
		else
			field_plain(&field, extra->value);
		break;
	case EXTRA_PLAIN:
	case EXTRA_IDS:
	case EXTRA_MESSAGE_ID:
	case EXTRA_DATE: field_plain(&field, extra->value); break;
	}
	return field_end(&field);
}
