/*
 * field.c - header fields of ours: RFC 5322 2.2.3 and 3.4, RFC 2047.
 *
 * Promises: lines of at most 78 octets (76 with an encoded-word) but where one
 * address, or a name of the field and the first thing behind it, is longer; encoded-words of at most 75
 * octets cut between code points; what a reader decodes is what was given, space for space. Fails only when
 * the buffer is full.
 */
#include "mime/field.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/text.h"
#include "mime/address_scan.h"
#include "mime/word.h"

#define ENCODED_ROOM_MIN 40 /* less room on a line is not worth an encoded-word */

enum phrase_style {
	PHRASE_ATOMS,
	PHRASE_QUOTED,
	PHRASE_ENCODED,
};

static void put(struct field *field, const char *bytes, size_t length)
{
	if (!buffer_append(field->out, bytes, length))
		field->full = true;
	field->column += length;
}

static void fold(struct field *field)
{
	put(field, "\r\n", 2);
	field->column = 0;
	field->encoded = false;
}

void field_begin(struct field *field, struct buffer *out, const char *name)
{
	*field = (struct field){ .out = out, .first = true };
	put(field, name, strlen(name));
	put(field, ":", 1);
}

bool field_end(struct field *field)
{
	put(field, "\r\n", 2);
	return !field->full;
}

void field_token(struct field *field, const char *token, size_t length)
{
	size_t limit = field->encoded ? FIELD_LINE_ENCODED : FIELD_LINE;

	/* never right behind the name: many readers make the fold part of the value */
	if (field->column + 1 + length > limit && !field->first)
		fold(field);
	put(field, " ", 1);
	put(field, token, length);
	field->first = false;
}

static void put_encoded(struct field *field, const char *text, size_t length)
{
	enum word_encoding encoding = word_choose(text, length);

	while (length > 0 && !field->full) {
		size_t taken;
		size_t before;
		size_t room;

		if (field->column + 1 + ENCODED_ROOM_MIN > FIELD_LINE_ENCODED)
			fold(field);
		room = FIELD_LINE_ENCODED - field->column - 1;
		put(field, " ", 1);
		before = field->out->length;
		taken = word_encode(field->out, encoding, room < WORD_MAX ? room : WORD_MAX, text, length);
		if (taken == 0)
			field->full = true;
		field->column += field->out->length - before;
		field->encoded = true;
		field->first = false;
		text += taken;
		length -= taken;
	}
}

/* Whether a word of a text must be encoded so that a reader shows it as it is. */
static bool word_needs_encoding(const char *word, size_t length)
{
	return length == 0 || length > FIELD_WORD_MAX || !text_is_ascii(word, length) ||
	       memchr(word, '\t', length) || memmem(word, length, "=?", 2);
}

/* White space as it is: a fold is added before it, and goes when a reader unfolds. */
void field_plain(struct field *field, const char *text)
{
	while (*text) {
		size_t space = strspn(text, " \t");
		size_t length = space + strcspn(text + space, " \t");

		if (field->first)
			put(field, " ", 1);
		else if (field->column + length > FIELD_LINE)
			fold(field);
		put(field, text, length);
		field->first = false;
		text += length;
	}
}

static void put_words(struct field *field, const char *text, size_t length)
{
	while (length > 0) {
		const char *space = memchr(text, ' ', length);
		size_t word = space ? (size_t)(space - text) : length;

		if (word > 0)
			field_token(field, text, word);
		word += space ? 1 : 0;
		text += word;
		length -= word;
	}
}

/*
 * The words from the first to the last that need it are encoded as one, with
 * the spaces between them. An empty word is a space too many, which only its
 * neighbours' encoding can keep.
 */
void field_text(struct field *field, const char *text)
{
	const char *word = text;
	const char *before = NULL; /* the word before this one */
	const char *from = NULL;
	const char *to = NULL;
	bool take_next = false;

	for (;;) {
		size_t length = strcspn(word, " ");
		bool needs = word_needs_encoding(word, length);

		if (needs && !from)
			from = length == 0 && before ? before : word;
		if (needs || take_next)
			to = word + length;
		take_next = needs && length == 0;
		if (word[length] == '\0')
			break;
		before = word;
		word += length + 1;
	}
	if (!from) {
		put_words(field, text, strlen(text));
		return;
	}
	put_words(field, text, (size_t)(from - text));
	put_encoded(field, from, (size_t)(to - from));
	put_words(field, to, strlen(to));
}

