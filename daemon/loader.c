/*
 * loader.c - see loader.h.
 *
 * A request lives in memory of its own, counted: the thread that reads and the
 * worker that waits each hold it, and whoever leaves last frees it. A thread on
 * a disk that hangs ends when the disk answers; the worker goes on, and others have its place.
 */
#include "daemon/loader.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/queue.h"
#include "common/seal_file.h"
#include "common/secret_file.h"
#include "daemon/keyring.h"
#include "daemon/loader_line.h"
#include "daemon/thread.h"
#include "daemon/trust_cache.h"
#include "run/credential.h"

struct loader {
	atomic_int references; /* the service, and each thread that is under way */
	char *secrets_dir, *command_dir;
	struct trust_cache trust;
	struct keyring keyring;
	struct loader_line line; /* for its threads */
};

struct request {
	struct queue_link link; /* first member: the letter to the waiting worker */
	struct loader_entry entry;
	atomic_int references; /* loader thread and worker */
	struct loader *loader;
	struct tenant_settings *settings;
	struct queue answer; /* bound by the worker */
	struct materials materials;
	enum error error;
	struct words words;
};

/* As run/credential.c takes it, where it is no column. */
static struct loader_place credential_of(const struct request *request)
{
	const struct tenant_settings *settings = request->settings;
	const char *command = settings->token_command     ? settings->token_command
	                      : settings->oauth_token_url ? ""
	                                                  : settings->password_command;

	if (!command)
		return loader_place_in(request->loader->secrets_dir, "password_file",
		                       settings->password_file);
	return (struct loader_place){ .column = settings->token_command ? "token_command"
		                                                        : "password_command",
		                      .folder = "",
		                      .name = command,
		                      .program = true };
}

/* Only requests wait in the line. */
static struct request *request_of(struct loader_entry *entry)
{
	return (struct request *)(void *)((char *)entry - offsetof(struct request, entry));
}

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
	loader_line_init(&loader->line);
	trust_cache_init(&loader->trust);
	keyring_init(&loader->keyring);
	return loader;
}

