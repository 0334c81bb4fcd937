/*
 * worker.c - what a worker does: inbox, session, parking. See worker.h.
 */
#include "daemon/worker.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/digest.h"
#include "common/text.h"
#include "common/wait.h"
#include "daemon/deliver.h"
#include "daemon/fault.h"
#include "daemon/keyring.h"
#include "daemon/loader.h"
#include "daemon/quota.h"
#include "daemon/thread.h"
#include "daemon/token.h"

#define REST_AFTER_MS 1000 /* parked for so long: it is not a pause between two messages */

static void observe_deadline(void *context, int64_t deadline_ms)
{
	struct workplace *place = context;

	atomic_store(&place->worker->deadline_ms, deadline_ms);
}

static void observe_stage(void *context, enum stage stage)
{
	struct workplace *place = context;

	atomic_store(&place->worker->stage, (int)stage);
	if (stage == STAGE_GREETING)
		deliver_read_ahead(place);
}

void workplace_no_deadline(struct workplace *place)
{
	atomic_store(&place->worker->deadline_ms, DEADLINE_NEVER);
}

bool worker_is_leaving(const struct worker *worker)
{
	return atomic_load(&worker->leave) || atomic_load(&worker->stop) != STOP_NONE;
}

/* The next message: from what was taken, else from the inbox. */
static struct message *next_message(struct worker *worker)
{
	struct queue_link *link = worker->kept;

	if (!link)
		link = queue_take_ready(&worker->inbox);
	if (!link)
		return NULL;
	worker->kept = link->next;
	return QUEUE_ITEM(link, struct message, link);
}

/*
 * Where the server answers so quickly that reading the next message is a good part of the time between two,
 * that is done while an answer is awaited. From others nothing would be gained, and what was read would lie
 * in memory for as long as they take.
 */
static void take_ahead(struct workplace *place)
{
	struct worker *worker = place->worker;
	struct message *message = NULL;

	if (place->quick && !place->troubled && !worker->one_at_a_time && !deliver_waiting(place) &&
	    !worker_is_leaving(worker))
		message = next_message(worker);
	if (message)
		deliver_take_ahead(place, message);
}

/* Lines that were put off so that MAIL leaves before them; and what can be done until the answer is here. */
static void observe_turn(void *context)
{
	struct workplace *place = context;

	log_push(&place->log);
	take_ahead(place);
	place->turn_us = clock_monotonic_us();
}

/* The log hears of it as soon as MAIL has left, or it is clear that none will. */
static void log_session_open(struct workplace *place)
{
	struct session_facts facts;

	session_facts(place->session, &facts);
	log_begin(&place->log, LOG_INFO, "session.open", place->worker->outbox->db,
	          place->worker->settings->name);
	log_text(&place->log, "session", place->session_id);
	log_text(&place->log, "server", facts.server);
	log_text(&place->log, "address", facts.address);
	log_text(&place->log, "tls", facts.tls ? facts.tls : "none");
	log_text(&place->log, "auth", facts.auth ? facts.auth : "none");
	log_text(&place->log, "fallback", facts.fallback);
	log_end(&place->log);
}

static void log_token(struct workplace *place)
{
	struct token_news news;

	if (!token_take_news(place->worker->token, &news))
		return;
	log_begin(&place->log, news.fetched && !news.words.text[0] ? LOG_INFO : LOG_WARNING,
	          news.fetched ? "token.fetched" : "token.failed", place->worker->outbox->db,
	          place->worker->settings->name);
	if (news.fetched)
		log_number(&place->log, "expires_in", news.expires_in_s);
	log_text(&place->log, "oauth_error", news.error[0] ? news.error : NULL);
	log_text(&place->log, "error", news.words.text[0] ? news.words.text : NULL);
	log_end(&place->log);
	log_push(&place->log);
}

