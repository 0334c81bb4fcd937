/*
 * table.c - rows for people or for programs.
 *
 * Promises: one row is one line and one value cannot look like two; JSON is one
 * document, an array of objects with the columns' names, also if it is empty.
 */
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "cli/table.h"
#include "common/clock.h"
#include "common/text.h"

#define CELL_BYTES 65536
#define GAP        2

struct table {
	FILE *out;
	const struct table_column *columns;
	size_t column_count;
	size_t *widths; /* of the first page */
	bool json;
	bool begun;   /* heading, or "[", is written */
	char **cells; /* column_count a row; with json one a row */
	size_t cell_count, cell_room;
};

struct table *table_create(FILE *out, const struct table_column *columns, bool json)
{
	struct table *table = memory_alloc(sizeof *table);

	table->out = out;
	table->columns = columns;
	table->json = json;
	while (columns[table->column_count].name)
		table->column_count++;
	table->widths = memory_alloc((table->column_count + 1) * sizeof *table->widths);
	for (size_t i = 0; i < table->column_count; i++)
		table->widths[i] = table_width(columns[i].heading);
	return table;
}

size_t table_width(const char *text)
{
	size_t length = strlen(text), width = 0, octets;
	uint32_t code_point;

	for (; length > 0; text += octets, length -= octets) {
		int columns;

		octets = text_utf8_next(text, length, &code_point);
		columns = octets ? wcwidth((wchar_t)code_point) : 1;
		if (!octets)
			octets = 1;
		width += columns < 0 ? 1 : (size_t)columns;
	}
	return width;
}

/* Cuts text to so many columns, in place (it has room for the ellipsis: what goes is not shorter). */
static char *cut(char *text, size_t widest)
{
	size_t width = 0, at = 0, length = strlen(text), octets;
	uint32_t code_point;
	struct buffer out;

	if (widest == 0 || table_width(text) <= widest)
		return text;
	while (at < length && (octets = text_utf8_next(text + at, length - at, &code_point)) > 0) {
		int columns = wcwidth((wchar_t)code_point);

		width += columns < 0 ? 1 : (size_t)columns;
		if (width > widest - 1)
			break;
		at += octets;
	}
	buffer_init(&out, length + 8);
	(void)buffer_append(&out, text, at);
	(void)buffer_append_text(&out, "…");
	free(text);
	return buffer_take(&out);
}

void table_when(int64_t at, int64_t now, char text[TABLE_WHEN_BYTES])
{
	static const struct {
		int64_t below, unit;
		const char *name;
	} scale[] = {
		{ 120, 1, "s" },
		{ 120 * 60, 60, "min" },
		{ 48 * 3600, 3600, "h" },
		{ INT64_MAX, 86400, "d" },
	};
	bool past = at < now;
	/* a row may hold any number */
	uint64_t distance = past ? (uint64_t)now - (uint64_t)at : (uint64_t)at - (uint64_t)now;
	size_t i = 0;

	if (distance == 0) {
		(void)snprintf(text, TABLE_WHEN_BYTES, "now");
		return;
	}
	while (i < 3 && distance >= (uint64_t)scale[i].below)
		i++;
	(void)snprintf(text, TABLE_WHEN_BYTES, "%s%llu %s%s", past ? "" : "in ",
	               (unsigned long long)(distance / (uint64_t)scale[i].unit), scale[i].name,
	               past ? " ago" : "");
}

static char *cell_text(const struct table_column *column, const struct admin_value *value)
{
	char text[TABLE_WHEN_BYTES];

	if (!value || value->type == ADMIN_NULL)
		return memory_strdup("-");
	if (value->type == ADMIN_TEXT)
		return cut(text_clean(value->text, value->length, CELL_BYTES), (size_t)column->widest);
	if (column->kind == TABLE_WHEN)
		table_when(value->integer, clock_wall_s(), text);
	else
		(void)snprintf(text, sizeof text, "%lld", (long long)value->integer);
	return memory_strdup(text);
}

static const struct admin_value *find_value(const struct admin_value *values, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(values[i].name, name) == 0)
			return &values[i];
	return NULL;
}

static void add_cell(struct table *table, char *cell)
{
	if (table->cell_count == table->cell_room) {
		table->cell_room = table->cell_room ? 2 * table->cell_room : 64;
		table->cells = memory_resize(table->cells, table->cell_room * sizeof *table->cells);
	}
	table->cells[table->cell_count++] = cell;
}

void table_row(void *context, const struct admin_value *values, size_t count)
{
	struct table *table = context;

	if (table->json) {
		json_t *object = table_json(values, count);

		add_cell(table, json_dumps(object, JSON_COMPACT));
		json_decref(object);
		return;
	}
	for (size_t i = 0; i < table->column_count; i++) {
		const struct table_column *column = &table->columns[i];

		add_cell(table, cell_text(column, find_value(values, count, column->name)));
	}
}