static void loader_release(struct loader *loader)
{
	if (atomic_fetch_sub(&loader->references, 1) > 1)
		return;
	trust_cache_fini(&loader->trust);
	keyring_fini(&loader->keyring);
	loader_line_fini(&loader->line);
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
	loader_entry_at(&request->entry, "tls_ca_file");
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
	loader_entry_at(&request->entry, credential_of(request).column);
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
	loader_entry_at(&request->entry, "tls_cert_file");
	error = seal_file_read(&files, &certificate_place, &certificate, NULL, &request->words);
	loader_entry_at(&request->entry, "tls_key_file");
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

/* A thread is done with one; it answers those that wait for a thread before it ends. */
static void answer_waiting(struct loader *loader, struct loader_entry *done)
{
	struct loader_entry *entry = loader_line_next(&loader->line, done);

	while (entry) {
		struct request *request = request_of(entry);

		load(request);
		queue_push(&request->answer, &request->link);
		entry = loader_line_next(&loader->line, entry);
		request_release(request);
	}
}

static void *loader_main(void *argument)
{
	struct request *request = argument;
	struct loader *loader = request->loader;

	atomic_fetch_add(&loader->references, 1);
	load(request);
	queue_push(&request->answer, &request->link);
	answer_waiting(loader, &request->entry);
	request_release(request);
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

/* What load() will read, in the order of its reading. */
static int places_of(struct request *request)
{
	const struct tenant_settings *settings = request->settings;
	const char *folder = request->loader->secrets_dir;
	struct loader_place *places = request->entry.places;
	int count = 0;

	if (needs_trust(settings))
		places[count++] = loader_place_of_path("tls_ca_file", settings->tls_ca_file);
	if (needs_identity(settings)) {
		places[count++] = loader_place_in(folder, "tls_cert_file", settings->tls_cert_file);
		places[count++] = loader_place_in(folder, "tls_key_file", settings->tls_key_file);
	}
	if (!credential_is_column(settings))
		places[count++] = credential_of(request);
	return count;
}

static struct request *request_create(struct loader *loader, const struct tenant_settings *settings)
{
	struct request *request = memory_alloc(sizeof(*request));

	atomic_store(&request->references, 2);
	atomic_fetch_add(&loader->references, 1);
	request->loader = loader;
	/* Counting a reference is the one thing that changes in a constant object. */
	request->settings = tenant_settings_hold((struct tenant_settings *)settings);
	request->entry.count = places_of(request);
	queue_init(&request->answer, false);
	return request;
}

/* Whether a thread is to read it is the line's to say. */
static enum error start_thread(struct request *request, struct words *words)
{
	struct loader *loader = request->loader;
	pthread_t thread;
	int code = thread_start(&thread, "loader", loader_main, request);

	if (code == 0) {
		pthread_detach(thread);
		return OK;
	}
	loader_line_return(&loader->line, &request->entry);
	/* There is no thread to give the other reference back. */
	request_release(request);
	words_set_errno(words, code, "cannot start a thread that reads the secrets");
	return ERROR_UNAVAILABLE;
}

/* While it waits for a thread it looks now and then whether those that are busy are late. */
static enum error wait_for_answer(struct request *request, int64_t deadline_ms,
                                  const struct interrupt *interrupt, struct words *words)
{
	struct loader_line *line = &request->loader->line;

	while (!queue_take(&request->answer)) {
		int64_t look_ms = clock_monotonic_ms() + LOADER_LATE_MS / 2;
		bool looks = look_ms < deadline_ms && loader_line_waits(line, &request->entry);
		enum error error = wait_for(-1, 0, looks ? look_ms : deadline_ms, interrupt);

		if (error == ERROR_TIMEOUT && looks)
			error = loader_line_lend(line, &request->entry) ? start_thread(request, words) : OK;
		else if (error == ERROR_UNAVAILABLE) /* woken */
			error = OK;
		if (error != OK)
			return error;
	}
	return OK;
}

/* It waits no longer; words say what for. */
static enum error give_up(struct request *request, enum error error, struct words *words)
{
	struct loader_line *line = &request->loader->line;

	if (error != ERROR_UNAVAILABLE)
		loader_line_say(line, &request->entry, words);
	if (loader_line_leave(line, &request->entry))
		request_release(request); /* no thread will */
	return error;
}

enum error loader_get(struct loader *loader, const struct tenant_settings *settings, int64_t deadline_ms,
                      const struct interrupt *interrupt, struct materials *materials, struct words *words)
{
	struct request *request;
	enum error error = OK;

	*materials = (struct materials){ .trust = NULL };
	if (load_without_disk(loader, settings, materials, &error, words))
		return error;
	request = request_create(loader, settings);
	queue_bind(&request->answer);
	if (loader_line_enter(&loader->line, &request->entry, true))
		error = start_thread(request, words);
	if (error == OK)
		error = wait_for_answer(request, deadline_ms, interrupt, words);
	queue_unbind(&request->answer);
	if (error == OK) {
		error = request->error;
		*words = request->words;
		*materials = request->materials;
		request->materials = (struct materials){ .trust = NULL };
		if (error != OK)
			materials_fini(materials);
	} else {
		error = give_up(request, error, words);
	}
	request_release(request);
	return error;
}

/* Shared by the thread that asks the disk and the supervisor that does not wait for it. */
struct loader_stamp {
	struct loader_entry entry;
	atomic_int references;
	struct loader *loader;
	struct tenant_settings *settings;
	_Atomic int64_t stamp;
	atomic_bool known;
};

static void stamp_release(struct loader_stamp *stamp)
{
	if (atomic_fetch_sub(&stamp->references, 1) > 1)
		return;
	tenant_settings_release(&stamp->settings);
	loader_release(stamp->loader);
	free(stamp);
}

/* When one was changed, 0 = it cannot be read. */
static uint64_t time_of(const struct loader_place *place)
{
	struct buffer buffer;
	struct stat st;
	char *path;
	bool known;

	buffer_init(&buffer, 8192);
	buffer_printf(&buffer, "%s/%s", place->folder, place->name);
	path = buffer_take(&buffer);
	known = stat(path, &st) == 0;
	free(path);
	if (!known)
		return 0;
	return (uint64_t)st.st_mtim.tv_sec * UINT64_C(1000000000) + (uint64_t)st.st_mtim.tv_nsec;
}

static void *stamp_main(void *argument)
{
	struct loader_stamp *stamp = argument;
	uint64_t times = 0;

	/* of several the sum: whichever changes, it does */
	for (int i = 0; i < stamp->entry.count; i++) {
		atomic_store(&stamp->entry.at, i);
		times += time_of(&stamp->entry.places[i]);
	}
	atomic_store(&stamp->stamp, (int64_t)(times & INT64_MAX));
	atomic_store(&stamp->known, true);
	answer_waiting(stamp->loader, &stamp->entry);
	stamp_release(stamp);
	return NULL;
}

/* A tenant's in secrets_dir, at most LOADER_FILES; how many there are. */
static int files_of(const struct tenant_settings *settings, const char *folder, bool refresh,
                    struct loader_place places[LOADER_FILES])
{
	const struct {
		const char *column, *name;
	} all[LOADER_FILES] = {
		{ "password_file", settings->password_file },
		{ "tls_cert_file", settings->tls_cert_file },
		{ "tls_key_file", settings->tls_key_file },
		{ "oauth_client_secret_file", settings->oauth_client_secret_file },
		{ "oauth_refresh_token_file", refresh ? settings->oauth_refresh_token_file : NULL },
	};
	int count = 0;

	for (int i = 0; i < LOADER_FILES; i++)
		if (all[i].name && secret_file_is_name(all[i].name))
			places[count++] = loader_place_in(folder, all[i].column, all[i].name);
	return count;
}

bool loader_has_files(const struct tenant_settings *settings, bool refresh)
{
	struct loader_place places[LOADER_FILES];

	return files_of(settings, NULL, refresh, places) > 0;
}

static struct loader_stamp *stamp_create(struct loader *loader, const struct tenant_settings *settings,
                                         bool refresh)
{
	struct loader_stamp *stamp = memory_alloc(sizeof(*stamp));

	stamp->settings = tenant_settings_hold((struct tenant_settings *)settings);
	stamp->entry.count = files_of(settings, loader->secrets_dir, refresh, stamp->entry.places);
	stamp->loader = loader;
	atomic_fetch_add(&loader->references, 1);
	atomic_store(&stamp->references, 2);
	return stamp;
}

struct loader_stamp *loader_stamp_ask(struct loader *loader, const struct tenant_settings *settings,
                                      bool refresh)
{
	struct loader_stamp *stamp;
	pthread_t thread;

	if (!loader->secrets_dir || !loader_has_files(settings, refresh))
		return NULL;
	stamp = stamp_create(loader, settings, refresh);
	if (loader_line_enter(&loader->line, &stamp->entry, false)) {
		if (thread_start(&thread, "loader", stamp_main, stamp) == 0) {
			pthread_detach(thread);
			return stamp;
		}
		loader_line_return(&loader->line, &stamp->entry);
	}
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
