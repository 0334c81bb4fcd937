/*
 * text_number.c - decimal numbers, durations, sizes, base64 (RFC 4648), hex.
 *
 * Promises to read strictly: the whole text or nothing, no blanks, no signs but
 * a minus, no overflow; base64 in its one canonical form.
 */
#include "common/text.h"

#include <string.h>

/* Reads digits; false if there are none or they pass INT64_MAX. Moves *text behind them. */
static bool read_digits(const char **text, int64_t *value)
{
	const char *at = *text;

	*value = 0;
	for (; *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(*value, 10, value) ||
		    __builtin_add_overflow(*value, *at - '0', value))
			return false;
	if (at == *text)
		return false;
	*text = at;
	return true;
}

bool text_to_int(const char *text, int64_t minimum, int64_t maximum, int64_t *value)
{
	bool negative = *text == '-';
	int64_t number;

	text += negative;
	if (!read_digits(&text, &number) || *text != '\0')
		return false;
	if (negative)
		number = -number;
	if (number < minimum || number > maximum)
		return false;
	*value = number;
	return true;
}

struct unit {
	const char *name;
	int64_t factor;
};

/* A number with one of the units behind it. */
static bool read_with_unit(const char *text, const struct unit *units, int64_t *value)
{
	int64_t number;

	if (!read_digits(&text, &number))
		return false;
	for (; units->name; units++) {
		if (strcmp(text, units->name) != 0)
			continue;
		if (__builtin_mul_overflow(number, units->factor, &number))
			return false;
		*value = number;
		return true;
	}
	return false;
}

bool text_to_duration_ms(const char *text, int64_t *ms)
{
	static const struct unit units[] = {
		{ "", 1000 },         { "ms", 1 },           { "s", 1000 }, { "m", 60 * 1000 },
		{ "h", 3600 * 1000 }, { "d", 86400 * 1000 }, { NULL, 0 },
	};

	return read_with_unit(text, units, ms);
}

bool text_to_size(const char *text, int64_t *octets)
{
	static const struct unit units[] = {
		{ "", 1 },        { "K", 1 << 10 }, { "k", 1 << 10 }, { "M", 1 << 20 },
		{ "m", 1 << 20 }, { "G", 1 << 30 }, { "g", 1 << 30 }, { NULL, 0 },
	};

	return read_with_unit(text, units, octets);
}

static const char base64_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool text_base64_encode(struct buffer *out, const void *bytes, size_t length)
{
	const unsigned char *octets = bytes;
	size_t used = out->length;

	/* In one go, so that growing leaves no copies of what may be a secret. */
	if (length > SIZE_MAX / 2 || !buffer_reserve(out, (length + 2) / 3 * 4))
		return false;
	if (length == 0)
		return true;
	for (size_t i = 0; i < length; i += 3) {
		size_t left = length - i;
		uint32_t bits = (uint32_t)octets[i] << 16;
		char *quad = out->data + used;

		if (left > 1)
			bits |= (uint32_t)octets[i + 1] << 8;
		if (left > 2)
			bits |= octets[i + 2];
		quad[0] = base64_alphabet[bits >> 18];
		quad[1] = base64_alphabet[bits >> 12 & 63];
		quad[2] = left > 1 ? base64_alphabet[bits >> 6 & 63] : '=';
		quad[3] = left > 2 ? base64_alphabet[bits & 63] : '=';
		used += 4;
	}
	out->length = used;
	out->data[used] = '\0';
	return true;
}

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decodes one group of four into up to three octets; answers how many, 0 = none. */
static size_t decode_quad(const char quad[4], bool last, unsigned char octets[3])
{
	size_t count = quad[3] != '=' ? 3 : quad[2] != '=' ? 2 : 1;
	uint32_t bits = 0;

	if (count < 3 && !last)
		return 0;
	for (size_t i = 0; i < 4; i++) {
		int value = i <= count ? base64_value(quad[i]) : 0;

		if (value < 0)
			return 0;
		bits = bits << 6 | (uint32_t)value;
	}
	octets[0] = (unsigned char)(bits >> 16);
	octets[1] = (unsigned char)(bits >> 8);
	octets[2] = (unsigned char)bits;
	/* RFC 4648 3.5: bits that belong to no octet are zero */
	for (size_t i = count; i < 3; i++)
		if (octets[i] != 0)
			return 0;
	return count;
}

bool text_base64_decode(struct buffer *out, const char *text, size_t length)
{
	size_t start = out->length;

	if (length % 4 != 0 || !buffer_reserve(out, 0))
		return false;
	for (size_t i = 0; i < length; i += 4) {
		unsigned char octets[3];
		size_t count = decode_quad(text + i, i + 4 == length, octets);

		if (count == 0 || !buffer_append(out, octets, count)) {
			out->length = start;
			out->data[start] = '\0';
			return false;
		}
	}
	return true;
}

void text_hex(const unsigned char *bytes, size_t length, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < length; i++) {
		*out++ = digits[bytes[i] >> 4];
		*out++ = digits[bytes[i] & 15];
	}
	*out = '\0';
}
