/*
 * secret_file.h - one small file in secrets_dir, by its name.
 */
#ifndef OUTBOXD_COMMON_SECRET_FILE_H
#define OUTBOXD_COMMON_SECRET_FILE_H

#include <stdbool.h>

#include "common/error.h"
#include "common/secret.h"

/* A name in a folder: no path, nothing hidden. */
bool secret_file_is_name(const char *name);

/*
 * A regular file of at most 64 KiB, no symbolic link; a trailing line end is cut. Blocks for
 * the disk: the loader's threads, and outboxctl. ERROR_REFUSED (no folder, no name, no regular file),
 * ERROR_NOT_FOUND, ERROR_INVALID, ERROR_SYSTEM, ERROR_UNAVAILABLE (no descriptor just now), with words
 * that name the column.
 */
enum error secret_file_read(const char *folder, const char *column, const char *name, struct secret *secret,
                            struct words *words);

/*
 * Puts secret in the file's place: a new one beside it, of the old one's mode and owner (as far as we may),
 * forced to the disk, renamed, the folder forced to the disk; so that at any moment the one or the other is
 * whole. Blocks for the disk, no worker. ERROR_REFUSED, ERROR_PERMISSION, ERROR_SYSTEM with words.
 */
enum error secret_file_replace(const char *folder, const char *column, const char *name,
                               const struct secret *secret, struct words *words);

/*
 * Locked: takes away what a process that died in secret_file_replace() left beside the file, which nobody
 * reads but which may be the secret, unsealed. Where it is not there, or we may not, nothing happens. Blocks
 * for the disk.
 */
void secret_file_tidy(const char *folder, const char *name);

/*
 * Keeps all others that ask for it off the files of a folder while one is read and written again: no rotated
 * token is lost to somebody who had read the old one. Waits for them, 5 s at most. *lock: for
 * secret_file_unlock(), -1 if not OK. ERROR_UNAVAILABLE, ERROR_SYSTEM with words.
 */
enum error secret_file_lock(const char *folder, int *lock, struct words *words);
void secret_file_unlock(int lock); /* -1 does nothing */

#endif
