/*
 * supervisor.c - the supervisor's life: open the outbox, its loop, its end.
 *
 * One loop: letters, then what the table says, then what is due; then it waits
 * for the next of them (supervisor_wait.c). New mail of other processes is seen
 * by an event on the -wal file and by asking, and every second whatever happens.
 */
#include "daemon/supervisor.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/digest.h"
#include "common/wait.h"
#include "daemon/fault.h"
#include "daemon/supervisor_clock.h"
#include "daemon/supervisor_connection.h"
#include "daemon/supervisor_credential.h"
#include "daemon/supervisor_dispatch.h"
#include "daemon/supervisor_look.h"
#include "daemon/supervisor_picture.h"
#include "daemon/supervisor_place.h"
#include "daemon/supervisor_result.h"
#include "daemon/supervisor_slot.h"
#include "daemon/supervisor_status.h"
#include "daemon/supervisor_suspect.h"
#include "daemon/supervisor_tenant.h"
#include "smtp/session.h"

#define POLL_MS         1000
#define LOCK_WAIT_MS    1000
#define LOCK_RETRY_MS   50
#define SCAN_MS         60000
#define INSPECT_MS      5000
#define WATCH_MS        1000
#define WAITING_MS      200
#define STATUS_MS       250
#define PICTURE_MS      5000
#define GIVE_UP_MS      5000 /* after STOP_NOW a worker that does not end is left behind */
#define STALL_DRAIN_MS  2000

#define WRITER_GRACE_MS 30000
#define QUIET_POLLS     10

static struct supervisor *supervisor_create(struct outbox *outbox)
{
	struct supervisor *supervisor = memory_alloc(sizeof(*supervisor));

	supervisor->outbox = outbox;
	waking_init(&supervisor->waking);
	supervisor->judged_last = &supervisor->judged;
	supervisor->dice = digest_random_below(UINT32_MAX);
	supervisor->wall_ahead_ms = clock_wall_ahead_ms();
	supervisor->waiting_last = &supervisor->waiting_first;
	supervisor->dirty_last = &supervisor->dirty;
	log_batch_init(&supervisor->log, outbox->service->log);
	timers_init(&supervisor->timers);
	return supervisor;
}

static void supervisor_destroy(struct supervisor *supervisor)
{
	suspect_free_all(supervisor);
	timers_fini(&supervisor->timers);
	log_batch_fini(&supervisor->log);
	free(supervisor);
}

/* What storage_open() answers, as an exit status of the contract. */
static int exit_status_of(enum error error)
{
	if (error == ERROR_BUSY)
		return EX_TEMPFAIL;
	if (error == ERROR_EXISTS)
		return EX_CANTCREAT;
	if (error == ERROR_PERMISSION)
		return EX_NOPERM;
	if (error == ERROR_REFUSED)
		return EX_CONFIG;
	return EX_IOERR;
}

static void tell_main(struct outbox *outbox, struct outbox_letter *letter, enum outbox_news news)
{
	letter->outbox = outbox;
	letter->news = news;
	queue_push(&outbox->service->news, &letter->link);
}

/* What follows may wait for the disk, and for nothing else; or not any more. Main watches for how long. */
static void on_disk(struct outbox *outbox, bool begins)
{
	atomic_store(&outbox->supervisor_since_ms, begins ? clock_monotonic_ms() : 0);
}

static enum error open_once(struct supervisor *supervisor, struct words *words)
{
	struct outbox *outbox = supervisor->outbox;
	const struct storage_settings settings = {
		.path = outbox->path,
		.spool_dir = outbox->service->config->spool_dir,
		.create = true,
		.room = &outbox->service->room,
		.files = &outbox->service->files,
	};
	enum error error;

	on_disk(outbox, true);
	error = storage_open(&settings, &outbox->storage, words);
	if (error == OK)
		error = journal_open(outbox->path, storage_instance(outbox->storage), &outbox->journal,
		                     words);
	if (error == OK)
		error = writer_start(outbox, &outbox->writer, words);
	if (error != OK) {
		journal_close(&outbox->journal, false);
		storage_close(&outbox->storage);
	}
	on_disk(outbox, false);
	return error;
}

