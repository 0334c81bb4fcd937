/*
 * seal_internal.h - what the two files of seal.h share: the keys as they are in memory.
 */
#ifndef OUTBOXD_COMMON_SEAL_INTERNAL_H
#define OUTBOXD_COMMON_SEAL_INTERNAL_H

#include <stdatomic.h>

#include "common/seal.h"

struct seal_key {
	struct secret secret; /* SEAL_KEY_BYTES */
	char id[SEAL_ID_CHARS + 1];
};

struct seal_keys {
	atomic_int references;
	struct seal_key keys[SEAL_KEYS_MAX];
	size_t count; /* at least 1 */
};

/* NULL: there is none of this id; keys may be NULL. */
const struct seal_key *seal_keys_find(const struct seal_keys *keys, const char *id);

#endif
