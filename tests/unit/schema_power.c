/*
 * schema_power.c - the power fails at each moment of a migration.
 *
 * A VFS between SQLite and the disk counts what is written, stops everything at
 * a given moment, and loses what was not synced: all of it, every other write of
 * it, or none. Whoever opens the file then finds the old version or the new one.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/migrate.h"
#include "storage/schema_sql.h"
#include "tests/unit/schema_bed.h"

enum loss { LOSES_ALL, LOSES_EVERY_OTHER, LOSES_NOTHING, LOSSES };

/* A write that no sync followed yet: what was there before, and what was written. */
struct pending {
	const char *path;
	sqlite3_int64 offset, old_size;
	size_t length, old_length;
	char *old, *new; /* new NULL: a truncation to offset */
};

static struct {
	int moments_left; /* writes, truncations, syncs and deletions until the power fails */
	bool off;
	enum loss loss;
	struct pending pending[4096];
	size_t count;
} power;

struct power_file {
	sqlite3_file base;
	const char *path;
	sqlite3_file *disk; /* the real one, behind this */
};

static sqlite3_vfs *disk_vfs;

/* --- what is on the disk --------------------------------------------------------- */

static void *need(void *memory)
{
	if (!memory)
		ck_abort_msg("out of memory");
	return memory;
}

static void on_disk(const struct pending *one, bool again)
{
	int fd = open(one->path, O_WRONLY | O_CLOEXEC);
	const char *octets = again ? one->new : one->old;
	size_t length = again ? one->length : one->old_length;
	bool good = fd >= 0;

	if (good && length > 0 && octets)
		good = pwrite(fd, octets, length, (off_t)one->offset) == (ssize_t)length;
	if (good && (!again || !one->new))
		good = ftruncate(fd, (off_t)(again ? one->offset : one->old_size)) == 0;
	if (!good)
		ck_abort_msg("%s", one->path);
	close(fd);
}

static void forget(size_t at)
{
	free(power.pending[at].old);
	free(power.pending[at].new);
	memmove(&power.pending[at], &power.pending[at + 1], (--power.count - at) * sizeof power.pending[0]);
}

/* Back to the last sync of each file, and then what reached the disk all the same. */
static void fail_power(void)
{
	power.off = true;
	for (size_t i = power.count; i-- > 0;)
		on_disk(&power.pending[i], false);
	for (size_t i = 0; i < power.count; i++)
		if (power.loss == LOSES_NOTHING || (power.loss == LOSES_EVERY_OTHER && i % 2 == 0))
			on_disk(&power.pending[i], true);
	while (power.count > 0)
		forget(power.count - 1);
}

/* Whether the power is still on; this is one of the moments that are counted. */
static bool has_power(void)
{
	if (!power.off && power.moments_left-- <= 0)
		fail_power();
	return !power.off;
}

static void note(struct power_file *file, sqlite3_int64 offset, const void *new, size_t length)
{
	struct pending *one = &power.pending[power.count];
	sqlite3_int64 size = 0;

	ck_assert_uint_lt(power.count++, COUNT(power.pending));
	file->disk->pMethods->xFileSize(file->disk, &size);
	*one = (struct pending){ .path = file->path, .offset = offset, .old_size = size, .length = length };
	if (new)
		memcpy(one->new = need(malloc(length)), new, length);
	else
		length = size > offset ? (size_t)(size - offset) : 0;
	if (size > offset)
		one->old_length = (size_t)(size - offset) < length ? (size_t)(size - offset) : length;
	if (one->old_length > 0) {
		one->old = need(malloc(one->old_length));
		file->disk->pMethods->xRead(file->disk, one->old, (int)one->old_length, offset);
	}
}

/* --- between SQLite and the disk --------------------------------------------------- */

#define DISK(file) (((struct power_file *)(void *)(file))->disk)

static int power_close(sqlite3_file *file)
{
	int rc = DISK(file)->pMethods ? DISK(file)->pMethods->xClose(DISK(file)) : SQLITE_OK;

	sqlite3_free(DISK(file));
	return rc;
}

static int power_read(sqlite3_file *file, void *to, int length, sqlite3_int64 offset)
{
	return power.off ? SQLITE_IOERR_READ : DISK(file)->pMethods->xRead(DISK(file), to, length, offset);
}

static int power_write(sqlite3_file *file, const void *from, int length, sqlite3_int64 offset)
{
	if (!has_power())
		return SQLITE_IOERR_WRITE;
	note((struct power_file *)(void *)file, offset, from, (size_t)length);
	return DISK(file)->pMethods->xWrite(DISK(file), from, length, offset);
}

static int power_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	if (!has_power())
		return SQLITE_IOERR_TRUNCATE;
	note((struct power_file *)(void *)file, size, NULL, 0);
	return DISK(file)->pMethods->xTruncate(DISK(file), size);
}

