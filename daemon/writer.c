/*
 * writer.c - see writer.h. The promises that hang on this file: an id leaves the
 * set in hand only after its COMMIT returned OK; a failed commit is repeated with
 * the same messages; a log line never comes before the commit it tells of.
 */
#include "daemon/writer.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/wait.h"
#include "daemon/batch.h"
#include "daemon/checkpoints.h"
#include "daemon/fault.h"
#include "daemon/report.h"
#include "daemon/retention.h"
#include "daemon/rules.h"
#include "daemon/service_internal.h"
#include "daemon/thread.h"

#define COMMIT_DEADLINE_MS 10000
#define REPEAT_MS          250
#define REST_AFTER_MS      2000 /* without anything to commit */

struct writer {
	struct outbox *outbox;
	pthread_t storage;
	struct checkpoints *checkpoints;
	struct queue settle, hold, status; /* each with an eventfd */
	atomic_int finish;                 /* supervisor: 1 = commit what is there, then end */
	_Atomic int64_t finish_by_ms;
	_Atomic int64_t jumped_ms; /* the wall clock was set by so much more … */
	atomic_uint clock_jumps;   /* … and so often in all */
	bool complete;             /* storage's last word */
	/* the storage thread's own: what the next commits take, and */
	struct queue_link *to_settle, *to_hold, *to_tell;
	unsigned follow, followed;       /* jumps: told before to_settle was taken, in the table after it */
	int64_t follow_ms, follow_at_ms; /* … by so much, not before */
	struct log_batch log;
	bool failing;
	struct retention retention;
	struct rules rules;
	int64_t committed_ms;
	size_t committed;   /* results, then */
	int64_t rest_at_ms; /* storage_rest() then, DEADLINE_NEVER = it was, or nothing was committed */
};

static void tell_trouble(struct writer *writer, const struct words *words)
{
	if (!writer->failing) {
		log_begin(&writer->log, LOG_ERROR, "storage.failed", writer->outbox->db, NULL);
		log_text(&writer->log, "database", writer->outbox->path);
		log_text(&writer->log, "error", words->text);
		log_end(&writer->log);
		log_push(&writer->log);
	}
	writer->failing = true;
	atomic_store(&writer->outbox->disk_trouble, true);
}

static void tell_recovery(struct writer *writer)
{
	if (!writer->failing)
		return;
	log_begin(&writer->log, LOG_WARNING, "storage.recovered", writer->outbox->db, NULL);
	log_text(&writer->log, "database", writer->outbox->path);
	log_end(&writer->log);
	writer->failing = false;
	atomic_store(&writer->outbox->disk_trouble, false);
}

static void free_statuses(struct queue_link *first)
{
	while (first) {
		struct tenant_status *status = QUEUE_ITEM(first, struct tenant_status, link);

		first = first->next;
		free(status->tenant);
		free(status->last_error);
		free(status->token_error);
		free(status);
	}
}

/* Every message of the chain goes back to who gave it, with its answer. */
static void answer_holds(struct queue_link *first, bool committed)
{
	while (first) {
		struct message *message = QUEUE_ITEM(first, struct message, link);

		first = first->next;
		if (!committed)
			message->settled = SETTLED_LOST;
		queue_push(message->answer_to, &message->link);
	}
}

static void report_settled(struct writer *writer, struct queue_link *first)
{
	for (struct queue_link *link = first; link; link = link->next) {
		struct message *message = QUEUE_ITEM(link, struct message, link);

		fault_here("settled", message->tenant_name);
		if (message->settled != SETTLED_GONE)
			report_message(&writer->log, writer->outbox->db, message);
		/* A suspect's is the supervisor's to keep or give. */
		if (message->suspect) {
			journal_release(writer->outbox->journal, message->journal_slot);
			continue;
		}
		journal_give(writer->outbox->journal, message->journal_slot);
		message->journal_slot = -1;
	}
}

/* A crash from here on is a crash with these in hand. */
static void take_in_hand(struct writer *writer, struct queue_link *first)
{
	for (struct queue_link *link = first; link; link = link->next) {
		struct message *message = QUEUE_ITEM(link, struct message, link);

		journal_own(writer->outbox->journal, message->journal_slot);
		fault_here("storage", message->tenant_name);
	}
}

/*
 * Commits a batch; repeats its settlements until they went through or we are to
 * finish and the time is over. Holds are never repeated: their workers wait.
 */