static enum error no_session(struct outcome *trouble, enum error error, enum trouble kind,
                             const struct words *words)
{
	bool ours = error == ERROR_INTERRUPTED || error == ERROR_UNAVAILABLE;

	trouble->verdict = VERDICT_UNTRIED;
	trouble->scope = SCOPE_TENANT;
	trouble->trouble = ours ? TROUBLE_NONE : kind;
	outcome_say(trouble, "%s", words->text);
	return error;
}

/* What the session needs from files, programs and token endpoints; password is what it logs in with. */
static enum error gather(struct workplace *place, struct token_given *given, struct outcome *trouble)
{
	struct worker *worker = place->worker;
	struct materials *materials = &place->materials;
	const struct interrupt interrupt = { &worker->stop, STOP_SOON };
	int64_t deadline_ms = clock_monotonic_ms() + worker->settings->connect_timeout * INT64_C(1000);
	struct words words;
	enum error error = loader_get(worker->outbox->service->loader, worker->settings, deadline_ms,
	                              &interrupt, materials, &words);

	if (error != OK)
		return no_session(trouble, error, TROUBLE_PLAIN, &words);
	if (!worker->token)
		return OK;
	token_use_keys(worker->token, keyring_keys(loader_keyring(worker->outbox->service->loader)));
	log_token(place); /* of a fetch that ended when nobody waited for it: another one follows, maybe */
	error = token_get(worker->token, deadline_ms, &interrupt, given, &words);
	log_token(place);
	if (error == OK) {
		secret_wipe(&materials->password);
		materials->password = given->secret;
		given->secret = (struct secret){ NULL, 0 };
		return OK;
	}
	materials_fini(materials);
	/* one who is refused does not ask every few seconds, as with a password */
	return no_session(trouble, error, error == ERROR_REFUSED ? TROUBLE_AUTH_FAILED : TROUBLE_PLAIN,
	                  &words);
}

static enum error open_session(struct workplace *place, struct token_given *given, struct outcome *trouble)
{
	struct worker *worker = place->worker;
	struct materials *materials = &place->materials;
	struct session_settings settings;
	enum error error = gather(place, given, trouble);

	if (error != OK)
		return error;
	settings = (struct session_settings){
		.tenant = worker->settings,
		.password = secret_is_set(&materials->password) ? &materials->password : NULL,
		.trust = materials->trust,
		.identity = materials->identity,
		.resolver = worker->outbox->service->resolver,
		.stop = &worker->stop,
		.observer = &place->observer,
		.one_at_a_time = worker->one_at_a_time,
	};
	error = session_open(&settings, &place->session, trouble);
	workplace_no_deadline(place);
	materials_fini(materials);
	return error;
}

/* True: the server refused a token that was kept; a new one may do. */
static bool token_was_refused(struct workplace *place, const struct token_given *given,
                              const struct outcome *trouble)
{
	if (given->serial == 0 || trouble->trouble != TROUBLE_AUTH_FAILED)
		return false;
	token_reject(place->worker->token, given->serial);
	return !given->fresh;
}

enum error workplace_open(struct workplace *place, struct outcome *trouble)
{
	struct token_given given = { .serial = 0 };
	unsigned char random[8];
	enum error error;

	if (place->session)
		return OK;
	error = open_session(place, &given, trouble);
	if (error != OK && token_was_refused(place, &given, trouble)) {
		outcome_clear(trouble);
		error = open_session(place, &given, trouble);
		if (error != OK)
			(void)token_was_refused(place, &given, trouble);
	}
	if (error != OK)
		return error;
	digest_random(random, sizeof(random));
	text_hex(random, sizeof(random), place->session_id);
	place->opened_ms = clock_monotonic_ms();
	place->messages = 0;
	log_session_open(place);
	return OK;
}

void workplace_close(struct workplace *place, const char *reason)
{
	if (!place->session)
		return;
	session_close(&place->session);
	workplace_no_deadline(place);
	log_begin(&place->log, LOG_INFO, "session.close", place->worker->outbox->db,
	          place->worker->settings->name);
	log_text(&place->log, "session", place->session_id);
	log_text(&place->log, "reason", reason);
	log_number(&place->log, "messages", place->messages);
	log_end(&place->log);
	log_push(&place->log);
}

