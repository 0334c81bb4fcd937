/*
 * loader.c - see loader.h.
 *
 * A request lives in memory of its own, counted: the thread that reads and the
 * worker that waits each hold it, and whoever leaves last frees it. A thread on
 * a disk that hangs keeps its place until the disk answers; the worker goes on.
 */
#include "daemon/loader.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/queue.h"
#include "common/secret_file.h"
#include "daemon/command.h"
#include "daemon/thread.h"

/* Authorities of one file as long as the file is the same. */
struct cached {
	struct cached *next;
	char *path; /* "" = the system's */
	struct stat st;
	struct tls_trust *trust;
};

struct loader {
	atomic_int references; /* the service, and each thread that is under way */
	char *secrets_dir, *command_dir;
	pthread_mutex_t lock; /* of the cache */
	struct cached *cache;
	atomic_int threads;
};

struct request {
	struct queue_link link; /* first member: the letter to the waiting worker */
	atomic_int references;  /* loader thread and worker */
	struct loader *loader;
	struct tenant_settings *settings;
	struct queue answer; /* bound by the worker */
	struct materials materials;
	enum error error;
	struct words words;
};

void materials_fini(struct materials *materials)
{
	secret_wipe(&materials->password);
	tls_trust_release(&materials->trust);
	tls_identity_release(&materials->identity);
}

struct loader *loader_create(const char *secrets_dir, const char *command_dir)
{
	struct loader *loader = memory_alloc(sizeof(*loader));

	atomic_store(&loader->references, 1);
	loader->secrets_dir = memory_strdup(secrets_dir);
	loader->command_dir = memory_strdup(command_dir);
	pthread_mutex_init(&loader->lock, NULL);
	return loader;
}

static void free_cache(struct cached *cached)
{
	while (cached) {
		struct cached *next = cached->next;

		tls_trust_release(&cached->trust);
		free(cached->path);
		free(cached);
		cached = next;
	}
}

static void loader_release(struct loader *loader)
{
	if (atomic_fetch_sub(&loader->references, 1) > 1)
		return;
	free_cache(loader->cache);
	pthread_mutex_destroy(&loader->lock);
	free(loader->secrets_dir);
	free(loader->command_dir);
	free(loader);
}

void loader_destroy(struct loader **loader)
{
	if (*loader)
		loader_release(*loader);
	*loader = NULL;
}

