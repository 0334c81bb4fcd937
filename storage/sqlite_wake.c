/*
 * sqlite_wake.c - that something happened, and what.
 *
 * Promises: a commit of any process makes storage_wake_fd() readable and
 * storage_changed() true; storage_changes() lists each change at least once.
 * New messages are found by their id (given under the write lock, so that none
 * appears below one that was seen), all else by the feed outbox_change, which
 * the triggers write.  The reading connection never writes: what it has read of
 * the feed is deleted, by exact seq, in the next settling transaction.
 */
#include <assert.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "storage/sqlite_look.h"

void storage_assert_home(struct storage *storage)
{
	if (!storage->home_known) {
		storage->home = pthread_self();
		storage->home_known = true;
	}
	assert(pthread_equal(storage->home, pthread_self()));
}

/* The -wal is watched itself: a folder's other files may be written to all day. */
static void watch_wal(struct storage *storage)
{
	char path[PATH_MAX + 8];

	(void)snprintf(path, sizeof path, "%s-wal", storage_file_path(storage->file));
	storage->wal_watch = inotify_add_watch(storage->inotify_fd, path, IN_MODIFY);
}

enum error storage_wake_init(struct storage *storage, struct words *words)
{
	char *path = memory_strdup(storage_file_path(storage->file));
	const char *folder = dirname(path);
	enum error error = OK;

	storage->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (storage->inotify_fd < 0 ||
	    inotify_add_watch(storage->inotify_fd, folder, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR) < 0) {
		words_set_errno(words, errno, "cannot watch %s", folder);
		error = ERROR_UNAVAILABLE;
		goto out;
	}
	watch_wal(storage);
out:
	free(path);
	return error;
}

void storage_wake_fini(struct storage *storage)
{
	if (storage->inotify_fd >= 0)
		close(storage->inotify_fd);
	free(storage->feed.seen);
	pthread_mutex_destroy(&storage->feed.lock);
}

int storage_wake_fd(const struct storage *storage)
{
	return storage->inotify_fd;
}

/* Clears the descriptor; a -wal that was made anew is watched anew. */
static void drain(struct storage *storage)
{
	_Alignas(struct inotify_event) char events[4096];
	bool anew = storage->wal_watch < 0;
	ssize_t got;

	while ((got = read(storage->inotify_fd, events, sizeof events)) > 0) {
		ssize_t at = 0;

		while (at < got) {
			const struct inotify_event *event = (const void *)(events + at);

			anew |= (event->mask & (IN_CREATE | IN_MOVED_TO | IN_IGNORED)) != 0;
			at += (ssize_t)(sizeof *event + event->len);
		}
	}
	if (anew)
		watch_wal(storage);
}

