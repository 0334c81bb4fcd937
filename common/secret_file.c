/*
 * secret_file.c - see secret_file.h. No copy of what was read is left behind.
 */
#include "common/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

#define LOCK_WAIT_MS 5000
#define LOCK_POLL_NS 5000000 /* flock(2) has no time limit of its own */

/* The triggers refuse a path too; a database may be older than they. */
bool secret_file_is_name(const char *name)
{
	return name[0] != '\0' && name[0] != '.' && !strchr(name, '/');
}

/* Without the line end that an editor leaves behind a password. */
static size_t length_of_text(const struct secret *content)
{
	size_t length = content->length;

	while (length > 0 && (content->bytes[length - 1] == '\n' || content->bytes[length - 1] == '\r'))
		length--;
	return length;
}

static enum error read_all(int fd, const char *column, const char *name, struct secret *secret,
                           struct words *words)
{
	struct secret content = { NULL, 0 };
	enum error error = secret_read(fd, SECRET_MAX_BYTES, &content);
	size_t length = length_of_text(&content);

	if (error == ERROR_SYSTEM) {
		words_set_errno(words, errno, "the file of %s = %s cannot be read", column, name);
	} else if (error != OK) {
		words_set(words, "the file of %s = %s is larger than 64 KiB", column, name);
		error = ERROR_INVALID;
	} else if (length == 0) {
		words_set(words, "the file of %s = %s is empty", column, name);
		error = ERROR_INVALID;
	} else {
		(void)secret_set(secret, content.bytes, length);
	}
	secret_wipe(&content);
	return error;
}

static enum error open_and_read(int folder, const char *column, const char *name, struct secret *secret,
                                struct words *words)
{
	int fd = folder < 0 ? -1
	                    : openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	enum error error = ERROR_NOT_FOUND;
	struct stat st;

	if (fd < 0) {
		if (error_is_shortage(errno))
			error = ERROR_UNAVAILABLE;
		words_set_errno(words, errno, "the file of %s = %s cannot be read", column, name);
		return error;
	}
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		words_set(words, "the file of %s = %s is not a regular file", column, name);
		error = ERROR_REFUSED;
	} else {
		error = read_all(fd, column, name, secret, words);
	}
	close(fd);
	return error;
}

enum error secret_file_read(const char *folder, const char *column, const char *name, struct secret *secret,
                            struct words *words)
{
	enum error error;
	int fd;

	if (!folder) {
		words_set(words, "%s is set, but outboxd has no secrets_dir", column);
		return ERROR_REFUSED;
	}
	if (!secret_file_is_name(name)) {
		words_set(words, "%s = %s is not the name of a file in secrets_dir", column, name);
		return ERROR_REFUSED;
	}
	fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	error = open_and_read(fd, column, name, secret, words);
	if (fd >= 0)
		close(fd);
	return error;
}

/* --- writing --------------------------------------------------------------------------- */

static bool write_all(int fd, const struct secret *secret)
{
	size_t sent = 0;

	while (sent < secret->length) {
		ssize_t n = write(fd, secret->bytes + sent, secret->length - sent);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		sent += (size_t)n;
	}
	return write(fd, "\n", 1) == 1 && fsync(fd) == 0;
}

/*
 * Who could read the old one reads the new one; the first one is read by who may write to the folder, which
 * outboxd must. Where we may not give it away it is ours.
 */
static void keep_owner(int folder, const char *name, int fd)
{
	mode_t mode = 0600;
	struct stat st;

	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
		mode = st.st_mode & 0777;
	else if (fstat(folder, &st) == 0)
		mode = st.st_mode & S_IWGRP ? 0640 : 0600;
	else
		return;
	if (fchown(fd, st.st_uid, st.st_gid) == 0)
		(void)fchmod(fd, mode);
}

static bool replace(int folder, const char *name, const char *beside, const struct secret *secret)
{
	int fd = openat(folder, beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	bool good;

	if (fd < 0)
		return false;
	keep_owner(folder, name, fd);
	good = write_all(fd, secret);
	if (close(fd) != 0)
		good = false;
	return good && renameat(folder, beside, folder, name) == 0 && fsync(folder) == 0;
}

#define BESIDE_BYTES 300

/* Never read, since no name begins with a dot. False: name is none. */
static bool name_beside(const char *name, char beside[BESIDE_BYTES])
{
	return secret_file_is_name(name) && snprintf(beside, BESIDE_BYTES, ".%s.new", name) < BESIDE_BYTES;
}

void secret_file_tidy(const char *folder, const char *name)
{
	char beside[BESIDE_BYTES];
	int fd = name_beside(name, beside) ? open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;

	if (fd < 0)
		return;
	(void)unlinkat(fd, beside, 0);
	close(fd);
}

enum error secret_file_replace(const char *folder, const char *column, const char *name,
                               const struct secret *secret, struct words *words)
{
	char beside[BESIDE_BYTES];
	enum error error = OK;
	int fd;

	if (!folder || !name_beside(name, beside)) {
		words_set(words, "%s = %s is not the name of a file in secrets_dir", column, name);
		return ERROR_REFUSED;
	}
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		(void)unlinkat(fd, beside, 0);
	if (fd < 0 || !replace(fd, name, beside, secret)) {
		error = errno == EACCES || errno == EPERM || errno == EROFS ? ERROR_PERMISSION : ERROR_SYSTEM;
		words_set_errno(words, errno, "the file of %s = %s cannot be written", column, name);
	}
	if (fd >= 0)
		close(fd);
	return error;
}

/* --- one at a time ----------------------------------------------------------------------- */

enum error secret_file_lock(const char *folder, int *lock, struct words *words)
{
	const struct timespec pause = { .tv_nsec = LOCK_POLL_NS };
	int64_t deadline_ms = deadline_after_ms(LOCK_WAIT_MS);
	int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	*lock = -1;
	if (fd < 0) {
		words_set_errno(words, folder ? errno : ENOENT, "secrets_dir cannot be opened");
		return ERROR_SYSTEM;
	}
	while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		bool held = errno == EWOULDBLOCK || errno == EINTR;

		if (held && deadline_left_ms(deadline_ms) > 0) {
			(void)nanosleep(&pause, NULL);
			continue;
		}
		words_set_errno(words, errno, "secrets_dir cannot be locked");
		close(fd);
		return held ? ERROR_UNAVAILABLE : ERROR_SYSTEM;
	}
	*lock = fd;
	return OK;
}

void secret_file_unlock(int lock)
{
	if (lock >= 0)
		close(lock);
}