/*
 * Opens the outbox. Before daemon.ready a refusal ends outboxd; after it the file
 * is tried again every second while the others are served. False: refused or told to stop.
 */
static bool open_outbox(struct supervisor *supervisor)
{
	struct outbox *outbox = supervisor->outbox;
	const struct interrupt stop = { &outbox->stop, STOP_SOON };
	int64_t lock_by_ms = deadline_after_ms(LOCK_WAIT_MS);
	bool told = false;

	for (;;) {
		enum error error = open_once(supervisor, &outbox->refusal);

		if (error == OK)
			break;
		/* A process that was killed a moment ago holds its lock until its last thread has gone. */
		if (error == ERROR_BUSY && clock_monotonic_ms() < lock_by_ms &&
		    wait_for(-1, 0, clock_monotonic_ms() + LOCK_RETRY_MS, &stop) != ERROR_INTERRUPTED)
			continue;
		if (!atomic_load(&outbox->service->ready)) {
			outbox->exit_status = exit_status_of(error);
			tell_main(outbox, &outbox->opened, NEWS_REFUSED);
			return false;
		}
		if (!told) {
			log_begin(&supervisor->log, LOG_ERROR, "storage.failed", outbox->db, NULL);
			log_text(&supervisor->log, "database", outbox->path);
			log_text(&supervisor->log, "error", outbox->refusal.text);
			log_end(&supervisor->log);
			log_push(&supervisor->log);
			if (!supervisor->reopened)
				tell_main(outbox, &outbox->opened, NEWS_OPENED);
			told = true;
		}
		if (wait_for(-1, 0, clock_monotonic_ms() + POLL_MS, &stop) == ERROR_INTERRUPTED)
			return false;
	}
	if (told || supervisor->reopened) {
		log_begin(&supervisor->log, LOG_WARNING, "storage.recovered", outbox->db, NULL);
		log_text(&supervisor->log, "database", outbox->path);
		log_end(&supervisor->log);
	} else {
		tell_main(outbox, &outbox->opened, NEWS_OPENED);
	}
	return true;
}

static void on_timer(struct supervisor *supervisor, struct timer *timer)
{
	struct tenant *tenant = QUEUE_ITEM(timer, struct tenant, timer);
	int64_t wall_ms = clock_wall_ms(), expiry_ms = tenant_rare(tenant)->expiry_check_ms;

	if (tenant->next_due != INT64_MAX) {
		int64_t wait_ms = tenant->next_due * 1000 - wall_ms;

		if (wait_ms <= 0)
			tenant->look = true;
		else
			timers_set_earlier(&supervisor->timers, timer, clock_monotonic_ms() + wait_ms);
	}
	/* One that has passed is the business of dispatch(), which sets the next; a suspended tenant has
	 * none. */
	if (expiry_ms > clock_monotonic_ms())
		timers_set_earlier(&supervisor->timers, timer, expiry_ms);
	tenant_check_secret(supervisor, tenant);
	dispatch(supervisor, tenant);
}

static void run_timers(struct supervisor *supervisor)
{
	int64_t now = clock_monotonic_ms();
	struct timer *timer;

	/* Only what is due now: a tenant that wants its turn again at once comes after the letters. */
	while ((timer = timers_take(&supervisor->timers, now)) != NULL)
		on_timer(supervisor, timer);
}

/*
 * Modes, owners, the file itself. What can go on is a warning, told once; a file
 * that was deleted or replaced under us is left and opened anew.
 */
static void inspect(struct supervisor *supervisor)
{
	struct words words = { "" };
	enum error error = storage_inspect(supervisor->outbox->storage, &words);

	if (error == ERROR_NOT_FOUND)
		supervisor->reopen = true;
	if (error == OK)
		supervisor->inspected.text[0] = '\0'; /* if it comes again it is told again */
	if (error == OK || strcmp(words.text, supervisor->inspected.text) == 0)
		return;
	supervisor->inspected = words;
	log_begin(&supervisor->log, LOG_WARNING,
	          error == ERROR_PERMISSION ? "storage.warning" : "storage.failed", supervisor->outbox->db,
	          NULL);
	log_text(&supervisor->log, "database", supervisor->outbox->path);
	log_text(&supervisor->log, "error", words.text);
	log_end(&supervisor->log);
}

