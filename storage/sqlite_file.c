/*
 * sqlite_file.c - one descriptor a database file, taken before SQLite opens it.
 *
 * Promises: no descriptor of a database file is ever closed here, not even
 * after a refusal (closing one would drop SQLite's own locks); one process
 * uses a file once, whatever names it has; one outboxd serves a file (flock).
 * Fails with words when the file cannot be had.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "common/buffer.h"
#include "storage/sqlite_file.h"

#define FILE_MODE 0660

static const char *const companions[] = { "-wal", "-shm" };
#define COMPANIONS (sizeof companions / sizeof companions[0])

struct storage_file {
	struct storage_file *next;
	dev_t device;
	ino_t inode;
	int fd; /* stays open until the process ends */
	bool locked;
	bool in_use;
	ino_t companion_inodes[COMPANIONS]; /* since SQLite has opened it */
	char *path;
};

/*
 * Process-wide on purpose: descriptors, POSIX locks and the file's identity
 * are the process's, not one outbox's.
 */
static pthread_mutex_t files_lock = PTHREAD_MUTEX_INITIALIZER;
static struct storage_file *files;

const char *storage_file_system_refused(long type)
{
	static const struct {
		unsigned type;
		const char *name;
	} refused[] = {
		{ 0x6969, "NFS" },      { 0xff534d42, "CIFS" }, { 0xfe534d42, "SMB2" },
		{ 0x517b, "SMB" },      { 0x65735546, "FUSE" }, { 0x01021997, "9P" },
		{ 0x00c36400, "Ceph" }, { 0x5346414f, "AFS" },  { 0x73757245, "Coda" },
	};

	/* f_type is signed and sign-extended on some architectures */
	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
		if ((unsigned)type == refused[i].type)
			return refused[i].name;
	return NULL;
}

static enum error check_file_system(const char *path, struct words *words)
{
	struct statfs fs;
	const char *name;

	if (statfs(path, &fs) != 0) {
		words_set_errno(words, errno, "%s", path);
		return errno == EACCES ? ERROR_PERMISSION : ERROR_UNAVAILABLE;
	}
	name = storage_file_system_refused((long)fs.f_type);
	if (!name)
		return OK;
	words_set(words, "%s is on a network or user-space file system (%s), where SQLite's WAL is not safe",
	          path, name);
	return ERROR_REFUSED;
}

/* The folder's entry must outlive a power loss as well as the file. */
static void sync_folder(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)fsync(fd);
	close(fd);
}

static enum error cannot(int errno_value, enum error otherwise, const char *verb, const char *path,
                         struct words *words)
{
	words_set_errno(words, errno_value, "cannot %s %s", verb, path);
	switch (errno_value) {
	case EACCES:
	case EPERM:
	case EROFS: return ERROR_PERMISSION;
	default: return otherwise;
	}
}

/* Under files_lock. A new file of mode 0660, whatever the umask; its folder is checked first. */
static enum error create(const char *path, int *fd, struct words *words)
{
	char *copy = memory_strdup(path);
	const char *folder = dirname(copy);
	enum error error = OK;
	struct statfs fs;

	if (statfs(folder, &fs) == 0)
		error = check_file_system(folder, words);
	if (error != OK)
		goto out;
	*fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
	if (*fd < 0) {
		error = errno == EEXIST ? ERROR_UNAVAILABLE : ERROR_EXISTS;
		error = cannot(errno, error, "create", path, words);
		goto out;
	}
	if (fchmod(*fd, FILE_MODE) != 0)
		error = cannot(errno, ERROR_EXISTS, "set the mode of", path, words);
	sync_folder(folder);
out:
	free(copy);
	return error;
}

static struct storage_file *find(dev_t device, ino_t inode)
{
	for (struct storage_file *file = files; file; file = file->next)
		if (file->device == device && file->inode == inode)
			return file;
	return NULL;
}

/* Under files_lock: remembers a descriptor for good. */
static struct storage_file *keep(int fd, const struct stat *st)
{
	struct storage_file *file = find(st->st_dev, st->st_ino);

	if (file)
		return file; /* opened in a race with a rename: fd stays open, unused */
	file = memory_alloc(sizeof *file);
	file->device = st->st_dev;
	file->inode = st->st_ino;
	file->fd = fd;
	file->next = files;
	files = file;
	return file;
}

/* Under files_lock: the path's file, opened (or created) unless this process has it already. */
static enum error find_or_open(const char *path, bool may_create, struct storage_file **file,
                               struct words *words)
{
	struct stat st;
	int fd = -1;

	*file = NULL;
	if (stat(path, &st) == 0) {
		enum error error = check_file_system(path, words);

		if (error != OK)
			return error;
		if (!S_ISREG(st.st_mode)) {
			words_set(words, "%s is not a regular file", path);
			return ERROR_REFUSED;
		}
		*file = find(st.st_dev, st.st_ino);
		if (*file)
			return OK;
		fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
		if (fd < 0)
			return cannot(errno, ERROR_UNAVAILABLE, "open", path, words);
	} else if (errno == ENOENT && may_create) {
		enum error error = create(path, &fd, words);

		if (error != OK)
			return error;
	} else if (errno == ENOENT) {
		words_set(words, "%s does not exist: run outboxctl init", path);
		return ERROR_REFUSED;
	} else {
		return cannot(errno, ERROR_UNAVAILABLE, "look at", path, words);
	}
	if (fstat(fd, &st) != 0)
		return cannot(errno, ERROR_UNAVAILABLE, "look at", path, words);
	*file = keep(fd, &st);
	return OK;
}

/* Under files_lock. */
static enum error lock(struct storage_file *file, const char *path, struct words *words)
{
	struct stat st;

