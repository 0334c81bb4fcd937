/*
 * tenant.c - a tenant's settings: one row of outbox_tenant, constant once made.
 *
 * One table says of each column where it lives, what it may be, its default,
 * and whether a connection depends on it.  Promises that a value that is none
 * changes nothing, and that words about a column never contain its value if it
 * is a secret.  ERROR_NOT_FOUND, ERROR_INVALID.
 */
#include "common/tenant.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/digest.h"
#include "common/text.h"

enum kind {
	KIND_FLAG,
	KIND_NUMBER,
	KIND_TEXT,
	KIND_SECRET,
	KIND_TLS,
	KIND_VERIFY,
	KIND_AUTH,
	KIND_UNCERTAIN,
};

static const char *const flag_words[] = { "0", "1", NULL };
static const char *const tls_words[] = {
	[TLS_STARTTLS] = "starttls",
	[TLS_IMPLICIT] = "implicit",
	[TLS_OPPORTUNISTIC] = "opportunistic",
	[TLS_NONE] = "none",
	NULL,
};
static const char *const verify_words[] = {
	[TLS_VERIFY_FULL] = "full",
	[TLS_VERIFY_FINGERPRINT] = "fingerprint",
	[TLS_VERIFY_NONE] = "none",
	NULL,
};
static const char *const auth_words[] = {
	[AUTH_AUTO] = "auto",
	[AUTH_NONE] = "none",
	[AUTH_PLAIN] = "plain",
	[AUTH_LOGIN] = "login",
	[AUTH_CRAM_MD5] = "cram-md5",
	[AUTH_SCRAM_SHA_1] = "scram-sha-1",
	[AUTH_SCRAM_SHA_256] = "scram-sha-256",
	[AUTH_XOAUTH2] = "xoauth2",
	[AUTH_OAUTHBEARER] = "oauthbearer",
	[AUTH_EXTERNAL] = "external",
	NULL,
};
static const char *const uncertain_words[] = {
	[ON_UNCERTAIN_RESEND] = "resend",
	[ON_UNCERTAIN_HOLD] = "hold",
	NULL,
};

/* The words of the kinds that are words; their number is their value. */
static const char *const *const words_of_kind[] = {
	[KIND_FLAG] = flag_words,           [KIND_TLS] = tls_words,
	[KIND_VERIFY] = verify_words,       [KIND_AUTH] = auth_words,
	[KIND_UNCERTAIN] = uncertain_words,
};

struct column {
	const char *name;
	enum kind kind;
	bool connection; /* a connection depends on it: part of the digest */
	size_t offset;
	int minimum, maximum; /* of a number */
	int fallback;         /* what NULL means, for all that is not text */
};

