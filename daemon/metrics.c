/*
 * metrics.c - the thread that writes metrics_file, see metrics.h.
 *
 * Promises: whoever reads the file finds a whole one, the last or the one before; what
 * keeps it from being written is told once, and tried again.
 */
#include "daemon/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/wait.h"
#include "daemon/fault.h"
#include "daemon/service_internal.h"
#include "daemon/thread.h"

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#define FILE_BYTES_MAX (256 * 1024 * 1024)
#define PERIOD_MS      10000
#define STOP_S         2

struct metrics {
	struct service *service;
	struct outbox *outboxes;
	size_t count;
	const char **labels;    /* of the outboxes */
	char *path, *temporary; /* in the same folder */
	int64_t start_s;
	atomic_int stop;
	pthread_t thread;
	struct log_batch log;
	bool failing; /* told */
};

static void tell(struct metrics *metrics, const struct words *words)
{
	if (metrics->failing)
		return;
	metrics->failing = true;
	log_begin(&metrics->log, LOG_WARNING, "metrics.failed", NULL, NULL);
	log_text(&metrics->log, "file", metrics->path);
	log_text(&metrics->log, "error", words->text);
	log_end(&metrics->log);
	log_push(&metrics->log);
}

static bool write_all(int fd, const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t count = write(fd, bytes, length);

		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return false;
		bytes += count;
		length -= (size_t)count;
	}
	return true;
}

/* A new file with all of it, then the name: no sync, for after a crash of the machine the figures are old. */
static bool replace_file(struct metrics *metrics, const struct buffer *text, struct words *words)
{
	bool good;
	int fd;

	/* What an earlier process left, or somebody else put there: never followed, never written into. */
	(void)unlink(metrics->temporary);
	fd = open(metrics->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0) {
		words_set_errno(words, errno, "cannot create %s", metrics->temporary);
		return false;
	}
	good = fchmod(fd, 0644) == 0 && write_all(fd, text->data, text->length);
	if (!good)
		words_set_errno(words, errno, "cannot write %s", metrics->temporary);
	if (close(fd) != 0 && good) {
		words_set_errno(words, errno, "cannot write %s", metrics->temporary);
		good = false;
	}
	if (good && rename(metrics->temporary, metrics->path) != 0) {
		words_set_errno(words, errno, "cannot rename %s to %s", metrics->temporary, metrics->path);
		good = false;
	}
	if (!good)
		(void)unlink(metrics->temporary);
	return good;
}

/* Pictures stay with their outboxes until newer ones come; they are copied by reference under the lock. */
static void write_once(struct metrics *metrics)
{
	const struct metrics_process process = {
		.version = PACKAGE_VERSION,
		.start_s = metrics->start_s,
		.now_s = clock_wall_s(),
		.log_dropped = log_dropped(metrics->service->log),
		.workers = atomic_load(&metrics->service->budget.workers),
		.probes = atomic_load(&metrics->service->budget.probes),
		.memory_bytes = atomic_load(&metrics->service->room.used_bytes),
		.memory_max_bytes = atomic_load(&metrics->service->room.max_bytes),
		.memory_spilled = atomic_load(&metrics->service->room.spilled),
	};
	struct metrics_view *views = memory_alloc(metrics->count * sizeof(*views));
	struct words words = { "" };
	struct buffer text;

	buffer_init(&text, FILE_BYTES_MAX);
	for (size_t i = 0; i < metrics->count; i++)
		views[i] = (struct metrics_view){
			.db = metrics->labels[i],
			.picture = atomic_exchange(&metrics->outboxes[i].picture, NULL),
			.hangs = atomic_load(&metrics->outboxes[i].hangs),
			.wal_held_bytes = atomic_load(&metrics->outboxes[i].wal_held_bytes),
		};
	if (!metrics_render(&text, &process, views, metrics->count)) {
		words_set(&words, "the figures of all tenants are more than %d MiB", FILE_BYTES_MAX >> 20);
		tell(metrics, &words);
	} else if (replace_file(metrics, &text, &words)) {
		metrics->failing = false;
	} else {
		tell(metrics, &words);
	}
	/* Back, unless a newer one has come meanwhile. */
	for (size_t i = 0; i < metrics->count; i++) {
		struct metrics_outbox *none = NULL;

		if (!atomic_compare_exchange_strong(&metrics->outboxes[i].picture, &none,
		                                    (struct metrics_outbox *)views[i].picture))
			free((void *)views[i].picture);
	}
	buffer_fini(&text);
	free(views);
}

static void *metrics_main(void *argument)
{
	struct metrics *metrics = argument;
	const struct interrupt interrupt = { &metrics->stop, 1 };
	int period_ms = fault_number("metrics-ms", PERIOD_MS);

	do
		write_once(metrics);
	while (wait_for(-1, 0, clock_monotonic_ms() + period_ms, &interrupt) != ERROR_INTERRUPTED);
	return NULL;
}

void metrics_give(struct outbox *outbox, struct metrics_outbox *picture)
{
	free(atomic_exchange(&outbox->picture, picture));
}

/* The file's name without folder and ending; where two have the same, their paths. */
static void make_labels(struct metrics *metrics)
{
	metrics->labels = memory_alloc(metrics->count * sizeof(*metrics->labels));
	for (size_t i = 0; i < metrics->count; i++) {
		metrics->labels[i] = metrics->outboxes[i].name;
		for (size_t k = 0; k < metrics->count; k++) {
			if (k != i && strcmp(metrics->outboxes[k].name, metrics->outboxes[i].name) == 0)
				metrics->labels[i] = metrics->outboxes[i].path;
		}
	}
}

static void free_metrics(struct metrics *metrics)
{
	for (size_t i = 0; i < metrics->count; i++)
		free(atomic_exchange(&metrics->outboxes[i].picture, NULL));
	log_batch_fini(&metrics->log);
	free(metrics->labels);
	free(metrics->temporary);
	free(metrics->path);
	free(metrics);
}

enum error metrics_start(struct service *service, struct outbox *outboxes, size_t count,
                         struct metrics **metrics, struct words *words)
{
	struct metrics *made;
	struct buffer name;
	int code;

	*metrics = NULL;
	if (!service->config->metrics_file)
		return OK;
	made = memory_alloc(sizeof(*made));
	made->service = service;
	made->outboxes = outboxes;
	made->count = count;
	made->start_s = clock_wall_s();
	made->path = memory_strdup(service->config->metrics_file);
	buffer_init(&name, strlen(made->path) + sizeof(".tmp"));
	buffer_printf(&name, "%s.tmp", made->path);
	made->temporary = buffer_take(&name);
	make_labels(made);
	log_batch_init(&made->log, service->log);
	code = thread_start(&made->thread, "metrics", metrics_main, made);
	if (code != 0) {
		words_set_errno(words, code, "cannot start the thread of metrics_file");
		free_metrics(made);
		return ERROR_SYSTEM;
	}
	*metrics = made;
	return OK;
}

bool metrics_stop(struct metrics **metrics)
{
	struct metrics *ended = *metrics;
	struct timespec until;

	*metrics = NULL;
	if (!ended)
		return true;
	atomic_store(&ended->stop, 1);
	wait_wake(ended->thread);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += STOP_S;
	if (pthread_timedjoin_np(ended->thread, NULL, &until) != 0)
		return false;
	free_metrics(ended);
	return true;
}
