/*
 * admin_files.c - the files that tenants name in secrets_dir, sealed and opened. See admin_secrets.h.
 *
 * Promises: a file is read and written again under its folder's lock, so that no token that outboxd
 * writes meanwhile is lost; one that does not open, or that two tenants show to different servers, is left
 * as it is.
 */
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/seal_file.h"
#include "common/secret_file.h"
#include "storage/admin_internal.h"
#include "storage/admin_secrets.h"
#include "storage/admin_secrets_internal.h"

#define COLUMNS 4

/* Those whose files are secret; a tls_cert_file is, where it is the tls_key_file too. */
static struct seal_place place_of(const struct tenant_settings *settings, int number)
{
	const struct seal_place places[COLUMNS] = {
		{ settings, "password_file", settings->password_file },
		{ settings, "tls_key_file", settings->tls_key_file },
		{ settings, "oauth_client_secret_file", settings->oauth_client_secret_file },
		{ settings, "oauth_refresh_token_file", settings->oauth_refresh_token_file },
	};

	return places[number];
}

void admin_use_files(struct admin *admin, const char *folder)
{
	admin->folder = folder;
}

/* ---- all places ------------------------------------------------------------------------ */

struct places {
	struct tenant_settings **tenants;
	size_t tenant_count;
	struct seal_place *places; /* those with a file */
	size_t count;
};

static enum error add_tenant(struct admin *admin, struct places *all, const char *name, struct words *words)
{
	struct tenant_settings *settings;
	enum error error = admin_tenant_settings(admin, name, &settings, words);

	if (error != OK)
		return error == ERROR_NOT_FOUND ? OK : error; /* removed meanwhile */
	all->tenants[all->tenant_count++] = settings;
	for (int i = 0; i < COLUMNS; i++) {
		struct seal_place place = place_of(settings, i);

		if (place.file)
			all->places[all->count++] = place;
	}
	return OK;
}

static enum error read_places(struct admin *admin, struct places *all, struct words *words)
{
	struct admin_names names = { .names = NULL };
	enum error error = admin_names_read(admin, &names, words);

	*all = (struct places){ .count = 0 };
	all->tenants = memory_alloc((names.count + 1) * sizeof(struct tenant_settings *));
	all->places = memory_alloc((COLUMNS * names.count + 1) * sizeof(*all->places));
	for (size_t i = 0; i < names.count && error == OK; i++)
		error = add_tenant(admin, all, names.names[i], words);
	admin_names_free(&names);
	return error;
}

static void free_places(struct places *all)
{
	for (size_t i = 0; i < all->tenant_count; i++)
		tenant_settings_release(&all->tenants[i]);
	free(all->tenants);
	free(all->places);
}

/* Sealed for one of two that differ, it is closed for the other. */
static enum error check_shared(const struct places *all, const struct seal_place *place, struct words *words)
{
	for (size_t i = 0; i < all->count; i++) {
		const struct seal_place *other = &all->places[i];

		if (other->settings == place->settings && other->column == place->column)
			continue;
		if (strcmp(other->file, place->file) != 0 || seal_same_place(other, place))
			continue;
		words_set(
			words,
			"the file %s is %s of tenant %s and %s of tenant %s, which differ in what it would be "
			"sealed for (column, server, oauth_token_url): give each a file of its own",
			place->file, place->column, place->settings->name, other->column,
			other->settings->name);
		return ERROR_REFUSED;
	}
	return OK;
}

/* ---- seal, rekey, unseal ------------------------------------------------------------------ */

/* Locked. Whether the verb has anything to do with the file, by its content. */
static enum error is_concerned(struct admin *admin, enum admin_secrets verb, const struct seal_place *place,
                               bool *concerned, struct words *words)
{
	struct secret content = { NULL, 0 };
	enum error error = secret_file_read(admin->folder, place->column, place->file, &content, words);

	*concerned = error == OK && admin_secret_concerned(admin, verb, &content);
	secret_wipe(&content);
	return error;
}

/* Locked. */
static enum error change_one(struct admin *admin, enum admin_secrets verb, const struct places *all,
                             const struct seal_place *place, int64_t *changed, struct words *words)
{
	const struct seal_files files = { admin->folder, admin->keys };
	struct secret secret = { NULL, 0 };
	bool concerned;
	enum error error = is_concerned(admin, verb, place, &concerned, words);

	if (error != OK || !concerned)
		return error;
	if (verb != ADMIN_SECRETS_UNSEAL)
		error = check_shared(all, place, words);
	if (error == OK)
		error = seal_file_read(&files, place, &secret, NULL, words);
	if (error == OK)
		error = seal_file_replace(&files, place, &secret, verb != ADMIN_SECRETS_UNSEAL, words);
	*changed += error == OK;
	secret_wipe(&secret);
	return error;
}

static bool is_unsealed(const struct admin *admin, const struct seal_place *place)
{
	struct secret content = { NULL, 0 };
	struct words words;
	bool unsealed = secret_file_read(admin->folder, place->column, place->file, &content, &words) == OK &&
	                !seal_is_sealed(&content);

	secret_wipe(&content);
	return unsealed;
}