static int power_sync(sqlite3_file *file, int flags)
{
	const char *path = ((struct power_file *)(void *)file)->path;

	(void)flags;
	if (!has_power())
		return SQLITE_IOERR_FSYNC;
	for (size_t i = power.count; i-- > 0;)
		if (strcmp(power.pending[i].path, path) == 0)
			forget(i);
	return SQLITE_OK; /* nothing here can really lose power */
}

static int power_size(sqlite3_file *file, sqlite3_int64 *size)
{
	return power.off ? SQLITE_IOERR_FSTAT : DISK(file)->pMethods->xFileSize(DISK(file), size);
}

static int power_lock(sqlite3_file *file, int level)
{
	return DISK(file)->pMethods->xLock(DISK(file), level);
}

static int power_unlock(sqlite3_file *file, int level)
{
	return DISK(file)->pMethods->xUnlock(DISK(file), level);
}

static int power_reserved(sqlite3_file *file, int *out)
{
	return DISK(file)->pMethods->xCheckReservedLock(DISK(file), out);
}

static int power_control(sqlite3_file *file, int operation, void *argument)
{
	(void)file;
	(void)operation;
	(void)argument;
	return SQLITE_NOTFOUND;
}

static int power_sector(sqlite3_file *file)
{
	(void)file;
	return 4096;
}

/* None: no promise of the file system's is relied on. */
static int power_characteristics(sqlite3_file *file)
{
	(void)file;
	return 0;
}

/* Version 1: no shared memory, so that WAL is used in exclusive mode. */
static const sqlite3_io_methods power_methods = {
	.iVersion = 1,
	.xClose = power_close,
	.xRead = power_read,
	.xWrite = power_write,
	.xTruncate = power_truncate,
	.xSync = power_sync,
	.xFileSize = power_size,
	.xLock = power_lock,
	.xUnlock = power_unlock,
	.xCheckReservedLock = power_reserved,
	.xFileControl = power_control,
	.xSectorSize = power_sector,
	.xDeviceCharacteristics = power_characteristics,
};

static int power_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *out_flags)
{
	struct power_file *made = (struct power_file *)(void *)file;
	int rc;

	(void)vfs;
	made->base.pMethods = NULL;
	made->path = path;
	made->disk = need(sqlite3_malloc(disk_vfs->szOsFile));
	memset(made->disk, 0, (size_t)disk_vfs->szOsFile);
	rc = disk_vfs->xOpen(disk_vfs, path, made->disk, flags, out_flags);
	if (rc == SQLITE_OK)
		made->base.pMethods = &power_methods;
	else
		sqlite3_free(made->disk);
	return rc;
}

static int power_delete(sqlite3_vfs *vfs, const char *path, int sync_directory)
{
	(void)vfs;
	if (!has_power())
		return SQLITE_IOERR_DELETE;
	for (size_t i = power.count; i-- > 0;)
		if (strcmp(power.pending[i].path, path) == 0)
			forget(i);
	return disk_vfs->xDelete(disk_vfs, path, sync_directory);
}

static sqlite3_vfs power_vfs;

static void make_vfs(void)
{
	disk_vfs = sqlite3_vfs_find(NULL);
	power_vfs = *disk_vfs;
	power_vfs.zName = "power";
	power_vfs.szOsFile = sizeof(struct power_file);
	power_vfs.xOpen = power_open;
	power_vfs.xDelete = power_delete;
	ck_assert_int_eq(sqlite3_vfs_register(&power_vfs, 0), SQLITE_OK);
}

/* --- the migration ----------------------------------------------------------------- */

static char directory[64], path[96];

static void must(sqlite3 *db, const char *sql)
{
	char *message = NULL;

	if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
		ck_abort_msg("%s: %s", sql, message);
}

static void make_place(void)
{
	(void)snprintf(directory, sizeof directory, "%s/outbox-power-XXXXXX",
	               getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	(void)snprintf(path, sizeof path, "%s/db", directory);
	make_vfs();
}

static void remove_files(void)
{
	static const char *const endings[] = { "", "-journal", "-wal", "-shm" };

	for (size_t i = 0; i < COUNT(endings); i++) {
		char name[128];

		(void)snprintf(name, sizeof name, "%s%s", path, endings[i]);
		(void)unlink(name);
	}
}

static void remove_place(void)
{
	remove_files();
	ck_assert_int_eq(rmdir(directory), 0);
}

/* The file of version 1, which each moment begins with. */
static struct {
	char *octets;
	size_t length;
} version_1;

static void make_version_1(bool wal)
{
	sqlite3 *db;
	sqlite3_int64 length;
	unsigned char *octets;

	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	must(db, wal ? "PRAGMA journal_mode = WAL" : "PRAGMA journal_mode = DELETE");
	must(db, "PRAGMA synchronous = OFF"); /* the power stays on until it is there */
	must(db, schema_version_1_sql);
	must(db,
	     "UPDATE outbox_meta SET value = 'one' WHERE key = 'instance';"
	     "INSERT INTO outbox_tenant (name, host) VALUES ('acme', 'h');"
	     "INSERT INTO outbox (tenant, message) VALUES ('acme', zeroblob(20000));"
	     "UPDATE outbox_meta SET value = 1 WHERE key = 'daemon';"
	     "UPDATE outbox_status SET state = 'uncertain', created_at_ms = 1, updated_at_ms = 1, due_at = 1,"
	     " queued_at_ms = 1, first_queued_at_ms = 1;"
	     "INSERT INTO outbox_delivery (outbox_id, recipient, state) VALUES (1, 'e@f', 'uncertain');"
	     "UPDATE outbox_meta SET value = 0 WHERE key = 'daemon'");
	octets = need(sqlite3_serialize(db, "main", &length, 0));
	version_1.length = (size_t)length;
	version_1.octets = need(malloc(version_1.length));
	memcpy(version_1.octets, octets, version_1.length);
	sqlite3_free(octets);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

static void put_version_1(void)
{
	int fd;

	remove_files();
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, version_1.octets, version_1.length), (ssize_t)version_1.length);
	close(fd);
}