static bool commit(struct writer *writer, struct storage_batch *batch)
{
	bool committed = false;

	for (;;) {
		struct words words = { "" };
		int64_t now = clock_monotonic_ms();
		enum error error;

		take_in_hand(writer, batch->messages);
		take_in_hand(writer, batch->uncertain);
		atomic_store(&writer->outbox->storage_since_ms, now);
		error = storage_settle(writer->outbox->storage, batch,
		                       now + fault_number("commit-ms", COMMIT_DEADLINE_MS), &words);
		atomic_store(&writer->outbox->storage_since_ms, 0);
		if (error == OK) {
			committed = true;
			atomic_fetch_add(&writer->outbox->commits, 1);
			tell_recovery(writer);
			checkpoints_note(writer->checkpoints);
			writer->committed_ms = clock_monotonic_ms();
			writer->rest_at_ms = now + REST_AFTER_MS;
			batch_put_back(&batch->messages, &writer->to_settle);
			batch_put_back(&batch->uncertain, &writer->to_hold);
			writer->committed = batch_count(batch->messages);
			/* the write-ahead log grows fast where each commit has as many */
			if (writer->to_settle || writer->committed >= BATCH_HOLD_LEAST)
				checkpoints_hurry(writer->checkpoints);
			report_settled(writer, batch->messages);
		} else {
			atomic_fetch_add(&writer->outbox->commit_failures, 1);
			tell_trouble(writer, &words);
		}
		answer_holds(batch->uncertain, error == OK);
		batch->uncertain = NULL;
		log_push(&writer->log);
		if (committed || !batch->messages)
			break;
		if (atomic_load(&writer->finish) && now >= atomic_load(&writer->finish_by_ms))
			break;
		wait_for(-1, 0, now + REPEAT_MS, NULL);
		batch->uncertain = queue_take_all(&writer->hold);
	}
	free_statuses(batch->statuses);
	if (batch->messages)
		queue_push_chain(&writer->outbox->settled, batch->messages);
	return committed || !batch->messages;
}

/* Waits for more to commit, where that is worth it; who waits with a message in hand ends it. */
static void gather(struct writer *writer)
{
	const struct interrupt finish = { &writer->finish, 1 };
	int64_t until_ms;

	while (!writer->to_settle && !writer->to_hold && queue_length(&writer->hold) == 0) {
		until_ms = batch_gather(queue_length(&writer->settle), writer->committed,
		                        writer->committed_ms, clock_monotonic_ms());
		if (until_ms == 0 ||
		    wait_for(writer->hold.event_fd, POLLIN, until_ms, &finish) != ERROR_TIMEOUT)
			break;
	}
}

static bool clock_is_due(const struct writer *writer)
{
	return writer->follow != writer->followed && clock_monotonic_ms() >= writer->follow_at_ms;
}

/* The next start knows nothing of what was set forward: it is tried for as long as results are. */
static bool clock_is_waited_for(const struct writer *writer)
{
	return writer->follow != writer->followed &&
	       clock_monotonic_ms() < atomic_load(&writer->finish_by_ms);
}

/* Tried again every 250 ms: until then nothing expires, and what waits waits. */
static void follow_clock(struct writer *writer)
{
	struct words words = { "" };

	if (!clock_is_due(writer))
		return;
	if (storage_clock_jumped(writer->outbox->storage, writer->follow_ms,
	                         clock_monotonic_ms() + COMMIT_DEADLINE_MS, &words) != OK) {
		writer->follow_at_ms = clock_monotonic_ms() + REPEAT_MS;
		tell_trouble(writer, &words);
	} else {
		tell_recovery(writer);
		checkpoints_note(writer->checkpoints);
		writer->follow_ms = 0;
		writer->followed = writer->follow;
		atomic_store(&writer->outbox->clock_followed, writer->followed);
	}
	log_push(&writer->log);
}

/* What was judged by the clock of before is in the queue when we are told that the clock was set. */
static void take_settle(struct writer *writer)
{
	if (writer->to_settle)
		return;
	writer->follow = atomic_load(&writer->clock_jumps);
	writer->follow_ms += atomic_exchange(&writer->jumped_ms, 0);
	writer->to_settle = queue_take_all(&writer->settle);
}

static void wait_for_work(struct writer *writer)
{
	struct pollfd fds[] = {
		{ .fd = writer->settle.event_fd, .events = POLLIN },
		{ .fd = writer->hold.event_fd, .events = POLLIN },
		{ .fd = writer->status.event_fd, .events = POLLIN },
	};
	const struct interrupt finish = { &writer->finish, 1 };
	int64_t until_ms = retention_next_ms(&writer->retention);

	if (rules_next_ms(&writer->rules) < until_ms)
		until_ms = rules_next_ms(&writer->rules);
	if (writer->follow != writer->followed && writer->follow_at_ms < until_ms)
		until_ms = writer->follow_at_ms;
	if (writer->rest_at_ms < until_ms)
		until_ms = writer->rest_at_ms;
	if (wait_for_any(fds, 3, until_ms, &finish) == ERROR_TIMEOUT &&
	    clock_monotonic_ms() >= writer->rest_at_ms) {
		storage_rest(writer->outbox->storage);
		writer->rest_at_ms = DEADLINE_NEVER;
	}
}