static bool are_atoms(const char *text)
{
	for (;;) {
		size_t length = strcspn(text, " ");

		if (length == 0 || length > FIELD_WORD_MAX)
			return false;
		for (size_t i = 0; i < length; i++) {
			if (!scan_is_atext((unsigned char)text[i]))
				return false;
		}
		if (text[length] == '\0')
			return true;
		text += length + 1;
	}
}

static enum phrase_style choose_style(const char *text)
{
	size_t length = strlen(text);

	/* "=?" in quotes is text by RFC 2047 5 (3), but many readers decode it there */
	if (!text_is_ascii(text, length) || strstr(text, "=?") || strchr(text, '\t'))
		return PHRASE_ENCODED;
	if (are_atoms(text))
		return PHRASE_ATOMS;
	return length <= FIELD_WORD_MAX ? PHRASE_QUOTED : PHRASE_ENCODED;
}

static void put_with_suffix(struct field *field, const char *token, size_t length, const char *suffix)
{
	struct buffer whole;

	buffer_init(&whole, length + strlen(suffix) + 1);
	buffer_append(&whole, token, length);
	buffer_append_text(&whole, suffix);
	field_token(field, whole.data, whole.length);
	buffer_fini(&whole);
}

static void put_quoted(struct field *field, const char *text, const char *suffix)
{
	char quoted[2 * FIELD_WORD_MAX + 2];
	size_t length = 0;

	quoted[length++] = '"';
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			quoted[length++] = '\\';
		quoted[length++] = *text;
	}
	quoted[length++] = '"';
	put_with_suffix(field, quoted, length, suffix);
}

/* Suffix (':' …) stands right behind it, but apart from an encoded-word (RFC 2047 5 (3)). */
void field_phrase(struct field *field, const char *text, const char *suffix)
{
	const char *last;

	switch (choose_style(text)) {
	case PHRASE_ATOMS:
		last = strrchr(text, ' ');
		last = last ? last + 1 : text;
		put_words(field, text, (size_t)(last - text));
		put_with_suffix(field, last, strlen(last), suffix);
		break;
	case PHRASE_QUOTED: put_quoted(field, text, suffix); break;
	case PHRASE_ENCODED:
		put_encoded(field, text, strlen(text));
		if (*suffix)
			field_token(field, suffix, strlen(suffix));
		break;
	}
}

static void put_mailbox(struct field *field, const struct address *address, const char *suffix)
{
	struct buffer token;

	if (!address->display) {
		put_with_suffix(field, address->address, strlen(address->address), suffix);
		return;
	}
	field_phrase(field, address->display, "");
	buffer_init(&token, ADDRESS_MAX + 8);
	buffer_printf(&token, "<%s>%s", address->address, suffix);
	field_token(field, token.data, token.length);
	buffer_fini(&token);
}

void field_mailbox(struct field *field, const struct address *address)
{
	put_mailbox(field, address, "");
}

/* Empty groups up to the one named stop (NULL = all that are left); returns the next group's index. */
static size_t put_empty_groups(struct field *field, const struct address_list *list, size_t next,
                               const char *stop, bool more)
{
	for (; next < list->group_count && list->groups[next] != stop; next++)
		field_phrase(field, list->groups[next], more || next + 1 < list->group_count ? ":;," : ":;");
	return next;
}

void field_addresses(struct field *field, const struct address_list *list)
{
	const char *group = NULL;
	size_t next = 0;

	for (size_t i = 0; i < list->count; i++) {
		const struct address *address = &list->items[i];
		bool last = i + 1 == list->count;
		bool ends;
		bool more;

		if (address->group && address->group != group) {
			next = put_empty_groups(field, list, next, address->group, true);
			field_phrase(field, list->groups[next++], ":");
		}
		group = address->group;
		ends = group && (last || list->items[i + 1].group != group);
		more = !last || next < list->group_count;
		put_mailbox(field, address, ends ? (more ? ";," : ";") : (more ? "," : ""));
	}
	put_empty_groups(field, list, next, NULL, false);
}

bool field_date(char out[FIELD_DATE_MAX], int64_t ms)
{
	static const char days[][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char months[][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
		                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;

	if (ms < 0 || !gmtime_r(&seconds, &tm) || tm.tm_year > 9999 - 1900)
		return false;
	snprintf(out, FIELD_DATE_MAX, "%s, %d %s %d %02d:%02d:%02d +0000", days[tm.tm_wday], tm.tm_mday,
	         months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
	return true;
}