/* The rules of the present version: made once. */
#define RULES "SELECT name, sql FROM sqlite_master WHERE type IN ('trigger', 'view') ORDER BY name"
static const char *present_rules(void)
{
	static char *rules;
	struct bed fresh = { .conflict = "" };

	if (!rules) {
		ck_assert_int_eq(sqlite3_open(":memory:", &fresh.db), SQLITE_OK);
		must(fresh.db, storage_schema_sql);
		rules = need(strdup(bed_ask(&fresh, RULES)));
		sqlite3_close(fresh.db);
	}
	return rules;
}

/* The version that is found, if all of it is there; with the power on. */
static int found_version(void)
{
	struct bed bed = { .conflict = "" };
	int version;

	ck_assert_int_eq(sqlite3_open(path, &bed.db), SQLITE_OK);
	must(bed.db, "PRAGMA synchronous = OFF");
	ck_assert_str_eq(bed_ask(&bed, "PRAGMA integrity_check"), "ok");
	version = atoi(bed_ask(&bed, "SELECT value FROM outbox_meta WHERE key = 'schema_version'"));
	ck_assert_str_eq(bed_ask(&bed, "SELECT id, tenant, state, subject FROM outbox_all"),
	                 "1|acme|uncertain|NULL");
	ck_assert_str_eq(bed_ask(&bed, "SELECT length(message) FROM outbox"), "20000");
	ck_assert_str_eq(
		bed_ask(&bed, "SELECT count(*) FROM pragma_table_info('outbox') WHERE name LIKE 'dsn_%%'"),
		version == 1 ? "0" : "2");
	if (version == STORAGE_SCHEMA_VERSION)
		ck_assert_str_eq(bed_ask(&bed, "SELECT uncertain FROM outbox_delivery"), "1");
	/* the rules are whole: as many as a version has */
	if (version == STORAGE_SCHEMA_VERSION)
		ck_assert_str_eq(bed_ask(&bed, RULES), present_rules());
	ck_assert_int_eq(sqlite3_close(bed.db), SQLITE_OK);
	return version;
}

static enum error migrate(int moments, enum loss loss)
{
	sqlite3 *db;
	struct words words;
	enum error error;

	power.moments_left = moments;
	power.off = false;
	power.loss = loss;
	ck_assert_int_eq(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, "power"), SQLITE_OK);
	must(db, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = FULL");
	error = storage_migrate(db, "test.db", false, NULL, &words);
	/* what comes after the migration does not count: the power goes before the file is closed */
	if (!power.off)
		fail_power();
	(void)sqlite3_close(db);
	return error;
}

/* _i: how much is lost × with a rollback journal or in WAL. */
START_TEST(power_loss_leaves_the_old_version_or_the_new_one)
{
	enum loss loss = (enum loss)(_i / 2);
	bool wal = _i % 2;
	int old = 0;
	enum error error = ERROR_UNAVAILABLE;

	make_version_1(wal);
	for (int moments = 0; error != OK; moments += 1 + moments / 5) {
		int version;

		put_version_1();
		error = migrate(moments, loss);
		version = found_version();
		/* what was said to be done is done, whatever was not synced by then */
		ck_assert_int_eq(version == STORAGE_SCHEMA_VERSION || error != OK, true);
		old += version == 1;
		ck_assert_int_eq(migrate(1 << 20, LOSES_ALL), OK);
		ck_assert_int_eq(found_version(), STORAGE_SCHEMA_VERSION);
	}
	ck_assert_int_gt(old, 5);
	free(version_1.octets);
}
END_TEST

TCase *schema_power_cases(void)
{
	TCase *cases = tcase_create("power");

	tcase_set_timeout(cases, 120);
	tcase_add_checked_fixture(cases, make_place, remove_place);
	tcase_add_loop_test(cases, power_loss_leaves_the_old_version_or_the_new_one, 0, 2 * LOSSES);
	return cases;
}