/* What comes round by the clock, whatever else happens. */
static void run_rounds(struct supervisor *supervisor)
{
	int64_t now = clock_monotonic_ms();

	if (now >= supervisor->next_scan_ms) {
		look_scan(supervisor);
		suspect_check(supervisor);
		supervisor->next_scan_ms = now + fault_number("scan-ms", SCAN_MS);
	}
	if (now >= supervisor->next_watch_ms) {
		watch_workers(supervisor, atomic_load(&supervisor->outbox->service->stall_grace_ms));
		supervisor->next_watch_ms = now + WATCH_MS;
	}
	if (now >= supervisor->next_inspect_ms) {
		inspect(supervisor);
		supervisor->next_inspect_ms = now + INSPECT_MS;
	}
	if (supervisor->outbox->service->config->metrics_file && now >= supervisor->next_picture_ms) {
		picture_give(supervisor);
		supervisor->next_picture_ms = now + fault_number("metrics-ms", PICTURE_MS);
	}
	if (supervisor->dirty && now >= supervisor->next_status_ms) {
		tenant_write_statuses(supervisor, false);
		supervisor->next_status_ms = now + STATUS_MS;
	}
}

/* What a start, a load of settings or a full queue took goes back to the system once nothing happens. */
static void rest_when_quiet(struct supervisor *supervisor)
{
	if (supervisor->in_hand)
		supervisor->quiet = 0;
	else if (++supervisor->quiet == QUIET_POLLS) {
		storage_look_rest(supervisor->outbox->storage);
		malloc_trim(0);
	}
}

