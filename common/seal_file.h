/*
 * seal_file.h - a small file in secrets_dir that may be sealed (seal.h): read, and written in its place.
 *
 * All block for the disk: the loader's threads, a token's, and outboxctl; no worker. A sealed file is one
 * line; what opens is what secret_file_read() would have given of the file before.
 */
#ifndef OUTBOXD_COMMON_SEAL_FILE_H
#define OUTBOXD_COMMON_SEAL_FILE_H

#include <stdbool.h>

#include "common/error.h"
#include "common/seal.h"
#include "common/secret.h"

/* Where they are; borrowed. */
struct seal_files {
	const char *folder;           /* NULL = none */
	const struct seal_keys *keys; /* NULL = none: an unsealed file is read all the same */
};

/*
 * The file's secret, opened if it is sealed; *sealed, if not NULL, whether it is, once the file was read.
 * Errors as of secret_file_read() and seal_open().
 */
enum error seal_file_read(const struct seal_files *files, const struct seal_place *place,
                          struct secret *secret, bool *sealed, struct words *words);

/*
 * As secret_file_replace(), with sealed by the first key: then ERROR_REFUSED without one, and ERROR_INVALID
 * if it is too long. A secret that looks sealed is only written sealed (ERROR_REFUSED).
 */
enum error seal_file_replace(const struct seal_files *files, const struct seal_place *place,
                             const struct secret *secret, bool sealed, struct words *words);

#endif
