/*
 * supervisor_result.c - letters: what came of an attempt, what is committed, who
 * has ended. See supervisor.h.
 *
 * "Never twice" (b): an id leaves the set in hand only after its COMMIT returned
 * OK (or when nothing had happened to the message).
 */
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "daemon/fault.h"
#include "daemon/judge.h"
#include "daemon/limit.h"
#include "daemon/supervisor_connection.h"
#include "daemon/supervisor_dispatch.h"
#include "daemon/supervisor_limit.h"
#include "daemon/supervisor_look.h"
#include "daemon/supervisor_picture.h"
#include "daemon/supervisor_clock.h"
#include "daemon/supervisor_place.h"
#include "daemon/supervisor_result.h"
#include "daemon/supervisor_slot.h"
#include "daemon/supervisor_status.h"
#include "daemon/supervisor_suspect.h"
#include "daemon/supervisor_tenant.h"
#include "daemon/supervisor_unread.h"

#define PAUSE_MS       1000
#define BATCH_MOST     64
#define BATCH_QUICK_MS 100
#define QUICK_MS       1000

/* Nothing happened to it: back into the line, or to the table if its line is closed. */
static void put_back(struct supervisor *supervisor, struct tenant *tenant, struct message *message)
{
	struct journal *journal = supervisor->outbox->journal;

	if (message->recovered) {
		journal_release(journal, message->journal_slot);
	} else if (message->suspect && message->journal_slot >= 0) {
		journal_keep(journal, message->journal_slot, message);
	} else {
		journal_give(journal, message->journal_slot);
		message->journal_slot = -1;
	}
	message_reset_attempt(message);
	message->worker = NULL;
	if (!supervisor->accept_work ||
	    (!message->offline && (!tenant_may_send(tenant) || tenant->breaker.state != BREAKER_CLOSED))) {
		tenant->look = true;
		in_hand_leave(supervisor, &message);
		return;
	}
	ready_add(tenant, message);
}

/* For jitter: that it cannot be foretold is of no use, that it is quick is (numbers of Numerical Recipes). */
static uint32_t throw_dice(struct supervisor *supervisor)
{
	supervisor->dice = supervisor->dice * UINT32_C(1664525) + UINT32_C(1013904223);
	return supervisor->dice;
}

static void to_storage(struct supervisor *supervisor, struct tenant *tenant, struct message *message)
{
	struct judge_moment moment = { .dice = throw_dice(supervisor) };
	int64_t after_ms;

	message->decided_wall_ms = clock_wall_ms();
	clock_result(supervisor, message);
	/* Set back in between: it is due by the new clock, which the table may have followed by then. */
	after_ms = clock_wall_ms();
	if (after_ms < message->decided_wall_ms)
		message->decided_wall_ms = after_ms;
	moment.now_s = message->decided_wall_ms / 1000;
	judge_message(message, message->judged_by, &moment);
	message->settled = SETTLED_NOT_YET;
	if (message->state == MESSAGE_SENT)
		tenant->last_sent_at = moment.now_s;
	tenant->unsettled++;
	slots_take(supervisor, 1);
	journal_release(supervisor->outbox->journal, message->journal_slot);
	message->link.next = NULL;
	*supervisor->judged_last = &message->link;
	supervisor->judged_last = &message->link.next;
}

void result_give_judged(struct supervisor *supervisor)
{
	struct queue_link *first = supervisor->judged;

	if (!first)
		return;
	supervisor->judged = NULL;
	supervisor->judged_last = &supervisor->judged;
	writer_settle(supervisor->outbox->writer, first);
}

void settle_as_it_is(struct supervisor *supervisor, struct tenant *tenant, struct message *message)
{
	message->judged_by = tenant->settings;
	to_storage(supervisor, tenant, message);
	result_give_judged(supervisor);
}

