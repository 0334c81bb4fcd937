/*
 * service.c - the service's main thread: outboxes, words of the monitor, signals,
 * heartbeat. See service.h.
 *
 * It never waits for an outbox: each tells its news by a letter. A stop is told
 * to all of them, and made sharper when shutdown_grace is over or a second signal
 * came to the monitor.
 */
#include "daemon/service.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/wait.h"
#include "daemon/crash.h"
#include "daemon/disk.h"
#include "daemon/descriptors.h"
#include "daemon/fault.h"
#include "daemon/keyring.h"
#include "daemon/metrics.h"
#include "daemon/service_internal.h"
#include "daemon/signals.h"
#include "daemon/thread.h"
#include "daemon/worker.h"
#include "smtp/session.h"

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#define HEARTBEAT_MS  1000
#define LOG_FLUSH_MS  1000
#define STALL_EXIT_MS 40000 /* commits on a slow disk may take their time */

/* What main alone knows. */
struct main_state {
	struct service service;
	const struct service_start *start;
	struct outbox *outboxes;
	struct metrics *metrics;
	size_t count, opened, ended;
	int signal_fd;
	struct log_batch log;
	int stop; /* STOP_… told so far */
	int64_t stop_now_at_ms;
	int64_t exit_by_ms; /* a stall: latest end */
	int exit_status;
	bool monitor_gone;
};

static void adopt_places(struct service *service, const struct config *config)
{
	const struct descriptor_share share = descriptors_share(descriptors_raise(), config->database_count,
	                                                        config->max_workers, config->max_probes);

	atomic_store(&service->budget.max_workers, share.workers);
	atomic_store(&service->budget.max_probes, share.probes);
	room_set_max(&service->files, fault_number("spare-files", share.files));
}

static void adopt_config(struct service *service, const struct config *config)
{
	atomic_store(&service->idle_timeout_ms, config->idle_timeout_ms);
	atomic_store(&service->stall_grace_ms, config->stall_grace_ms);
	atomic_store(&service->shutdown_grace_ms, config->shutdown_grace_ms);
	atomic_store(&service->expiry_check_ms, config->expiry_check_ms);
	atomic_store(&service->keep_sent_ms, config->keep_sent_ms);
	atomic_store(&service->keep_failed_ms, config->keep_failed_ms);
	atomic_store(&service->unsettled_max, config->unsettled_max);
	room_set_max(&service->room, config->memory_max_bytes);
	adopt_places(service, config);
}

/* A secret must not be found in a core file or by another process of the same user. */
static void close_memory(void)
{
#ifndef WITH_SANITIZER
	const struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0);
#endif
}

static void log_simple(struct main_state *state, enum log_level level, const char *event, const char *error)
{
	log_begin(&state->log, level, event, NULL, NULL);
	log_text(&state->log, "error", error);
	log_end(&state->log);
	log_push(&state->log);
}

/* The file's name without folder and ending: names the outbox in the log. */
static char *name_of_database(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;
	const char *dot = strrchr(base, '.');

	return memory_strndup(base, dot && dot > base ? (size_t)(dot - base) : strlen(base));
}

static bool start_outbox(struct main_state *state, struct outbox *outbox)
{
	outbox->service = &state->service;
	if (state->count > 1)
		outbox->db = memory_strdup(outbox->name);
	if (queue_init(&outbox->results, true) != OK || queue_init(&outbox->settled, true) != OK ||
	    queue_init(&outbox->exits, true) != OK)
		return false;
	budget_join(&state->service.budget, &outbox->places, &outbox->exits);
	outbox->started = thread_start(&outbox->supervisor, "supervisor", supervisor_main, outbox) == 0;
	return outbox->started;
}

