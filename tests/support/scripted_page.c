/*
 * scripted_page.c - see scripted_page.h. Fails with a reason on stderr.
 */
#include "tests/support/scripted_page.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROMISE "# promise: "

static char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	size_t length = strlen(name);

	if (length > 5 && strcmp(name + length - 5, ".smtp") == 0)
		length -= 5;
	return memory_strndup(name, length);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

void page_unescape(struct buffer *out, const char *text)
{
	static const char letters[] = "rnt0\\", octets[] = "\r\n\t\0\\";

	for (; *text; text++) {
		const char *letter = text[0] == '\\' && text[1] ? strchr(letters, text[1]) : NULL;

		if (letter) {
			buffer_append_char(out, octets[letter - letters]);
			text++;
		} else if (text[0] == '\\' && text[1] == 'x' && hex_digit(text[2]) >= 0 &&
		           hex_digit(text[3]) >= 0) {
			buffer_append_char(out, (char)(hex_digit(text[2]) * 16 + hex_digit(text[3])));
			text += 3;
		} else {
			buffer_append_char(out, *text);
		}
	}
}

const char *page_word(const char *rest, char *word, size_t size)
{
	size_t length;

	rest += strspn(rest, " ");
	length = strcspn(rest, " ");
	if (length == 0 || length >= size)
		return NULL;
	memcpy(word, rest, length);
	word[length] = '\0';
	rest += length;
	return rest + strspn(rest, " ");
}

/* Takes a line into the page; place is where in it we are: part and index. */
static void take_line(struct page *page, const char *text, int number, struct page_line *place)
{
	size_t word = strcspn(text, " ");
	struct page_line *line;

	if (text[0] == '#' || text[0] == '\0')
		return;
	if (strcmp(text, "connection") == 0) {
		place->part = PAGE_SERVER;
		place->index = ++page->connections;
		return;
	}
	if (word == 6 && strncmp(text, "expect", word) == 0) {
		place->part = PAGE_EXPECT;
		place->index = atoi(text + word);
		return;
	}
	page->lines = memory_resize(page->lines, (page->count + 1) * sizeof(*page->lines));
	line = &page->lines[page->count++];
	*line = *place;
	line->number = number;
	line->word = memory_strndup(text, word);
	line->rest = memory_strdup(text[word] ? text + word + 1 : "");
}

bool page_read(const char *path, struct page *page)
{
	FILE *file = fopen(path, "r");
	struct page_line place = { .part = PAGE_CLIENT };
	char *text = NULL;
	size_t capacity = 0;
	ssize_t length;
	int number = 0;
	bool good;

	*page = (struct page){ .name = base_name(path) };
	if (!file) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return false;
	}
	good = true;
	while ((length = getline(&text, &capacity, file)) >= 0) {
		if (length > 0 && text[length - 1] == '\n')
			text[length - 1] = '\0';
		if (++number == 1)
			good = strncmp(text, PROMISE, strlen(PROMISE)) == 0 &&
			       strcmp(text + strlen(PROMISE), page->name) == 0;
		take_line(page, text, number, &place);
	}
	free(text);
	fclose(file);
	if (!good || number == 0)
		fprintf(stderr, "%s:1: not \"" PROMISE "%s\"\n", path, page->name);
	return good && number > 0;
}

bool page_has(const struct page *page, const char *word)
{
	for (size_t i = 0; i < page->count; i++)
		if (strcmp(page->lines[i].word, word) == 0)
			return true;
	return false;
}

void page_fini(struct page *page)
{
	for (size_t i = 0; i < page->count; i++) {
		free(page->lines[i].word);
		free(page->lines[i].rest);
	}
	free(page->lines);
	free(page->name);
	*page = (struct page){ 0 };
}
