/*
 * loader.h - what a session needs from files and programs: authorities, secrets.
 *
 * They may lie on a disk that hangs, so no worker reads them: a short-lived
 * thread `loader` a request does (so many at once, further requests stand in line for
 * them: loader_line.h), and the worker waits for it under its own deadline.
 * Authorities are shared by file as long as it does not change, and read once however many
 * ask for them at a time; secrets are read anew for each session.
 */
#ifndef OUTBOXD_DAEMON_LOADER_H
#define OUTBOXD_DAEMON_LOADER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/secret.h"
#include "common/tenant.h"
#include "common/wait.h"
#include "smtp/tls.h"
#include "smtp/tls_identity.h"

/*
 * A tenant's in secrets_dir that only people change: password_file, tls_cert_file, tls_key_file,
 * oauth_client_secret_file; and oauth_refresh_token_file, which we write too, as long as it is refused.
 */
#define LOADER_FILES 5

struct keyring;
struct loader;

/* secrets_dir and command_dir may be NULL: then password_file, password_command are refused with words. */
struct loader *loader_create(const char *secrets_dir, const char *command_dir);
/* Nobody may be waiting; threads that hang are left their own memory. */
void loader_destroy(struct loader **loader);
/* The keys that open what is sealed: empty until keyring_read(). Lives as long as the loader. */
struct keyring *loader_keyring(struct loader *loader);

/* What a tenant's session needs; give it back with materials_fini(). */
struct materials {
	struct secret password;  /* from token_command, password_command, password_file or the column, in this
	                            order; unset = none, or the tenant has a token (token.h) */
	struct tls_trust *trust; /* NULL where the tenant verifies nothing by chain */
	struct tls_identity *identity; /* the client certificate, NULL where the tenant has none */
};
void materials_fini(struct materials *materials);

/*
 * Any thread with WAKE_SIGNAL blocked (a worker). Blocks until loaded, the
 * deadline (ERROR_TIMEOUT) or interrupt. ERROR_UNAVAILABLE: no descriptor, thread or memory just now,
 * nobody's fault. Not OK: words for the tenant's administrator, after the deadline which file it is
 * ("the file of password_file = acme.pw cannot be read: no such file"), never the secret; a sealed password
 * that cannot be opened (keyring.h). A file: a regular file of at most 64 KiB, a trailing line end is cut. A
 * program: run without a shell, the tenant as its one argument, its first line is the password.
 */
enum error loader_get(struct loader *loader, const struct tenant_settings *settings, int64_t deadline_ms,
                      const struct interrupt *interrupt, struct materials *materials, struct words *words);

/* Whether the tenant names any file in secrets_dir; refresh: oauth_refresh_token_file counts. Pure. */
bool loader_has_files(const struct tenant_settings *settings, bool refresh);

/*
 * When the files of a tenant's secrets were last changed, asked in the background:
 * a new password or certificate in them clears the tenant's backoff.
 */
struct loader_stamp;

/* Supervisor thread; does not block. NULL: the tenant has no such file, or no thread can be had now. */
struct loader_stamp *loader_stamp_ask(struct loader *loader, const struct tenant_settings *settings,
                                      bool refresh);
/* True once it is known: *stamp tells two versions of the files apart, 0 = none can be read. Does not block.
 */
bool loader_stamp_known(const struct loader_stamp *asked, int64_t *stamp);
void loader_stamp_release(struct loader_stamp **asked);

/* Authorities are read again at their next use (SIGHUP). */
void loader_forget(struct loader *loader);

#endif
