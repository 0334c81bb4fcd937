/*
 * metrics.h - figures for a monitoring system: metrics_file, replaced every ten seconds.
 *
 * Each supervisor makes a picture of its outbox now and then and hands it over; a thread
 * of its own writes all of them as Prometheus' text (version 0.0.4) into a new file, which
 * is then given the name. Nobody ever waits for it: a disk that hangs costs the figures.
 */
#ifndef OUTBOXD_DAEMON_METRICS_H
#define OUTBOXD_DAEMON_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"

/* Seconds from queued to sent, upper bounds of the histogram; one more bucket for the rest. */
#define METRICS_DELAYS 14
extern const double metrics_delay_bounds[METRICS_DELAYS];

struct metrics_delay {
	uint64_t count[METRICS_DELAYS + 1]; /* of each bucket alone */
	double sum_s;
};
void metrics_delay_add(struct metrics_delay *delay, int64_t delay_ms);

/* What became of a tenant's messages in this process. */
struct metrics_totals {
	uint64_t sent, failed, uncertain, cancelled, deferrals;
};

struct metrics_tenant {
	char name[64];
	const char *state; /* constant, as in outbox_tenant_status */
	bool backoff;      /* left alone: its server or its settings are in trouble, or it is quarantined */
	int64_t queued, deferred, oldest_due_at; /* as counted last; s, 0 = none */
	int failures, worker_restarts;
	struct metrics_totals totals;
};

/* A picture of one outbox. */
struct metrics_outbox {
	struct metrics_delay delay;
	uint64_t commits, commit_failures, removed, dispatches;
	bool storage_failing;
	size_t tenant_count;
	struct metrics_tenant tenants[];
};

/* What is told of the process as a whole. */
struct metrics_process {
	const char *version;
	int64_t start_s, now_s;
	uint64_t log_dropped;
	int workers, probes;
	int64_t memory_bytes, memory_max_bytes; /* of messages in hand */
	uint64_t memory_spilled;                /* bodies that found no room and went to spool_dir */
};

struct metrics_view {
	const char *db;                       /* its label */
	const struct metrics_outbox *picture; /* NULL = none yet */
	bool hangs; /* its disk does not answer, so that the picture is an old one */
	int64_t wal_held_bytes;
};

/* The text; false if it is longer than out may be. Pure. */
bool metrics_render(struct buffer *out, const struct metrics_process *process,
                    const struct metrics_view *views, size_t count);

struct service;
struct outbox;
struct metrics;

/* Main, before the supervisors: starts the thread `metrics`, if there is a metrics_file. */
enum error metrics_start(struct service *service, struct outbox *outboxes, size_t count,
                         struct metrics **metrics, struct words *words);
/* After them. False: its disk hangs, the thread is left behind and nothing of it may be freed. */
bool metrics_stop(struct metrics **metrics);

/* Supervisor: gives a picture (allocated); does not block. */
void metrics_give(struct outbox *outbox, struct metrics_outbox *picture);

#endif