static void look_again(struct supervisor *supervisor)
{
	int64_t now = clock_monotonic_ms();
	bool poll = now >= supervisor->next_poll_ms;

	if (poll && supervisor->tenants_stale) {
		supervisor->tenants_stale = false;
		tenant_load(supervisor, NULL);
	}
	if (supervisor_asks(supervisor, poll) || (poll && supervisor->storage_told)) {
		supervisor->quiet = 0;
		look_changes(supervisor);
	} else if (poll) {
		rest_when_quiet(supervisor);
	}
	if (now >= supervisor->next_poll_ms)
		supervisor->next_poll_ms = now + fault_number("poll-ms", POLL_MS);
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* Microseconds until something has to be done without a letter. */
static int64_t time_to_wait_us(const struct supervisor *supervisor)
{
	int64_t now = clock_monotonic_ms();
	int64_t at = earlier(supervisor->next_poll_ms, timers_next(&supervisor->timers));

	at = earlier(at, supervisor->next_watch_ms);
	if (supervisor->dirty)
		at = earlier(at, supervisor->next_status_ms);
	if (supervisor->waiting_first || supervisor->contended)
		at = earlier(at, now + WAITING_MS);
	return at <= now ? 0 : (at - now) * 1000;
}

static void hear_main(struct supervisor *supervisor)
{
	struct outbox *outbox = supervisor->outbox;
	struct tenant *tenant, *next;

	if (atomic_exchange(&outbox->tell_status, false)) {
		HASH_ITER (hh, supervisor->tenants, tenant, next)
			tenant_tell(supervisor, tenant);
	}
	if (atomic_exchange(&outbox->keys_read, false)) {
		HASH_ITER (hh, supervisor->tenants, tenant, next)
			tenant_try_keys(supervisor, tenant);
	}
}

static void turn(struct supervisor *supervisor)
{
	bool letters;

	on_disk(supervisor->outbox, true);
	clock_follow(supervisor);
	letters = take_settled(supervisor);
	letters = take_results(supervisor) || letters;
	if (letters)
		supervisor_gathers(supervisor);
	take_exits(supervisor);
	slots_share_out(supervisor);
	hear_main(supervisor);
	look_again(supervisor);
	run_rounds(supervisor);
	if (supervisor->waiting_first)
		places_share_out(supervisor);
	places_make_room(supervisor);
	credentials_settle(supervisor);
	connections_make_room(supervisor);
	run_timers(supervisor);
	log_push(&supervisor->log);
	if (!supervisor->in_hand)
		worker_keep_spare(supervisor->outbox);
	on_disk(supervisor->outbox, false);
}

static void serve(struct supervisor *supervisor)
{
	supervisor->accept_work = true;
	on_disk(supervisor->outbox, true); /* until the first turn is over */
	storage_changed(supervisor->outbox->storage);
	tenant_load(supervisor, NULL);
	suspect_recover(supervisor);
	look_scan(supervisor);
	supervisor->next_scan_ms = clock_monotonic_ms() + fault_number("scan-ms", SCAN_MS);
	while (atomic_load(&supervisor->outbox->stop) == STOP_NONE && !supervisor->reopen) {
		turn(supervisor);
		supervisor_wait(supervisor, time_to_wait_us(supervisor));
	}
}

static void tell_workers(struct supervisor *supervisor, int level)
{
	struct tenant *tenant, *next;

	HASH_ITER (hh, supervisor->tenants, tenant, next) {
		for (struct worker *worker = tenant->workers; worker; worker = worker->next)
			worker_tell_stop(worker, level);
	}
}

/* Ends the workers; false if one does not move (its thread is left behind). */
static bool stop_workers(struct supervisor *supervisor)
{
	struct outbox *outbox = supervisor->outbox;
	bool stalled = atomic_load(&outbox->service->stall);
	int64_t drain_ms = fault_number("stall-drain-ms", STALL_DRAIN_MS);
	int64_t give_up = stalled ? clock_monotonic_ms() + drain_ms : INT64_MAX;
	struct tenant *tenant, *next;
	int told = STOP_NONE;

	supervisor->accept_work = false;
	HASH_ITER (hh, supervisor->tenants, tenant, next)
		ready_drop(supervisor, tenant);
	while (supervisor->workers > 0) {
		int level = atomic_load(&outbox->stop);
		int64_t now = clock_monotonic_ms();

		if (level == STOP_NONE) /* to be opened anew */
			level = STOP_SOON;

		if (level != told) {
			tell_workers(supervisor, level);
			if (level == STOP_NOW && give_up == INT64_MAX)
				give_up = now + fault_number("give-up-ms", GIVE_UP_MS);
			told = level;
		}
		if (now >= give_up) {
			/* Another one's stall ends this process before their grace is over. */
			if (stalled)
				watch_workers(supervisor, drain_ms);
			log_push(&supervisor->log);
			return false;
		}
		supervisor_wait(supervisor, time_to_wait_us(supervisor));
		take_settled(supervisor);
		take_results(supervisor);
		take_exits(supervisor);
		log_push(&supervisor->log);
	}
	return true;
}

static void close_outbox(struct supervisor *supervisor)
{
	struct outbox *outbox = supervisor->outbox;
	bool all_ended = stop_workers(supervisor);
	bool complete;

	worker_end_spare(outbox);
	take_results(supervisor);
	on_disk(outbox, true);
	tenant_write_statuses(supervisor, true);
	on_disk(outbox, false);
	complete = writer_stop(&outbox->writer, WRITER_GRACE_MS);
	take_settled(supervisor);
	log_push(&supervisor->log);
	outbox->clean = all_ended && complete;
	if (!all_ended)
		return; /* its thread may touch anything of ours: the process ends, nothing is freed */
	journal_close(&outbox->journal, complete);
	places_forget(supervisor);
	tenant_free_all(supervisor);
	storage_close(&outbox->storage);
}

void *supervisor_main(void *argument)
{
	struct outbox *outbox = argument;
	struct supervisor *supervisor = supervisor_create(outbox);

	supervisor_wait_setup();
	outbox->clean = true;
	while (outbox->clean && open_outbox(supervisor)) {
		int64_t wall_ahead_ms;

		serve(supervisor);
		close_outbox(supervisor);
		if (!supervisor->reopen || atomic_load(&outbox->stop) != STOP_NONE)
			break;
		log_push(&supervisor->log);
		wall_ahead_ms = supervisor->wall_ahead_ms;
		supervisor_destroy(supervisor);
		supervisor = supervisor_create(outbox);
		supervisor->wall_ahead_ms = wall_ahead_ms;
		supervisor->reopened = true;
	}
	log_push(&supervisor->log);
	if (outbox->clean)
		supervisor_destroy(supervisor);
	tell_main(outbox, &outbox->ended, NEWS_ENDED);
	return NULL;
}
