/*
 * check.h - what the files of outboxctl check share.
 *
 * Each file looks at one area and tells what it finds. Nothing is changed, no server is asked, and no secret
 * is in any words. One thread; all blocks for the disk.
 */
#ifndef OUTBOXD_CLI_CHECK_H
#define OUTBOXD_CLI_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/cli.h"
#include "cli/table.h"
#include "common/buffer.h"
#include "common/seal.h"

enum check_level { CHECK_OK, CHECK_WARNING, CHECK_ERROR };

#define CHECK_DAYS 14 /* a certificate that ends sooner is told */

struct check {
	const struct invocation *invocation;
	struct table *table;
	bool json;
	const char *database; /* that is looked at; NULL = none in particular */
	int warnings, errors;
	/* of the configuration; has_settings: there is one */
	bool has_settings;
	char **databases;
	size_t database_count;
	char *secrets_dir, *command_dir, *secrets_key_file, *token_program;
	struct seal_keys *keys;
	bool keys_unknown; /* why is told already, or there is no configuration */
	/* of the database under way */
	struct buffer unsealed; /* names of tenants */
	int unsealed_count;
	int unlooked; /* tenants that name files or sealed passwords, where has_settings is not set */
	bool system_trust_known, token_program_known;
};

/*
 * One finding: code is the stable name that the manual has, tenant and advice may be NULL. The words may hold
 * what a row or a file has: they are made fit for a terminal.
 */
void check_found(struct check *check, enum check_level level, const char *code, const char *tenant,
                 const char *advice, const char *format, ...) __attribute__((format(printf, 6, 7)));

/* How much was found so far; and that nothing was since then, which is told as code's CHECK_OK. */
int check_mark(const struct check *check);
void check_good(struct check *check, int mark, const char *code, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Whether it is this user who may not read path, or enter a folder on the way to it. */
bool check_unreadable(const char *path);

/* check_config.c: the file that --config names, and all but the tenants that it speaks of. */
void check_config(struct check *check);
void check_config_fini(struct check *check);
/* check_database.c */
void check_database(struct check *check, const char *path);
/* check_status.c: what runs, what is in trouble, what waits for somebody. */
void check_status(struct check *check, struct admin *admin, const char *path);
/* check_tenant.c: each enabled tenant's settings. */
void check_tenants(struct check *check, struct admin *admin);
/* check_secret.c: one tenant's password, files and programs; then what is told of all together. */
void check_secrets(struct check *check, const struct tenant_settings *tenant);
void check_secrets_end(struct check *check);
/* seal_file_read() of a file in secrets_dir. ERROR_UNAVAILABLE: it is sealed and the keys are not known. */
enum error check_secret_file(const struct check *check, const struct tenant_settings *tenant,
                             const char *column, const char *name, struct secret *secret, bool *sealed,
                             struct words *words);
/* check_tls.c: authorities, certificates; what is sent in clear. */
void check_tls(struct check *check, const struct tenant_settings *tenant);
/* A certificate or authority that ends soon, or has; place names the setting and its file. */
void check_dates(struct check *check, const char *tenant, const char *place, const void *pem, size_t length);

#endif
