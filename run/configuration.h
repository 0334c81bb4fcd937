/*
 * configuration.h - the settings of a process: file, --set, command line.
 *
 * Constant once published; shared by counted reference, since SIGHUP makes a
 * new one. Durations are milliseconds.
 */
#ifndef OUTBOXD_RUN_CONFIGURATION_H
#define OUTBOXD_RUN_CONFIGURATION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/log.h"

struct config {
	atomic_int references;
	char **databases;
	size_t database_count;
	char *log_file; /* "-" = standard error */
	char *log_dir;  /* NULL = no file a tenant */
	bool log_json;
	enum log_level log_level;
	char *pid_file;         /* NULL = none */
	char *metrics_file;     /* NULL = none */
	char *spool_dir;        /* NULL = $TMPDIR or /var/tmp */
	char *secrets_dir;      /* NULL = password_file is refused */
	char *secrets_key_file; /* keys that open sealed passwords, NULL = none */
	char *command_dir;      /* NULL = password_command is refused */
	char *token_program;    /* outboxd-token */
	char *token_ca_file;    /* authorities of token endpoints, NULL = the system's */
	char *dns_servers;      /* NULL = the system's */
	int64_t shutdown_grace_ms, idle_timeout_ms, stall_grace_ms;
	int64_t expiry_check_ms; /* how often expired mail is looked for where nothing can be sent */
	int64_t keep_sent_ms, keep_failed_ms; /* finished messages, -1 = for ever */
	int max_workers;                      /* of all outboxes together */
	int max_probes;                       /* besides them, for tenants whose server was in trouble */
	int unsettled_max;                    /* accepted messages a tenant that wait for their record */
	int64_t memory_max_bytes;             /* of messages in hand, of all outboxes together */
};

/* What the command line adds; strings are borrowed. */
struct config_options {
	const char *file;        /* --config, NULL = defaults */
	const char *const *sets; /* --set NAME=VALUE */
	size_t set_count;
	const char *const *databases; /* --database */
	size_t database_count;
	const char *log_file; /* --log-file */
	const char *pid_file; /* --pid-file */
};

/*
 * Reads all of it. ERROR_INVALID with words (file, line, what is wrong): exit
 * status 78; a bad --set is the same. Blocks for the file.
 */
enum error config_read(const struct config_options *options, struct config **config, struct words *words);

struct config *config_hold(struct config *config);
void config_release(struct config **config);

#endif
