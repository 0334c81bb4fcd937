/*
 * loader_line.c - see loader_line.h.
 *
 * Nobody watches the threads: who waits in the line looks whether they are late, and nobody
 * else has to know.
 */
#include "daemon/loader_line.h"

#include <assert.h>
#include <string.h>

#include "common/clock.h"

void loader_line_init(struct loader_line *line)
{
	*line = (struct loader_line){ .waiting_end = &line->waiting };
	pthread_mutex_init(&line->lock, NULL);
}

void loader_line_fini(struct loader_line *line)
{
	assert(!line->waiting && !line->begun);
	pthread_mutex_destroy(&line->lock);
}

struct loader_place loader_place_of_path(const char *column, const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;
	size_t length = slash ? (size_t)(slash - path) + 1 : 0;

	return (struct loader_place){
		.column = column, .folder = path, .folder_length = length, .name = path ? path + length : ""
	};
}

struct loader_place loader_place_in(const char *folder, const char *column, const char *name)
{
	return (struct loader_place){
		.column = column, .folder = folder, .folder_length = folder ? strlen(folder) : 0, .name = name
	};
}

static bool same_folder(const struct loader_place *a, const struct loader_place *b)
{
	return a->program == b->program && a->folder_length == b->folder_length &&
	       (a->folder_length == 0 || memcmp(a->folder, b->folder, a->folder_length) == 0);
}

static bool same_file(const struct loader_place *a, const struct loader_place *b)
{
	return !a->program && same_folder(a, b) && strcmp(a->name, b->name) == 0;
}

/* Under the lock: whether somebody is late at that file, or too many are in its folder. */
static bool is_held_up(const struct loader_line *line, const struct loader_place *place)
{
	int in_folder = 0;

	for (const struct loader_entry *entry = line->begun; entry; entry = entry->next) {
		const struct loader_place *other = &entry->places[atomic_load(&entry->at)];

		if (entry->state != LOADER_LATE || entry->count == 0)
			continue;
		in_folder += same_folder(place, other);
		if (in_folder >= LOADER_LATE_A_FOLDER || same_file(place, other))
			return true;
	}
	return false;
}

/* Under the lock: the place that keeps it from being begun, NULL = none. */
static const struct loader_place *obstacle(const struct loader_line *line, const struct loader_entry *entry)
{
	for (int i = 0; line->late > 0 && i < entry->count; i++)
		if (is_held_up(line, &entry->places[i]))
			return &entry->places[i];
	return NULL;
}

/* Under the lock: whose thread has been away for too long has his place no more. */
static void count_late(struct loader_line *line)
{
	int64_t now = clock_monotonic_ms();

	for (struct loader_entry *entry = line->begun; entry && line->late < LOADER_LATE_MAX;
	     entry = entry->next) {
		if (entry->state != LOADER_AT_WORK || now - entry->since_ms < LOADER_LATE_MS)
			continue;
		entry->state = LOADER_LATE;
		line->late++;
		line->threads--;
	}
}

/* Under the lock. */
static void begin(struct loader_line *line, struct loader_entry *entry)
{
	entry->state = LOADER_AT_WORK;
	entry->since_ms = clock_monotonic_ms();
	entry->next = line->begun;
	line->begun = entry;
	line->threads++;
}

/* Under the lock; where it was. */
static struct loader_entry **take_off(struct loader_entry **list, struct loader_entry *entry)
{
	while (*list != entry)
		list = &(*list)->next;
	*list = entry->next;
	entry->next = NULL;
	entry->state = LOADER_OUT;
	return list;
}

/* Under the lock. */
static void leave(struct loader_line *line, struct loader_entry *entry)
{
	bool last = !entry->next;
	struct loader_entry **at = take_off(&line->waiting, entry);

	if (last)
		line->waiting_end = at;
}

/* Under the lock: the first in the line that may be begun, and is; NULL = none. */
static struct loader_entry *begin_first(struct loader_line *line)
{
	struct loader_entry *entry = line->threads < LOADER_THREADS ? line->waiting : NULL;

	while (entry && obstacle(line, entry))
		entry = entry->next;
	if (entry) {
		leave(line, entry);
		begin(line, entry);
	}
	return entry;
}

bool loader_line_enter(struct loader_line *line, struct loader_entry *entry, bool may_wait)
{
	bool begun;

	pthread_mutex_lock(&line->lock);
	count_late(line);
	begun = line->threads < LOADER_THREADS && !obstacle(line, entry);
	if (begun) {
		begin(line, entry);
	} else if (may_wait) {
		entry->next = NULL;
		entry->state = LOADER_WAITS;
		*line->waiting_end = entry;
		line->waiting_end = &entry->next;
	}
	pthread_mutex_unlock(&line->lock);
	return begun;
}

bool loader_line_lend(struct loader_line *line, struct loader_entry *entry)
{
	bool begun;

	pthread_mutex_lock(&line->lock);
	count_late(line);
	begun = entry->state == LOADER_WAITS && line->threads < LOADER_THREADS && !obstacle(line, entry);
	if (begun) {
		leave(line, entry);
		begin(line, entry);
	}
	pthread_mutex_unlock(&line->lock);
	return begun;
}

/* Under the lock. */
static void end(struct loader_line *line, struct loader_entry *entry)
{
	if (entry->state == LOADER_LATE)
		line->late--;
	else
		line->threads--;
	(void)take_off(&line->begun, entry);
}

void loader_line_return(struct loader_line *line, struct loader_entry *entry)
{
	pthread_mutex_lock(&line->lock);
	end(line, entry);
	pthread_mutex_unlock(&line->lock);
}

struct loader_entry *loader_line_next(struct loader_line *line, struct loader_entry *done)
{
	struct loader_entry *entry;

	pthread_mutex_lock(&line->lock);
	end(line, done);
	entry = begin_first(line);
	pthread_mutex_unlock(&line->lock);
	return entry;
}

bool loader_line_leave(struct loader_line *line, struct loader_entry *entry)
{
	bool left;

	pthread_mutex_lock(&line->lock);
	left = entry->state == LOADER_WAITS;
	if (left)
		leave(line, entry);
	pthread_mutex_unlock(&line->lock);
	return left;
}

bool loader_line_waits(struct loader_line *line, struct loader_entry *entry)
{
	bool waits;

	pthread_mutex_lock(&line->lock);
	waits = entry->state == LOADER_WAITS;
	pthread_mutex_unlock(&line->lock);
	return waits;
}

void loader_entry_at(struct loader_entry *entry, const char *column)
{
	for (int i = 0; i < entry->count; i++)
		if (strcmp(entry->places[i].column, column) == 0)
			atomic_store(&entry->at, i);
}

void loader_line_say(struct loader_line *line, struct loader_entry *entry, struct words *words)
{
	const struct loader_place *place = NULL;

	pthread_mutex_lock(&line->lock);
	if (entry->state == LOADER_WAITS)
		place = obstacle(line, entry);
	else if (entry->state != LOADER_OUT && entry->count > 0)
		place = &entry->places[atomic_load(&entry->at)];
	pthread_mutex_unlock(&line->lock);
	if (!place)
		words_set(words, "secrets and authorities could not be read in time");
	else if (place->program)
		words_set(words, "%s = %s gave no answer in time", place->column, place->name);
	else if (!place->name[0])
		words_set(words, "the system's list of trusted authorities could not be read in time");
	else
		words_set(words, "%s = %.*s%s could not be read in time: its disk or mount does not answer",
		          place->column,
		          strcmp(place->column, "tls_ca_file") == 0 ? (int)place->folder_length : 0,
		          place->folder, place->name);
}
