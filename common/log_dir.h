/*
 * log_dir.h - a file for each tenant below one directory.
 *
 * Part of the log, for its thread alone (but for log_dir_name, which is pure).
 * Lines are gathered with log_dir_add and written by log_dir_flush, each file's
 * in one write; at most LOG_DIR_OPEN files are open at once.
 */
#ifndef OUTBOXD_COMMON_LOG_DIR_H
#define OUTBOXD_COMMON_LOG_DIR_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "common/error.h"
#include "common/log_file.h"

#define LOG_DIR_OPEN 64

struct log_dir;

/* "TENANT" or "DB/TENANT": names that cannot leave the directory, whatever they are made of. */
bool log_dir_name(struct buffer *name, const char *db, const char *tenant);

/* Creates the directory if it is absent. ERROR_PERMISSION or ERROR_SYSTEM with words if it is of no use. */
enum error log_dir_create(const char *path, struct log_dir **dir, struct words *words);
void log_dir_destroy(struct log_dir **dir);

/* Closes all files and forgets them; they are opened again when there is something to write. */
void log_dir_forget(struct log_dir *dir);

/* Gathers one line for a file; false if memory is short. */
bool log_dir_add(struct log_dir *dir, const char *name, const char *line, size_t length);

/*
 * Writes what was gathered. A file that cannot be opened or written costs its
 * lines; failed is told of it once (until it can, or log_dir_forget).
 */
void log_dir_flush(struct log_dir *dir, const struct log_patience *patience,
                   void (*failed)(void *context, const char *path, int errno_value), void *context);

#endif