static void *storage_main(void *argument)
{
	struct writer *writer = argument;

	/* applications wait for the lock that it holds: it is not to wait for workers meanwhile */
	thread_prefer();
	writer->complete = true;
	for (;;) {
		bool last = atomic_load(&writer->finish) != 0;
		bool shared = storage_is_shared(writer->outbox->storage);
		struct storage_batch batch = { 0 };

		batch_hold(&batch, storage_commit_us(writer->outbox->storage), shared);
		if (!last && shared)
			gather(writer);
		take_settle(writer);
		if (!writer->to_hold)
			writer->to_hold = queue_take_all(&writer->hold);
		if (!writer->to_tell)
			writer->to_tell = queue_take_all(&writer->status);
		batch_cut(&batch, &writer->to_settle, &writer->to_hold);
		batch_cut_statuses(&batch, &writer->to_tell);
		if (batch.messages || batch.uncertain || batch.statuses) {
			if (!commit(writer, &batch))
				writer->complete = false;
		} else if (clock_is_due(writer)) {
			/* also before the end */
		} else if (!last) {
			wait_for_work(writer);
		} else if (clock_is_waited_for(writer)) {
			wait_for(-1, 0, writer->follow_at_ms, NULL);
		} else {
			break;
		}
		if (!writer->to_settle)
			follow_clock(writer);
		/* Results come first, but not for ever. */
		atomic_store(&writer->outbox->storage_since_ms, clock_monotonic_ms());
		if (!last && rules_step(&writer->rules))
			checkpoints_note(writer->checkpoints);
		if (!last && retention_step(&writer->retention))
			checkpoints_note(writer->checkpoints);
		atomic_store(&writer->outbox->storage_since_ms, 0);
	}
	retention_tell(&writer->retention, true);
	return NULL;
}

static bool init_queues(struct writer *writer, struct words *words)
{
	struct queue *const queues[] = { &writer->settle, &writer->hold, &writer->status };

	for (int i = 0; i < 3; i++) {
		if (queue_init(queues[i], true) == OK)
			continue;
		words_set_errno(words, errno, "no queue for the storage thread");
		while (i-- > 0)
			queue_fini(queues[i]);
		return false;
	}
	return true;
}

/* Its threads have ended, or were never started. */
static void destroy(struct writer *writer)
{
	log_batch_fini(&writer->log);
	queue_fini(&writer->settle);
	queue_fini(&writer->hold);
	queue_fini(&writer->status);
	free(writer);
}

static void end_storage(struct writer *writer, int64_t grace_ms)
{
	atomic_store(&writer->finish_by_ms, clock_monotonic_ms() + grace_ms);
	atomic_store(&writer->finish, 1);
	wait_wake(writer->storage);
	pthread_join(writer->storage, NULL);
}

enum error writer_start(struct outbox *outbox, struct writer **writer, struct words *words)
{
	struct writer *made = memory_alloc(sizeof(*made));
	int code;

	made->outbox = outbox;
	made->rest_at_ms = DEADLINE_NEVER;
	atomic_store(&outbox->clock_followed, 0);
	log_batch_init(&made->log, outbox->service->log);
	retention_init(&made->retention, outbox, &made->log);
	rules_init(&made->rules, outbox, &made->log);
	if (!init_queues(made, words)) {
		log_batch_fini(&made->log);
		free(made);
		return ERROR_UNAVAILABLE;
	}
	/* first the one that the other wakes */
	if (checkpoints_start(outbox, &made->checkpoints, words) != OK) {
		destroy(made);
		return ERROR_UNAVAILABLE;
	}
	code = thread_start(&made->storage, "storage", storage_main, made);
	if (code != 0) {
		words_set_errno(words, code, "cannot start the storage thread");
		checkpoints_stop(&made->checkpoints);
		destroy(made);
		return ERROR_UNAVAILABLE;
	}
	*writer = made;
	return OK;
}

void writer_settle(struct writer *writer, struct queue_link *first)
{
	queue_push_chain(&writer->settle, first);
}

void writer_hold(struct writer *writer, struct message *message, struct queue *answer_to)
{
	message->answer_to = answer_to;
	queue_push(&writer->hold, &message->link);
}

unsigned writer_clock_jumped(struct writer *writer, int64_t jumped_ms)
{
	unsigned jumps;

	atomic_fetch_add(&writer->jumped_ms, jumped_ms);
	jumps = atomic_fetch_add(&writer->clock_jumps, 1) + 1;
	queue_wake(&writer->status);
	return jumps;
}

void writer_rules_changed(struct writer *writer)
{
	rules_ask(&writer->rules);
	queue_wake(&writer->status);
}

void writer_status(struct writer *writer, struct tenant_status *status)
{
	queue_push(&writer->status, &status->link);
}

bool writer_stop(struct writer **writer, int64_t grace_ms)
{
	struct writer *ended = *writer;
	bool complete;

	end_storage(ended, grace_ms);
	checkpoints_stop(&ended->checkpoints);
	complete = ended->complete;
	destroy(ended);
	*writer = NULL;
	return complete;
}
