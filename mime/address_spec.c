/*
 * address_spec.c - local part and domain: RFC 5322 3.4.1 addr-spec.
 *
 * Promises: an address that comes out can stand in an SMTP command and in a
 * header field as it is: no control character, no space outside quotes, an
 * ASCII domain, at most ADDRESS_MAX octets, quotes only where they are needed,
 * so that equal addresses are equal texts. Fails with ERROR_INVALID only.
 */
#include "mime/address_scan.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "mime/domain.h"

/* White space and marks that no reader sees, pasted in by accident or malice. */
static bool is_invisible(uint32_t code_point)
{
	return (code_point >= 0x80 && code_point <= 0xa0) || code_point == 0xad || code_point == 0x1680 ||
	       code_point == 0x180e || (code_point >= 0x2000 && code_point <= 0x200f) ||
	       (code_point >= 0x2028 && code_point <= 0x202f) ||
	       (code_point >= 0x205f && code_point <= 0x206f) || code_point == 0x3000 || code_point == 0xfeff;
}

static enum error check_visible(const struct address_scan *scan, const struct token *token)
{
	size_t at = token->start;

	while (at < token->end) {
		uint32_t code_point;
		size_t octets = text_utf8_next(scan->text + at, token->end - at, &code_point);

		if (is_invisible(code_point))
			return scan_fail(scan, at,
			                 "the invisible character U+%04X is not allowed "
			                 "in an address",
			                 code_point);
		at += octets;
	}
	return OK;
}

static bool is_dot_atom(const char *text, size_t length)
{
	if (length == 0 || text[0] == '.' || text[length - 1] == '.')
		return false;
	for (size_t i = 0; i < length; i++) {
		if (text[i] == '.' ? text[i + 1] == '.' : !scan_is_atext((unsigned char)text[i]))
			return false;
	}
	return true;
}

/* Quotes only where RFC 5321 4.1.2 needs them, so that equal addresses are equal texts. */
static enum error append_unquoted(const struct address_scan *scan, const struct token *token,
                                  struct buffer *out)
{
	struct buffer content;
	enum error error = OK;
	bool good;

	buffer_init(&content, ADDRESS_MAX);
	good = scan_unquote(scan, token, &content);
	if (good && content.length > 0 && is_dot_atom(content.data, content.length)) {
		good = buffer_append(out, content.data, content.length);
	} else if (good) {
		good = buffer_append_char(out, '"');
		for (size_t i = 0; good && i < content.length; i++) {
			char c = content.data[i];

			if (c == '\t')
				error = scan_fail(scan, token->start,
				                  "a tab is not allowed in an "
				                  "address");
			if (c == '"' || c == '\\')
				good = buffer_append_char(out, '\\');
			good = good && buffer_append_char(out, c);
		}
		good = good && buffer_append_char(out, '"');
	}
	if (!good && !error)
		error = scan_fail(scan, token->start, "the address is longer than %d octets", ADDRESS_MAX);
	buffer_fini(&content);
	return error;
}

static enum error append_local(const struct address_scan *scan, const struct token *token, struct buffer *out)
{
	const char *text = scan->text + token->start;
	size_t length = token->end - token->start;
	enum error error = check_visible(scan, token);

	if (error)
		return error;
	if (token->kind == TOKEN_QUOTED)
		return append_unquoted(scan, token, out);
	if (text[0] == '.' || text[length - 1] == '.' || memmem(text, length, "..", 2))
		return scan_fail(scan, token->start,
		                 "before '@', no dot may stand first, last or beside another, "
		                 "unless in quotes");
	if (!buffer_append(out, text, length))
		return scan_fail(scan, token->start, "the address is longer than %d octets", ADDRESS_MAX);
	return OK;
}

/* "]" ends it; RFC 5322 3.4.1 allows folding white space inside, RFC 5321 does not. */
static enum error read_literal(struct address_scan *scan, char **domain)
{
	size_t start = scan->at;
	const char *close = memchr(scan->text + start, ']', scan->length - start);
	struct words detail;

	if (!close)
		return scan_fail(scan, start, "the '[' has no ']'");
	scan->at = (size_t)(close - scan->text) + 1;
	if (domain_literal(scan->text + start, scan->at - start, domain, &detail))
		return scan_fail(scan, start, "%s", detail.text);
	return OK;
}

static enum error read_domain(struct address_scan *scan, char **domain)
{
	struct token token;
	struct words detail;
	enum error error = scan_cfws(scan);

	if (error)
		return error;
	if (scan_peek(scan) == '[')
		return read_literal(scan, domain);
	if (!scan_at_token(scan) || scan_peek(scan) == '"')
		return scan_fail(scan, scan->at, "a domain is expected behind '@'");
	error = scan_token(scan, &token);
	if (error)
		return error;
	if (domain_to_ascii(scan->text + token.start, token.end - token.start, domain, &detail))
		return scan_fail(scan, token.start, "%s", detail.text);
	return OK;
}

enum error scan_at_domain(struct address_scan *scan, const struct token *local, struct address *address)
{
	struct buffer out;
	char *domain = NULL;
	enum error error;

	assert(scan_peek(scan) == '@');
	buffer_init(&out, ADDRESS_MAX);
	error = append_local(scan, local, &out);
	if (error)
		goto out;
	scan->at++;
	error = read_domain(scan, &domain);
	if (error)
		goto out;
	address->smtputf8 = !text_is_ascii(out.data, out.length);
	if (buffer_append_char(&out, '@') && buffer_append_text(&out, domain))
		address->address = buffer_take(&out);
	else
		error = scan_fail(scan, local->start, "the address is longer than %d octets", ADDRESS_MAX);
out:
	free(domain);
	buffer_fini(&out);
	return error;
}

enum error scan_angle(struct address_scan *scan, struct address *address)
{
	size_t start = scan->at++;
	struct token local;
	enum error error = scan_cfws(scan);

	if (error)
		return error;
	if (scan_peek(scan) == '>')
		return scan_fail(scan, start, "there is no address between '<' and '>'");
	if (scan_peek(scan) == '@')
		return scan_fail(scan, scan->at, "routes ('<@a,@b:c@d>') are obsolete");
	if (!scan_at_token(scan))
		return scan_fail(scan, scan->at, "an address is expected behind '<'");
	error = scan_token(scan, &local);
	if (!error)
		error = scan_cfws(scan);
	if (error)
		return error;
	if (scan_peek(scan) != '@')
		return scan_fail(scan, scan->at, "'@' is expected here, between '<' and '>'");
	error = scan_at_domain(scan, &local, address);
	if (!error)
		error = scan_cfws(scan);
	if (error)
		return error;
	if (scan_peek(scan) != '>')
		return scan_fail(scan, scan->at, "'>' is expected here, behind the address");
	scan->at++;
	return OK;
}