/* What a tenant's own administrator can act on: who said what, and where. */
static void describe_trouble(const struct message *message, struct words *words)
{
	const struct outcome *outcome = &message->outcome;
	const struct tenant_settings *settings = message->judged_by;
	const char *text;

	for (size_t i = 0; i < message->recipient_count && !outcome->text; i++)
		outcome = &message->recipients[i].outcome;
	text = outcome->text ? outcome->text : "";
	if (outcome->code == 0 || !settings)
		words_set(words, "%s", text[0] ? text : "the server is in trouble");
	else if (outcome->trouble == TROUBLE_AUTH_FAILED)
		words_set(words, "%s rejected the login of %s: %d%s%s %s", settings->host,
		          settings->username ? settings->username : "nobody", outcome->code,
		          outcome->enhanced[0] ? " " : "", outcome->enhanced, text);
	else
		words_set(words, "%s answered %s: %d%s%s %s", settings->host, stage_place(outcome->stage),
		          outcome->code, outcome->enhanced[0] ? " " : "", outcome->enhanced, text);
}

/* The streak guard and the breaker hear what the attempt says of the server. */
static void judge_server(struct supervisor *supervisor, struct tenant *tenant, struct message *message,
                         const struct attempt_summary *summary)
{
	int guard = tenant->settings ? tenant->settings->streak_guard : 0;
	struct words said, words;

	if (message->lost_in_company)
		tenant_one_at_a_time(supervisor, tenant);
	describe_trouble(message, &said);
	if (message->outcome.trouble != TROUBLE_NONE) {
		tenant_trouble(supervisor, tenant, message->outcome.trouble, said.text);
		return;
	}
	if (!summary->tried || message->offline || message->invalid)
		return;
	if (summary->accepted)
		breaker_streak_end(&tenant->breaker);
	if (summary->refused_whole &&
	    breaker_streak(&tenant->breaker, summary->stage, summary->code, guard)) {
		words_set(&words, "%d messages in a row were refused alike; %s", tenant->breaker.streak,
		          said.text);
		judge_soften(message);
		tenant_trouble(supervisor, tenant, TROUBLE_PLAIN, words.text);
		return;
	}
	tenant_well(supervisor, tenant);
}

/* Quick servers get their messages in larger handfuls. */
static void adapt_batch(struct worker *worker, const struct message *message)
{
	int64_t now = clock_monotonic_ms();

	worker->quick = message->opened_ms > 0 && message->ended_ms - message->opened_ms < QUICK_MS;

	if (now - worker->batch_given_ms > BATCH_QUICK_MS)
		worker->batch = 1;
	else if (worker->batch < BATCH_MOST)
		worker->batch++;
}

static bool all_known(const struct message *message)
{
	for (size_t i = 0; i < message->recipient_count; i++) {
		if (message->recipients[i].outcome.verdict == VERDICT_UNTRIED ||
		    message->recipients[i].state == DELIVERY_NONE)
			return false;
	}
	return message->recipient_count > 0;
}

/*
 * Its worker read of other settings than its own: they are read here too, and the message goes by
 * them. Where they cannot be read, or are none, nothing goes meanwhile.
 */
static void read_settings_again(struct supervisor *supervisor, struct tenant *tenant, struct message *message)
{
	tenant_load(supervisor, tenant->name);
	if (message->judged_by == tenant->settings)
		tenant_rare_use(tenant)->pause_until_ms = clock_monotonic_ms() + PAUSE_MS;
	put_back(supervisor, tenant, message);
}

