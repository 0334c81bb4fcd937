/*
 * pem_file.h - a small file of certificates, read whole.
 *
 * For the loader's thread: it waits for the disk.
 */
#ifndef OUTBOXD_SMTP_PEM_FILE_H
#define OUTBOXD_SMTP_PEM_FILE_H

#include "common/buffer.h"
#include "common/error.h"

#define PEM_FILE_BYTES (1024 * 1024)

/*
 * Appends the file to pem, whose limit is set here. column names the setting in the words. ERROR_INVALID with
 * words if it cannot be read, is no regular file, is empty or larger than 1 MiB; ERROR_UNAVAILABLE: no
 * descriptor just now.
 */
enum error pem_file_read(const char *column, const char *path, struct buffer *pem, struct words *words);

#endif
