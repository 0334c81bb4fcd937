/*
 * token.c - see token.h.
 */
#include "daemon/token.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/queue.h"
#include "daemon/thread.h"
#include "daemon/token_rotation.h"

#define RETRY_MIN_MS 5000 /* while the old token lives: doubling, to */
#define RETRY_MAX_MS 300000

/* Who waits for the end of a fetch: on its own stack, in the list until it goes. */
struct waiter {
	struct queue_link link; /* first member: the letter */
	struct queue answer;
	struct waiter *next;
	bool told;
};

struct token {
	atomic_int references; /* tenant, workers, the thread that fetches */
	struct tenant_settings *settings;
	struct token_place place; /* its own texts, no keys */
	struct token_rotation *rotation;

	pthread_mutex_t lock; /* of all that follows */
	struct secret secret; /* the last one, unset = none yet */
	int64_t serial;       /* 1, 2, … */
	int64_t refused_serial;
	int64_t refresh_at_ms, expires_at_ms;
	bool fetching;
	struct seal_keys *keys;
	struct waiter *waiters;
	/* of the last fetch */
	enum error error;
	bool refused;
	struct words words; /* "": nothing is wrong */
	int64_t retry_at_ms, retry_delay_ms;
	/* handed from one fetch to the next: only who fetches touches them */
	struct token_fetch fetch;
	bool has_news;
	struct token_news news;
};

struct token *token_create(const struct token_place *place, struct tenant_settings *settings)
{
	struct token *token;

	if (!settings->oauth_token_url)
		return NULL;
	token = memory_alloc(sizeof(*token));
	atomic_store(&token->references, 1);
	token->settings = tenant_settings_hold(settings);
	token->place.program = memory_strdup(place->program);
	token->place.ca_file = memory_strdup(place->ca_file);
	token->place.secrets_dir = memory_strdup(place->secrets_dir);
	token->rotation = token_rotation_create(settings);
	pthread_mutex_init(&token->lock, NULL);
	return token;
}

struct token *token_hold(struct token *token)
{
	if (token)
		atomic_fetch_add(&token->references, 1);
	return token;
}

void token_release(struct token **token)
{
	struct token *released = *token;

	*token = NULL;
	if (!released || atomic_fetch_sub(&released->references, 1) > 1)
		return;
	secret_wipe(&released->secret);
	token_fetch_fini(&released->fetch);
	token_rotation_release(&released->rotation);
	seal_keys_release(&released->keys);
	tenant_settings_release(&released->settings);
	free((char *)(uintptr_t)released->place.program);
	free((char *)(uintptr_t)released->place.ca_file);
	free((char *)(uintptr_t)released->place.secrets_dir);
	pthread_mutex_destroy(&released->lock);
	free(released);
}

void token_use_keys(struct token *token, struct seal_keys *keys)
{
	struct seal_keys *old;

	pthread_mutex_lock(&token->lock);
	old = token->keys;
	token->keys = keys;
	pthread_mutex_unlock(&token->lock);
	seal_keys_release(&old);
}

/* --- fetching ------------------------------------------------------------------------------- */

static void adopt_token(struct token *token)
{
	int64_t now = clock_monotonic_ms(), life_s = token->fetch.expires_in_s;

	secret_wipe(&token->secret);
	token->secret = token->fetch.token;
	token->fetch.token = (struct secret){ NULL, 0 };
	token->serial++;
	token->refresh_at_ms = now + life_s * 800;
	token->expires_at_ms = now + life_s * 1000;
	token->retry_at_ms = token->retry_delay_ms = 0;
	token->words = token->fetch.words;
}

static void adopt_failure(struct token *token)
{
	int64_t delay = token->retry_delay_ms * 2;

	token->words = token->fetch.words;
	token->refused = token->fetch.refused;
	if (delay < RETRY_MIN_MS)
		delay = RETRY_MIN_MS;
	token->retry_delay_ms = delay < RETRY_MAX_MS ? delay : RETRY_MAX_MS;
	token->retry_at_ms = clock_monotonic_ms() + token->retry_delay_ms;
}

