/*
 * log_line.c - one event as one line of logfmt or JSON: pure functions.
 *
 * Promises that whatever the value (line ends, controls, octets that are not
 * UTF-8) the line is one line, and that logfmt and JSON escape alike.  false =
 * the buffer is full.
 */
#include "common/log_line.h"

#include <inttypes.h>
#include <string.h>

#include "common/clock.h"
#include "common/text.h"

static const char *const level_names[] = {
	[LOG_DEBUG] = "debug",
	[LOG_INFO] = "info",
	[LOG_WARNING] = "warning",
	[LOG_ERROR] = "error",
};

static bool must_be_escaped(uint32_t code_point)
{
	return code_point == '"' || code_point == '\\' || text_is_control(code_point);
}

/* logfmt: what can stand without quotes is not empty and has nothing that splits or is escaped. */
static bool can_stand_bare(const char *value, size_t length)
{
	for (size_t offset = 0; offset < length;) {
		uint32_t code_point = (unsigned char)value[offset];
		size_t octets = 1;

		if (code_point >= 0x80)
			octets = text_utf8_next(value + offset, length - offset, &code_point);
		if (octets == 0 || code_point == ' ' || code_point == '=' || must_be_escaped(code_point))
			return false;
		offset += octets;
	}
	return length > 0;
}

/* RFC 8259 section 7; all that must be escaped lies in the basic plane. */
static bool append_escaped(struct buffer *line, uint32_t code_point)
{
	switch (code_point) {
	case '"': return buffer_append_text(line, "\\\"");
	case '\\': return buffer_append_text(line, "\\\\");
	case '\n': return buffer_append_text(line, "\\n");
	case '\r': return buffer_append_text(line, "\\r");
	case '\t': return buffer_append_text(line, "\\t");
	default: return buffer_printf(line, "\\u%04" PRIx32, code_point);
	}
}

static bool append_quoted(struct buffer *line, const char *value, size_t length)
{
	bool fits = buffer_append_char(line, '"');

	for (size_t offset = 0; fits && offset < length;) {
		uint32_t code_point;
		size_t octets = text_utf8_next(value + offset, length - offset, &code_point);

		if (octets == 0) {
			fits = buffer_append_text(line, "\xef\xbf\xbd"); /* U+FFFD */
			octets = 1;
		} else if (must_be_escaped(code_point)) {
			fits = append_escaped(line, code_point);
		} else {
			fits = buffer_append(line, value + offset, octets);
		}
		offset += octets;
	}
	return fits && buffer_append_char(line, '"');
}

static bool append_key(struct buffer *line, bool json, const char *key)
{
	return buffer_append_text(line, json ? ",\"" : " ") && buffer_append_text(line, key) &&
	       buffer_append_text(line, json ? "\":" : "=");
}

bool log_line_begin(struct buffer *line, bool json, int64_t wall_ms, enum log_level level, const char *event)
{
	char time[CLOCK_TEXT_BYTES];

	clock_format_utc(wall_ms, time);
	if (json)
		return buffer_printf(line, "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"", time,
		                     level_names[level], event);
	return buffer_append_text(line, time) && buffer_append_text(line, " level=") &&
	       buffer_append_text(line, level_names[level]) && buffer_append_text(line, " event=") &&
	       buffer_append_text(line, event);
}

bool log_line_text(struct buffer *line, bool json, const char *key, const char *value)
{
	size_t length = strlen(value);

	length = text_cut(value, length, LOG_LINE_VALUE_BYTES);
	if (!append_key(line, json, key))
		return false;
	if (!json && can_stand_bare(value, length))
		return buffer_append(line, value, length);
	return append_quoted(line, value, length);
}

/* In decimal, of at least so many digits. */
static bool append_whole(struct buffer *line, uint64_t value, int digits)
{
	char text[20];
	size_t at = sizeof(text);

	for (; value > 0 || digits > 0; value /= 10, digits--)
		text[--at] = (char)('0' + value % 10);
	return buffer_append(line, text + at, sizeof(text) - at);
}

static bool append_sign(struct buffer *line, int64_t value)
{
	return value >= 0 || buffer_append_char(line, '-');
}

static uint64_t size_of(int64_t value)
{
	return value < 0 ? -(uint64_t)value : (uint64_t)value;
}

bool log_line_number(struct buffer *line, bool json, const char *key, int64_t value)
{
	return append_key(line, json, key) && append_sign(line, value) &&
	       append_whole(line, size_of(value), 1);
}

bool log_line_seconds(struct buffer *line, bool json, const char *key, int64_t ms)
{
	uint64_t size = size_of(ms);

	return append_key(line, json, key) && append_sign(line, ms) && append_whole(line, size / 1000, 1) &&
	       buffer_append_char(line, '.') && append_whole(line, size % 1000, 3);
}

bool log_line_end(struct buffer *line, bool json)
{
	return buffer_append_text(line, json ? "}\n" : "\n");
}
