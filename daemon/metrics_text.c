/*
 * metrics_text.c - pictures of outboxes as Prometheus' text format, see metrics.h.
 *
 * One family after another, as the format wants them; one table says what they are.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "daemon/metrics.h"

#define ROOM_BYTES 65536

const double metrics_delay_bounds[METRICS_DELAYS] = { 0.1, 0.25, 0.5, 1,   2.5,  5,     10,
	                                              30,  60,   300, 900, 3600, 21600, 86400 };

void metrics_delay_add(struct metrics_delay *delay, int64_t delay_ms)
{
	double delay_s = delay_ms > 0 ? (double)delay_ms / 1000 : 0;
	int bucket = 0;

	while (bucket < METRICS_DELAYS && delay_s > metrics_delay_bounds[bucket])
		bucket++;
	delay->count[bucket]++;
	delay->sum_s += delay_s;
}

/* A label's value: valid UTF-8 of one line, with backslash and quote escaped. */
static void add_label(struct buffer *out, const char *name, const char *value)
{
	char *clean = text_clean(value, strlen(value), 4096);

	buffer_printf(out, "%s=\"", name);
	for (const char *c = clean; *c; c++) {
		if (*c == '"' || *c == '\\')
			buffer_append_char(out, '\\');
		buffer_append_char(out, *c);
	}
	buffer_append_char(out, '"');
	free(clean);
}

static void add_family(struct buffer *out, const char *name, const char *type, const char *help)
{
	buffer_printf(out, "# HELP outboxd_%s %s\n# TYPE outboxd_%s %s\n", name, help, name, type);
}

/* ---- by tenant ------------------------------------------------------------------- */

typedef double value_of_tenant(const struct metrics_tenant *tenant, int64_t now_s);

static double queued(const struct metrics_tenant *tenant, int64_t now_s)
{
	(void)now_s;
	return (double)tenant->queued;
}

static double deferred(const struct metrics_tenant *tenant, int64_t now_s)
{
	(void)now_s;
	return (double)tenant->deferred;
}

static double oldest_due(const struct metrics_tenant *tenant, int64_t now_s)
{
	return tenant->oldest_due_at > 0 && tenant->oldest_due_at < now_s
	               ? (double)(now_s - tenant->oldest_due_at)
	               : 0;
}

static double backoff(const struct metrics_tenant *tenant, int64_t now_s)
{
	(void)now_s;
	return tenant->backoff;
}

static double failures(const struct metrics_tenant *tenant, int64_t now_s)
{
	(void)now_s;
	return tenant->failures;
}

static double restarts(const struct metrics_tenant *tenant, int64_t now_s)
{
	(void)now_s;
	return tenant->worker_restarts;
}

static double sent(const struct metrics_tenant *tenant, int64_t now_s)
{
	(void)now_s;
	return (double)tenant->totals.sent;
}

static double failed(const struct metrics_tenant *tenant, int64_t now_s)
{
	(void)now_s;
	return (double)tenant->totals.failed;
}

static double uncertain(const struct metrics_tenant *tenant, int64_t now_s)
{
	(void)now_s;
	return (double)tenant->totals.uncertain;
}

static double cancelled(const struct metrics_tenant *tenant, int64_t now_s)
{
	(void)now_s;
	return (double)tenant->totals.cancelled;
}

static double deferrals(const struct metrics_tenant *tenant, int64_t now_s)
{
	(void)now_s;
	return (double)tenant->totals.deferrals;
}

