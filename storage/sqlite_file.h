/*
 * sqlite_file.h - the database file itself: taken once, locked, watched, created.
 *
 * Closing any descriptor of a file drops the locks that SQLite holds on it in
 * this process, and commits vanish in silence.  So one descriptor is opened
 * before SQLite opens the file, and it and every other that was ever opened
 * stay open until the process ends; all later checks go by path.
 */
#ifndef OUTBOXD_STORAGE_SQLITE_FILE_H
#define OUTBOXD_STORAGE_SQLITE_FILE_H

#include <stdbool.h>

#include "common/error.h"

struct stat;

/* A file of this process, by device and inode. Never freed. */
struct storage_file;

/*
 * Takes the file: refuses network file systems, a file that this process uses
 * already, and what is not a regular file; creates it (O_EXCL, 0660 whatever
 * the umask) if it is absent and create is set; locks it (flock, until the
 * process ends). Any thread. Blocks for disk work, not for the lock.
 * ERROR_BUSY, ERROR_EXISTS (cannot create), ERROR_PERMISSION, ERROR_REFUSED, ERROR_UNAVAILABLE.
 */
enum error storage_file_take(const char *path, bool create, struct storage_file **file, struct words *words);

/* The file is no longer in use; it may be taken again by this process. The lock stays. */
void storage_file_leave(struct storage_file *file);

/* The path without symbolic links: what SQLite names -wal and -shm after. Constant. */
const char *storage_file_path(const struct storage_file *file);

/* SQLite has opened it: its -wal and -shm are there, and from now on they must stay. */
void storage_file_opened(struct storage_file *file);

/*
 * Looks again, and opens nothing. ERROR_NOT_FOUND: the file, its -wal or its -shm
 * is gone or another is in its place; ERROR_UNAVAILABLE: no longer in WAL; ERROR_REFUSED: network
 * file system; ERROR_PERMISSION: modes or owners of the file or of its -wal and
 * -shm, which may be served all the same. Any thread. Blocks for disk work.
 */
enum error storage_file_inspect(const struct storage_file *file, struct words *words);

/*
 * Whether a database (database NULL) or a companion of it is closed to others, and a companion open to all
 * who may write its database; else they could not INSERT. ERROR_PERMISSION with words. Pure.
 */
enum error storage_file_modes(const char *path, const struct stat *st, const struct stat *database,
                              struct words *words);

/* True while the header says WAL (SQLite's file format, offsets 18 and 19), or is empty yet. Any thread. */
bool storage_file_is_wal(const struct storage_file *file);

/* The name of a file system that cannot carry a WAL database (statfs f_type), NULL for a good one. Pure. */
const char *storage_file_system_refused(long type);

/*
 * Makes an outbox: a new file (or an existing one of no octets, whose mode
 * stays), in WAL, with the schema. For outboxctl and storage_open(). Blocks for
 * disk work. ERROR_EXISTS: it is there and not empty, or cannot be created;
 * else as storage_file_take().
 */
enum error storage_create_file(const char *path, struct words *words);

#endif
