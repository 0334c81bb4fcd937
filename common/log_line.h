/*
 * log_line.h - one event as one line of logfmt or JSON: pure functions.
 *
 * Part of the log, for log.c alone. Appends to a buffer; false if that is at its
 * limit, and then the line is of no use. Any thread; does not block.
 */
#ifndef OUTBOXD_COMMON_LOG_LINE_H
#define OUTBOXD_COMMON_LOG_LINE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/log.h"

/* Longer values are cut between characters. */
#define LOG_LINE_VALUE_BYTES 8192

/* "2026-11-22T12:00:00.123Z level=info event=daemon.ready", or the same keys (and time) in JSON. */
bool log_line_begin(struct buffer *line, bool json, int64_t wall_ms, enum log_level level, const char *event);

bool log_line_text(struct buffer *line, bool json, const char *key, const char *value);
bool log_line_number(struct buffer *line, bool json, const char *key, int64_t value);
bool log_line_seconds(struct buffer *line, bool json, const char *key, int64_t ms);

/* Ends the line with its newline. */
bool log_line_end(struct buffer *line, bool json);

#endif