static const struct {
	const char *name, *type, *help;
	value_of_tenant *value;
} families[] = {
	{ "queued_messages", "gauge", "Messages in state queued.", queued },
	{ "deferred_messages", "gauge", "Messages in state deferred.", deferred },
	{ "oldest_due_seconds", "gauge", "For how long the oldest message that is due has been so.",
	  oldest_due },
	{ "backoff", "gauge", "1 = the tenant's server, or the tenant, is left alone for a while.", backoff },
	{ "consecutive_failures", "gauge", "Failed tries of the tenant's server in a row.", failures },
	{ "worker_restarts_total", "counter", "Workers that failed and were replaced.", restarts },
	{ "sent_messages_total", "counter", "Messages that ended sent.", sent },
	{ "failed_messages_total", "counter", "Messages that ended failed.", failed },
	{ "uncertain_messages_total", "counter", "Messages that became uncertain and are held.", uncertain },
	{ "cancelled_messages_total", "counter", "Messages that were cancelled while they were under way.",
	  cancelled },
	{ "deferrals_total", "counter", "Attempts after which a message became deferred.", deferrals },
};

static void add_tenant_labels(struct buffer *out, const char *db, const char *tenant)
{
	buffer_append_char(out, '{');
	add_label(out, "db", db);
	buffer_append_char(out, ',');
	add_label(out, "tenant", tenant);
}

static void add_tenants(struct buffer *out, const struct metrics_view *views, size_t count, int64_t now_s)
{
	for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
		add_family(out, families[f].name, families[f].type, families[f].help);
		for (size_t i = 0; i < count; i++) {
			for (size_t t = 0; views[i].picture && t < views[i].picture->tenant_count; t++) {
				const struct metrics_tenant *tenant = &views[i].picture->tenants[t];

				buffer_printf(out, "outboxd_%s", families[f].name);
				add_tenant_labels(out, views[i].db, tenant->name);
				buffer_printf(out, "} %.0f\n", families[f].value(tenant, now_s));
			}
		}
	}
	add_family(out, "tenant_state", "gauge", "1 for the state that the tenant is in.");
	for (size_t i = 0; i < count; i++) {
		for (size_t t = 0; views[i].picture && t < views[i].picture->tenant_count; t++) {
			const struct metrics_tenant *tenant = &views[i].picture->tenants[t];

			buffer_append_text(out, "outboxd_tenant_state");
			add_tenant_labels(out, views[i].db, tenant->name);
			buffer_append_char(out, ',');
			add_label(out, "state", tenant->state);
			buffer_append_text(out, "} 1\n");
		}
	}
}

/* ---- by outbox -------------------------------------------------------------------- */

static void add_delays(struct buffer *out, const struct metrics_view *view)
{
	const struct metrics_delay *delay = &view->picture->delay;
	uint64_t sum = 0;

	for (int b = 0; b <= METRICS_DELAYS; b++) {
		sum += delay->count[b];
		buffer_append_text(out, "outboxd_delivery_delay_seconds_bucket{");
		add_label(out, "db", view->db);
		if (b < METRICS_DELAYS)
			buffer_printf(out, ",le=\"%g\"} %" PRIu64 "\n", metrics_delay_bounds[b], sum);
		else
			buffer_printf(out, ",le=\"+Inf\"} %" PRIu64 "\n", sum);
	}
	buffer_append_text(out, "outboxd_delivery_delay_seconds_sum{");
	add_label(out, "db", view->db);
	buffer_printf(out, "} %.3f\noutboxd_delivery_delay_seconds_count{", delay->sum_s);
	add_label(out, "db", view->db);
	buffer_printf(out, "} %" PRIu64 "\n", sum);
}

static void add_of_outboxes(struct buffer *out, const struct metrics_view *views, size_t count,
                            const char *name, size_t offset)
{
	for (size_t i = 0; i < count; i++) {
		if (!views[i].picture)
			continue;
		buffer_printf(out, "outboxd_%s{", name);
		add_label(out, "db", views[i].db);
		buffer_printf(out, "} %" PRIu64 "\n",
		              *(const uint64_t *)(const void *)((const char *)views[i].picture + offset));
	}
}

