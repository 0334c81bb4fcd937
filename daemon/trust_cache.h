/*
 * trust_cache.h - authorities, read once for all tenants of a file.
 *
 * A system's list is 3.7 MB in memory and takes tens of milliseconds to read: tenants that
 * begin all at once share one from the start. Any thread.
 */
#ifndef OUTBOXD_DAEMON_TRUST_CACHE_H
#define OUTBOXD_DAEMON_TRUST_CACHE_H

#include <pthread.h>

#include "common/error.h"
#include "smtp/tls.h"

struct trust_cache {
	pthread_mutex_t lock;
	pthread_cond_t loaded;
	struct cached_trust *first;
};

void trust_cache_init(struct trust_cache *cache);
void trust_cache_fini(struct trust_cache *cache);

/* A held reference to the system's authorities, NULL if they were not read yet. Does not block. */
struct tls_trust *trust_cache_at_hand(struct trust_cache *cache);

/*
 * A held reference to those of ca_file (NULL = the system's), as the file is now. Blocks for the disk, and
 * while another thread reads the same file: a loader's thread only. Not OK: words that name the file.
 */
enum error trust_cache_load(struct trust_cache *cache, const char *ca_file, struct tls_trust **trust,
                            struct words *words);

/* All are read again at their next use. */
void trust_cache_forget(struct trust_cache *cache);

#endif
