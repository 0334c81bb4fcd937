/*
 * log.c - one event a line, given to a thread that writes it.
 *
 * Promises that no pusher ever waits for a file: there is one bounded buffer;
 * what does not fit is dropped and counted, and told by log.dropped as soon as
 * the file takes lines again.  log_open fails with words, nothing else does.
 */
#include "common/log.h"

#include <assert.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/log_dir.h"
#include "common/log_line.h"
#include "common/log_thread.h"

void log_batch_init(struct log_batch *batch, struct log *log)
{
	*batch = (struct log_batch){ .log = log };
	buffer_init(&batch->lines, LOG_BYTES);
}

void log_batch_fini(struct log_batch *batch)
{
	buffer_fini(&batch->lines);
	batch->open = false;
}

/* A line that does not fit goes, and is counted. */
static void check_line(struct log_batch *batch, bool fits)
{
	if (fits)
		return;
	batch->lines.length = batch->line_start;
	batch->open = false;
	log_count_dropped(batch->log, 1);
}

/* A frame, and behind it the name of the tenant's file where there is one. */
static bool begin_frame(struct log_batch *batch, const char *db, const char *tenant)
{
	struct log_frame frame = { 0 };
	size_t name_start;

	batch->line_start = batch->lines.length;
	if (!buffer_append(&batch->lines, &frame, sizeof(frame)))
		return false;
	if (!tenant || !batch->log->dir)
		return true;
	name_start = batch->lines.length;
	if (!log_dir_name(&batch->lines, db, tenant) || !buffer_append_char(&batch->lines, '\0'))
		return false;
	frame.name_bytes = (uint32_t)(batch->lines.length - name_start);
	memcpy(batch->lines.data + batch->line_start, &frame, sizeof(frame));
	return true;
}

void log_begin(struct log_batch *batch, enum log_level level, const char *event, const char *db,
               const char *tenant)
{
	assert(!batch->open);
	if (!batch->log || level < batch->log->level)
		return;
	batch->open = true;
	check_line(batch, begin_frame(batch, db, tenant) && log_line_begin(&batch->lines, batch->log->json,
	                                                                   clock_wall_ms(), level, event));
	log_text(batch, "db", db);
	log_text(batch, "tenant", tenant);
}

void log_text(struct log_batch *batch, const char *key, const char *value)
{
	if (batch->open && value)
		check_line(batch, log_line_text(&batch->lines, batch->log->json, key, value));
}

void log_number(struct log_batch *batch, const char *key, int64_t value)
{
	if (batch->open)
		check_line(batch, log_line_number(&batch->lines, batch->log->json, key, value));
}

void log_seconds(struct log_batch *batch, const char *key, int64_t ms)
{
	if (batch->open)
		check_line(batch, log_line_seconds(&batch->lines, batch->log->json, key, ms));
}

void log_end(struct log_batch *batch)
{
	struct log_frame frame;

	if (batch->open)
		check_line(batch, log_line_end(&batch->lines, batch->log->json));
	if (!batch->open)
		return;
	memcpy(&frame, batch->lines.data + batch->line_start, sizeof(frame));
	frame.line_bytes = (uint32_t)(batch->lines.length - batch->line_start - sizeof(frame) -
	                              frame.name_bytes);
	memcpy(batch->lines.data + batch->line_start, &frame, sizeof(frame));
	batch->open = false;
}

void log_push(struct log_batch *batch)
{
	assert(!batch->open);
	if (batch->log && batch->lines.length > 0)
		log_give(batch->log, batch->lines.data, batch->lines.length);
	/* What one large batch needed is not kept by thousands of workers. */
	if (batch->lines.capacity > LOG_BATCH_KEEP_BYTES) {
		buffer_fini(&batch->lines);
		buffer_init(&batch->lines, LOG_BYTES);
	}
	buffer_clear(&batch->lines);
}

uint64_t log_dropped(struct log *log)
{
	return atomic_load(&log->dropped_ever);
}

void log_flush(struct log *log, int64_t deadline_ms)
{
	const struct timespec moment = { .tv_nsec = 1000000 };

	while (log_held(log) > 0 && deadline_left_ms(deadline_ms) != 0)
		nanosleep(&moment, NULL);
}
