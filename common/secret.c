/*
 * secret.c - the only type that holds a password or a token.
 *
 * Promises that no copy of a secret outlives it in memory of ours: what is
 * given back to the allocator has been wiped.  A mask covers every occurrence,
 * overlapping ones too, before anything is moved.  false = too long.
 */
#include "common/secret.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/secret_memory.h"
#include "common/text.h"

#define MASK        "***"
#define SHORT_BYTES 4 /* shorter ones occur in ordinary words */

bool secret_set(struct secret *secret, const void *bytes, size_t length)
{
	unsigned char *copy;

	if (length > SECRET_MAX_BYTES)
		return false;
	copy = secret_memory_take(length + 1);
	if (length > 0)
		memcpy(copy, bytes, length);
	secret_wipe(secret);
	secret->bytes = copy;
	secret->length = length;
	return true;
}

void secret_make(struct secret *secret, size_t length)
{
	assert(length <= SECRET_MAX_BYTES);
	secret_wipe(secret);
	secret->bytes = secret_memory_take(length + 1);
	secret->length = length;
}

bool secret_copy(struct secret *to, const struct secret *from)
{
	if (!secret_is_set(from)) {
		secret_wipe(to);
		return true;
	}
	return secret_set(to, from->bytes, from->length);
}

enum error secret_read(int fd, size_t limit_bytes, struct secret *secret)
{
	unsigned char *bytes = secret_memory_take(limit_bytes + 1), *copy;
	size_t length = 0;
	ssize_t got = 1;
	int errno_value;

	while (length <= limit_bytes && got != 0) {
		got = read(fd, bytes + length, limit_bytes + 1 - length);
		if (got > 0)
			length += (size_t)got;
		else if (got < 0 && errno != EINTR)
			break;
	}
	errno_value = errno;
	if (got >= 0 && length <= limit_bytes) {
		copy = secret_memory_take(length + 1);
		memcpy(copy, bytes, length);
		secret_wipe(secret);
		*secret = (struct secret){ copy, length };
	}
	secret_memory_give(bytes, limit_bytes + 1);
	errno = errno_value;
	return got < 0 ? ERROR_SYSTEM : length > limit_bytes ? ERROR_LIMIT : OK;
}

void secret_wipe(struct secret *secret)
{
	secret_memory_give(secret->bytes, secret->length + 1);
	*secret = (struct secret){ 0 };
}

static bool is_alphanumeric(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_word(char c)
{
	return is_alphanumeric(c) || (unsigned char)c >= 0x80;
}

/* RFC 4648 sections 4 and 5: one value has two spellings. */
static char same_digit(char c)
{
	return c == '-' ? '+' : c == '_' ? '/' : c;
}

static bool is_base64(char c)
{
	return is_alphanumeric(c) || same_digit(c) == '+' || same_digit(c) == '/';
}

static bool same_base64(const char *text, const char *pattern, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (same_digit(text[i]) != pattern[i])
			return false;
	return true;
}

struct masking {
	const char *text;
	size_t length;
	bool *covered; /* one for each octet of text */
};

static void cover(struct masking *masking, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		masking->covered[i] = true;
}

static void cover_plain(struct masking *masking, const struct secret *secret)
{
	bool alone = secret->length < SHORT_BYTES;

	for (size_t at = 0; at + secret->length <= masking->length; at++) {
		size_t end = at + secret->length;

		if (memcmp(masking->text + at, secret->bytes, secret->length) != 0)
			continue;
		if (alone && ((at > 0 && is_word(masking->text[at - 1])) || is_word(masking->text[end])))
			continue;
		cover(masking, at, end);
	}
}

/*
 * A digit of base64 holds 6 bits: behind `before` octets (0 to 2) of something
 * else, those that hold nothing but the secret's bits are the pattern; the ones
 * at its edges, which hold a few of them, are covered with it.
 */
static void cover_base64(struct masking *masking, const struct secret *secret, size_t before)
{
	size_t total = before + secret->length;
	size_t first = (before * 8 + 5) / 6, end = total * 8 / 6;
	unsigned char *octets = memory_alloc(total);
	struct buffer encoded;

	memcpy(octets + before, secret->bytes, secret->length);
	buffer_init(&encoded, SECRET_MAX_BYTES * 2);
	if (!text_base64_encode(&encoded, octets, total))
		abort(); /* the limit is above what the largest secret needs */
	for (size_t at = 0; at + (end - first) <= masking->length; at++) {
		size_t from = at, to = at + (end - first);

		if (!same_base64(masking->text + at, encoded.data + first, end - first))
			continue;
		if (before > 0 && from > 0 && is_base64(masking->text[from - 1]))
			from--;
		if (total * 8 % 6 != 0 && is_base64(masking->text[to]))
			to++;
		cover(masking, from, to);
	}
	explicit_bzero(octets, total);
	explicit_bzero(encoded.data, encoded.length);
	free(octets);
	buffer_fini(&encoded);
}

/* A short secret is looked for as a whole encoding that stands alone. */
static void cover_short_base64(struct masking *masking, const struct secret *secret)
{
	struct buffer encoded;
	size_t length;

	buffer_init(&encoded, 2 * SHORT_BYTES);
	if (!text_base64_encode(&encoded, secret->bytes, secret->length))
		abort(); /* three octets are four digits */
	length = secret->length * 8 / 6 + (secret->length * 8 % 6 != 0);
	for (size_t at = 0; at + length <= masking->length; at++) {
		if (!same_base64(masking->text + at, encoded.data, length))
			continue;
		if ((at > 0 && is_base64(masking->text[at - 1])) || is_base64(masking->text[at + length]))
			continue;
		cover(masking, at, at + length);
	}
	explicit_bzero(encoded.data, encoded.length);
	buffer_fini(&encoded);
}

/* Puts the mask in place of each run that is covered; never longer than the run. */
static void replace_covered(char *text, size_t length, const bool *covered)
{
	size_t to = 0;

	for (size_t from = 0; from < length;) {
		size_t run = 0;

		while (from + run < length && covered[from + run])
			run++;
		if (run == 0) {
			text[to++] = text[from++];
			continue;
		}
		for (size_t i = 0; i < run && i < strlen(MASK); i++)
			text[to++] = MASK[i];
		from += run;
	}
	text[to] = '\0';
}

void secret_mask(const struct secret *secret, char *text)
{
	struct masking masking = { .text = text, .length = strlen(text) };

	/* a text that is shorter has it in no spelling: most replies cost nothing, however long a token is */
	if (secret->length == 0 || masking.length < secret->length)
		return;
	masking.covered = memory_alloc(masking.length * sizeof(bool));
	cover_plain(&masking, secret);
	if (secret->length < SHORT_BYTES)
		cover_short_base64(&masking, secret);
	else
		for (size_t before = 0; before < 3; before++)
			cover_base64(&masking, secret, before);
	replace_covered(text, masking.length, masking.covered);
	free(masking.covered);
}
