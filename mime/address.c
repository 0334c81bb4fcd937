/*
 * address.c - RFC 5322 3.4 address lists, strictly.
 *
 * One pass, no backtracking: words are collected until the octet behind them
 * tells what they were (a name before '<', a group's name before ':', a local
 * part before '@').
 * Promises: constant stack, time linear in the text; what comes out may stand in
 * a header and in an SMTP command (address_spec.c). Fails with ERROR_INVALID,
 * whose words name column, character and remedy, and with ERROR_LIMIT.
 */
#include "mime/address.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/text.h"
#include "mime/address_scan.h"
#include "mime/word.h"

/* Words read while it is not known yet what they are. */
struct phrase {
	struct buffer display;
	struct token first;
	size_t count;
	bool after_encoded; /* the last word was an encoded-word, and decoded */
	bool dotted;        /* an atom holds a dot, at dot_at */
	size_t dot_at;
};

struct parser {
	struct address_scan scan;
	struct address_list *list;
	size_t capacity; /* of list->items */
	char *group;     /* the group we are in, NULL = none; owned by the list */
	size_t group_at;
};

static void shown(char out[64], const struct address_scan *scan, const struct token *token)
{
	size_t length = token->end - token->start;
	bool cut = length > 40;
	uint32_t code_point;
	size_t used = 0;

	while (used < (cut ? 40 : length))
		used += text_utf8_next(scan->text + token->start + used, length - used, &code_point);
	memcpy(out, scan->text + token->start, used);
	memcpy(out + used, cut ? "..." : "", cut ? 4 : 1);
}

static bool append_word(const struct address_scan *scan, struct phrase *phrase, const struct token *token,
                        bool *encoded)
{
	const char *text = scan->text + token->start;
	size_t length = token->end - token->start;
	struct buffer *display = &phrase->display;
	bool first = phrase->count == 0;

	*encoded = false;
	if (token->kind == TOKEN_QUOTED)
		return (first || buffer_append_char(display, ' ')) && scan_unquote(scan, token, display);
	/* RFC 2047 6.2: the space between two encoded-words is not shown */
	if (!first && !phrase->after_encoded && !buffer_append_char(display, ' '))
		return false;
	*encoded = word_decode(display, text, length);
	if (*encoded)
		return true;
	if (phrase->after_encoded && !buffer_append_char(display, ' '))
		return false;
	return buffer_append(display, text, length);
}

static enum error phrase_add(const struct address_scan *scan, struct phrase *phrase,
                             const struct token *token)
{
	const char *text = scan->text + token->start;
	const char *dot = memchr(text, '.', token->end - token->start);
	bool encoded;

	if (phrase->count == 0)
		phrase->first = *token;
	if (!append_word(scan, phrase, token, &encoded))
		return scan_fail(scan, phrase->first.start, "the name is longer than %d octets", DISPLAY_MAX);
	if (token->kind == TOKEN_ATOM && !encoded && dot && !phrase->dotted) {
		phrase->dotted = true;
		phrase->dot_at = (size_t)(dot - scan->text);
	}
	phrase->after_encoded = encoded;
	phrase->count++;
	return OK;
}

/* The words turned out to be a name: "J. Doe" without quotes is obsolete (RFC 5322 4.1). */
static enum error phrase_as_name(const struct address_scan *scan, const struct phrase *phrase)
{
	if (phrase->dotted && !scan->dots_in_names)
		return scan_fail(scan, phrase->dot_at,
		                 "a name with '.' needs quotes, as in \"J. Doe\" <doe@example.net>");
	return OK;
}

static char *phrase_take(struct phrase *phrase)
{
	if (phrase->display.length == 0)
		return NULL;
	return memory_strndup(phrase->display.data, phrase->display.length);
}

/* What follows the words is none of '@', '<', ':' or a further word. */
static enum error fail_no_address(const struct address_scan *scan, const struct phrase *phrase)
{
	int c = scan_peek(scan);
	char word[64];

