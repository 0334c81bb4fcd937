/*
 * token_rotation.c - see token_rotation.h.
 */
#include "daemon/token_rotation.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"

enum { USERNAME, TOKEN_URL, CLIENT_ID, REFRESH_FILE, IDENTITIES };

struct token_rotation {
	atomic_int references; /* token objects */
	char *identity[IDENTITIES];

	pthread_mutex_t lock; /* of all that follows; held for no wait */
	pthread_cond_t ended; /* a fetch */
	bool busy;
	/* of the last fetch, as it left them; unset while one is under way */
	struct secret unsaved, replaces;
	bool sealed;
};

static const char *identity_of(const struct tenant_settings *settings, int number)
{
	const char *const texts[IDENTITIES] = {
		[USERNAME] = settings->username,
		[TOKEN_URL] = settings->oauth_token_url,
		[CLIENT_ID] = settings->oauth_client_id,
		[REFRESH_FILE] = settings->oauth_refresh_token_file,
	};

	return texts[number];
}

struct token_rotation *token_rotation_create(const struct tenant_settings *settings)
{
	struct token_rotation *rotation = memory_alloc(sizeof(*rotation));

	atomic_init(&rotation->references, 1);
	for (int i = 0; i < IDENTITIES; i++)
		rotation->identity[i] = memory_strdup(identity_of(settings, i));
	pthread_mutex_init(&rotation->lock, NULL);
	pthread_cond_init(&rotation->ended, NULL);
	return rotation;
}

static bool same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : !a && !b;
}

struct token_rotation *token_rotation_share(struct token_rotation *rotation,
                                            const struct tenant_settings *settings)
{
	if (!settings->oauth_refresh_token_file)
		return NULL;
	for (int i = 0; i < IDENTITIES; i++)
		if (!same(rotation->identity[i], identity_of(settings, i)))
			return NULL;
	atomic_fetch_add(&rotation->references, 1);
	return rotation;
}

void token_rotation_release(struct token_rotation **rotation)
{
	struct token_rotation *released = *rotation;

	*rotation = NULL;
	if (!released || atomic_fetch_sub(&released->references, 1) > 1)
		return;
	secret_wipe(&released->unsaved);
	secret_wipe(&released->replaces);
	for (int i = 0; i < IDENTITIES; i++)
		free(released->identity[i]);
	pthread_cond_destroy(&released->ended);
	pthread_mutex_destroy(&released->lock);
	free(released);
}

static void move(struct secret *to, struct secret *from)
{
	secret_wipe(to);
	*to = *from;
	*from = (struct secret){ NULL, 0 };
}

void token_rotation_begin(struct token_rotation *rotation, struct token_fetch *fetch)
{
	pthread_mutex_lock(&rotation->lock);
	while (rotation->busy)
		pthread_cond_wait(&rotation->ended, &rotation->lock);
	rotation->busy = true;
	move(&fetch->unsaved, &rotation->unsaved);
	move(&fetch->replaces, &rotation->replaces);
	fetch->sealed = rotation->sealed;
	pthread_mutex_unlock(&rotation->lock);
}

void token_rotation_end(struct token_rotation *rotation, struct token_fetch *fetch)
{
	pthread_mutex_lock(&rotation->lock);
	rotation->busy = false;
	move(&rotation->unsaved, &fetch->unsaved);
	move(&rotation->replaces, &fetch->replaces);
	rotation->sealed = fetch->sealed;
	pthread_cond_signal(&rotation->ended);
	pthread_mutex_unlock(&rotation->lock);
}

bool token_rotation_pending(struct token_rotation *rotation)
{
	bool pending;

	pthread_mutex_lock(&rotation->lock);
	pending = rotation->busy || secret_is_set(&rotation->unsaved);
	pthread_mutex_unlock(&rotation->lock);
	return pending;
}
