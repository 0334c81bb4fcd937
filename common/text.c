/*
 * text.c - UTF-8 (RFC 3629), ASCII, numbers and words: pure functions.
 *
 * Promises that nothing here depends on the locale, the time or the place, and
 * that no octet of the input can make it read or write outside its arguments.
 */
#include "common/text.h"

#include <string.h>

/* RFC 3629 section 4: what the second octet may be, by the first. */
static bool second_fits(unsigned char first, unsigned char second)
{
	switch (first) {
	case 0xe0: return second >= 0xa0 && second <= 0xbf; /* not overlong */
	case 0xed: return second >= 0x80 && second <= 0x9f; /* no surrogates */
	case 0xf0: return second >= 0x90 && second <= 0xbf; /* not overlong */
	case 0xf4: return second >= 0x80 && second <= 0x8f; /* up to U+10FFFF */
	default: return second >= 0x80 && second <= 0xbf;
	}
}

size_t text_utf8_next(const char *text, size_t length, uint32_t *code_point)
{
	const unsigned char *octets = (const unsigned char *)text;
	size_t octet_count;
	uint32_t value;

	if (length == 0)
		return 0;
	if (octets[0] < 0x80) {
		*code_point = octets[0];
		return 1;
	}
	if (octets[0] < 0xc2 || octets[0] > 0xf4)
		return 0;
	octet_count = octets[0] < 0xe0 ? 2 : octets[0] < 0xf0 ? 3 : 4;
	if (length < octet_count || !second_fits(octets[0], octets[1]))
		return 0;
	value = octets[0] & (0xffU >> (octet_count + 1));
	for (size_t i = 1; i < octet_count; i++) {
		if ((octets[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (octets[i] & 0x3f);
	}
	*code_point = value;
	return octet_count;
}

size_t text_utf8_valid(const char *text, size_t length)
{
	size_t offset = 0;
	uint32_t code_point;

	while (offset < length) {
		size_t octets = text_utf8_next(text + offset, length - offset, &code_point);

		if (octets == 0)
			break;
		offset += octets;
	}
	return offset;
}

size_t text_cut(const char *text, size_t length, size_t max_bytes)
{
	size_t cut = max_bytes;

	if (length <= max_bytes)
		return length;
	/* At most three steps: text that is not UTF-8 is cut where it must be. */
	while (cut > 0 && max_bytes - cut < 3 && ((unsigned char)text[cut] & 0xc0) == 0x80)
		cut--;
	return ((unsigned char)text[cut] & 0xc0) == 0x80 ? max_bytes : cut;
}

bool text_is_ascii(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)text[i] >= 0x80)
			return false;
	return true;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

int text_order_nocase(const char *a, const char *b)
{
	while (*a && lower(*a) == lower(*b)) {
		a++;
		b++;
	}
	return (unsigned char)lower(*a) - (unsigned char)lower(*b);
}

bool text_starts_nocase(const char *text, const char *prefix)
{
	while (*prefix && lower(*text) == lower(*prefix)) {
		text++;
		prefix++;
	}
	return *prefix == '\0';
}

void text_lower_ascii(char *text)
{
	for (; *text; text++)
		*text = lower(*text);
}

char *text_clean(const char *text, size_t length, size_t max_bytes)
{
	struct buffer out;
	size_t offset = 0;
	bool space = false; /* one is owed, if anything follows */

	buffer_init(&out, max_bytes);
	while (offset < length) {
		const char *from = text + offset;
		uint32_t code_point;
		size_t octets = text_utf8_next(from, length - offset, &code_point);

		offset += octets ? octets : 1;
		if (octets && (code_point == ' ' || text_is_control(code_point))) {
			space = out.length > 0;
			continue;
		}
		if (!octets) {
			from = "\xef\xbf\xbd"; /* U+FFFD */
			octets = 3;
		}
		if (octets + space > max_bytes - out.length)
			break;
		if (space)
			buffer_append_char(&out, ' ');
		space = false;
		if (!buffer_append(&out, from, octets))
			break;
	}
	return buffer_take(&out);
}
