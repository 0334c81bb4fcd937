/*
 * seal_file.c - see seal_file.h. No unsealed octet of a secret goes to the disk on its way to being sealed.
 */
#include "common/seal_file.h"

#include "common/secret_file.h"

enum error seal_file_read(const struct seal_files *files, const struct seal_place *place,
                          struct secret *secret, bool *sealed, struct words *words)
{
	struct secret content = { NULL, 0 };
	enum error error = secret_file_read(files->folder, place->column, place->file, &content, words);
	bool closed = error == OK && seal_is_sealed(&content);

	if (sealed && error == OK)
		*sealed = closed;
	if (!closed) {
		secret_wipe(secret);
		*secret = content;
		return error;
	}
	error = seal_open(files->keys, place, &content, secret, words);
	secret_wipe(&content);
	return error;
}

enum error seal_file_replace(const struct seal_files *files, const struct seal_place *place,
                             const struct secret *secret, bool sealed, struct words *words)
{
	struct secret closed = { NULL, 0 };
	enum error error;

	if (!sealed) {
		if (!seal_is_sealed(secret))
			return secret_file_replace(files->folder, place->column, place->file, secret, words);
		words_set(words,
		          "what begins with %s can only be kept sealed in the file of %s = %s: name the keys",
		          SEAL_PREFIX, place->column, place->file);
		return ERROR_REFUSED;
	}
	if (!files->keys) {
		words_set(words, "the file of %s = %s is sealed, and there is no key to seal with",
		          place->column, place->file);
		return ERROR_REFUSED;
	}
	error = seal_close(files->keys, place, secret, &closed, words);
	if (error == OK)
		error = secret_file_replace(files->folder, place->column, place->file, &closed, words);
	secret_wipe(&closed);
	return error;
}
