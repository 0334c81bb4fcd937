/*
 * extra_value.c - what the fields of the column headers may say.
 *
 * Promises: no control character but TAB, UTF-8, words that fit in a line;
 * dates and ids as RFC 5322 3.3 and 3.6.4 write them, without what is obsolete.
 * Fails with ERROR_INVALID and words that name the place.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/text.h"
#include "mime/address_scan.h"
#include "mime/extra.h"
#include "mime/media.h"

static enum error fail(const struct address_scan *scan, const char *what)
{
	words_set(scan->words, "%s: %s", scan->column, what);
	return ERROR_INVALID;
}

/* Words, each with the white space before it, fit in a line; encoded-words are cut as they need. */
static enum error check_words(const struct address_scan *scan)
{
	size_t start = 0;
	bool in_word = false;

	for (size_t i = 0; i < scan->length; i++) {
		bool space = scan->text[i] == ' ' || scan->text[i] == '\t';

		if (space && in_word)
			start = i;
		in_word = !space;
		if (i - start >= EXTRA_WORD_MAX)
			return scan_fail(scan, start, "a word of more than %d octets cannot be folded",
			                 EXTRA_WORD_MAX);
	}
	return OK;
}

static enum error check_ascii(const struct address_scan *scan)
{
	for (size_t i = 0; i < scan->length; i++) {
		if ((unsigned char)scan->text[i] >= 0x80)
			return scan_fail(scan, i, "only ASCII is allowed in this field");
	}
	return OK;
}

static enum error check_ids(struct address_scan *scan)
{
	while (scan->at < scan->length) {
		size_t start = scan->at;

		if (scan_peek(scan) != '<')
			return scan_fail(scan, start, "an id in '<>' is expected here");
		do
			scan->at++;
		while (scan_peek(scan) > ' ' && scan_peek(scan) != '<' && scan_peek(scan) != '>');
		if (scan_peek(scan) != '>')
			return scan_fail(scan, start, "the id that begins here has no '>'");
		if (scan->at == start + 1)
			return scan_fail(scan, start, "there is nothing between '<' and '>'");
		scan->at++;
		while (scan_peek(scan) == ' ' || scan_peek(scan) == '\t')
			scan->at++;
	}
	return OK;
}

/* The one that other messages refer to: nothing but <left@right>. */
static enum error check_message_id(const struct address_scan *scan)
{
	char *inner;
	enum error error;

	if (scan->length < 2 || scan->text[0] != '<' || scan->text[scan->length - 1] != '>' ||
	    !memchr(scan->text, '@', scan->length))
		return fail(scan, "'<left@right>' is expected");
	inner = memory_strndup(scan->text + 1, scan->length - 2);
	error = content_id_check(scan->column, inner, scan->words);
	free(inner);
	return error;
}

/* A number of so many digits at *at. */
static bool read_number(const char **at, int least, int most, int *number)
{
	int digits = 0;

	*number = 0;
	for (; digits < most && **at >= '0' && **at <= '9'; digits++, (*at)++)
		*number = *number * 10 + (**at - '0');
	return digits >= least;
}

/* One of the names, each of three letters; *index is its place in them. */
static bool read_word(const char **at, const char *names, int *index)
{
	for (*index = 0; names[3 * *index]; (*index)++) {
		if (strncmp(*at, names + 3 * *index, 3) == 0) {
			*at += 3;
			return true;
		}
	}
	return false;
}

static bool skip(const char **at, char c)
{
	if (**at != c)
		return false;
	(*at)++;
	return true;
}

static bool read_zone(const char **at)
{
	int zone;

	if (!skip(at, '+') && !skip(at, '-'))
		return false;
	return read_number(at, 4, 4, &zone) && zone % 100 < 60;
}

/* RFC 5322 3.3: "[Tue, ]25 Nov 2025 03:05[:00] +0000", and the day is that of the date. */
static bool is_date(const char *at)
{
	struct tm tm = { .tm_isdst = 0 };
	struct tm real;
	time_t seconds;
	int weekday = -1;

	if (read_word(&at, "SunMonTueWedThuFriSat", &weekday) ? !skip(&at, ',') || !skip(&at, ' ')
	                                                      : (weekday = -1, false))
		return false;
	if (!read_number(&at, 1, 2, &tm.tm_mday) || !skip(&at, ' ') ||
	    !read_word(&at, "JanFebMarAprMayJunJulAugSepOctNovDec", &tm.tm_mon) || !skip(&at, ' ') ||
	    !read_number(&at, 4, 4, &tm.tm_year) || !skip(&at, ' ') || !read_number(&at, 2, 2, &tm.tm_hour) ||
	    !skip(&at, ':') || !read_number(&at, 2, 2, &tm.tm_min))
		return false;
	if (skip(&at, ':') && !read_number(&at, 2, 2, &tm.tm_sec))
		return false;
	if (!skip(&at, ' ') || !read_zone(&at) || *at)
		return false;
	if (tm.tm_year < 1900 || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return false;
	tm.tm_year -= 1900;
	real = tm;
	real.tm_hour = real.tm_min = real.tm_sec = 0;
	seconds = timegm(&real);
	return gmtime_r(&seconds, &real) && real.tm_mday == tm.tm_mday && real.tm_mon == tm.tm_mon &&
	       (weekday < 0 || weekday == real.tm_wday);
}

static enum error check_sender(const struct address_scan *scan, struct address_list *list)
{
	enum error error;

	list->items = memory_alloc(sizeof(list->items[0]));
	error = address_parse_one(scan->column, scan->text, scan->length, list->items, scan->words);
	if (!error)
		list->count = 1;
	return error;
}

static enum error check_kind(struct address_scan *scan, struct extra_field *field)
{
	enum error error;

	switch (field->kind) {
	case EXTRA_TEXT: return text_is_ascii(scan->text, scan->length) ? check_words(scan) : OK;
	case EXTRA_PHRASES: return text_is_ascii(scan->text, scan->length) ? check_words(scan) : OK;
	case EXTRA_ADDRESSES:
		return address_list_parse(scan->column, scan->text, scan->length, &field->addresses,
		                          scan->words);
	case EXTRA_SENDER: return check_sender(scan, &field->addresses);
	case EXTRA_DATE:
		return is_date(scan->text)
		               ? OK
		               : fail(scan, "a date is expected, as in Tue, 25 Nov 2025 03:05:00 +0000");
	case EXTRA_PLAIN:
	case EXTRA_IDS:
	case EXTRA_MESSAGE_ID: break;
	}
	error = check_ascii(scan);
	if (!error)
		error = check_words(scan);
	if (!error && field->kind == EXTRA_IDS)
		error = check_ids(scan);
	if (!error && field->kind == EXTRA_MESSAGE_ID)
		error = check_message_id(scan);
	return error;
}

enum error extra_check_value(const char *place, struct extra_field *field, struct words *words)
{
	struct address_scan scan = {
		.column = place, .text = field->value, .length = strlen(field->value), .words = words
	};
	enum error error;

	if (scan.length == 0)
		return fail(&scan, "there is no value behind ':'");
	error = scan_check_text(&scan);
	return error ? error : check_kind(&scan, field);
}