	if (!file->locked && flock(file->fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK)
			return cannot(errno, ERROR_UNAVAILABLE, "lock", path, words);
		words_set(words, "another outboxd serves %s", path);
		return ERROR_BUSY;
	}
	file->locked = true;
	if (stat(path, &st) != 0 || st.st_dev != file->device || st.st_ino != file->inode) {
		words_set(words, "%s was replaced while it was opened", path);
		return ERROR_UNAVAILABLE;
	}
	return OK;
}

enum error storage_file_take(const char *path, bool may_create, struct storage_file **file,
                             struct words *words)
{
	char *real = NULL;
	enum error error;

	*file = NULL;
	pthread_mutex_lock(&files_lock);
	error = find_or_open(path, may_create, file, words);
	if (error != OK)
		goto out;
	if ((*file)->in_use) {
		words_set(words, "%s is served already, under this or another name", path);
		error = ERROR_REFUSED;
		goto out;
	}
	error = lock(*file, path, words);
	if (error != OK)
		goto out;
	real = realpath(path, NULL);
	if (!real) {
		error = cannot(errno, ERROR_UNAVAILABLE, "resolve", path, words);
		goto out;
	}
	free((*file)->path);
	(*file)->path = real;
	(*file)->in_use = true;
out:
	if (error != OK)
		*file = NULL;
	pthread_mutex_unlock(&files_lock);
	return error;
}

void storage_file_leave(struct storage_file *file)
{
	pthread_mutex_lock(&files_lock);
	file->in_use = false;
	pthread_mutex_unlock(&files_lock);
}

const char *storage_file_path(const struct storage_file *file)
{
	return file->path;
}

bool storage_file_is_wal(const struct storage_file *file)
{
	unsigned char versions[2];
	ssize_t got = pread(file->fd, versions, sizeof versions, 18);

	return got == 0 || (got == 2 && versions[0] == 2 && versions[1] == 2);
}

static bool stat_companion(const struct storage_file *file, size_t which, char path[PATH_MAX + 8],
                           struct stat *st)
{
	(void)snprintf(path, PATH_MAX + 8, "%s%s", file->path, companions[which]);
	return stat(path, st) == 0;
}

void storage_file_opened(struct storage_file *file)
{
	char path[PATH_MAX + 8];
	struct stat st;

	for (size_t i = 0; i < COMPANIONS; i++)
		file->companion_inodes[i] = stat_companion(file, i, path, &st) ? st.st_ino : 0;
}

/* Who has it open goes on; who opens it, as the next service does, cannot. */
static enum error inspect_access(const char *path, const struct stat *st, struct words *words)
{
	if (faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS) == 0)
		return OK;
	words_set(words,
	          "%s (owner %u, group %u, mode %04o) cannot be read and written by this user any more", path,
	          (unsigned)st->st_uid, (unsigned)st->st_gid, (unsigned)(st->st_mode & 07777));
	return ERROR_PERMISSION;
}

enum error storage_file_modes(const char *path, const struct stat *st, const struct stat *database,
                              struct words *words)
{
	mode_t wanted = database ? database->st_mode & 0660 : 0;

	if (st->st_mode & 0007) {
		words_set(words, "%s has mode %04o: others than its owner and group may use it", path,
		          (unsigned)(st->st_mode & 07777));
		return ERROR_PERMISSION;
	}
	if (!database || ((st->st_mode & wanted) == wanted && st->st_gid == database->st_gid &&
	                  (st->st_uid == database->st_uid || (wanted & 0060) == 0060)))
		return OK;
	words_set(words,
	          "%s (owner %u, group %u, mode %04o) does not follow its database (owner %u, group %u, "
	          "mode %04o): some who may write that cannot write this",
	          path, (unsigned)st->st_uid, (unsigned)st->st_gid, (unsigned)(st->st_mode & 07777),
	          (unsigned)database->st_uid, (unsigned)database->st_gid,
	          (unsigned)(database->st_mode & 07777));
	return ERROR_PERMISSION;
}

static enum error inspect_companion(const struct storage_file *file, const struct stat *database,
                                    size_t which, struct words *words)
{
	char path[PATH_MAX + 8];
	struct stat st;

	if (!stat_companion(file, which, path, &st) || st.st_ino != file->companion_inodes[which]) {
		words_set(words, "%s was deleted or replaced while it was in use", path);
		return ERROR_NOT_FOUND;
	}
	if (inspect_access(path, &st, words) != OK)
		return ERROR_PERMISSION;
	return storage_file_modes(path, &st, database, words);
}

enum error storage_file_inspect(const struct storage_file *file, struct words *words)
{
	struct stat st;
	enum error error;

	if (stat(file->path, &st) != 0) {
		words_set_errno(words, errno, "%s", file->path);
		return errno == ENOENT ? ERROR_NOT_FOUND : ERROR_UNAVAILABLE;
	}
	if (st.st_dev != file->device || st.st_ino != file->inode) {
		words_set(words, "%s was replaced by another file", file->path);
		return ERROR_NOT_FOUND;
	}
	error = check_file_system(file->path, words);
	if (error != OK)
		return error;
	if (!storage_file_is_wal(file)) {
		words_set(words, "%s is no longer in WAL mode: run outboxctl init --wal", file->path);
		return ERROR_UNAVAILABLE;
	}
	error = inspect_access(file->path, &st, words);
	if (error == OK)
		error = storage_file_modes(file->path, &st, NULL, words);
	if (error != OK)
		return error;
	for (size_t i = 0; i < COMPANIONS && error == OK; i++)
		error = inspect_companion(file, &st, i, words);
	return error;
}
