/*
 * admin_secrets.h - passwords of tenants, sealed and opened (common/seal.h), without SQL.
 *
 * As admin.h: one thread, blocks for the disk and the lock, answers with words that never show a
 * secret. What was overwritten here is overwritten with zeros in its page (secure_delete); its older copies
 * in the write-ahead log and in free pages go by admin_secrets_forget().
 */
#ifndef OUTBOXD_STORAGE_ADMIN_SECRETS_H
#define OUTBOXD_STORAGE_ADMIN_SECRETS_H

#include "common/seal.h"
#include "storage/admin.h"

/*
 * The keys for all that follows, borrowed; NULL = none. With keys, admin_tenant_add() and _set() seal a
 * password, and _set() seals it anew where a change of the server's columns would close it; without them such
 * a change is ERROR_REFUSED, and so is a password that begins as a sealed one.
 */
void admin_use_keys(struct admin *admin, const struct seal_keys *keys);

/*
 * secrets_dir, for all that follows, borrowed; NULL = none: the files there that tenants name are sealed,
 * opened and shown too. admin_tenant_set() seals one anew where a change of the tenant's would close it,
 * before it commits: if that fails, the same again finds it sealed already. With keys and no folder such a
 * change of a tenant that names a file is ERROR_REFUSED.
 */
void admin_use_files(struct admin *admin, const char *folder);

/* Whether the last admin_tenant_set() put an unsealed password in a sealed one's place. */
bool admin_left_unsealed(const struct admin *admin);

enum admin_secrets {
	ADMIN_SECRETS_SEAL,   /* what is unsealed */
	ADMIN_SECRETS_REKEY,  /* what is sealed with another key than the first, or by version 1 */
	ADMIN_SECRETS_UNSEAL, /* what is sealed */
};
struct admin_secrets_done {
	int64_t changed, files;           /* rows, files */
	int64_t failed;                   /* told to trouble, and left as they are */
	int64_t unsealed, files_unsealed; /* of all, afterwards */
};
typedef void admin_trouble(void *context, const struct words *words);

/* All tenants in one transaction, then the files one by one; what is as it should be is left alone. Needs
 * keys. */
enum error admin_secrets(struct admin *admin, enum admin_secrets verb, struct admin_secrets_done *done,
                         admin_trouble *trouble, void *context, struct words *words);

/*
 * Empties the write-ahead log, so that what was overwritten is in it no more; with vacuum the whole
 * file is written anew before, without its free pages: as long and as much room as the file is large.
 * ERROR_BUSY: a reader holds the log.
 */
enum error admin_secrets_forget(struct admin *admin, bool vacuum, struct words *words);

/*
 * A row a tenant, and one a file: tenant, secret (password, or the column), file (its name), state (none,
 * unsealed, sealed; NULL = it cannot be read), version and key (its id) of what is sealed, trouble (why it
 * does not open).
 */
enum error admin_secrets_status(struct admin *admin, admin_each *each, void *context, struct words *words);

#endif
