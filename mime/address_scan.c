/*
 * address_scan.c - the tokens of RFC 5322 3.2: atoms, quoted strings, comments.
 *
 * Promises: never reads beyond the text, uses constant memory and no
 * recursion, and names the place of what it refuses by counting characters as
 * a person does. Fails with ERROR_INVALID only.
 */
#include "mime/address_scan.h"

#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include "common/text.h"

static size_t character_number(const struct address_scan *scan, size_t at)
{
	size_t number = 1;

	for (size_t i = 0; i < at && i < scan->length; i++) {
		if (((unsigned char)scan->text[i] & 0xc0) != 0x80)
			number++;
	}
	return number;
}

enum error scan_fail(const struct address_scan *scan, size_t at, const char *format, ...)
{
	struct words detail;
	va_list arguments;

	va_start(arguments, format);
	words_vset(&detail, format, arguments);
	va_end(arguments);
	words_set(scan->words, "%s, character %zu: %s", scan->column, character_number(scan, at),
	          detail.text);
	return ERROR_INVALID;
}

enum error scan_check_text(const struct address_scan *scan)
{
	size_t good = text_utf8_valid(scan->text, scan->length);

	for (size_t i = 0; i < good; i++) {
		unsigned char c = (unsigned char)scan->text[i];

		if (c == '\r' || c == '\n')
			return scan_fail(scan, i, "a line break is not allowed");
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return scan_fail(scan, i, "the control character U+%04X is not allowed", c);
	}
	if (good < scan->length)
		return scan_fail(scan, good, "this is not UTF-8");
	return OK;
}

int scan_peek(const struct address_scan *scan)
{
	return scan->at < scan->length ? (unsigned char)scan->text[scan->at] : SCAN_END;
}

static enum error skip_comment(struct address_scan *scan)
{
	size_t start = scan->at;
	size_t depth = 0;

	for (; scan->at < scan->length; scan->at++) {
		char c = scan->text[scan->at];

		if (c == '\\' && scan->at + 1 < scan->length) {
			scan->at++;
		} else if (c == '(') {
			depth++;
		} else if (c == ')' && --depth == 0) {
			scan->at++;
			return OK;
		}
	}
	return scan_fail(scan, start, "the comment that begins here has no ')'");
}

enum error scan_cfws(struct address_scan *scan)
{
	for (;;) {
		int c = scan_peek(scan);

		if (c == '(') {
			enum error error = skip_comment(scan);

			if (error)
				return error;
		} else if (c == ' ' || c == '\t') {
			scan->at++;
		} else {
			return OK;
		}
	}
}

bool scan_is_atext(unsigned char c)
{
	if (c >= 0x80)
		return true;
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
		return true;
	return c != 0 && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL;
}

bool scan_at_token(const struct address_scan *scan)
{
	int c = scan_peek(scan);

	return c != SCAN_END && (c == '"' || c == '.' || scan_is_atext((unsigned char)c));
}

static enum error read_quoted(struct address_scan *scan)
{
	size_t start = scan->at;

	for (scan->at++; scan->at < scan->length; scan->at++) {
		char c = scan->text[scan->at];

		if (c == '\\') {
			scan->at++;
		} else if (c == '"') {
			scan->at++;
			return OK;
		}
	}
	scan->at = scan->length;
	return scan_fail(scan, start, "the quoted text that begins here has no closing '\"'");
}

enum error scan_token(struct address_scan *scan, struct token *token)
{
	enum error error = OK;

	token->start = scan->at;
	if (scan_peek(scan) == '"') {
		token->kind = TOKEN_QUOTED;
		error = read_quoted(scan);
	} else {
		token->kind = TOKEN_ATOM;
		while (scan_at_token(scan) && scan_peek(scan) != '"')
			scan->at++;
	}
	token->end = scan->at;
	return error;
}

bool scan_unquote(const struct address_scan *scan, const struct token *token, struct buffer *out)
{
	for (size_t i = token->start + 1; i + 1 < token->end; i++) {
		if (scan->text[i] == '\\')
			i++;
		if (!buffer_append_char(out, scan->text[i]))
			return false;
	}
	return true;
}