	if (phrase->count == 0 && (c == SCAN_END || c == ',' || c == ';'))
		return scan_fail(scan, scan->at, "an address is missing here");
	if (c == '>')
		return scan_fail(scan, scan->at, "'>' without '<'");
	if (c == ')')
		return scan_fail(scan, scan->at, "')' without '('");
	if (c == '@')
		return scan_fail(scan, scan->at, "there is nothing before '@'");
	if (phrase->count == 0 || (c != SCAN_END && c != ',' && c != ';'))
		return scan_fail(scan, scan->at, "'%c' is not allowed here", c);
	shown(word, scan, &phrase->first);
	if (phrase->count == 1)
		return scan_fail(scan, phrase->first.start, "%s is no address: '@' is missing", word);
	return scan_fail(scan, phrase->first.start,
	                 "behind the name that begins with %s an address in '<>' is missing", word);
}

static enum error read_phrase(struct address_scan *scan, struct phrase *phrase)
{
	enum error error = scan_cfws(scan);

	while (!error && scan_at_token(scan)) {
		struct token token;

		error = scan_token(scan, &token);
		if (!error)
			error = phrase_add(scan, phrase, &token);
		if (!error)
			error = scan_cfws(scan);
	}
	return error;
}

/*
 * A mailbox, or the start of a group: then *group is its name and the scan
 * stands behind ':'.
 */
static enum error read_mailbox(struct address_scan *scan, struct address *address, char **group)
{
	struct phrase phrase = { .count = 0 };
	enum error error;
	int c;

	*group = NULL;
	buffer_init(&phrase.display, DISPLAY_MAX);
	error = read_phrase(scan, &phrase);
	if (error)
		goto out;
	c = scan_peek(scan);
	if (c == '@' && phrase.count == 1) {
		error = scan_at_domain(scan, &phrase.first, address);
	} else if (c == '@' && phrase.count > 1) {
		error = scan_fail(scan, phrase.first.start,
		                  "more than one word before '@': a name stands before an address in "
		                  "'<>', a local part with spaces in quotes");
	} else if (c == '<') {
		error = phrase_as_name(scan, &phrase);
		address->display = phrase_take(&phrase);
		if (!error)
			error = scan_angle(scan, address);
	} else if (c == ':' && phrase.count > 0) {
		error = phrase_as_name(scan, &phrase);
		*group = buffer_take(&phrase.display);
		scan->at++;
	} else {
		error = fail_no_address(scan, &phrase);
	}
out:
	buffer_fini(&phrase.display);
	return error ? error : scan_cfws(scan);
}

static enum error list_add(struct parser *parser, struct address *address)
{
	struct address_list *list = parser->list;

	if (list->count == ADDRESS_LIST_MAX) {
		words_set(parser->scan.words, "%s: more than %d addresses", parser->scan.column,
		          ADDRESS_LIST_MAX);
		return ERROR_LIMIT;
	}
	if (list->count == parser->capacity) {
		parser->capacity = parser->capacity ? 2 * parser->capacity : 4;
		list->items = memory_resize(list->items, parser->capacity * sizeof(list->items[0]));
	}
	address->group = parser->group;
	list->items[list->count++] = *address;
	memset(address, 0, sizeof(*address));
	return OK;
}

static enum error begin_group(struct parser *parser, char *name, size_t at)
{
	struct address_list *list = parser->list;

	if (parser->group) {
		free(name);
		return scan_fail(&parser->scan, at, "a group within a group is not allowed");
	}
	if (list->group_count == ADDRESS_LIST_MAX) {
		free(name);
		words_set(parser->scan.words, "%s: more than %d groups", parser->scan.column,
		          ADDRESS_LIST_MAX);
		return ERROR_LIMIT;
	}
	/* grows rarely, but a row must not make this quadratic: double at powers of two */
	if ((list->group_count & (list->group_count - 1)) == 0)
		list->groups = memory_resize(list->groups,
		                             sizeof(list->groups[0]) *
		                                     (list->group_count ? 2 * list->group_count : 1));
	list->groups[list->group_count++] = name;
	parser->group = name;
	parser->group_at = at;
	return OK;
}