static void end_fetch(struct token *token, enum error error)
{
	pthread_mutex_lock(&token->lock);
	token->error = error;
	if (error == OK)
		adopt_token(token);
	else
		adopt_failure(token);
	token->news = (struct token_news){ .fetched = error == OK,
		                           .expires_in_s = token->fetch.expires_in_s,
		                           .words = token->fetch.words };
	memcpy(token->news.error, token->fetch.error, sizeof(token->news.error));
	token->has_news = true;
	token->fetching = false;
	for (struct waiter *waiter = token->waiters; waiter; waiter = waiter->next) {
		if (!waiter->told)
			queue_push(&waiter->answer, &waiter->link);
		waiter->told = true;
	}
	pthread_mutex_unlock(&token->lock);
}

/* As it is now; the caller releases the keys. */
static struct token_place place_with_keys(struct token *token, struct seal_keys **keys)
{
	struct token_place place = token->place;

	pthread_mutex_lock(&token->lock);
	*keys = seal_keys_hold(token->keys);
	pthread_mutex_unlock(&token->lock);
	place.keys = *keys;
	return place;
}

static void *fetch_main(void *argument)
{
	struct token *token = argument;
	struct token_place place;
	struct seal_keys *keys;
	enum error error;

	token_rotation_begin(token->rotation, &token->fetch);
	place = place_with_keys(token, &keys);
	token->fetch.refused = false;
	token->fetch.error[0] = '\0';
	token->fetch.expires_in_s = 0;
	error = token_run(&place, token->settings, &token->fetch);
	token_rotation_end(token->rotation, &token->fetch);
	seal_keys_release(&keys);
	end_fetch(token, error);
	token_release(&token);
	return NULL;
}

/* Detached, with a reference of its own. 0 or the errno. */
static int start_thread(struct token *token, void *(*run)(void *))
{
	pthread_t thread;
	int code;

	atomic_fetch_add(&token->references, 1);
	code = thread_start(&thread, "token", run, token);
	if (code == 0)
		pthread_detach(thread);
	else
		atomic_fetch_sub(&token->references, 1);
	return code;
}

/* Locked. */
static enum error start_fetch(struct token *token, struct words *words)
{
	int code = start_thread(token, fetch_main);

	if (code != 0) {
		words_set_errno(words, code, "cannot start a thread that fetches the token");
		return ERROR_UNAVAILABLE;
	}
	token->fetching = true;
	return OK;
}

/* --- after others, of other settings -------------------------------------------------------- */

static void *save_main(void *argument)
{
	struct token *token = argument;
	struct token_fetch fetch = { .expires_in_s = 0 };
	struct token_place place;
	struct seal_keys *keys;

	token_rotation_begin(token->rotation, &fetch);
	place = place_with_keys(token, &keys);
	token_save(&place, token->settings, &fetch);
	token_rotation_end(token->rotation, &fetch);
	seal_keys_release(&keys);
	pthread_mutex_lock(&token->lock);
	if (fetch.words.text[0] && token->serial == 0)
		token->words = fetch.words;
	pthread_mutex_unlock(&token->lock);
	token_fetch_fini(&fetch);
	token_release(&token);
	return NULL;
}

void token_follow(struct token *token, struct token *last)
{
	struct token_rotation *shared = last ? token_rotation_share(last->rotation, token->settings) : NULL;

	if (!shared)
		return;
	token_rotation_release(&token->rotation);
	token->rotation = shared;
	/* without a thread the next fetch does it */
	if (token_rotation_pending(shared))
		(void)start_thread(token, save_main);
}

/* --- asking --------------------------------------------------------------------------------- */

