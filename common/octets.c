/*
 * octets.c - how far octets go on that need no look of their own. See octets.h.
 *
 * A word of eight is passed over when none of its octets can be meant; where one may be, they are looked
 * at one by one. Nothing outside of bytes[0..length) is read.
 */
#include "common/octets.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define EACH(octet) (UINT64_C(0x0101010101010101) * (octet))
#define TOP_BITS    EACH(0x80)

static uint64_t word_at(const char *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	return word;
}

/* Whether an octet of the word is below limit (128 at most). */
static bool has_below(uint64_t word, unsigned limit)
{
	return ((word - EACH(limit)) & ~word & TOP_BITS) != 0;
}

/* Whether one is DEL or above; a carry comes only out of an octet that is. */
static bool has_above_tilde(uint64_t word)
{
	return ((word | (word + EACH(1))) & TOP_BITS) != 0;
}

size_t octets_of_line(const char *bytes, size_t length)
{
	size_t run = 0;

	for (;;) {
		size_t look;

		while (length - run >= sizeof(uint64_t) && !has_below(word_at(bytes + run), '\r' + 1))
			run += sizeof(uint64_t);
		look = length - run < sizeof(uint64_t) ? length - run : sizeof(uint64_t);
		for (size_t i = 0; i < look; i++, run++)
			if (bytes[run] == '\n' || bytes[run] == '\r' || bytes[run] == '\0')
				return run;
		if (run == length)
			return run;
	}
}

size_t octets_printable(const char *bytes, size_t length)
{
	size_t run = 0;

	while (length - run >= sizeof(uint64_t)) {
		uint64_t word = word_at(bytes + run);

		if (has_below(word, ' ') || has_above_tilde(word))
			break;
		run += sizeof(uint64_t);
	}
	while (run < length && bytes[run] >= ' ' && bytes[run] <= '~')
		run++;
	return run;
}