/* Behind an address or a group: ';' may end a group, then ',' or the end. */
static enum error read_separator(struct parser *parser, bool *more)
{
	struct address_scan *scan = &parser->scan;
	enum error error = OK;

	if (scan_peek(scan) == ';' && parser->group) {
		parser->group = NULL;
		scan->at++;
		error = scan_cfws(scan);
		if (error)
			return error;
	}
	*more = scan_peek(scan) == ',';
	if (*more) {
		scan->at++;
		return OK;
	}
	if (scan_peek(scan) == ';')
		return scan_fail(scan, scan->at, "';' does not separate addresses, use ','");
	if (scan_peek(scan) == '@')
		return scan_fail(scan, scan->at, "a second '@' in one address");
	if (scan_peek(scan) != SCAN_END)
		return scan_fail(scan, scan->at, "',' is missing before this");
	if (parser->group)
		return scan_fail(scan, parser->group_at, "the group that begins here has no ';'");
	return OK;
}

static enum error read_element(struct parser *parser, bool *more)
{
	struct address address = { .display = NULL };
	char *group = NULL;
	size_t at;
	enum error error = scan_cfws(&parser->scan);

	if (error)
		return error;
	at = parser->scan.at;
	error = read_mailbox(&parser->scan, &address, &group);
	if (group && error) {
		free(group);
	} else if (group) {
		error = begin_group(parser, group, at);
		/* a group may be empty; otherwise its first address follows without ',' */
		*more = true;
		if (!error && scan_peek(&parser->scan) == ';')
			error = read_separator(parser, more);
	} else if (!error) {
		error = list_add(parser, &address);
		if (!error)
			error = read_separator(parser, more);
	}
	address_fini(&address);
	return error;
}

static enum error parse_list(struct address_scan scan, struct address_list *list)
{
	struct parser parser = { .scan = scan, .list = list };
	bool more = true;
	enum error error = scan_check_text(&parser.scan);

	memset(list, 0, sizeof(*list));
	while (!error && more)
		error = read_element(&parser, &more);
	if (error)
		address_list_fini(list);
	return error;
}

enum error address_list_parse(const char *column, const char *text, size_t length, struct address_list *list,
                              struct words *words)
{
	return parse_list(
		(struct address_scan){ .column = column, .text = text, .length = length, .words = words },
		list);
}

enum error address_list_parse_field(const char *place, const char *text, size_t length,
                                    struct address_list *list, struct words *words)
{
	return parse_list((struct address_scan){ .column = place,
	                                         .text = text,
	                                         .length = length,
	                                         .dots_in_names = true,
	                                         .words = words },
	                  list);
}

enum error address_parse_one(const char *column, const char *text, size_t length, struct address *address,
                             struct words *words)
{
	struct address_scan scan = { .column = column, .text = text, .length = length, .words = words };
	char *group = NULL;
	enum error error = scan_check_text(&scan);

	memset(address, 0, sizeof(*address));
	if (!error)
		error = read_mailbox(&scan, address, &group);
	if (!error && group)
		error = scan_fail(&scan, 0, "a group is not allowed here, one address is expected");
	if (!error && scan_peek(&scan) == ',')
		error = scan_fail(&scan, scan.at, "only one address is allowed here");
	if (!error && scan_peek(&scan) != SCAN_END)
		error = scan_fail(&scan, scan.at, "nothing is allowed behind the address");
	free(group);
	if (error)
		address_fini(address);
	return error;
}

bool address_list_smtputf8(const struct address_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		if (list->items[i].smtputf8)
			return true;
	}
	return false;
}

void address_fini(struct address *address)
{
	free(address->display);
	free(address->address);
	memset(address, 0, sizeof(*address));
}

void address_list_fini(struct address_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		address_fini(&list->items[i]);
	for (size_t i = 0; i < list->group_count; i++)
		free(list->groups[i]);
	free(list->items);
	free(list->groups);
	memset(list, 0, sizeof(*list));
}
