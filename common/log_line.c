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
		uint32_t code_point;
		size_t octets = text_utf8_next(value + offset, length - offset, &code_point);

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
	return json ? buffer_printf(line, ",\"%s\":", key) : buffer_printf(line, " %s=", key);
}

bool log_line_begin(struct buffer *line, bool json, int64_t wall_ms, enum log_level level, const char *event)
{
	char time[CLOCK_TEXT_BYTES];

	clock_format_utc(wall_ms, time);
	return buffer_printf(
		line, json ? "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"" : "%s level=%s event=%s",
		time, level_names[level], event);
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

bool log_line_number(struct buffer *line, bool json, const char *key, int64_t value)
{
	return append_key(line, json, key) && buffer_printf(line, "%" PRId64, value);
}

bool log_line_seconds(struct buffer *line, bool json, const char *key, int64_t ms)
{
	uint64_t size = ms < 0 ? -(uint64_t)ms : (uint64_t)ms;

	return append_key(line, json, key) &&
	       buffer_printf(line, "%s%" PRIu64 ".%03" PRIu64, ms < 0 ? "-" : "", size / 1000, size % 1000);
}

bool log_line_end(struct buffer *line, bool json)
{
	return buffer_append_text(line, json ? "}\n" : "\n");
}
