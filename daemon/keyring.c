/*
 * keyring.c - see keyring.h.
 */
#include "daemon/keyring.h"

#include "common/seal.h"

void keyring_init(struct keyring *ring)
{
	*ring = (struct keyring){ .keys = NULL };
	pthread_mutex_init(&ring->lock, NULL);
}

void keyring_fini(struct keyring *ring)
{
	seal_keys_release(&ring->keys);
	seal_keys_release(&ring->before);
	pthread_mutex_destroy(&ring->lock);
}

/* Takes over keys. */
static void adopt(struct keyring *ring, struct seal_keys *keys)
{
	struct seal_keys *old;

	pthread_mutex_lock(&ring->lock);
	old = ring->before;
	ring->before = ring->keys;
	ring->keys = keys;
	ring->trouble.text[0] = '\0';
	pthread_mutex_unlock(&ring->lock);
	seal_keys_release(&old);
}

enum error keyring_read(struct keyring *ring, const char *path, const char **id, struct words *words)
{
	struct seal_keys *keys = NULL;
	enum error error = path ? seal_keys_read(path, &keys, words) : OK;

	if (error != OK) {
		pthread_mutex_lock(&ring->lock);
		ring->trouble = *words;
		pthread_mutex_unlock(&ring->lock);
		return error;
	}
	if (id)
		*id = keys ? seal_keys_id(keys) : NULL;
	adopt(ring, keys);
	return OK;
}

static struct seal_keys *present_keys(struct keyring *ring, struct words *trouble)
{
	struct seal_keys *keys;

	pthread_mutex_lock(&ring->lock);
	keys = seal_keys_hold(ring->keys);
	*trouble = ring->trouble;
	pthread_mutex_unlock(&ring->lock);
	return keys;
}

struct seal_keys *keyring_keys(struct keyring *ring)
{
	struct words ignored;

	return present_keys(ring, &ignored);
}

enum error keyring_password(struct keyring *ring, const struct tenant_settings *settings,
                            struct secret *password, struct words *words)
{
	const struct seal_place place = { .settings = settings, .column = "password" };
	struct seal_keys *keys;
	struct words trouble;
	enum error error;

	if (!secret_is_set(&settings->password) || !seal_is_sealed(&settings->password)) {
		(void)secret_copy(password, &settings->password);
		return OK;
	}
	keys = present_keys(ring, &trouble);
	if (!keys && trouble.text[0]) {
		words_set(words, "password of tenant %s is sealed, and the keys are not there: %s",
		          settings->name, trouble.text);
		return ERROR_REFUSED;
	}
	error = seal_open(keys, &place, &settings->password, password, words);
	seal_keys_release(&keys);
	return error;
}

static bool opens(const struct seal_keys *keys, const struct tenant_settings *settings)
{
	const struct seal_place place = { .settings = settings, .column = "password" };
	struct secret password = { NULL, 0 };
	struct words words;
	bool good = seal_open(keys, &place, &settings->password, &password, &words) == OK;

	secret_wipe(&password);
	return good;
}

static bool names_files(const struct tenant_settings *settings)
{
	return settings->password_file || settings->tls_key_file || settings->oauth_client_secret_file ||
	       settings->oauth_refresh_token_file;
}

bool keyring_unlocked(struct keyring *ring, const struct tenant_settings *settings)
{
	struct seal_keys *now, *before;
	bool files = names_files(settings), unlocked;

	if (!files && (!secret_is_set(&settings->password) || !seal_is_sealed(&settings->password)))
		return false;
	pthread_mutex_lock(&ring->lock);
	now = seal_keys_hold(ring->keys);
	before = seal_keys_hold(ring->before);
	pthread_mutex_unlock(&ring->lock);
	unlocked = files ? !seal_keys_within(now, before) : opens(now, settings) && !opens(before, settings);
	seal_keys_release(&now);
	seal_keys_release(&before);
	return unlocked;
}
