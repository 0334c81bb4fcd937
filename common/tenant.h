/*
 * tenant.h - a tenant's settings: one row of outbox_tenant, constant once made.
 *
 * Credential, host, sender addresses and TLS settings travel in this one
 * object and are never put together from several places.  Shared by counted
 * reference; whoever holds a reference may read from any thread.  A change of
 * the row makes a new object.
 */
#ifndef OUTBOXD_COMMON_TENANT_H
#define OUTBOXD_COMMON_TENANT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/secret.h"

enum tls_mode { TLS_STARTTLS, TLS_IMPLICIT, TLS_OPPORTUNISTIC, TLS_NONE };
enum tls_verify { TLS_VERIFY_FULL, TLS_VERIFY_FINGERPRINT, TLS_VERIFY_NONE };
enum auth_choice {
	AUTH_AUTO,
	AUTH_NONE,
	AUTH_PLAIN,
	AUTH_LOGIN,
	AUTH_CRAM_MD5,
	AUTH_SCRAM_SHA_1,
	AUTH_SCRAM_SHA_256,
	AUTH_XOAUTH2,
	AUTH_OAUTHBEARER,
	AUTH_EXTERNAL,
};
#define TENANT_DIGEST_BYTES 16 /* half of SHA-256: two settings that differ have other ones */

enum on_uncertain { ON_UNCERTAIN_RESEND, ON_UNCERTAIN_HOLD };

struct tenant_settings {
	atomic_int references;
	bool packed; /* all texts lie behind it, in the same block */
	bool enabled;
	bool tls_chosen; /* the column is not NULL; else tenant_settings_seal() decides */
	char *name;
	char *host;
	int port;
	enum tls_mode tls;
	enum tls_verify tls_verify;
	enum auth_choice auth;
	char *tls_name; /* NULL = host */
	char *tls_ca_file, *tls_fingerprints, *tls_cert_file, *tls_key_file, *tls_priority;
	char *username;
	struct secret password;
	char *password_file, *password_command;
	char *oauth_token_url, *oauth_client_id, *oauth_client_secret_file, *oauth_scope,
		*oauth_refresh_token_file, *token_command;
	char *from_address, *allowed_senders;
	char *ehlo_name, *bind_address;
	enum on_uncertain on_uncertain;
	int connect_timeout, command_timeout, data_timeout; /* s */
	int min_rate;                                       /* octets a second */
	int max_connections, max_messages_per_session, pipeline_depth;
	int messages_per_minute, recipients_per_day; /* 0 = no limit */
	int retry_min, retry_max, max_age;           /* s */
	int streak_guard;                            /* 0 = off */
	unsigned char
		connection_digest[TENANT_DIGEST_BYTES]; /* over all columns that a connection depends on */
	unsigned char digest[TENANT_DIGEST_BYTES];      /* over all columns: the same = nothing changed */
};

/*
 * The settings that a worker goes by, and how far the table is known to agree with them. One
 * thread's; it holds a reference as long as it lives.
 */
struct tenant_basis {
	const struct tenant_settings *settings;
	int64_t change; /* storage's own: the number of the last change at which they were the row's; 0 = none
	                 */
	bool outdated;  /* the row was another when it was looked at last */
};

/* All defaults, one reference. */
struct tenant_settings *tenant_settings_create(const char *name);
struct tenant_settings *tenant_settings_hold(struct tenant_settings *settings);
/* Gives one reference back and leaves NULL; the last one wipes and frees. */
void tenant_settings_release(struct tenant_settings **settings);

/*
 * Sets a column from its text, as the table has it (NULL and "" = the default). Words
 * of the contract become enums. ERROR_NOT_FOUND for a column that is not a
 * setting, ERROR_INVALID with words for a value that is none.
 */
enum error tenant_settings_set(struct tenant_settings *settings, const char *column, const char *value,
                               struct words *words);

/*
 * Decides tls where it is NULL (implicit on port 465, else starttls) and computes
 * the digests; last call of who builds the object.
 */
void tenant_settings_seal(struct tenant_settings *settings);

/*
 * The same in one block with its texts, which then cannot be set any more: a block for each text
 * costs 16 octets and more, and there is one of these for each tenant that is configured. Takes the one
 * reference there is.
 */
struct tenant_settings *tenant_settings_pack(struct tenant_settings *settings);

/*
 * Whose limits these settings use: the same text for all that log in as one user at one
 * server (host and username without case, port). NULL: nobody's, there is no login or no
 * username. The caller frees.
 */
char *tenant_settings_credential(const struct tenant_settings *settings);

/* "scram-sha-256" and the like; constant strings. */
const char *auth_choice_name(enum auth_choice choice);
const char *tls_mode_name(enum tls_mode mode);
const char *tls_verify_name(enum tls_verify verify);

#endif
