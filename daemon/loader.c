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
#include "common/seal_file.h"
#include "common/secret_file.h"
#include "daemon/keyring.h"
#include "daemon/thread.h"
#include "daemon/trust_cache.h"
#include "run/credential.h"

struct loader {
	atomic_int references; /* the service, and each thread that is under way */
	char *secrets_dir, *command_dir;
	struct trust_cache trust;
	struct keyring keyring;
	pthread_mutex_t lock; /* of all that follows */
	int threads;
	struct request *waiting, **waiting_end; /* for one of them, in their order */
};

struct request {
	struct queue_link link; /* first member: the letter to the waiting worker */
	struct request *next;   /* in the line for a thread */
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
	trust_cache_init(&loader->trust);
	keyring_init(&loader->keyring);
	loader->waiting_end = &loader->waiting;
	return loader;
}

static void loader_release(struct loader *loader)
{
	if (atomic_fetch_sub(&loader->references, 1) > 1)
		return;
	trust_cache_fini(&loader->trust);
	keyring_fini(&loader->keyring);
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

struct keyring *loader_keyring(struct loader *loader)
{
	return &loader->keyring;
}

void loader_forget(struct loader *loader)
{
	trust_cache_forget(&loader->trust);
}

static bool needs_trust(const struct tenant_settings *settings)
{
	return settings->tls != TLS_NONE && settings->tls != TLS_OPPORTUNISTIC &&
	       settings->tls_verify == TLS_VERIFY_FULL;
}

static enum error load_trust(struct request *request)
{
	if (!needs_trust(request->settings))
		return OK;
	return trust_cache_load(&request->loader->trust, request->settings->tls_ca_file,
	                        &request->materials.trust, &request->words);
}

static enum error load_password(struct request *request, const struct seal_keys *keys)
{
	const struct credential_place place = { .secrets_dir = request->loader->secrets_dir,
		                                .command_dir = request->loader->command_dir,
		                                .keys = keys };

	if (credential_is_column(request->settings))
		return keyring_password(&request->loader->keyring, request->settings,
		                        &request->materials.password, &request->words);
	return credential_load(&place, request->settings, &request->materials.password, &request->words);
}

static bool needs_identity(const struct tenant_settings *settings)
{
	return settings->tls != TLS_NONE && settings->tls_cert_file && settings->tls_key_file;
}

static enum error load_identity(struct request *request, const struct seal_keys *keys)
{
	const struct tenant_settings *settings = request->settings;
	const struct seal_files files = { request->loader->secrets_dir, keys };
	const struct seal_place certificate_place = { settings, "tls_cert_file", settings->tls_cert_file };
	const struct seal_place key_place = { settings, "tls_key_file", settings->tls_key_file };
	struct secret certificate = { NULL, 0 }, key = { NULL, 0 };
	enum error error;

	if (!needs_identity(settings))
		return OK;
	error = seal_file_read(&files, &certificate_place, &certificate, NULL, &request->words);
	if (error == OK)
		error = seal_file_read(&files, &key_place, &key, NULL, &request->words);
	if (error == OK)
		error = tls_identity_parse(settings, &certificate, &key, &request->materials.identity,
		                           &request->words);
	secret_wipe(&certificate);
	secret_wipe(&key);
	return error;
}

static void load(struct request *request)
{
	struct seal_keys *keys = keyring_keys(&request->loader->keyring);

	request->error = load_trust(request);
	if (request->error == OK)
		request->error = load_identity(request, keys);
	if (request->error == OK)
		request->error = load_password(request, keys);
	seal_keys_release(&keys);
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

static void answer(struct request *request)
{
	load(request);
	queue_push(&request->answer, &request->link);
	request_release(request);
}

/* NULL: nobody waits, and the thread that asked is counted no more. */
static struct request *next_waiting(struct loader *loader)
{
	struct request *request;

	pthread_mutex_lock(&loader->lock);
	request = loader->waiting;
	if (request) {
		loader->waiting = request->next;
		if (!loader->waiting)
			loader->waiting_end = &loader->waiting;
	} else {
		loader->threads--;
	}
	pthread_mutex_unlock(&loader->lock);
	return request;
}

/* What a thread does before it ends: others wait for it where all are busy. */
static void answer_waiting(struct loader *loader)
{
	struct request *request;

	while ((request = next_waiting(loader)))
		answer(request);
}

static void *loader_main(void *argument)
{
	struct request *request = argument;
	struct loader *loader = request->loader;

	atomic_fetch_add(&loader->references, 1);
	answer(request);
	answer_waiting(loader);
	loader_release(loader);
	return NULL;
}

/* What is at hand without a disk is given at once; *error says if there is trouble with it. */
static bool load_without_disk(struct loader *loader, const struct tenant_settings *settings,
                              struct materials *materials, enum error *error, struct words *words)
{
	if (settings->token_command || settings->password_command || settings->password_file ||
	    settings->tls_ca_file || needs_identity(settings))
		return false;
	if (needs_trust(settings)) {
		materials->trust = trust_cache_at_hand(&loader->trust);
		if (!materials->trust)
			return false;
	}
	*error = settings->oauth_token_url
	                 ? OK
	                 : keyring_password(&loader->keyring, settings, &materials->password, words);
	if (*error != OK)
		materials_fini(materials);
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

/* True: the caller starts a thread. False: all are busy, and request (if any) has its place in the line. */
static bool take_thread(struct loader *loader, struct request *request)
{
	bool taken;

	pthread_mutex_lock(&loader->lock);
	taken = loader->threads < LOADER_THREADS;
	if (taken) {
		loader->threads++;
	} else if (request) {
		*loader->waiting_end = request;
		loader->waiting_end = &request->next;
	}
	pthread_mutex_unlock(&loader->lock);
	return taken;
}

/* One that could not be started; who waits in the line is answered by the others. */
static void give_thread_back(struct loader *loader)
{
	pthread_mutex_lock(&loader->lock);
	loader->threads--;
	pthread_mutex_unlock(&loader->lock);
}

static enum error start_thread(struct request *request, struct words *words)
{
	struct loader *loader = request->loader;
	pthread_t thread;
	int code;

	if (!take_thread(loader, request))
		return OK;
	code = thread_start(&thread, "loader", loader_main, request);
	if (code != 0) {
		give_thread_back(loader);
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
	if (load_without_disk(loader, settings, materials, &error, words))
		return error;
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
	answer_waiting(stamp->loader);
	stamp_release(stamp);
	return NULL;
}

/* Names of files in secrets_dir, at most LOADER_FILES; how many there are. */
static int names_of_files(const struct tenant_settings *settings, bool refresh,
                          const char *names[LOADER_FILES])
{
	const char *const all[LOADER_FILES] = { settings->password_file, settings->tls_cert_file,
		                                settings->tls_key_file, settings->oauth_client_secret_file,
		                                refresh ? settings->oauth_refresh_token_file : NULL };
	int count = 0;

	for (int i = 0; i < LOADER_FILES; i++)
		if (all[i] && secret_file_is_name(all[i]))
			names[count++] = all[i];
	return count;
}

bool loader_has_files(const struct tenant_settings *settings, bool refresh)
{
	const char *names[LOADER_FILES];

	return names_of_files(settings, refresh, names) > 0;
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

struct loader_stamp *loader_stamp_ask(struct loader *loader, const struct tenant_settings *settings,
                                      bool refresh)
{
	const char *names[LOADER_FILES];
	int count = names_of_files(settings, refresh, names);
	struct loader_stamp *stamp;
	pthread_t thread;

	if (!loader->secrets_dir || count == 0)
		return NULL;
	if (!take_thread(loader, NULL))
		return NULL;
	stamp = stamp_create(loader, names, count);
	if (thread_start(&thread, "loader", stamp_main, stamp) == 0) {
		pthread_detach(thread);
		return stamp;
	}
	give_thread_back(loader);
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
