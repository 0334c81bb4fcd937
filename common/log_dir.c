/*
 * log_dir.c - a file for each tenant below one directory.
 *
 * Promises that no name leads out of the directory, that at most LOG_DIR_OPEN
 * files are open (the one that was used longest ago gives way), and that one
 * file's trouble costs only its own lines.  It is told once a file.
 */
#include "common/log_dir.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_BYTES   200        /* of one part: with ".log" well below NAME_MAX */
#define GATHER_BYTES (16 << 20) /* far above what log.c gathers before a flush */

struct tenant_file {
	char *name; /* first member: what the tree compares */
	struct log_file disk;
	struct buffer lines; /* gathered; empty = not in the list of the dirty */
	struct tenant_file *next_dirty;
	struct tenant_file *next; /* of all */
	uint64_t used;
	bool told;
};

struct log_dir {
	char *path;
	void *tree;
	struct tenant_file *all;
	struct tenant_file *dirty;
	struct tenant_file *open[LOG_DIR_OPEN];
	size_t open_count;
	uint64_t clock; /* counts uses */
};

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct tenant_file *)a)->name, ((const struct tenant_file *)b)->name);
}

static bool append_part(struct buffer *name, const char *part)
{
	bool fits = true;

	if (!*part)
		return buffer_append_char(name, '_');
	for (size_t i = 0; fits && part[i] && i < NAME_BYTES; i++) {
		char c = part[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		             c == '-' || c == '_' || (c == '.' && i > 0);

		fits = buffer_append_char(name, plain ? c : '_');
	}
	return fits;
}

bool log_dir_name(struct buffer *name, const char *db, const char *tenant)
{
	if (db && (!append_part(name, db) || !buffer_append_char(name, '/')))
		return false;
	return append_part(name, tenant);
}

enum error log_dir_create(const char *path, struct log_dir **dir, struct words *words)
{
	struct stat status;
	int reason;

	if (mkdir(path, 0750) != 0 && errno != EEXIST)
		goto out;
	if (stat(path, &status) != 0)
		goto out;
	if (!S_ISDIR(status.st_mode)) {
		errno = ENOTDIR;
		goto out;
	}
	if (access(path, W_OK | X_OK) != 0)
		goto out;
	*dir = memory_alloc(sizeof(**dir));
	(*dir)->path = memory_strdup(path);
	return OK;
out:
	reason = errno;
	words_set_errno(words, reason, "log directory %s", path);
	return reason == EACCES || reason == EPERM ? ERROR_PERMISSION : ERROR_SYSTEM;
}

static void free_nothing(void *node)
{
	(void)node; /* entries are freed along their list */
}

void log_dir_forget(struct log_dir *dir)
{
	tdestroy(dir->tree, free_nothing);
	dir->tree = NULL;
	while (dir->all) {
		struct tenant_file *file = dir->all;

		dir->all = file->next;
		log_file_close(&file->disk);
		buffer_fini(&file->lines);
		free(file->name);
		free(file);
	}
	dir->dirty = NULL;
	dir->open_count = 0;
}

void log_dir_destroy(struct log_dir **dir)
{
	if (!*dir)
		return;
	log_dir_forget(*dir);
	free((*dir)->path);
	free(*dir);
	*dir = NULL;
}

static struct tenant_file *find_or_add(struct log_dir *dir, const char *name)
{
	struct tenant_file wanted = { .name = (char *)name }, *file;
	void *node = tfind(&wanted, &dir->tree, compare);

	if (node)
		return *(struct tenant_file **)node;
	file = memory_alloc(sizeof(*file));
	file->name = memory_strdup(name);
	file->disk.fd = -1;
	buffer_init(&file->lines, GATHER_BYTES);
	if (!tsearch(file, &dir->tree, compare)) {
		free(file->name);
		free(file);
		return NULL;
	}
	file->next = dir->all;
	dir->all = file;
	return file;
}

bool log_dir_add(struct log_dir *dir, const char *name, const char *line, size_t length)
{
	struct tenant_file *file = find_or_add(dir, name);
	bool was_clean;

	if (!file)
		return false;
	was_clean = file->lines.length == 0;
	if (!buffer_append(&file->lines, line, length))
		return false;
	if (was_clean && length > 0) {
		file->next_dirty = dir->dirty;
		dir->dirty = file;
	}
	return true;
}

/* Makes room among the open ones. */
static void close_oldest(struct log_dir *dir)
{
	size_t oldest = 0;

	for (size_t i = 1; i < dir->open_count; i++)
		if (dir->open[i]->used < dir->open[oldest]->used)
			oldest = i;
	log_file_close(&dir->open[oldest]->disk);
	dir->open[oldest] = dir->open[--dir->open_count];
}

static void make_folders(const struct log_dir *dir, const char *path)
{
	char *folder = memory_strdup(path), *slash = strrchr(folder, '/');

	assert(slash);
	*slash = '\0';
	/* What fails here shows again when the file is opened. */
	if (mkdir(dir->path, 0750) == 0 || errno == EEXIST)
		(void)!mkdir(folder, 0750);
	free(folder);
}

static bool ensure_open(struct log_dir *dir, struct tenant_file *file, const char *path)
{
	file->used = ++dir->clock;
	if (file->disk.fd >= 0)
		return true;
	if (dir->open_count == LOG_DIR_OPEN)
		close_oldest(dir);
	if (!log_file_open(&file->disk, path, false)) {
		if (file->disk.error != ENOENT)
			return false;
		make_folders(dir, path);
		if (!log_file_open(&file->disk, path, false))
			return false;
	}
	dir->open[dir->open_count++] = file;
	return true;
}

void log_dir_flush(struct log_dir *dir, const struct log_patience *patience,
                   void (*failed)(void *context, const char *path, int errno_value), void *context)
{
	struct buffer path;

	buffer_init(&path, SIZE_MAX);
	while (dir->dirty) {
		struct tenant_file *file = dir->dirty;
		bool good;

		dir->dirty = file->next_dirty;
		buffer_clear(&path);
		buffer_printf(&path, "%s/%s.log", dir->path, file->name);
		good = ensure_open(dir, file, path.data) &&
		       log_file_write(&file->disk, file->lines.data, file->lines.length, patience) == 0;
		if (!good && !file->told)
			failed(context, path.data, file->disk.error);
		file->told = !good;
		buffer_fini(&file->lines); /* thousands of tenants: no memory of theirs stays */
		buffer_init(&file->lines, GATHER_BYTES);
	}
	buffer_fini(&path);
}