static void say(struct main_state *state, enum service_word word)
{
	char octet = (char)word;

	/* A full socket is a monitor that does not read: it does not need this word either. */
	if (send(state->start->monitor_fd, &octet, 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EPIPE)
		state->monitor_gone = true;
}

static void tell_stop(struct main_state *state, int level)
{
	if (level <= state->stop)
		return;
	if (state->stop == STOP_NONE) {
		say(state, WORD_STOPPING);
		state->stop_now_at_ms = deadline_after_ms(atomic_load(&state->service.shutdown_grace_ms));
	}
	state->stop = level;
	for (size_t i = 0; i < state->count; i++) {
		struct outbox *outbox = &state->outboxes[i];

		atomic_store(&outbox->stop, level);
		if (outbox->started && !outbox->joined)
			wait_wake(outbox->supervisor);
	}
}

/* Nobody is refused for it: tenants whose password is sealed are down, with these words. */
static void read_keys(struct main_state *state, const struct config *config)
{
	const char *id = NULL;
	struct words words;

	if (keyring_read(loader_keyring(state->service.loader), config->secrets_key_file, &id, &words) !=
	    OK) {
		log_simple(state, LOG_ERROR, "secrets.failed", words.text);
		return;
	}
	if (!id)
		return;
	log_begin(&state->log, LOG_INFO, "secrets.read", NULL, NULL);
	log_text(&state->log, "key", id);
	log_end(&state->log);
	log_push(&state->log);
}

static void reload(struct main_state *state)
{
	struct config *config;
	struct words words;

	log_reopen(state->service.log);
	loader_forget(state->service.loader);
	if (config_read(state->start->options, &config, &words) != OK) {
		log_simple(state, LOG_ERROR, "config.error", words.text);
		return;
	}
	adopt_config(&state->service, config);
	read_keys(state, config);
	for (size_t i = 0; i < state->count; i++) {
		atomic_store(&state->outboxes[i].keys_read, true);
		if (state->outboxes[i].started && !state->outboxes[i].joined)
			wait_wake(state->outboxes[i].supervisor);
	}
	config_release(&config);
}

static void tell_status(struct main_state *state)
{
	for (size_t i = 0; i < state->count; i++) {
		atomic_store(&state->outboxes[i].tell_status, true);
		if (state->outboxes[i].started && !state->outboxes[i].joined)
			wait_wake(state->outboxes[i].supervisor);
	}
}

static void hear_signals(struct main_state *state)
{
	int number;

	while ((number = signals_next(state->signal_fd)) != 0) {
		if (number == SIGHUP)
			reload(state);
		else if (number == SIGUSR1)
			tell_status(state);
		else
			tell_stop(state, STOP_SOON);
	}
}

static void hear_monitor(struct main_state *state)
{
	char words[16];
	ssize_t count = recv(state->start->monitor_fd, words, sizeof(words), MSG_DONTWAIT);

	if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) {
		state->monitor_gone = true;
		tell_stop(state, STOP_NOW);
		return;
	}
	for (ssize_t i = 0; i < count; i++) {
		if (words[i] == WORD_STOP)
			tell_stop(state, STOP_SOON);
		else if (words[i] == WORD_STOP_NOW)
			tell_stop(state, STOP_NOW);
		else if (words[i] == WORD_RELOAD)
			reload(state);
		else if (words[i] == WORD_STATUS)
			tell_status(state);
	}
}

static void become_ready(struct main_state *state)
{
	atomic_store(&state->service.ready, true);
	log_begin(&state->log, LOG_INFO, "daemon.ready", NULL, NULL);
	log_number(&state->log, "databases", (int64_t)state->count);
	log_number(&state->log, "max_workers", atomic_load(&state->service.budget.max_workers));
	log_end(&state->log);
	log_push(&state->log);
	say(state, WORD_READY);
}

static void hear_news(struct main_state *state)
{
	struct queue_link *link = queue_take_all(&state->service.news);

	while (link) {
		struct outbox_letter *letter = QUEUE_ITEM(link, struct outbox_letter, link);
		struct outbox *outbox = letter->outbox;
		enum outbox_news news = letter->news;

		link = link->next;
		if (news == NEWS_OPENED && ++state->opened == state->count && !state->exit_status &&
		    state->stop == STOP_NONE)
			become_ready(state);
		if (news == NEWS_REFUSED) {
			log_begin(&state->log, LOG_ERROR, "storage.failed", outbox->db, NULL);
			log_text(&state->log, "database", outbox->path);
			log_text(&state->log, "error", outbox->refusal.text);
			log_end(&state->log);
			log_push(&state->log);
			state->exit_status = outbox->exit_status;
			tell_stop(state, STOP_SOON);
		}
		if (news == NEWS_ENDED) {
			pthread_join(outbox->supervisor, NULL);
			outbox->joined = true;
			state->ended++;
		}
	}
}

/* A worker does not move: what can be finished is, then the process ends and is started anew. */
static void check_stall(struct main_state *state)
{
	if (!atomic_load(&state->service.stall) || state->exit_by_ms)
		return;
	state->exit_status = SERVICE_EXIT_AGAIN;
	state->exit_by_ms = deadline_after_ms(STALL_EXIT_MS);
	tell_stop(state, STOP_SOON);
}

static void run(struct main_state *state)
{
	int64_t next_beat = 0;
	bool silent = false;

	while (state->ended < state->count) {
		struct pollfd fds[] = {
			{ .fd = state->monitor_gone ? -1 : state->start->monitor_fd, .events = POLLIN },
			{ .fd = state->service.news.event_fd, .events = POLLIN },
			{ .fd = state->signal_fd, .events = POLLIN },
		};
		int64_t now = clock_monotonic_ms();

		if (now >= next_beat) {
			if (!silent)
				silent = fault_here("heartbeat", "-");
			if (!silent)
				say(state, WORD_ALIVE);
			next_beat = now + HEARTBEAT_MS;
		}
		check_stall(state);
		disk_check(state->outboxes, state->count, &state->log);
		if (state->stop == STOP_NOW &&
		    state->ended + disk_hanging(state->outboxes, state->count) == state->count) {
			state->exit_status = EX_IOERR; /* what its threads wait for may never come */
			return;
		}
		if (state->stop == STOP_SOON && now >= state->stop_now_at_ms)
			tell_stop(state, STOP_NOW);
		if (state->exit_by_ms && now >= state->exit_by_ms)
			return;
		wait_briefly(fds, 3, (next_beat - now) * 1000);
		hear_news(state);
		hear_signals(state);
		if (!state->monitor_gone)
			hear_monitor(state);
	}
}