static void add_outboxes(struct buffer *out, const struct metrics_view *views, size_t count)
{
	add_family(out, "delivery_delay_seconds", "histogram", "From queued to sent.");
	for (size_t i = 0; i < count; i++) {
		if (views[i].picture)
			add_delays(out, &views[i]);
	}
	add_family(out, "commits_total", "counter", "Commits of results.");
	add_of_outboxes(out, views, count, "commits_total", offsetof(struct metrics_outbox, commits));
	add_family(out, "commit_failures_total", "counter", "Commits that failed and were tried again.");
	add_of_outboxes(out, views, count, "commit_failures_total",
	                offsetof(struct metrics_outbox, commit_failures));
	add_family(out, "removed_messages_total", "counter",
	           "Finished messages that were removed (keep_sent, keep_failed).");
	add_of_outboxes(out, views, count, "removed_messages_total",
	                offsetof(struct metrics_outbox, removed));
	add_family(
		out, "dispatches_total", "counter",
		"Times that a tenant was attended to: its mail looked at, and given to workers if it can go.");
	add_of_outboxes(out, views, count, "dispatches_total", offsetof(struct metrics_outbox, dispatches));
	add_family(out, "storage_failing", "gauge", "1 = results cannot be recorded, and nothing is sent.");
	for (size_t i = 0; i < count; i++) {
		if (!views[i].picture && !views[i].hangs)
			continue;
		buffer_append_text(out, "outboxd_storage_failing{");
		add_label(out, "db", views[i].db);
		buffer_printf(out, "} %d\n", views[i].hangs || views[i].picture->storage_failing);
	}
	add_family(
		out, "wal_held_bytes", "gauge",
		"Length of a write-ahead log that a program which reads in it keeps from being used again.");
	for (size_t i = 0; i < count; i++) {
		if (!views[i].picture)
			continue;
		buffer_append_text(out, "outboxd_wal_held_bytes{");
		add_label(out, "db", views[i].db);
		buffer_printf(out, "} %" PRId64 "\n", views[i].wal_held_bytes);
	}
}

static void add_process(struct buffer *out, const struct metrics_process *process)
{
	add_family(out, "build_info", "gauge", "1; the version of outboxd.");
	buffer_append_text(out, "outboxd_build_info{");
	add_label(out, "version", process->version);
	buffer_append_text(out, "} 1\n");
	add_family(out, "start_time_seconds", "gauge", "When the service was started, since 1970.");
	buffer_printf(out, "outboxd_start_time_seconds %" PRId64 "\n", process->start_s);
	add_family(out, "updated_time_seconds", "gauge", "When these figures were written, since 1970.");
	buffer_printf(out, "outboxd_updated_time_seconds %" PRId64 "\n", process->now_s);
	add_family(out, "log_dropped_lines_total", "counter", "Lines that a full or stuck log lost.");
	buffer_printf(out, "outboxd_log_dropped_lines_total %" PRIu64 "\n", process->log_dropped);
	add_family(out, "workers", "gauge", "Sessions of tenants (max_workers).");
	buffer_printf(out, "outboxd_workers %d\n", process->workers);
	add_family(out, "probes", "gauge", "Sessions that try a server that was in trouble (max_probes).");
	buffer_printf(out, "outboxd_probes %d\n", process->probes);
	add_family(out, "memory_bytes", "gauge", "Memory that messages in hand take.");
	buffer_printf(out, "outboxd_memory_bytes %" PRId64 "\n", process->memory_bytes);
	add_family(out, "memory_max_bytes", "gauge", "How much of it there may be (memory_max).");
	buffer_printf(out, "outboxd_memory_max_bytes %" PRId64 "\n", process->memory_max_bytes);
	add_family(out, "memory_spilled_total", "counter",
	           "Bodies that found no room there and were copied to spool_dir.");
	buffer_printf(out, "outboxd_memory_spilled_total %" PRIu64 "\n", process->memory_spilled);
}

bool metrics_render(struct buffer *out, const struct metrics_process *process,
                    const struct metrics_view *views, size_t count)
{
	add_process(out, process);
	add_outboxes(out, views, count);
	add_tenants(out, views, count, process->now_s);
	/* One piece is far shorter than that: if any found no room, it shows here. */
	return out->length + ROOM_BYTES < out->limit;
}
