/*
 * sqlite_spool.h - unlinked files for bodies that are too large for memory.
 *
 * Any thread.
 */
#ifndef OUTBOXD_STORAGE_SQLITE_SPOOL_H
#define OUTBOXD_STORAGE_SQLITE_SPOOL_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

/*
 * A new file without a name in dir (O_TMPFILE, or made and unlinked where the
 * file system has none); it ends with its descriptor, which is the caller's.
 * Blocks for disk work. ERROR_UNAVAILABLE with words: no such folder, no room.
 */
enum error spool_open(const char *dir, int *fd, struct words *words);

/* Writes all at offset. Blocks for disk work. ERROR_UNAVAILABLE with words: the disk is full, or fails. */
enum error spool_write(int fd, const char *dir, const void *bytes, size_t length, int64_t offset,
                       struct words *words);

#endif
