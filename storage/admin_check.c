/*
 * admin_check.c - what is wrong with an outbox and its files. See admin_check.h.
 *
 * Promises: all that is told of files is asked by path, since a descriptor of a database file that is closed
 * drops SQLite's locks on it; whether an outboxd holds the file is read, never tried, since outboxd takes its
 * lock without waiting and would refuse to start.
 */
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/buffer.h"
#include "storage/admin_check.h"
#include "storage/admin_internal.h"
#include "storage/sqlite_file.h"

#define LEAST_FREE_BYTES (1024 * 1024)
#define LOW_FREE_BYTES   (64 * 1024 * 1024) /* journal_size_limit of our connections */
#define FAULTS_TOLD      "5"

enum error admin_check_open(const char *path, struct admin **admin, struct words *words)
{
	return admin_open_to(path, ADMIN_LOOK, admin, words);
}

/* ---- files ----------------------------------------------------------------------- */

static void check_companion(const char *path, const char *suffix, const struct stat *database,
                            admin_trouble *fault, void *context)
{
	char name[PATH_MAX + 16];
	struct words words;
	struct stat st;

	(void)snprintf(name, sizeof name, "%s%s", path, suffix);
	if (stat(name, &st) == 0 && storage_file_modes(name, &st, database, &words) != OK)
		fault(context, &words);
}

/* outboxd's journal is its alone; one of root's is what is left of a start by the wrong user. */
static void check_inflight(const char *path, const struct stat *database, admin_trouble *fault, void *context)
{
	char name[PATH_MAX + 16];
	struct words words;
	struct stat st;

	(void)snprintf(name, sizeof name, "%s-inflight", path);
	if (stat(name, &st) != 0)
		return;
	if (storage_file_modes(name, &st, NULL, &words) != OK) {
		fault(context, &words);
	} else if (st.st_uid == 0 && database->st_uid != 0) {
		words_set(
			&words,
			"%s is root's, and the database is not (owner %u): an outboxd that does not run as root "
			"cannot write it",
			name, (unsigned)database->st_uid);
		fault(context, &words);
	}
}

/* Who may write a folder may delete what is in it, and put another file in its place. */
static void check_folder(const char *path, admin_trouble *fault, void *context)
{
	char *copy = memory_strdup(path);
	const char *folder = dirname(copy);
	struct words words;
	struct stat st;

	if (stat(folder, &st) == 0 && (st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX)) {
		words_set(
			&words,
			"the folder %s has mode %04o: others than its owner and group may delete or replace "
			"the database",
			folder, (unsigned)(st.st_mode & 07777));
		fault(context, &words);
	}
	free(copy);
}

void admin_check_files(const char *path, admin_trouble *fault, void *context)
{
	static const char *const companions[] = { "-wal", "-shm", "-journal" };
	char *real = realpath(path, NULL); /* SQLite names the others after it */
	struct words words;
	struct stat st;

	if (real && stat(real, &st) == 0) {
		if (storage_file_modes(real, &st, NULL, &words) != OK)
			fault(context, &words);
		for (size_t i = 0; i < sizeof companions / sizeof companions[0]; i++)
			check_companion(real, companions[i], &st, fault, context);
		check_inflight(real, &st, fault, context);
		check_folder(real, fault, context);
	}
	free(real);
}

bool admin_check_wal(const char *path)
{
	char *real = realpath(path, NULL);
	char name[PATH_MAX + 16];
	bool there = true;

	if (real) {
		(void)snprintf(name, sizeof name, "%s-wal", real);
		there = access(name, F_OK) == 0;
	}
	free(real);
	return there;
}

enum admin_space admin_check_space(const char *path, struct words *words)
{
	struct statvfs fs;
	uint64_t left;

	if (statvfs(path, &fs) != 0)
		return ADMIN_SPACE_GOOD;
	left = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (fs.f_flag & ST_RDONLY) {
		words_set(words, "the file system of %s is mounted read-only: nothing can be recorded", path);
		return ADMIN_SPACE_NONE;
	}
	if (left >= LOW_FREE_BYTES)
		return ADMIN_SPACE_GOOD;
	if (left >= LEAST_FREE_BYTES) {
		words_set(words,
		          "the file system of %s has %llu MiB left: the write-ahead log alone may grow to 64",
		          path, (unsigned long long)left / (1024 * 1024));
		return ADMIN_SPACE_LOW;
	}
	words_set(words,
	          "the file system of %s has %llu octets left: free some, or results cannot be recorded",
	          path, (unsigned long long)left);
	return ADMIN_SPACE_NONE;
}

