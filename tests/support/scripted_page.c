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

/* --- each ----------------------------------------------------------------------------- */

#define EACH_MAX 4

/* The names that stand for something in one variant of a page. */
struct names {
	int left; /* what is left of the variant's number */
	int count;
	char *name[EACH_MAX], *value[EACH_MAX];
};

static const char *next_value(const char *at, size_t *length)
{
	const char *bar = strstr(at, " | ");

	*length = bar ? (size_t)(bar - at) : strlen(at);
	return bar ? bar + strlen(" | ") : NULL;
}

/* "NAME A | B | C": the name stands for one of them. */
static bool take_each(struct page *page, struct names *names, const char *rest)
{
	const char *at = rest + strcspn(rest, " "), *value = at + strspn(at, " ");
	size_t length;
	int count = 0, wanted;

	if (names->count == EACH_MAX || at == rest || !*value)
		return false;
	for (const char *next = value; next; count++)
		next = next_value(next, &length);
	wanted = names->left % count;
	names->left /= count;
	page->variants *= count;
	at = value;
	while (wanted-- > 0)
		at = next_value(at, &length);
	next_value(at, &length);
	names->name[names->count] = memory_strndup(rest, strcspn(rest, " "));
	names->value[names->count++] = memory_strndup(at, length);
	return true;
}

/* The line with each $NAME replaced, to be freed. */
static char *put_names(const struct names *names, const char *text)
{
	struct buffer out;

	buffer_init(&out, 1 << 20);
	buffer_append_text(&out, "");
	while (*text) {
		int found = names->count;

		for (int i = 0; *text == '$' && i < names->count; i++)
			if (strncmp(text + 1, names->name[i], strlen(names->name[i])) == 0)
				found = i;
		if (found < names->count) {
			buffer_append_text(&out, names->value[found]);
			text += 1 + strlen(names->name[found]);
		} else {
			buffer_append_char(&out, *text++);
		}
	}
	return buffer_take(&out);
}

static char *join_values(struct names *names)
{
	struct buffer joined;

	buffer_init(&joined, 1 << 20);
	buffer_append_text(&joined, "");
	for (int i = 0; i < names->count; i++) {
		buffer_printf(&joined, "%s%s", i > 0 ? ", " : "", names->value[i]);
		free(names->name[i]);
		free(names->value[i]);
	}
	return buffer_take(&joined);
}

/* --- lines ----------------------------------------------------------------------------- */

/* Takes a line into the page; place is where in it we are: part and index. */
static void take_line(struct page *page, const char *text, struct page_line *place)
{
	size_t word = strcspn(text, " ");
	struct page_line *line;

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
	line->word = memory_strndup(text, word);
	line->rest = memory_strdup(text[word] ? text + word + 1 : "");
}

static bool read_lines(FILE *file, struct page *page, struct names *names)
{
	struct page_line place = { .part = PAGE_CLIENT };
	char *text = NULL;
	size_t capacity = 0;
	ssize_t length;
	bool good = true;

	while ((length = getline(&text, &capacity, file)) >= 0) {
		char *line;

		if (length > 0 && text[length - 1] == '\n')
			text[length - 1] = '\0';
		if (++place.number == 1)
			good = strncmp(text, PROMISE, strlen(PROMISE)) == 0 &&
			       strcmp(text + strlen(PROMISE), page->name) == 0;
		if (text[0] == '#' || text[0] == '\0')
			continue;
		line = put_names(names, text);
		if (strncmp(line, "each ", 5) != 0)
			take_line(page, line, &place);
		else if (!take_each(page, names, line + 5))
			good = false;
		free(line);
	}
	free(text);
	return good && place.number > 0;
}

bool page_read(const char *path, int variant, struct page *page)
{
	FILE *file = fopen(path, "r");
	struct names names = { .left = variant };
	bool good;

	*page = (struct page){ .name = base_name(path), .variants = 1 };
	if (!file) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return false;
	}
	good = read_lines(file, page, &names);
	fclose(file);
	page->variant = join_values(&names);
	if (!good)
		fprintf(stderr, "%s: not a page, or not \"" PROMISE "%s\"\n", path, page->name);
	return good;
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
	free(page->variant);
	*page = (struct page){ 0 };
}