/* Of the VFS, as the connection has it: no descriptor of ours, whose closing would drop SQLite's locks. */
static const volatile uint32_t *map_wal_index(struct connection *look)
{
	sqlite3_file *file = NULL;
	void volatile *mapped = NULL;

	if (sqlite3_file_control(look->db, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK || !file ||
	    !file->pMethods || file->pMethods->iVersion < 2 ||
	    file->pMethods->xShmMap(file, 0, 32768, 0, &mapped) != SQLITE_OK)
		return NULL;
	return mapped;
}

/*
 * A commit is seen when this header changes: SQLite itself compares no more than that. What is torn differs,
 * and SQLite is asked.
 */
bool wal_header_read(struct storage *storage, uint32_t header[WAL_HEADER_WORDS])
{
	const volatile uint32_t *mapped = atomic_load(&storage->wal_index);

	for (int i = 0; i < WAL_HEADER_WORDS && mapped; i++)
		header[i] = __atomic_load_n(&mapped[i], __ATOMIC_ACQUIRE);
	return mapped != NULL;
}

void wal_own_commit(struct storage *storage, const uint32_t before[WAL_HEADER_WORDS])
{
	uint64_t own = atomic_load(&storage->own_commits);
	uint32_t from = (uint32_t)(own >> 32), to = (uint32_t)own, at = before[WAL_HEADER_CHANGE];

	if (to != at) /* somebody else has committed since the last one of ours */
		from = at;
	atomic_store(&storage->own_commits, (uint64_t)from << 32 | (uint32_t)(at + 1));
}

bool wal_only_own(const struct storage *storage, const uint32_t since[WAL_HEADER_WORDS],
                  const uint32_t now[WAL_HEADER_WORDS])
{
	uint64_t own = atomic_load(&storage->own_commits);
	uint32_t first = since[WAL_HEADER_CHANGE], last = now[WAL_HEADER_CHANGE];

	/* where the count began anew, or went around, it is not known */
	return first >= (uint32_t)(own >> 32) && first <= last && last <= (uint32_t)own;
}

/*
 * The header of which a look is to follow, before it. A WAL-index that was recovered counts from 0 again:
 * what was noted of our commits would fit anybody's.
 */
static void follow_header(struct storage *storage)
{
	uint32_t before = storage->wal_header[WAL_HEADER_CHANGE];

	if (wal_header_read(storage, storage->wal_header) && storage->wal_header[WAL_HEADER_CHANGE] < before)
		atomic_store(&storage->own_commits, 0);
}

enum stirring storage_stirred(struct storage *storage)
{
	uint32_t now[WAL_HEADER_WORDS];

	storage_assert_home(storage);
	drain(storage);
	if (!wal_header_read(storage, now))
		return STIRRED_PERHAPS;
	if (memcmp(now, storage->wal_header, sizeof now) == 0)
		return STIRRED_NOT;
	if (!wal_only_own(storage, storage->wal_header, now))
		return STIRRED;
	memcpy(storage->wal_header, now, sizeof now);
	return STIRRED_BY_US;
}

bool storage_changed(struct storage *storage)
{
	struct statement version;
	int64_t now = 0;

	storage_assert_home(storage);
	drain(storage);
	/* before SQLite is asked: what is committed in between is asked for once more */
	follow_header(storage);
	storage->look.deadline_ms = clock_monotonic_ms();
	version = statement_begin(&storage->look, LOOK_DATA_VERSION);
	if (statement_row(&version))
		now = sqlite3_column_int64(version.stmt, 0);
	/* one that cannot be asked is to be looked at: the look says why */
	if (statement_end(&version) != SQLITE_OK)
		return true;
	if (!atomic_load(&storage->wal_index))
		atomic_store(&storage->wal_index, map_wal_index(&storage->look));
	if (now == storage->data_version)
		return false;
	storage->data_version = now;
	return true;
}

void storage_changes_fini(struct storage_changes *changes)
{
	for (size_t i = 0; i < changes->tenants_due_count; i++)
		free(changes->tenants_due[i]);
	for (size_t i = 0; i < changes->tenants_changed_count; i++)
		free(changes->tenants_changed[i]);
	for (size_t i = 0; i < changes->tenants_retry_count; i++)
		free(changes->tenants_retry[i]);
	free(changes->tenants_retry);
	free(changes->tenants_due);
	free(changes->tenants_changed);
	free(changes->messages);
	memset(changes, 0, sizeof *changes);
}

/* Room for one more of a list that grows by doubling. */
static void *grown(void *list, size_t count, size_t size)
{
	if (count == 0)
		return memory_resize(list, 8 * size);
	return count >= 8 && (count & (count - 1)) == 0 ? memory_resize(list, 2 * count * size) : list;
}

static void add_name(char ***names, size_t *count, char *name)
{
	if (!name)
		return;
	if (*count > 0 && strcmp((*names)[*count - 1], name) == 0) {
		free(name);
		return;
	}
	*names = grown(*names, *count, sizeof **names);
	(*names)[(*count)++] = name;
}

/* Ids above the last seen one; *last becomes the highest that is there, also if that is lower. */
static int list_new(struct storage *storage, struct storage_changes *changes, int64_t *last)
{
	struct statement highest = statement_begin(&storage->look, LOOK_LAST_ID);
	struct statement tenants;
	int64_t seen = *last;

	if (statement_row(&highest))
		*last = sqlite3_column_int64(highest.stmt, 0);
	if (statement_end(&highest) != SQLITE_OK || *last <= seen)
		return highest.rc;
	if (*last - seen > FEED_MAX) {
		changes->all = true;
		return SQLITE_OK;
	}
	tenants = statement_begin(&storage->look, LOOK_NEW_TENANTS);
	statement_int(&tenants, 1, seen);
	while (statement_row(&tenants))
		add_name(&changes->tenants_due, &changes->tenants_due_count, statement_column(&tenants, 0));
	return statement_end(&tenants);
}

static int compare_seq(const void *a, const void *b)
{
	int64_t left = *(const int64_t *)a;
	int64_t right = *(const int64_t *)b;

	return (left > right) - (left < right);
}

/* What is told already and waits for its deletion. */
static struct feed_cut known(struct feed *feed)
{
	struct feed_cut cut = { 0 };

	pthread_mutex_lock(&feed->lock);
	cut.up_to = feed->all_up_to;
	cut.count = feed->seen_count;
	if (cut.count > 0) {
		cut.seqs = memory_alloc(cut.count * sizeof *cut.seqs);
		memcpy(cut.seqs, feed->seen, cut.count * sizeof *cut.seqs);
	}
	pthread_mutex_unlock(&feed->lock);
	return cut;
}

static void list_change(struct storage_changes *changes, struct statement *row)
{
	const char *kind = (const char *)sqlite3_column_text(row->stmt, 1);

	if (kind && strcmp(kind, "tenant") == 0) {
		add_name(&changes->tenants_changed, &changes->tenants_changed_count,
		         statement_column(row, 2));
		return;
	}
	if (kind && strcmp(kind, "retry") == 0) {
		add_name(&changes->tenants_retry, &changes->tenants_retry_count, statement_column(row, 2));
		return;
	}
	changes->messages = grown(changes->messages, changes->messages_count, sizeof *changes->messages);
	changes->messages[changes->messages_count++] = sqlite3_column_int64(row->stmt, 2);
	add_name(&changes->tenants_due, &changes->tenants_due_count, statement_column(row, 3));
}

/* A scan finds what is due and what has changed, but not what an operator asked for. */
static int list_retries(struct storage *storage, struct storage_changes *changes, int64_t after,
                        int64_t up_to)
{
	struct statement row = statement_begin(&storage->look, LOOK_RETRIES);

	statement_int(&row, 1, after);
	statement_int(&row, 2, up_to);
	while (statement_row(&row))
		add_name(&changes->tenants_retry, &changes->tenants_retry_count, statement_column(&row, 0));
	return statement_end(&row);
}

/* Rows of the feed that were not told yet; fresh collects their numbers. */
static int list_feed(struct storage *storage, struct storage_changes *changes, struct feed_cut *fresh)
{
	struct statement row = statement_begin(&storage->look, LOOK_FEED);
	struct feed_cut told = known(&storage->feed);
	size_t rows = 0;
	int64_t last = 0;

	while (statement_row(&row)) {
		int64_t seq = sqlite3_column_int64(row.stmt, 0);

		if (++rows > FEED_MAX)
			break;
		last = seq;
		if (seq <= told.up_to ||
		    (told.count > 0 && bsearch(&seq, told.seqs, told.count, sizeof seq, compare_seq)))
			continue;
		fresh->seqs = grown(fresh->seqs, fresh->count, sizeof *fresh->seqs);
		fresh->seqs[fresh->count++] = seq;
		list_change(changes, &row);
	}
	free(told.seqs);
	if (statement_end(&row) != SQLITE_OK || rows <= FEED_MAX)
		return row.rc;
	changes->all = true;
	row = statement_begin(&storage->look, LOOK_LAST_SEQ);
	if (statement_row(&row))
		fresh->up_to = sqlite3_column_int64(row.stmt, 0);
	if (statement_end(&row) != SQLITE_OK)
		return row.rc;
	return list_retries(storage, changes, last > told.up_to ? last : told.up_to, fresh->up_to);
}

/* Where somebody changed the schema, what the triggers tell may have been missing meanwhile. */
static int list_schema(struct storage *storage, struct storage_changes *changes, int64_t *schema)
{
	struct statement now = statement_begin(&storage->look, LOOK_SCHEMA);

	if (statement_row(&now))
		*schema = sqlite3_column_int64(now.stmt, 0);
	changes->rules = *schema != storage->schema;
	changes->all = changes->all || changes->rules;
	return statement_end(&now);
}

/* So that storage_changed() does not tell of what this look has found. */
static int note_version(struct storage *storage)
{
	struct statement version = statement_begin(&storage->look, LOOK_DATA_VERSION);

	if (statement_row(&version))
		storage->data_version = sqlite3_column_int64(version.stmt, 0);
	return statement_end(&version);
}

static void remember(struct feed *feed, const struct feed_cut *fresh)
{
	pthread_mutex_lock(&feed->lock);
	if (fresh->up_to > feed->all_up_to)
		feed->all_up_to = fresh->up_to;
	if (fresh->count > 0) {
		feed->seen = memory_resize(feed->seen,
		                           (feed->seen_count + fresh->count) * sizeof *feed->seen);
		memcpy(feed->seen + feed->seen_count, fresh->seqs, fresh->count * sizeof *feed->seen);
		feed->seen_count += fresh->count;
		qsort(feed->seen, feed->seen_count, sizeof *feed->seen, compare_seq);
	}
	pthread_mutex_unlock(&feed->lock);
}

enum error storage_changes(struct storage *storage, struct storage_changes *changes, struct words *words)
{
	struct feed_cut fresh = { 0 };
	int64_t last_id = storage->last_id, schema = storage->schema;
	int rc;

	storage_assert_home(storage);
	memset(changes, 0, sizeof *changes);
	storage->look.deadline_ms = clock_monotonic_ms();
	/* before the transaction: what is committed in between is told once more */
	follow_header(storage);
	rc = connection_read_begin(&storage->look);
	if (rc == SQLITE_OK)
		rc = note_version(storage);
	if (rc == SQLITE_OK)
		rc = list_new(storage, changes, &last_id);
	if (rc == SQLITE_OK)
		rc = list_feed(storage, changes, &fresh);
	if (rc == SQLITE_OK)
		rc = list_schema(storage, changes, &schema);
	rc = connection_read_end(&storage->look, rc);
	if (rc == SQLITE_OK) {
		storage->last_id = last_id;
		storage->schema = schema;
		remember(&storage->feed, &fresh);
	} else {
		storage_changes_fini(changes);
	}
	free(fresh.seqs);
	return connection_error(&storage->look, rc, "cannot read what changed", words);
}

struct feed_cut storage_feed_cut(struct storage *storage)
{
	return known(&storage->feed);
}

void storage_feed_return(struct storage *storage, struct feed_cut *cut, bool deleted)
{
	struct feed *feed = &storage->feed;
	size_t kept = 0;

	pthread_mutex_lock(&feed->lock);
	if (deleted && feed->all_up_to == cut->up_to)
		feed->all_up_to = 0;
	for (size_t i = 0; i < feed->seen_count && deleted; i++)
		if (cut->count == 0 ||
		    !bsearch(&feed->seen[i], cut->seqs, cut->count, sizeof *cut->seqs, compare_seq))
			feed->seen[kept++] = feed->seen[i];
	if (deleted)
		feed->seen_count = kept;
	pthread_mutex_unlock(&feed->lock);
	free(cut->seqs);
	memset(cut, 0, sizeof *cut);
}
