/*
 * seal.h - secrets at rest: the value of a column, or of a file that a column names, that only the holder
 * of a key can open, and only for the server that it was meant for.
 *
 *   {sealed:2:KEYID}BASE64      KEYID: 16 hexadecimal digits of the key's digest
 *
 * BASE64 (RFC 4648) is a random nonce of 96 bits, the value encrypted by AES-256-GCM (NIST SP 800-38D) and
 * its tag of 128 bits. Associated data say where it belongs, each part behind its length, so that who
 * rewrites one of them, or moves the value elsewhere, gets nothing:
 *
 * - a column's value: the column, the tenant's name, its server;
 *
 * - the file of password_file: the column, the file's name, the server;
 *
 * - the files of oauth_…_file: the column, the file's name, the server (which is shown the token) and
 *   oauth_token_url;
 *
 * - the files of tls_…_file: that it is a TLS key, and the file's name; no server is shown it.
 *
 * The server is host, port, tls, tls_verify, tls_name, tls_ca_file, tls_fingerprints and tls_priority. A
 * file is not bound to a tenant: several may name it, as long as they show it to the same server.
 *
 * Version 1, of columns alone, had all of this but tls_priority. It still opens; nothing seals it.
 *
 * Does not block unless it says so. Any thread. Files that include this do not include the log.
 */
#ifndef OUTBOXD_COMMON_SEAL_H
#define OUTBOXD_COMMON_SEAL_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "common/secret.h"
#include "common/tenant.h"

#define SEAL_PREFIX    "{sealed:"
#define SEAL_KEY_BYTES 32
#define SEAL_ID_CHARS  16
#define SEAL_KEYS_MAX  16

/* The keys of one file, in their order: the first one seals, all of them open. Constant once made. */
struct seal_keys;

/*
 * The keys in a file of at most 8 KiB that only its owner can read: 32 octets, or lines, each of which is 32
 * octets in base64, empty, or a comment behind #. A path without a slash is a name in
 * $CREDENTIALS_DIRECTORY, where systemd sets that. Blocks for the disk. ERROR_NOT_FOUND, ERROR_PERMISSION
 * (the group or others can read or write it, or we cannot), ERROR_INVALID, ERROR_SYSTEM, with words that name
 * the file and never show a part of it. One reference.
 */
enum error seal_keys_read(const char *path, struct seal_keys **keys, struct words *words);
/* The same from octets; name is for the words. */
enum error seal_keys_parse(const char *name, const void *bytes, size_t length, struct seal_keys **keys,
                           struct words *words);
struct seal_keys *seal_keys_hold(struct seal_keys *keys); /* NULL gives NULL */
void seal_keys_release(struct seal_keys **keys);          /* the last one wipes; leaves NULL */
/* The id of the key that seals. */
const char *seal_keys_id(const struct seal_keys *keys);

/* Whether the other ones have all of these; NULL = none. */
bool seal_keys_within(const struct seal_keys *keys, const struct seal_keys *others);

/* A new key as a line of such a file, without its end. */
void seal_key_make(struct secret *line);

/* Whether a value is one of these or claims to be one: whatever begins with SEAL_PREFIX is never used as it
 * is. */
bool seal_is_sealed(const struct secret *value);
/* The id of the key that sealed it, as it says; false if it is none of these. */
bool seal_id(const struct secret *value, char id[SEAL_ID_CHARS + 1]);

/* The version that it says: 1 or 2; 0: it is none of these. */
int seal_version(const struct secret *value);

/* Where a value belongs; borrowed. */
struct seal_place {
	const struct tenant_settings *settings; /* after tenant_settings_seal() */
	const char *column;                     /* "password", or the one that names the file */
	const char *file; /* its name in secrets_dir; NULL = the value is the column's */
};

/*
 * Seals a value for its place, by the newest version. ERROR_INVALID: a column's has a CR, LF or NUL, or it is
 * longer than a secret may be when it is sealed.
 */
enum error seal_close(const struct seal_keys *keys, const struct seal_place *place,
                      const struct secret *value, struct secret *sealed, struct words *words);

/*
 * Opens it again. ERROR_REFUSED, with words for the tenant's administrator: no such key (keys may be NULL),
 * or sealed for other settings; ERROR_INVALID: it is cut or garbled.
 */
enum error seal_open(const struct seal_keys *keys, const struct seal_place *place,
                     const struct secret *sealed, struct secret *value, struct words *words);

/* Whether what is sealed now for the one opens for the other. */
bool seal_same_place(const struct seal_place *one, const struct seal_place *other);

#endif
