/*
 * admin_check.h - more of storage/admin.h: what is wrong with an outbox and its files, for outboxctl check.
 *
 * Nothing here writes a row, takes a lock that others would wait for, or opens the database's file
 * another way than SQLite does.
 */
#ifndef OUTBOXD_STORAGE_ADMIN_CHECK_H
#define OUTBOXD_STORAGE_ADMIN_CHECK_H

#include "storage/admin.h"
#include "storage/admin_secrets.h"

/*
 * As admin_open(), but no statement of this connection can write, and its end leaves the write-ahead log as
 * it is. A -wal or -shm that another last closer took away is made again (empty).
 */
enum error admin_check_open(const char *path, struct admin **admin, struct words *words);

/*
 * Owner and mode of the file, of its -wal, -shm, -journal and -inflight and of their folder: words for each
 * fault. Opens nothing. Blocks for disk work.
 */
void admin_check_files(const char *path, admin_trouble *fault, void *context);

/* Whether the file's -wal is there; true too where that cannot be told. Asks the system alone. */
bool admin_check_wal(const char *path);

/* Room on the file's file system, with words where it is not ADMIN_SPACE_GOOD. Asks the system alone. */
enum admin_space {
	ADMIN_SPACE_GOOD,
	ADMIN_SPACE_LOW,  /* less than the write-ahead log may grow to (64 MiB) */
	ADMIN_SPACE_NONE, /* less than 1 MiB, or mounted read-only */
};
enum admin_space admin_check_space(const char *path, struct words *words);

/* Who holds outboxd's lock (flock) on the file, as /proc/locks tells; *process is its id. Asks the system
 * alone. */
enum admin_served { ADMIN_SERVED_NOT, ADMIN_SERVED, ADMIN_SERVED_UNKNOWN };
enum admin_served admin_check_served(const char *path, long *process);

/*
 * Reads all pages (PRAGMA quick_check): as long as the file is large; nobody waits for it. words for each
 * fault, the first few.
 */
enum error admin_check_integrity(struct admin *admin, admin_trouble *fault, void *context,
                                 struct words *words);

/* Names that messages have and no row of outbox_tenant: tenant, messages, unfinished. */
enum error admin_check_strays(struct admin *admin, admin_each *each, void *context, struct words *words);

#endif