/* ---- whether an outboxd holds it --------------------------------------------------- */

static bool is_outboxd(long process)
{
	char path[64], name[32] = "";
	FILE *file;

	(void)snprintf(path, sizeof path, "/proc/%ld/comm", process);
	file = fopen(path, "re");
	if (!file)
		return false;
	if (!fgets(name, sizeof name, file))
		name[0] = '\0';
	(void)fclose(file);
	return strcmp(name, "outboxd\n") == 0;
}

/* "1: FLOCK  ADVISORY  WRITE 2857 fe:00:10953079 0 EOF" (proc_locks(5)); one that waits has "->" first. */
static bool is_lock_on(const char *line, const struct stat *st, long *process)
{
	unsigned major_number, minor_number;
	unsigned long long inode;

	/* NOLINTNEXTLINE(cert-err34-c): the kernel's own figures */
	if (sscanf(line, "%*d: FLOCK %*s WRITE %ld %x:%x:%llu", process, &major_number, &minor_number,
	           &inode) != 4 ||
	    inode != (unsigned long long)st->st_ino)
		return false;
	/* Btrfs and overlayfs show another device here than stat(2) */
	return makedev(major_number, minor_number) == st->st_dev || is_outboxd(*process);
}

enum admin_served admin_check_served(const char *path, long *process)
{
	enum admin_served served = ADMIN_SERVED_NOT;
	char line[256];
	struct stat st;
	FILE *locks;

	if (stat(path, &st) != 0)
		return ADMIN_SERVED_UNKNOWN;
	locks = fopen("/proc/locks", "re");
	if (!locks)
		return ADMIN_SERVED_UNKNOWN;
	while (served == ADMIN_SERVED_NOT && fgets(line, sizeof line, locks))
		if (is_lock_on(line, &st, process))
			served = ADMIN_SERVED;
	(void)fclose(locks);
	return served;
}

/* ---- what is inside ------------------------------------------------------------------ */

enum error admin_check_integrity(struct admin *admin, admin_trouble *fault, void *context,
                                 struct words *words)
{
	struct statement statement;

	admin_verb(admin);
	statement = admin_prepare(admin, "PRAGMA quick_check(" FAULTS_TOLD ")");
	while (statement_row(&statement)) {
		const char *text = (const char *)sqlite3_column_text(statement.stmt, 0);

		if (!text || strcmp(text, "ok") == 0)
			continue;
		words_set(words, "%s", text);
		fault(context, words);
	}
	return admin_error(admin, admin_finish(&statement), "reading all pages", words);
}

enum error admin_check_strays(struct admin *admin, admin_each *each, void *context, struct words *words)
{
	/* from one name to the next by the index: a queue may be long, and its tenants are few */
	static const char sql[] =
		"WITH RECURSIVE names(tenant) AS (SELECT min(tenant) FROM outbox_status UNION ALL "
		"SELECT (SELECT min(s.tenant) FROM outbox_status AS s WHERE s.tenant > names.tenant) FROM names "
		"WHERE names.tenant IS NOT NULL) "
		"SELECT n.tenant, (SELECT count(*) FROM outbox_status AS s WHERE s.tenant = n.tenant) AS messages, "
		"(SELECT count(*) FROM outbox_status AS s WHERE s.tenant = n.tenant "
		"AND s.state NOT IN ('sent', 'failed', 'cancelled')) AS unfinished FROM names AS n "
		"WHERE n.tenant IS NOT NULL AND NOT EXISTS (SELECT 1 FROM outbox_tenant WHERE name = n.tenant)";
	struct statement statement;

	admin_verb(admin);
	statement = admin_prepare(admin, sql);
	(void)admin_rows(&statement, each, context);
	return admin_error(admin, admin_finish(&statement), "looking for messages without a tenant", words);
}