enum error admin_files_change(struct admin *admin, enum admin_secrets verb, struct admin_secrets_done *done,
                              admin_trouble *trouble, void *context, struct words *words)
{
	struct places all;
	enum error error;

	if (!admin->folder)
		return OK;
	error = read_places(admin, &all, words);
	for (size_t i = 0; i < all.count && error == OK; i++) {
		int lock;

		error = secret_file_lock(admin->folder, &lock, words);
		if (error != OK)
			break;
		secret_file_tidy(admin->folder, all.places[i].file);
		if (change_one(admin, verb, &all, &all.places[i], &done->files, words) != OK) {
			done->failed++;
			trouble(context, words);
		}
		secret_file_unlock(lock);
		done->files_unsealed += is_unsealed(admin, &all.places[i]);
	}
	free_places(&all);
	return error;
}

/* ---- with a change of the tenant ------------------------------------------------------- */

static enum error refuse(const struct seal_place *place, const char *what, struct words *words)
{
	words_set(words,
	          "the file of %s = %s is sealed for the server of tenant %s, or may be: to change that, or "
	          "oauth_token_url, name %s",
	          place->column, place->file, place->settings->name, what);
	return ERROR_REFUSED;
}

/*
 * Locked. What stands in after's file, if it was sealed for before; secret stays unset where there is nothing
 * to do: it is not there, is not sealed, or is sealed for after, since the same change was broken off.
 */
static enum error open_before(struct admin *admin, const struct seal_place *before,
                              const struct seal_place *after, struct secret *secret, struct words *words)
{
	const struct seal_files files = { admin->folder, admin->keys };
	struct words ignored;
	bool sealed = false;
	enum error error = seal_file_read(&files, after, secret, &sealed, &ignored);

	secret_wipe(secret);
	if (error == OK || !sealed)
		return OK;
	if (!admin->keys)
		return refuse(before, "the keys (--secrets-key-file)", words);
	return seal_file_read(&files, before, secret, NULL, words);
}

/* Locked. First all are opened, then all are written: no trouble with one leaves another for the new server.
 */
static enum error reseal(struct admin *admin, const struct places *all, const struct tenant_settings *before,
                         const struct tenant_settings *after, const bool moved[COLUMNS], struct words *words)
{
	const struct seal_files files = { admin->folder, admin->keys };
	struct secret secrets[COLUMNS] = { { NULL, 0 } };
	enum error error = OK;

	for (int i = 0; i < COLUMNS && error == OK; i++) {
		const struct seal_place old = place_of(before, i), new = place_of(after, i);

		if (moved[i])
			error = open_before(admin, &old, &new, &secrets[i], words);
		if (error == OK && secret_is_set(&secrets[i]))
			error = check_shared(all, &new, words);
	}
	for (int i = 0; i < COLUMNS; i++) {
		const struct seal_place new = place_of(after, i);

		if (error == OK && secret_is_set(&secrets[i]))
			error = seal_file_replace(&files, &new, &secrets[i], true, words);
		secret_wipe(&secrets[i]);
	}
	return error;
}

static const struct tenant_settings *find_tenant(const struct places *all, const char *name)
{
	for (size_t i = 0; i < all->tenant_count; i++)
		if (strcmp(all->tenants[i]->name, name) == 0)
			return all->tenants[i];
	return NULL;
}

static enum error settle(struct admin *admin, const struct places *all, const struct tenant_settings *before,
                         struct words *words)
{
	const struct tenant_settings *after = find_tenant(all, before->name);
	bool moved[COLUMNS] = { false }, any = false;
	enum error error;
	int lock;

	for (int i = 0; i < COLUMNS && after; i++) {
		const struct seal_place old = place_of(before, i), new = place_of(after, i);

		moved[i] = old.file && new.file &&strcmp(old.file, new.file) == 0 &&
		           !seal_same_place(&old, &new);
		any = any || moved[i];
		/* who never names keys seals nothing */
		if (moved[i] && !admin->folder && admin->keys)
			return refuse(&old, "secrets_dir (--secrets-dir)", words);
	}
	if (!any || !admin->folder)
		return OK;
	error = secret_file_lock(admin->folder, &lock, words);
	if (error == OK)
		error = reseal(admin, all, before, after, moved, words);
	secret_file_unlock(lock);
	return error;
}

enum error admin_files_settle(struct admin *admin, const struct tenant_settings *before, struct words *words)
{
	struct places all;
	enum error error;

	if (!before || (!admin->folder && !admin->keys))
		return OK;
	error = read_places(admin, &all, words);
	if (error == OK)
		error = settle(admin, &all, before, words);
	free_places(&all);
	return error;
}

/* ---- what is to be seen ------------------------------------------------------------------ */

void admin_files_status(struct admin *admin, const struct tenant_settings *settings, admin_each *each,
                        void *context)
{
	for (int i = 0; i < COLUMNS; i++) {
		const struct seal_place place = place_of(settings, i);
		struct secret content = { NULL, 0 };
		struct words words = { "" };

		if (!place.file)
			continue;
		(void)secret_file_read(admin->folder, place.column, place.file, &content, &words);
		admin_secret_show(admin, &place, &content, &words, each, context);
		secret_wipe(&content);
	}
}
