/*
 * keyring.h - the keys of secrets_key_file, as they were read last, for all threads.
 *
 * Tenants whose password or file is sealed are down with words while the key is not there; nobody else
 * is touched by it.
 */
#ifndef OUTBOXD_DAEMON_KEYRING_H
#define OUTBOXD_DAEMON_KEYRING_H

#include <pthread.h>
#include <stdbool.h>

#include "common/error.h"

struct seal_keys;
struct secret;
struct tenant_settings;

struct keyring {
	pthread_mutex_t lock;            /* of all that follows; held for no wait */
	struct seal_keys *keys, *before; /* NULL = none */
	struct words trouble;            /* why there is none; empty: no secrets_key_file */
};

void keyring_init(struct keyring *ring);
void keyring_fini(struct keyring *ring);

/*
 * At the start and at SIGHUP. path NULL = the setting is not set: there are no keys. Blocks for the disk.
 * Where it fails, with words, the keys of the last reading stay in use. *id, if not NULL, becomes the id of
 * the first key (in ring, valid until the next reading).
 */
enum error keyring_read(struct keyring *ring, const char *path, const char **id, struct words *words);

/*
 * A tenant's password as it logs in with it: opened if it is sealed, else a copy. Unset where it has none.
 * Any thread; does not block. ERROR_REFUSED, ERROR_INVALID with words for the tenant's administrator.
 */
enum error keyring_password(struct keyring *ring, const struct tenant_settings *settings,
                            struct secret *password, struct words *words);

/* The keys as they are now; NULL = none. The caller releases them. Any thread; does not block. */
struct seal_keys *keyring_keys(struct keyring *ring);

/*
 * Whether the last reading opened a password that was closed before it: a reason to try at once. Of files it
 * is not known without the disk: then whether it brought a key.
 */
bool keyring_unlocked(struct keyring *ring, const struct tenant_settings *settings);

#endif
