/*
 * trust_cache.c - see trust_cache.h. Kept as long as the file is the same (device, inode,
 * size, time); a reading that fails is not kept, and whoever waited for it tries himself.
 */
#include "daemon/trust_cache.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/buffer.h"

struct cached_trust {
	struct cached_trust *next;
	char *path; /* "" = the system's */
	struct stat st;
	struct tls_trust *trust; /* NULL = not read yet */
	bool loading;            /* one thread reads it; the others that want it wait */
};

void trust_cache_init(struct trust_cache *cache)
{
	pthread_mutex_init(&cache->lock, NULL);
	pthread_cond_init(&cache->loaded, NULL);
	cache->first = NULL;
}

static void free_all(struct cached_trust *cached)
{
	while (cached) {
		struct cached_trust *next = cached->next;

		tls_trust_release(&cached->trust);
		free(cached->path);
		free(cached);
		cached = next;
	}
}

void trust_cache_fini(struct trust_cache *cache)
{
	free_all(cache->first);
	pthread_cond_destroy(&cache->loaded);
	pthread_mutex_destroy(&cache->lock);
}

void trust_cache_forget(struct trust_cache *cache)
{
	struct cached_trust *forgotten = NULL;

	pthread_mutex_lock(&cache->lock);
	for (struct cached_trust **link = &cache->first; *link;) {
		struct cached_trust *cached = *link;

		if (cached->loading) { /* it is being read anew, and its reader comes back to it */
			link = &cached->next;
			continue;
		}
		*link = cached->next;
		cached->next = forgotten;
		forgotten = cached;
	}
	pthread_mutex_unlock(&cache->lock);
	free_all(forgotten);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static struct cached_trust *find(struct trust_cache *cache, const char *path)
{
	struct cached_trust *cached = cache->first;

	while (cached && strcmp(cached->path, path) != 0)
		cached = cached->next;
	return cached;
}

struct tls_trust *trust_cache_at_hand(struct trust_cache *cache)
{
	struct tls_trust *trust = NULL;
	const struct cached_trust *cached;

	pthread_mutex_lock(&cache->lock);
	cached = find(cache, "");
	if (cached && cached->trust)
		trust = tls_trust_hold(cached->trust);
	pthread_mutex_unlock(&cache->lock);
	return trust;
}

/* NULL only for one caller at a time, who reads the file and then calls put(). */
static struct tls_trust *claim(struct trust_cache *cache, const char *path, const struct stat *st)
{
	struct tls_trust *trust = NULL;
	struct cached_trust *cached;

	pthread_mutex_lock(&cache->lock);
	while ((cached = find(cache, path)) && cached->loading)
		pthread_cond_wait(&cache->loaded, &cache->lock);
	if (!cached) {
		cached = memory_alloc(sizeof(*cached));
		cached->path = memory_strdup(path);
		cached->next = cache->first;
		cache->first = cached;
	}
	if (cached->trust && same_file(&cached->st, st))
		trust = tls_trust_hold(cached->trust);
	cached->loading = !trust;
	pthread_mutex_unlock(&cache->lock);
	return trust;
}

/* trust NULL: it could not be read. */
static void put(struct trust_cache *cache, const char *path, const struct stat *st, struct tls_trust *trust)
{
	struct tls_trust *old;
	struct cached_trust *cached;

	pthread_mutex_lock(&cache->lock);
	cached = find(cache, path);
	cached->loading = false;
	old = cached->trust;
	cached->trust = trust ? tls_trust_hold(trust) : NULL;
	cached->st = *st;
	pthread_cond_broadcast(&cache->loaded);
	pthread_mutex_unlock(&cache->lock);
	tls_trust_release(&old);
}

enum error trust_cache_load(struct trust_cache *cache, const char *ca_file, struct tls_trust **trust,
                            struct words *words)
{
	const char *path = ca_file ? ca_file : "";
	struct stat st = { 0 };
	enum error error;

	if (ca_file && stat(ca_file, &st) != 0) {
		words_set_errno(words, errno, "tls_ca_file %s cannot be read", ca_file);
		return ERROR_NOT_FOUND;
	}
	*trust = claim(cache, path, &st);
	if (*trust)
		return OK;
	error = tls_trust_load(ca_file, trust, words);
	put(cache, path, &st, *trust);
	return error;
}