/* Locked before and after. OK: the fetch under way has ended. */
static enum error wait_for_fetch(struct token *token, int64_t deadline_ms, const struct interrupt *interrupt,
                                 struct words *words)
{
	struct waiter waiter = { .told = false }, **at = &token->waiters;
	enum error error;

	queue_init(&waiter.answer, false);
	waiter.next = token->waiters;
	/* cppcheck-suppress autoVariables ; it is taken off the list before the end */
	token->waiters = &waiter;
	pthread_mutex_unlock(&token->lock);
	queue_bind(&waiter.answer);
	do
		error = queue_take(&waiter.answer) ? OK : wait_for(-1, 0, deadline_ms, interrupt);
	while (error == ERROR_UNAVAILABLE);
	queue_unbind(&waiter.answer);
	pthread_mutex_lock(&token->lock);
	while (*at != &waiter)
		at = &(*at)->next;
	*at = waiter.next;
	if (waiter.told)
		error = OK;
	(void)queue_take_all(&waiter.answer);
	queue_fini(&waiter.answer);
	if (error != OK)
		words_set(words, "the token endpoint has not answered in time");
	return error;
}

static bool is_usable(const struct token *token)
{
	return secret_is_set(&token->secret) && token->serial != token->refused_serial &&
	       clock_monotonic_ms() < token->expires_at_ms;
}

static bool is_to_be_fetched(const struct token *token)
{
	int64_t now = clock_monotonic_ms();

	return !is_usable(token) ||
	       (now >= token->refresh_at_ms && now >= token->retry_at_ms && !token->fetching);
}

/* Locked. OK: nothing is to be fetched, or a fetch came to its end. */
static enum error fetch(struct token *token, int64_t deadline_ms, const struct interrupt *interrupt,
                        struct words *words)
{
	enum error error = OK;

	if (!is_to_be_fetched(token))
		return OK;
	if (!token->fetching)
		error = start_fetch(token, words);
	if (error == OK)
		error = wait_for_fetch(token, deadline_ms, interrupt, words);
	if (error == OK && token->error != OK) {
		*words = token->words;
		error = token->refused ? ERROR_REFUSED : token->error;
	}
	return error;
}

enum error token_get(struct token *token, int64_t deadline_ms, const struct interrupt *interrupt,
                     struct token_given *given, struct words *words)
{
	int64_t before;
	enum error error;

	*given = (struct token_given){ .serial = 0 };
	pthread_mutex_lock(&token->lock);
	before = token->serial;
	error = fetch(token, deadline_ms, interrupt, words);
	/* the old one, while it lives */
	if (error != ERROR_INTERRUPTED && is_usable(token))
		error = OK;
	else if (error == OK) {
		words_set(words, "the token that was fetched is no longer to be used");
		error = ERROR_PROTOCOL;
	}
	if (error == OK) {
		secret_copy(&given->secret, &token->secret);
		given->serial = token->serial;
		given->fresh = token->serial != before;
	}
	pthread_mutex_unlock(&token->lock);
	return error;
}

void token_reject(struct token *token, int64_t serial)
{
	pthread_mutex_lock(&token->lock);
	if (serial > token->refused_serial)
		token->refused_serial = serial;
	pthread_mutex_unlock(&token->lock);
}

bool token_take_news(struct token *token, struct token_news *news)
{
	bool taken;

	pthread_mutex_lock(&token->lock);
	taken = token->has_news;
	token->has_news = false;
	*news = token->news;
	pthread_mutex_unlock(&token->lock);
	return taken;
}

void token_describe(struct token *token, struct token_state *state)
{
	*state = (struct token_state){ .held = false };
	if (!token)
		return;
	pthread_mutex_lock(&token->lock);
	state->held = secret_is_set(&token->secret) && token->serial != token->refused_serial;
	state->expires_in_ms = token->expires_at_ms - clock_monotonic_ms();
	state->fetching = token->fetching;
	state->refused = token->error != OK && token->refused;
	state->words = token->words;
	pthread_mutex_unlock(&token->lock);
}