void loader_forget(struct loader *loader)
{
	struct cached *cache;

	pthread_mutex_lock(&loader->lock);
	cache = loader->cache;
	loader->cache = NULL;
	pthread_mutex_unlock(&loader->lock);
	free_cache(cache);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* A held reference, NULL if the file is not in the cache as it is now. st NULL: the system's. */
static struct tls_trust *cache_find(struct loader *loader, const char *path, const struct stat *st)
{
	struct tls_trust *trust = NULL;

	pthread_mutex_lock(&loader->lock);
	for (struct cached *cached = loader->cache; cached && !trust; cached = cached->next) {
		if (strcmp(cached->path, path) == 0 && (!st || same_file(&cached->st, st)))
			trust = tls_trust_hold(cached->trust);
	}
	pthread_mutex_unlock(&loader->lock);
	return trust;
}

static void cache_put(struct loader *loader, const char *path, const struct stat *st, struct tls_trust *trust)
{
	struct cached **link, *cached;
	struct tls_trust *old = NULL;

	pthread_mutex_lock(&loader->lock);
	for (link = &loader->cache; *link && strcmp((*link)->path, path) != 0; link = &(*link)->next)
		continue;
	if (!*link) {
		*link = memory_alloc(sizeof(**link));
		(*link)->path = memory_strdup(path);
	}
	cached = *link;
	old = cached->trust;
	cached->trust = tls_trust_hold(trust);
	if (st)
		cached->st = *st;
	pthread_mutex_unlock(&loader->lock);
	tls_trust_release(&old);
}

static bool needs_trust(const struct tenant_settings *settings)
{
	return settings->tls != TLS_NONE && settings->tls != TLS_OPPORTUNISTIC &&
	       settings->tls_verify == TLS_VERIFY_FULL;
}

static enum error load_trust(struct request *request)
{
	struct loader *loader = request->loader;
	const char *path = request->settings->tls_ca_file;
	struct stat st = { 0 };
	enum error error;

	if (!needs_trust(request->settings))
		return OK;
	if (path && stat(path, &st) != 0) {
		words_set_errno(&request->words, errno, "tls_ca_file %s cannot be read", path);
		return ERROR_NOT_FOUND;
	}
	request->materials.trust = cache_find(loader, path ? path : "", path ? &st : NULL);
	if (request->materials.trust)
		return OK;
	error = tls_trust_load(path, &request->materials.trust, &request->words);
	if (error == OK)
		cache_put(loader, path ? path : "", path ? &st : NULL, request->materials.trust);
	return error;
}

static enum error load_password(struct request *request)
{
	const struct tenant_settings *settings = request->settings;
	struct loader *loader = request->loader;

	if (settings->password_command) {
		if (!loader->command_dir) {
			words_set(&request->words, "password_command is set, but outboxd has no command_dir");
			return ERROR_REFUSED;
		}
		if (!secret_file_is_name(settings->password_command)) {
			words_set(&request->words,
			          "password_command = %s is not the name of a program in command_dir",
			          settings->password_command);
			return ERROR_REFUSED;
		}
		return command_run(loader->command_dir, settings->password_command, settings->name,
		                   deadline_after_ms(LOADER_COMMAND_MS), &request->materials.password,
		                   &request->words);
	}
	if (settings->password_file)
		return secret_file_read(loader->secrets_dir, "password_file", settings->password_file,
		                        &request->materials.password, &request->words);
	if (secret_is_set(&settings->password))
		secret_copy(&request->materials.password, &settings->password);
	return OK;
}

static bool needs_identity(const struct tenant_settings *settings)
{
	return settings->tls != TLS_NONE && settings->tls_cert_file && settings->tls_key_file;
}

static enum error load_identity(struct request *request)
{
	const struct tenant_settings *settings = request->settings;
	const char *folder = request->loader->secrets_dir;
	struct secret certificate = { NULL, 0 }, key = { NULL, 0 };
	enum error error;

	if (!needs_identity(settings))
		return OK;
	error = secret_file_read(folder, "tls_cert_file", settings->tls_cert_file, &certificate,
	                         &request->words);
	if (error == OK)
		error = secret_file_read(folder, "tls_key_file", settings->tls_key_file, &key,
		                         &request->words);
	if (error == OK)
		error = tls_identity_parse(settings, &certificate, &key, &request->materials.identity,
		                           &request->words);
	secret_wipe(&certificate);
	secret_wipe(&key);
	return error;
}

static void load(struct request *request)
{
	request->error = load_trust(request);
	if (request->error == OK)
		request->error = load_identity(request);
	if (request->error == OK)
		request->error = load_password(request);
}

static void request_release(struct request *request)
{
	if (atomic_fetch_sub(&request->references, 1) > 1)
		return;
	/* The letter may lie in the queue unread; it is the request itself. */
	queue_take_all(&request->answer);
	queue_fini(&request->answer);
	materials_fini(&request->materials);
	tenant_settings_release(&request->settings);
	loader_release(request->loader);
	free(request);
}

static void *loader_main(void *argument)
{
	struct request *request = argument;

	load(request);
	atomic_fetch_sub(&request->loader->threads, 1);
	queue_push(&request->answer, &request->link);
	request_release(request);
	return NULL;
}

/* What is at hand without a disk is given at once. */
static bool load_without_disk(struct loader *loader, const struct tenant_settings *settings,
                              struct materials *materials)
{
	if (settings->password_command || settings->password_file || settings->tls_ca_file ||
	    needs_identity(settings))
		return false;
	if (needs_trust(settings)) {
		materials->trust = cache_find(loader, "", NULL);
		if (!materials->trust)
			return false;
	}
	if (secret_is_set(&settings->password))
		secret_copy(&materials->password, &settings->password);
	return true;
}

static struct request *request_create(struct loader *loader, const struct tenant_settings *settings)
{
	struct request *request = memory_alloc(sizeof(*request));

	atomic_store(&request->references, 2);
	atomic_fetch_add(&loader->references, 1);
	request->loader = loader;
	/* Counting a reference is the one thing that changes in a constant object. */
	request->settings = tenant_settings_hold((struct tenant_settings *)settings);
	queue_init(&request->answer, false);
	return request;
}

static enum error start_thread(struct request *request, struct words *words)
{
	pthread_t thread;
	int code;

	if (atomic_fetch_add(&request->loader->threads, 1) >= LOADER_THREADS) {
		atomic_fetch_sub(&request->loader->threads, 1);
		words_set(words,
		          "the disk or program that secrets come from does not answer (%d requests wait)",
		          LOADER_THREADS);
		return ERROR_UNAVAILABLE;
	}
	code = thread_start(&thread, "loader", loader_main, request);
	if (code != 0) {
		atomic_fetch_sub(&request->loader->threads, 1);
		words_set_errno(words, code, "cannot start a thread that reads the secrets");
		return ERROR_UNAVAILABLE;
	}
	pthread_detach(thread);
	return OK;
}

enum error loader_get(struct loader *loader, const struct tenant_settings *settings, int64_t deadline_ms,
                      const struct interrupt *interrupt, struct materials *materials, struct words *words)
{
	struct request *request;
	enum error error;

	*materials = (struct materials){ .trust = NULL };
	if (load_without_disk(loader, settings, materials))
		return OK;
	request = request_create(loader, settings);
	error = start_thread(request, words);
	if (error != OK) {
		/* There is no thread to give the other reference back. */
		atomic_store(&request->references, 1);
		request_release(request);
		return error;
	}
	queue_bind(&request->answer);
	do
		error = queue_take(&request->answer) ? OK : wait_for(-1, 0, deadline_ms, interrupt);
	while (error == ERROR_UNAVAILABLE);
	queue_unbind(&request->answer);
	if (error == OK) {
		error = request->error;
		*words = request->words;
		*materials = request->materials;
		request->materials = (struct materials){ .trust = NULL };
		if (error != OK)
			materials_fini(materials);
	} else {
		words_set(words, "secrets and authorities could not be read in time");
	}
	request_release(request);
	return error;
}

/* Shared by the thread that asks the disk and the supervisor that does not wait for it. */
struct loader_stamp {
	atomic_int references;
	struct loader *loader;
	char *paths[LOADER_FILES]; /* NULL after the last */
	_Atomic int64_t stamp;
	atomic_bool known;
};

static void stamp_release(struct loader_stamp *stamp)
{
	if (atomic_fetch_sub(&stamp->references, 1) > 1)
		return;
	loader_release(stamp->loader);
	for (int i = 0; i < LOADER_FILES; i++)
		free(stamp->paths[i]);
	free(stamp);
}

static void *stamp_main(void *argument)
{
	struct loader_stamp *stamp = argument;
	uint64_t times = 0;
	struct stat st;

	/* of several the sum: whichever changes, it does */
	for (int i = 0; i < LOADER_FILES && stamp->paths[i]; i++)
		if (stat(stamp->paths[i], &st) == 0)
			times += (uint64_t)st.st_mtim.tv_sec * UINT64_C(1000000000) +
			         (uint64_t)st.st_mtim.tv_nsec;
	atomic_store(&stamp->stamp, (int64_t)(times & INT64_MAX));
	atomic_store(&stamp->known, true);
	atomic_fetch_sub(&stamp->loader->threads, 1);
	stamp_release(stamp);
	return NULL;
}

/* Names of files in secrets_dir, at most LOADER_FILES; how many there are. */
static int names_of_files(const struct tenant_settings *settings, const char *names[LOADER_FILES])
{
	const char *const all[LOADER_FILES] = { settings->password_file, settings->tls_cert_file,
		                                settings->tls_key_file };
	int count = 0;

	for (int i = 0; i < LOADER_FILES; i++)
		if (all[i] && secret_file_is_name(all[i]))
			names[count++] = all[i];
	return count;
}

bool loader_has_files(const struct tenant_settings *settings)
{
	const char *names[LOADER_FILES];

	return names_of_files(settings, names) > 0;
}

static struct loader_stamp *stamp_create(struct loader *loader, const char *const names[], int count)
{
	struct loader_stamp *stamp = memory_alloc(sizeof(*stamp));

	for (int i = 0; i < count; i++) {
		struct buffer path;

		buffer_init(&path, 8192);
		buffer_printf(&path, "%s/%s", loader->secrets_dir, names[i]);
		stamp->paths[i] = buffer_take(&path);
	}
	stamp->loader = loader;
	atomic_fetch_add(&loader->references, 1);
	atomic_store(&stamp->references, 2);
	return stamp;
}

struct loader_stamp *loader_stamp_ask(struct loader *loader, const struct tenant_settings *settings)
{
	const char *names[LOADER_FILES];
	int count = names_of_files(settings, names);
	struct loader_stamp *stamp;
	pthread_t thread;

	if (!loader->secrets_dir || count == 0)
		return NULL;
	if (atomic_fetch_add(&loader->threads, 1) >= LOADER_THREADS) {
		atomic_fetch_sub(&loader->threads, 1);
		return NULL;
	}
	stamp = stamp_create(loader, names, count);
	if (thread_start(&thread, "loader", stamp_main, stamp) == 0) {
		pthread_detach(thread);
		return stamp;
	}
	atomic_fetch_sub(&loader->threads, 1);
	atomic_store(&stamp->references, 1);
	stamp_release(stamp);
	return NULL;
}

bool loader_stamp_known(const struct loader_stamp *asked, int64_t *stamp)
{
	if (!atomic_load(&asked->known))
		return false;
	*stamp = atomic_load(&asked->stamp);
	return true;
}

void loader_stamp_release(struct loader_stamp **asked)
{
	if (*asked)
		stamp_release(*asked);
	*asked = NULL;
}
