/*
 * seal_keys.c - the file of the keys that seal. See seal.h.
 *
 * Promises that a key is nowhere but in struct secret once this is over, and that a
 * file which others can read is not used, however good its keys are.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/digest.h"
#include "common/seal_internal.h"
#include "common/text.h"

#define FILE_BYTES_MAX 8192
#define KEY_DIGITS     44 /* 32 octets in base64 */
#define ID_LABEL       "outboxd sealing key"

/* What names a key must not tell anything of it: a digest of its own, under a label. */
static void name_key(struct seal_key *key)
{
	unsigned char octets[sizeof(ID_LABEL) - 1 + SEAL_KEY_BYTES], digest[DIGEST_SHA256_BYTES];

	memcpy(octets, ID_LABEL, sizeof(ID_LABEL) - 1);
	memcpy(octets + sizeof(ID_LABEL) - 1, key->secret.bytes, SEAL_KEY_BYTES);
	digest_sha256(octets, sizeof(octets), digest);
	text_hex(digest, SEAL_ID_CHARS / 2, key->id);
	explicit_bzero(octets, sizeof(octets));
}

static bool add_key(struct seal_keys *keys, const void *octets)
{
	struct seal_key *key = &keys->keys[keys->count];

	if (keys->count == SEAL_KEYS_MAX || !secret_set(&key->secret, octets, SEAL_KEY_BYTES))
		return false;
	name_key(key);
	keys->count++;
	return true;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* One line without its end. */
static bool add_line(struct seal_keys *keys, const char *line, size_t length)
{
	struct buffer octets;
	bool good;

	while (length > 0 && is_space(line[length - 1]))
		length--;
	while (length > 0 && is_space(line[0])) {
		line++;
		length--;
	}
	if (length == 0 || line[0] == '#')
		return true;
	buffer_init(&octets, SEAL_KEY_BYTES);
	good = length == KEY_DIGITS && text_base64_decode(&octets, line, length) &&
	       octets.length == SEAL_KEY_BYTES && add_key(keys, octets.data);
	/* what was decoded before an error too */
	if (octets.data)
		explicit_bzero(octets.data, octets.capacity);
	buffer_fini(&octets);
	return good;
}

static enum error add_lines(const char *name, const char *text, size_t length, struct seal_keys *keys,
                            struct words *words)
{
	const char *end = text + length;

	for (int number = 1; text < end; number++) {
		const char *line_end = memchr(text, '\n', (size_t)(end - text));

		if (!line_end)
			line_end = end;
		if (!add_line(keys, text, (size_t)(line_end - text))) {
			if (keys->count == SEAL_KEYS_MAX)
				words_set(words, "%s, line %d: more than %d keys", name, number,
				          SEAL_KEYS_MAX);
			else
				words_set(words,
				          "%s, line %d: not a key (32 octets in base64, 44 characters)", name,
				          number);
			return ERROR_INVALID;
		}
		text = line_end < end ? line_end + 1 : end;
	}
	if (keys->count > 0)
		return OK;
	words_set(words, "%s has no key: outboxctl secrets keygen makes one", name);
	return ERROR_INVALID;
}

enum error seal_keys_parse(const char *name, const void *bytes, size_t length, struct seal_keys **keys,
                           struct words *words)
{
	struct seal_keys *made = memory_alloc(sizeof(*made));
	enum error error = OK;

	*keys = NULL;
	atomic_init(&made->references, 1);
	if (length == SEAL_KEY_BYTES)
		(void)add_key(made, bytes);
	else
		error = add_lines(name, bytes, length, made, words);
	if (error == OK)
		*keys = made;
	else
		seal_keys_release(&made);
	return error;
}

struct seal_keys *seal_keys_hold(struct seal_keys *keys)
{
	if (keys)
		atomic_fetch_add(&keys->references, 1);
	return keys;
}

void seal_keys_release(struct seal_keys **keys)
{
	struct seal_keys *released = *keys;

	*keys = NULL;
	if (!released || atomic_fetch_sub(&released->references, 1) > 1)
		return;
	for (size_t i = 0; i < released->count; i++)
		secret_wipe(&released->keys[i].secret);
	free(released);
}

const char *seal_keys_id(const struct seal_keys *keys)
{
	return keys->keys[0].id;
}

const struct seal_key *seal_keys_find(const struct seal_keys *keys, const char *id)
{
	for (size_t i = 0; keys && i < keys->count; i++)
		if (strcmp(keys->keys[i].id, id) == 0)
			return &keys->keys[i];
	return NULL;
}

bool seal_keys_within(const struct seal_keys *keys, const struct seal_keys *others)
{
	for (size_t i = 0; keys && i < keys->count; i++)
		if (!seal_keys_find(others, keys->keys[i].id))
			return false;
	return true;
}

/* ---- the file -------------------------------------------------------------------- */

/*
 * In systemd's directory, which nobody else can enter, the mode's group bits are the mask of an access list
 * that lets the service's user read (systemd.exec(5), LoadCredential).
 */
static enum error check_file(int fd, const char *path, mode_t forbidden, struct words *words)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		words_set(words, "%s is not a regular file", path);
		return ERROR_INVALID;
	}
	if (st.st_mode & forbidden) {
		words_set(words,
		          "%s can be read or written by others than its owner (mode %04o): chmod 0400 it",
		          path, (unsigned)(st.st_mode & 07777));
		return ERROR_PERMISSION;
	}
	return OK;
}

static enum error read_open(int fd, const char *path, struct seal_keys **keys, struct words *words)
{
	struct secret content = { NULL, 0 };
	enum error error = secret_read(fd, FILE_BYTES_MAX, &content);

	if (error == ERROR_SYSTEM) {
		words_set_errno(words, errno, "%s cannot be read", path);
	} else if (error != OK) {
		words_set(words, "%s is larger than 8 KiB: no file of keys", path);
		error = ERROR_INVALID;
	} else {
		error = seal_keys_parse(path, content.bytes, content.length, keys, words);
	}
	secret_wipe(&content);
	return error;
}

static enum error read_path(const char *path, mode_t forbidden, struct seal_keys **keys, struct words *words)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	enum error error;

	if (fd < 0) {
		int errno_value = errno;

		words_set_errno(words, errno_value, "%s cannot be read", path);
		return errno_value == ENOENT   ? ERROR_NOT_FOUND
		       : errno_value == EACCES ? ERROR_PERMISSION
		                               : ERROR_SYSTEM;
	}
	error = check_file(fd, path, forbidden, words);
	if (error == OK)
		error = read_open(fd, path, keys, words);
	close(fd);
	return error;
}

enum error seal_keys_read(const char *path, struct seal_keys **keys, struct words *words)
{
	const char *folder = strchr(path, '/') ? NULL : getenv("CREDENTIALS_DIRECTORY");
	struct buffer whole;
	enum error error;

	*keys = NULL;
	if (!folder)
		return read_path(path, 0077, keys, words);
	buffer_init(&whole, 2 * PATH_MAX);
	if (buffer_printf(&whole, "%s/%s", folder, path)) {
		error = read_path(whole.data, 0037, keys, words);
	} else {
		words_set(words, "the path of %s is too long", path);
		error = ERROR_INVALID;
	}
	buffer_fini(&whole);
	return error;
}