#define AT(member) offsetof(struct tenant_settings, member)
/* It would take these braces for a block. */
/* clang-format off */
#define TEXT(member, connection) { #member, KIND_TEXT, connection, AT(member), 0, 0, 0 }
#define NUMBER(member, connection, minimum, maximum, fallback) \
	{ #member, KIND_NUMBER, connection, AT(member), minimum, maximum, fallback }
#define WORD(member, kind, connection, fallback) \
	{ #member, kind, connection, AT(member), 0, 0, fallback }
/* clang-format on */

static const struct column columns[] = {
	WORD(enabled, KIND_FLAG, false, 1),
	TEXT(host, true),
	NUMBER(port, true, 1, 65535, 587),
	WORD(tls, KIND_TLS, true, TLS_STARTTLS),
	WORD(tls_verify, KIND_VERIFY, true, TLS_VERIFY_FULL),
	TEXT(tls_name, true),
	TEXT(tls_ca_file, true),
	TEXT(tls_fingerprints, true),
	TEXT(tls_cert_file, true),
	TEXT(tls_key_file, true),
	TEXT(tls_priority, true),
	WORD(auth, KIND_AUTH, true, AUTH_AUTO),
	TEXT(username, true),
	{ "password", KIND_SECRET, true, AT(password), 0, 0, 0 },
	TEXT(password_file, true),
	TEXT(password_command, true),
	TEXT(oauth_token_url, true),
	TEXT(oauth_client_id, true),
	TEXT(oauth_client_secret_file, true),
	TEXT(oauth_scope, true),
	TEXT(oauth_refresh_token_file, true),
	TEXT(token_command, true),
	TEXT(from_address, false),
	TEXT(allowed_senders, false),
	WORD(on_uncertain, KIND_UNCERTAIN, false, ON_UNCERTAIN_RESEND),
	TEXT(ehlo_name, true),
	TEXT(bind_address, true),
	NUMBER(connect_timeout, true, 1, 86400, 30),
	NUMBER(command_timeout, true, 1, 86400, 300),
	NUMBER(data_timeout, false, 1, 86400, 600),
	NUMBER(min_rate, false, 1, 1000000000, 1024),
	NUMBER(max_connections, false, 1, 1000, 2),
	NUMBER(max_messages_per_session, false, 1, 1000000, 100),
	NUMBER(pipeline_depth, false, 1, 1000, 1),
	NUMBER(messages_per_minute, false, 1, 1000000, 0),
	NUMBER(recipients_per_day, false, 1, 1000000000, 0),
	NUMBER(retry_min, false, 1, 86400, 60),
	NUMBER(retry_max, false, 1, 604800, 3600),
	NUMBER(max_age, false, 60, 31536000, 432000),
	NUMBER(streak_guard, false, 0, 1000000, 5),
};
#define COLUMN_COUNT (sizeof(columns) / sizeof(columns[0]))

static char **text_at(struct tenant_settings *settings, const struct column *column)
{
	return (char **)(void *)((char *)settings + column->offset);
}

static struct secret *secret_at(struct tenant_settings *settings, const struct column *column)
{
	return (struct secret *)(void *)((char *)settings + column->offset);
}

static void store(struct tenant_settings *settings, const struct column *column, int value)
{
	void *place = (char *)settings + column->offset;

	switch (column->kind) {
	case KIND_FLAG: *(bool *)place = value != 0; break;
	case KIND_NUMBER: *(int *)place = value; break;
	case KIND_TLS: *(enum tls_mode *)place = (enum tls_mode)value; break;
	case KIND_VERIFY: *(enum tls_verify *)place = (enum tls_verify)value; break;
	case KIND_AUTH: *(enum auth_choice *)place = (enum auth_choice)value; break;
	case KIND_UNCERTAIN: *(enum on_uncertain *)place = (enum on_uncertain)value; break;
	case KIND_TEXT:
	case KIND_SECRET: break; /* not an int: set_text(), set_secret() */
	}
}

static int load(const struct tenant_settings *settings, const struct column *column)
{
	const void *place = (const char *)settings + column->offset;

	switch (column->kind) {
	case KIND_FLAG: return *(const bool *)place;
	case KIND_NUMBER: return *(const int *)place;
	case KIND_TLS: return (int)*(const enum tls_mode *)place;
	case KIND_VERIFY: return (int)*(const enum tls_verify *)place;
	case KIND_AUTH: return (int)*(const enum auth_choice *)place;
	case KIND_UNCERTAIN: return (int)*(const enum on_uncertain *)place;
	case KIND_TEXT:
	case KIND_SECRET: break;
	}
	return 0;
}

static void set_default(struct tenant_settings *settings, const struct column *column)
{
	if (column->kind == KIND_TEXT) {
		if (!settings->packed)
			free(*text_at(settings, column));
		*text_at(settings, column) = NULL;
	} else if (column->kind == KIND_SECRET) {
		secret_wipe(secret_at(settings, column));
	} else {
		store(settings, column, column->fallback);
	}
	if (column->kind == KIND_TLS)
		settings->tls_chosen = false;
}

struct tenant_settings *tenant_settings_create(const char *name)
{
	struct tenant_settings *settings = memory_alloc(sizeof(*settings));

	atomic_init(&settings->references, 1);
	settings->name = memory_strdup(name);
	for (size_t i = 0; i < COLUMN_COUNT; i++)
		set_default(settings, &columns[i]);
	return settings;
}

struct tenant_settings *tenant_settings_hold(struct tenant_settings *settings)
{
	atomic_fetch_add(&settings->references, 1);
	return settings;
}

void tenant_settings_release(struct tenant_settings **settings)
{
	struct tenant_settings *last = *settings;

	*settings = NULL;
	if (!last || atomic_fetch_sub(&last->references, 1) > 1)
		return;
	for (size_t i = 0; i < COLUMN_COUNT; i++)
		set_default(last, &columns[i]);
	if (!last->packed)
		free(last->name);
	free(last);
}

static size_t text_bytes(const char *text)
{
	return text ? strlen(text) + 1 : 0;
}

/* Copies the text to *at and frees it; *at is behind it then. */
static void move_text(char **text, char **at)
{
	size_t bytes = text_bytes(*text);

	if (!*text)
		return;
	memcpy(*at, *text, bytes);
	free(*text);
	*text = *at;
	*at += bytes;
}

struct tenant_settings *tenant_settings_pack(struct tenant_settings *settings)
{
	size_t bytes = sizeof(*settings) + text_bytes(settings->name);
	struct tenant_settings *packed;
	char *at;

	assert(!settings->packed && atomic_load(&settings->references) == 1);
	for (size_t i = 0; i < COLUMN_COUNT; i++)
		if (columns[i].kind == KIND_TEXT)
			bytes += text_bytes(*text_at(settings, &columns[i]));
	packed = memory_alloc(bytes);
	memcpy(packed, settings, sizeof(*packed));
	at = (char *)(packed + 1);
	move_text(&packed->name, &at);
	for (size_t i = 0; i < COLUMN_COUNT; i++)
		if (columns[i].kind == KIND_TEXT)
			move_text(text_at(packed, &columns[i]), &at);
	assert(at == (char *)packed + bytes);
	packed->packed = true;
	free(settings);
	return packed;
}

static enum error set_number(struct tenant_settings *settings, const struct column *column, const char *value,
                             struct words *words)
{
	int64_t number;

	if (!text_to_int(value, column->minimum, column->maximum, &number)) {
		words_set(words, "%s must be a whole number from %d to %d", column->name, column->minimum,
		          column->maximum);
		return ERROR_INVALID;
	}
	store(settings, column, (int)number);
	return OK;
}

static enum error set_word(struct tenant_settings *settings, const struct column *column, const char *value,
                           struct words *words)
{
	const char *const *choices = words_of_kind[column->kind];
	struct buffer list;

	for (int i = 0; choices[i]; i++) {
		if (strcmp(value, choices[i]) != 0)
			continue;
		store(settings, column, i);
		if (column->kind == KIND_TLS)
			settings->tls_chosen = true;
		return OK;
	}
	buffer_init(&list, sizeof(words->text));
	for (int i = 0; choices[i]; i++)
		buffer_printf(&list, "%s%s", i == 0 ? "" : choices[i + 1] ? ", " : " or ", choices[i]);
	words_set(words, "%s must be %s", column->name, list.data);
	buffer_fini(&list);
	return ERROR_INVALID;
}

static enum error set_secret(struct tenant_settings *settings, const struct column *column, const char *value,
                             struct words *words)
{
	if (secret_set(secret_at(settings, column), value, strlen(value)))
		return OK;
	words_set(words, "%s is longer than %d octets", column->name, SECRET_MAX_BYTES);
	return ERROR_INVALID;
}

static void set_text(struct tenant_settings *settings, const struct column *column, const char *value)
{
	char **text = text_at(settings, column), *old = *text;

	*text = memory_strdup(value);
	free(old);
}

enum error tenant_settings_set(struct tenant_settings *settings, const char *name, const char *value,
                               struct words *words)
{
	const struct column *column = columns;

	assert(!settings->packed);
	while (column < columns + COLUMN_COUNT && strcmp(column->name, name) != 0)
		column++;
	if (column == columns + COLUMN_COUNT) {
		words_set(words, "%s is not a setting of a tenant", name);
		return ERROR_NOT_FOUND;
	}
	if (!value || !*value) { /* '' is read as NULL in every column */
		set_default(settings, column);
		return OK;
	}
	/* The schema refuses these too; nothing of ours may come to a wire with a line end. */
	if (strpbrk(value, "\r\n")) {
		words_set(words, "%s must be one line of text, without CR or LF", column->name);
		return ERROR_INVALID;
	}
	switch (column->kind) {
	case KIND_NUMBER: return set_number(settings, column, value, words);
	case KIND_SECRET: return set_secret(settings, column, value, words);
	case KIND_TEXT: set_text(settings, column, value); return OK;
	case KIND_FLAG:
	case KIND_TLS:
	case KIND_VERIFY:
	case KIND_AUTH:
	case KIND_UNCERTAIN: break;
	}
	return set_word(settings, column, value, words);
}

/* What a column adds to the digest: the digest of its value, so that no secret is copied. */
static void add_to_digest(struct buffer *all, struct tenant_settings *settings, const struct column *column)
{
	unsigned char one[DIGEST_SHA256_BYTES] = { 0 };
	const struct secret *secret;
	const char *text;
	int number;

	if (column->kind == KIND_TEXT) {
		text = *text_at(settings, column);
		if (text)
			digest_sha256(text, strlen(text), one);
	} else if (column->kind == KIND_SECRET) {
		secret = secret_at(settings, column);
		if (secret_is_set(secret))
			digest_sha256(secret->bytes, secret->length, one);
	} else {
		number = load(settings, column);
		memcpy(one, &number, sizeof(number));
	}
	buffer_append(all, one, sizeof(one));
}

/* Columns in their order, each of one width: no two rows add up to the same. */
static void make_digest(struct tenant_settings *settings, bool connection_only,
                        unsigned char digest[TENANT_DIGEST_BYTES])
{
	unsigned char whole[DIGEST_SHA256_BYTES];
	struct buffer all;

	buffer_init(&all, COLUMN_COUNT * DIGEST_SHA256_BYTES);
	for (size_t i = 0; i < COLUMN_COUNT; i++)
		if (columns[i].connection || !connection_only)
			add_to_digest(&all, settings, &columns[i]);
	digest_sha256(all.data, all.length, whole);
	memcpy(digest, whole, TENANT_DIGEST_BYTES);
	explicit_bzero(all.data, all.length);
	buffer_fini(&all);
}

void tenant_settings_seal(struct tenant_settings *settings)
{
	if (!settings->tls_chosen)
		settings->tls = settings->port == 465 ? TLS_IMPLICIT : TLS_STARTTLS;
	make_digest(settings, true, settings->connection_digest);
	make_digest(settings, false, settings->digest);
}

char *tenant_settings_credential(const struct tenant_settings *settings)
{
	struct buffer key;
	char *text;

	if (settings->auth == AUTH_NONE || !settings->host || !settings->username ||
	    settings->username[0] == '\0')
		return NULL;
	buffer_init(&key, SIZE_MAX);
	/* No column has a line's end: two that differ have different keys. */
	(void)buffer_printf(&key, "%s\n%d\n%s", settings->host, settings->port, settings->username);
	text = buffer_take(&key);
	text_lower_ascii(text);
	return text;
}

const char *auth_choice_name(enum auth_choice choice)
{
	return choice <= AUTH_EXTERNAL ? auth_words[choice] : "unknown";
}

const char *tls_mode_name(enum tls_mode mode)
{
	return mode <= TLS_NONE ? tls_words[mode] : "unknown";
}

const char *tls_verify_name(enum tls_verify verify)
{
	return verify <= TLS_VERIFY_NONE ? verify_words[verify] : "unknown";
}