/*
 * Waits for mail with the connection open. False: nothing came for
 * idle_timeout, the server hung up, or we are to leave.
 */
static bool park(struct workplace *place)
{
	struct worker *worker = place->worker;
	struct words words = { "" };
	int64_t until, rest_at = clock_monotonic_ms() + REST_AFTER_MS;

	/* It has had as many messages as its server takes. */
	if (place->session && !session_usable(place->session))
		workplace_close(place, "not usable after the last message");
	/* Without a session there is nothing to keep, but for the first message, which is on its way. */
	until = !place->session && place->served
	                ? 0
	                : clock_monotonic_ms() + atomic_load(&worker->outbox->service->idle_timeout_ms);
	/* what came together with the last answer has been read already */
	if (place->session && session_lost(place->session, &words)) {
		workplace_close(place, words.text[0] ? words.text : "closed by the server");
		return false;
	}
	while (!worker_is_leaving(worker) && clock_monotonic_ms() < until) {
		struct pollfd fd = { .fd = place->session ? session_fd(place->session) : -1,
			             .events = POLLIN };
		int64_t next = rest_at < until ? rest_at : until;
		enum error error;

		worker->kept = queue_take_all(&worker->inbox);
		if (worker->kept)
			return true;
		error = wait_briefly(&fd, 1, (next - clock_monotonic_ms()) * 1000);
		if (clock_monotonic_ms() >= rest_at) {
			thread_rest();
			rest_at = INT64_MAX;
		}
		if (error == OK && place->session && session_lost(place->session, &words)) {
			workplace_close(place, words.text[0] ? words.text : "closed by the server");
			return false;
		}
	}
	if (!worker_is_leaving(worker))
		workplace_close(place, "idle");
	return false;
}

void hand_add(struct worker *worker, struct message *message)
{
	struct queue_link **last = &worker->hand;

	while (*last)
		last = &(*last)->next;
	message->link.next = NULL;
	*last = &message->link;
	if (worker->hand == &message->link)
		atomic_store(&worker->message_id, message->id);
}

void hand_remove(struct worker *worker, struct message *message)
{
	struct queue_link **at = &worker->hand;

	while (*at != &message->link)
		at = &(*at)->next;
	*at = message->link.next;
	message->link.next = NULL;
	atomic_store(&worker->message_id,
	             worker->hand ? QUEUE_ITEM(worker->hand, struct message, link)->id : 0);
}

void hand_give_result(struct worker *worker, struct message *message)
{
	hand_remove(worker, message);
	journal_release(worker->outbox->journal, message->journal_slot);
	if (!worker->hand)
		atomic_store(&worker->stage, STAGE_NONE);
	queue_push(&worker->outbox->results, &message->link);
}

void workplace_serve(struct workplace *place)
{
	struct worker *worker = place->worker;

	for (;;) {
		/* What has to go again goes first. Where the server is in trouble the rest of the inbox is
		 * not tried on it. */
		struct job *job = deliver_waiting(place);
		bool takes = !job && !place->troubled && !worker_is_leaving(worker);
		struct message *message = takes ? next_message(worker) : NULL;

		if (job)
			deliver_give(place, job);
		else if (message)
			deliver_take(place, message);
		else if (place->jobs)
			deliver_finish(place);
		else if (place->troubled || worker_is_leaving(worker) || !park(place))
			break;
	}
	workplace_close(place, worker_is_leaving(worker) ? "told to leave" : "the server is in trouble");
}

struct workplace *workplace_create(struct worker *worker)
{
	struct workplace *place = memory_alloc(sizeof(*place));

	place->worker = worker;
	place->observer = (struct session_observer){
		.context = place,
		.deadline = observe_deadline,
		.stage = observe_stage,
		.turn = observe_turn,
		.before_end = deliver_before_end,
		.over = deliver_over,
	};
	log_batch_init(&place->log, worker->outbox->service->log);
	return place;
}
