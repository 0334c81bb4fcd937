/*
 * file_type.h - what a file is, told by its content: libmagic behind two functions.
 *
 * One thread. Blocks for disk work.
 */
#ifndef OUTBOXD_CLI_FILE_TYPE_H
#define OUTBOXD_CLI_FILE_TYPE_H

#include "common/error.h"

struct file_types;

/* Loads the system's magic database. ERROR_SYSTEM with words. */
enum error file_types_open(struct file_types **types, struct words *words);
void file_types_close(struct file_types **types); /* leaves NULL */

/*
 * A content type (RFC 2045 5.1) for the file, allocated: "application/pdf", for text with its charset if
 * that is sure: "text/plain; charset=utf-8". What is not known, or is nothing, is
 * application/octet-stream. Reads the file's beginning and moves its position.
 */
char *file_type(struct file_types *types, int fd);

#endif