/* What the attempt says of the server, and where the message goes. */
static void judge_result(struct supervisor *supervisor, struct tenant *tenant, struct message *message,
                         bool called_off)
{
	struct attempt_summary summary;

	if (message->outdated) {
		read_settings_again(supervisor, tenant, message);
		return;
	}
	if (message->settled == SETTLED_GONE) {
		tenant_read_again(supervisor, tenant, message);
		if (suspect_find_again(supervisor, message)) {
			message->settled = SETTLED_NOT_YET;
			put_back(supervisor, tenant, message);
			return;
		}
		if (message->suspect)
			suspect_forget(supervisor, message);
		else
			journal_give(supervisor->outbox->journal, message->journal_slot);
		tenant->look = true;
		in_hand_leave(supervisor, &message);
		return;
	}
	if (message->settled == SETTLED_LOST) {
		tenant_rare_use(tenant)->pause_until_ms = clock_monotonic_ms() + PAUSE_MS;
		if (message->outcome.stage == STAGE_NONE) /* not one that was held back later */
			tenant_unread(supervisor, tenant, message, false);
	}
	judge_summarize(message, &summary);
	if (summary.tried || message->invalid)
		tenant_read_again(supervisor, tenant, message);
	judge_server(supervisor, tenant, message, &summary);
	if (summary.tried || message->invalid || (message->settled != SETTLED_LOST && all_known(message))) {
		to_storage(supervisor, tenant, message);
		return;
	}
	/* Untried although nobody called it off: something is short here, so not again at once. */
	if (message->outcome.trouble == TROUBLE_NONE && !called_off && !message->limited) {
		tenant_rare_use(tenant)->pause_until_ms = clock_monotonic_ms() + PAUSE_MS;
		if (message->settled != SETTLED_LOST && message->outcome.text)
			tenant_unread(supervisor, tenant, message, true);
	}
	put_back(supervisor, tenant, message);
}

static void tenant_got_back(struct supervisor *supervisor, const struct worker *worker,
                            struct message *message)
{
	struct tenant *tenant = message->tenant;

	limit_called_off(worker, message);
	limit_returned(worker->quota, message);
	slots_give(supervisor);
	tenant->with_workers--;
	if (tenant->with_workers == 0)
		tenant->alone = false;
}

static void take_result(struct supervisor *supervisor, struct message *message)
{
	struct tenant *tenant = message->tenant;
	struct worker *worker = message->worker;

	journal_own(supervisor->outbox->journal, message->journal_slot);
	fault_here("supervisor", tenant->name);
	worker->given--;
	tenant_got_back(supervisor, worker, message);
	message->worker = NULL;
	message->judged_by = worker->settings;
	adapt_batch(worker, message);
	timers_set_earlier(&supervisor->timers, &tenant->timer, clock_monotonic_ms());
	judge_result(supervisor, tenant, message, worker->retired);
	/* A probe that said nothing of the server: the next one comes soon. */
	if (worker->probe)
		breaker_probe_untried(&tenant->breaker, clock_monotonic_ms());
	place_after_probe(supervisor, worker);
}

bool take_results(struct supervisor *supervisor)
{
	struct queue_link *link = queue_take_all(&supervisor->outbox->results);
	bool any = link != NULL;

	while (link) {
		struct message *message = QUEUE_ITEM(link, struct message, link);

		link = link->next;
		take_result(supervisor, message);
	}
	result_give_judged(supervisor);
	return any;
}

bool take_settled(struct supervisor *supervisor)
{
	struct queue_link *link = queue_take_all(&supervisor->outbox->settled);
	bool any = link != NULL;

	while (link) {
		struct message *message = QUEUE_ITEM(link, struct message, link);
		struct tenant *tenant = message->tenant;

		link = link->next;
		tenant->unsettled--;
		slots_give(supervisor);
		tenant_dirty(supervisor, tenant);
		timers_set_earlier(&supervisor->timers, &tenant->timer, clock_monotonic_ms());
		if (message->state == MESSAGE_DEFERRED)
			timers_set_earlier(&supervisor->timers, &tenant->timer,
			                   clock_monotonic_ms() + message->due_at * 1000 - clock_wall_ms());
		/* What somebody else changed meanwhile may wait still. */
		if (message->settled != SETTLED)
			tenant->look = true;
		/* Deferred ones become due again: the next look after that time finds them. */
		if (message->state == MESSAGE_DEFERRED && message->due_at < tenant->next_due)
			tenant->next_due = message->due_at;
		picture_count(supervisor, tenant, message);
		suspect_settled(supervisor, message);
		in_hand_leave(supervisor, &message);
	}
	return any;
}