static bool start_all(struct main_state *state)
{
	struct config *config = state->start->config;
	struct service *service = &state->service;
	struct words words;

	if (resolver_create(config->dns_servers, &service->resolver, &words) != OK) {
		log_simple(state, LOG_ERROR, "config.error", words.text);
		state->exit_status = EX_CONFIG;
		return false;
	}
	budget_init(&service->budget);
	service->loader = loader_create(config->secrets_dir, config->command_dir);
	read_keys(state, config);
	if (queue_init(&service->news, true) != OK) {
		state->exit_status = EX_OSERR;
		return false;
	}
	state->count = config->database_count;
	state->outboxes = memory_alloc(state->count * sizeof(*state->outboxes));
	for (size_t i = 0; i < state->count; i++) {
		state->outboxes[i].path = config->databases[i];
		state->outboxes[i].name = name_of_database(config->databases[i]);
	}
	if (metrics_start(service, state->outboxes, state->count, &state->metrics, &words) != OK) {
		log_simple(state, LOG_ERROR, "metrics.failed", words.text);
		state->exit_status = EX_OSERR;
		return false;
	}
	for (size_t i = 0; i < state->count; i++) {
		if (start_outbox(state, &state->outboxes[i]))
			continue;
		/* Without a thread it has ended already; the others are told to. */
		state->exit_status = EX_OSERR;
		state->ended += state->count - i;
		for (size_t k = i; k < state->count; k++)
			state->outboxes[k].joined = true;
		tell_stop(state, STOP_SOON);
		break;
	}
	return true;
}

/* True if nothing of the service is in use any more. */
static bool all_clean(const struct main_state *state)
{
	for (size_t i = 0; i < state->count; i++) {
		if (!state->outboxes[i].joined || (state->outboxes[i].started && !state->outboxes[i].clean))
			return false;
	}
	return true;
}

static void free_all(struct main_state *state)
{
	assert(atomic_load(&state->service.room.used_bytes) == 0);
	assert(atomic_load(&state->service.files.used_bytes) == 0);
	room_fini(&state->service.room);
	room_fini(&state->service.files);
	for (size_t i = 0; i < state->count; i++) {
		struct outbox *outbox = &state->outboxes[i];

		free(outbox->db);
		free(outbox->name);
		if (!outbox->started)
			continue;
		queue_fini(&outbox->results);
		queue_fini(&outbox->settled);
		queue_fini(&outbox->exits);
	}
	free(state->outboxes);
	queue_fini(&state->service.news);
	loader_destroy(&state->service.loader);
	resolver_destroy(&state->service.resolver);
}

static void say_start(struct main_state *state)
{
	log_begin(&state->log, LOG_INFO, "daemon.start", NULL, NULL);
	log_text(&state->log, "version", PACKAGE_VERSION);
	log_number(&state->log, "pid", getpid());
	log_end(&state->log);
	if (state->start->why) {
		log_simple(state, LOG_ERROR, "service.crashed", state->start->why);
		/* The same may end us again before the log's thread has had its turn. */
		log_flush(state->service.log, deadline_after_ms(LOG_FLUSH_MS));
	}
}

int service_run(const struct service_start *start)
{
	struct main_state state = { .start = start };
	const struct log_settings log_settings = {
		.file = start->config->log_file,
		.dir = start->config->log_dir,
		.level = start->config->log_level,
		.json = start->config->log_json,
	};
	struct words words;
	enum error error;
	bool clean;

	close_memory();
	state.signal_fd = signals_open();
	crash_setup(start->note);
	wait_setup();
	worker_setup();
	room_init(&state.service.room, 0);
	room_init(&state.service.files, 0);
	adopt_config(&state.service, start->config);
	state.service.config = start->config;
	atomic_store(&state.service.ready, start->restarted);
	error = log_open(&log_settings, &state.service.log, &words);
	if (error != OK || state.signal_fd < 0) {
		dprintf(STDERR_FILENO, "outboxd: %s\n",
		        error != OK ? words.text : "no descriptor for signals");
		return error == ERROR_PERMISSION ? EX_NOPERM : EX_CANTCREAT;
	}
	log_batch_init(&state.log, state.service.log);
	say_start(&state);
	if (start_all(&state))
		run(&state);
	clean = all_clean(&state);
	if (!clean && state.exit_status == EX_OK)
		state.exit_status = EX_SOFTWARE;
	log_begin(&state.log, LOG_INFO, "daemon.stop", NULL, NULL);
	log_number(&state.log, "status", state.exit_status);
	log_end(&state.log);
	log_push(&state.log);
	/* A thread is left behind: nothing that it may touch is freed. */
	if (!metrics_stop(&state.metrics) || !clean) {
		log_leave(state.service.log);
		_exit(state.exit_status);
	}
	if (state.outboxes)
		free_all(&state);
	log_batch_fini(&state.log);
	log_close(&state.service.log);
	close(state.signal_fd);
	return state.exit_status;
}