/* Invalid UTF-8, which JSON cannot carry, becomes U+FFFD; all else stays. */
static json_t *json_text(const char *text, size_t length)
{
	struct buffer out;
	json_t *made;

	if (text_utf8_valid(text, length) == length)
		return json_stringn(text, length);
	buffer_init(&out, 3 * length + 1);
	for (size_t at = 0; at < length;) {
		size_t good = text_utf8_valid(text + at, length - at);

		(void)buffer_append(&out, text + at, good);
		at += good;
		if (at < length) {
			(void)buffer_append_text(&out, "\xef\xbf\xbd");
			at++;
		}
	}
	made = json_stringn(out.data, out.length);
	buffer_fini(&out);
	return made;
}

json_t *table_json(const struct admin_value *values, size_t count)
{
	json_t *object = json_object();

	for (size_t i = 0; i < count; i++) {
		json_t *value;

		switch (values[i].type) {
		case ADMIN_INTEGER: value = json_integer(values[i].integer); break;
		case ADMIN_TEXT: value = json_text(values[i].text, values[i].length); break;
		case ADMIN_NULL:
		default: value = json_null(); break;
		}
		(void)json_object_set_new(object, values[i].name, value);
	}
	return object;
}

static void print_cell(struct table *table, size_t column, const char *text)
{
	int pad = (int)table->widths[column] - (int)table_width(text);
	bool last = column + 1 == table->column_count;

	if (pad < 0)
		pad = 0;
	if (table->columns[column].kind == TABLE_NUMBER)
		(void)fprintf(table->out, "%*s%s%*s", pad, "", text, last ? 0 : GAP, "");
	else
		(void)fprintf(table->out, "%s%*s", text, last ? 0 : pad + GAP, "");
	if (last)
		(void)fputc('\n', table->out);
}

static void begin_table(struct table *table)
{
	for (size_t i = 0; i < table->cell_count; i++) {
		size_t width = table_width(table->cells[i]);

		if (width > table->widths[i % table->column_count])
			table->widths[i % table->column_count] = width;
	}
	for (size_t i = 0; i < table->column_count; i++)
		print_cell(table, i, table->columns[i].heading);
}

void table_flush(struct table *table)
{
	if (!table->begun && !table->json)
		begin_table(table);
	for (size_t i = 0; i < table->cell_count; i++) {
		if (table->json)
			(void)fprintf(table->out, "%s\n%s", table->begun || i > 0 ? "," : "[",
			              table->cells[i]);
		else
			print_cell(table, i % table->column_count, table->cells[i]);
		free(table->cells[i]);
	}
	/* in JSON an empty page leaves the bracket to the next one */
	table->begun = table->begun || !table->json || table->cell_count > 0;
	table->cell_count = 0;
}

void table_end(struct table **table)
{
	struct table *old = *table;

	table_flush(old);
	if (old->json)
		(void)fprintf(old->out, "%s\n]\n", old->begun ? "" : "[");
	table_drop(table);
}

void table_drop(struct table **table)
{
	struct table *old = *table;

	for (size_t i = 0; i < old->cell_count; i++)
		free(old->cells[i]);
	free(old->cells);
	free(old->widths);
	free(old);
	*table = NULL;
}

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text);

	return length >= strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

static void field_text(struct buffer *out, const struct admin_value *value)
{
	char when[CLOCK_TEXT_BYTES];
	bool milliseconds = ends_with(value->name, "_ms");

	if (value->type == ADMIN_TEXT) {
		char *clean = text_clean(value->text, value->length, CELL_BYTES);

		(void)buffer_append_text(out, clean);
		free(clean);
		return;
	}
	if (!milliseconds && !ends_with(value->name, "_at") && strcmp(value->name, "not_before") != 0) {
		(void)buffer_printf(out, "%lld", (long long)value->integer);
		return;
	}
	/* beyond the year 9999 it is no time */
	if (value->integer < 0 ||
	    value->integer > (milliseconds ? INT64_C(253402300799000) : INT64_C(253402300799))) {
		(void)buffer_printf(out, "%lld", (long long)value->integer);
		return;
	}
	clock_format_utc(milliseconds ? value->integer : value->integer * 1000, when);
	(void)buffer_append_text(out, when);
}

void table_fields(struct buffer *out, const struct admin_value *values, size_t count)
{
	size_t widest = 0;

	for (size_t i = 0; i < count; i++)
		if (values[i].type != ADMIN_NULL && strlen(values[i].name) > widest)
			widest = strlen(values[i].name);
	for (size_t i = 0; i < count; i++) {
		if (values[i].type == ADMIN_NULL)
			continue;
		(void)buffer_printf(out, "%-*s  ", (int)widest, values[i].name);
		field_text(out, &values[i]);
		(void)buffer_append_char(out, '\n');
	}
}