/* A message whose worker ended in the middle of it: what is known of it decides. */
static void judge_orphan(struct supervisor *supervisor, struct worker *worker, struct message *message)
{
	message->settled = SETTLED_NOT_YET;
	for (size_t i = 0; i < message->recipient_count; i++) {
		struct recipient *recipient = &message->recipients[i];

		if (!recipient->wanted || recipient->outcome.verdict != VERDICT_NONE)
			continue;
		if (message->past_end) {
			recipient->outcome.verdict = VERDICT_UNCERTAIN;
			recipient->outcome.stage = STAGE_END;
			outcome_say(&recipient->outcome,
			            "the worker ended while the server's reply was awaited");
		} else {
			recipient->outcome.verdict = VERDICT_UNTRIED;
		}
	}
	suspect_worker_ended(supervisor, worker->tenant, message);
	message->worker = worker;
	queue_push(&supervisor->outbox->results, &message->link);
}

/* What a worker that has ended still held goes back to the line. */
static void take_back(struct supervisor *supervisor, struct worker *worker)
{
	struct queue_link *chains[] = { worker->kept, queue_take_all(&worker->inbox) };
	struct queue_link *hand = worker->hand;

	worker->kept = NULL;
	worker->hand = NULL;
	/* What it leaves is called off, not short of anything: its successor goes on at once. */
	worker->retired = true;
	while (hand) {
		struct message *message = QUEUE_ITEM(hand, struct message, link);

		hand = hand->next;
		judge_orphan(supervisor, worker, message);
	}
	for (int i = 0; i < 2; i++) {
		while (chains[i]) {
			struct message *message = QUEUE_ITEM(chains[i], struct message, link);

			chains[i] = chains[i]->next;
			worker->given--;
			tenant_got_back(supervisor, worker, message);
			if (worker->probe)
				breaker_probe_untried(&worker->tenant->breaker, clock_monotonic_ms());
			put_back(supervisor, worker->tenant, message);
		}
	}
	take_results(supervisor);
}

static void unlink_worker(struct tenant *tenant, struct worker *worker)
{
	struct worker **place = &tenant->workers;

	while (*place != worker)
		place = &(*place)->next;
	*place = worker->next;
	if (!worker->retired)
		tenant->worker_count--;
}

static void take_exit(struct supervisor *supervisor, struct worker *worker)
{
	struct tenant *tenant = worker->tenant;
	bool clean = atomic_load(&worker->clean);

	log_begin(&supervisor->log, clean ? LOG_DEBUG : LOG_ERROR, clean ? "worker.exit" : "worker.failed",
	          supervisor->outbox->db, tenant->name);
	log_number(&supervisor->log, "number", worker->number);
	if (!clean) {
		log_number(&supervisor->log, "id", atomic_load(&worker->message_id));
		log_text(&supervisor->log, "stage", stage_name((enum stage)atomic_load(&worker->stage)));
		tenant->worker_restarts++;
		tenant->replace++;
	}
	log_end(&supervisor->log);
	unlink_worker(tenant, worker);
	connection_give(supervisor, worker);
	take_back(supervisor, worker);
	place_give(supervisor, worker);
	supervisor->workers--;
	worker_destroy(&worker);
	timers_set_earlier(&supervisor->timers, &tenant->timer, clock_monotonic_ms());
	tenant_dirty(supervisor, tenant);
}

void take_exits(struct supervisor *supervisor)
{
	struct queue_link *link = queue_take_all(&supervisor->outbox->exits);

	if (!link)
		return;
	/* A worker's results were pushed before its exit: they are heard first. */
	take_results(supervisor);
	while (link) {
		struct worker *worker = QUEUE_ITEM(link, struct worker, exit_link);

		link = link->next;
		take_exit(supervisor, worker);
	}
	places_share_out(supervisor);
}
