/*
 * journal.c - see journal.h. Slots are written with plain stores to a shared
 * mapping: they survive the process, which is what they are for. The order
 * inside a slot: the words first, the stage last (release).
 */
#include "daemon/journal_page.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "daemon/fault.h"

/* What this thread has in hand is on this page; for the handler of fatal signals. */
static _Thread_local struct journal_page *own_page;

static void read_boot_id(char text[JOURNAL_BOOT_ID_BYTES])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, JOURNAL_BOOT_ID_BYTES - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
}

/* The name of a new file is on the disk when its folder is. */
static void sync_folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	free(folder);
	if (fd < 0)
		return;
	fsync(fd);
	close(fd);
}

static enum error map_file(const char *path, struct journal_page **page, struct words *words)
{
	enum error error = ERROR_SYSTEM;
	struct stat st;
	int code;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0) {
		code = errno;
		words_set_errno(words, code, "cannot open the in-flight journal %s", path);
		return code == EACCES || code == EPERM || code == EROFS ? ERROR_PERMISSION : ERROR_SYSTEM;
	}
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		words_set(words, "the in-flight journal %s is not a regular file", path);
		goto out;
	}
	code = posix_fallocate(fd, 0, sizeof(**page));
	if (code != 0) {
		words_set_errno(words, code, "no room for the in-flight journal %s", path);
		goto out;
	}
	*page = mmap(NULL, sizeof(**page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (*page == MAP_FAILED) {
		words_set_errno(words, errno, "cannot map the in-flight journal %s", path);
		goto out;
	}
	if (st.st_size == 0)
		sync_folder_of(path);
	error = OK;
out:
	close(fd);
	return error;
}

/* A new or foreign page begins empty; one of ours that was not closed tells what it knows. */
static void adopt_page(struct journal_page *page, const char *instance)
{
	char boot_id[JOURNAL_BOOT_ID_BYTES];

	read_boot_id(boot_id);
	if (strncmp(page->magic, JOURNAL_MAGIC, sizeof(page->magic)) != 0 ||
	    strncmp(page->instance, instance, sizeof(page->instance)) != 0 || page->slots != JOURNAL_SLOTS) {
		memset(page, 0, sizeof(*page));
		snprintf(page->magic, sizeof(page->magic), "%s", JOURNAL_MAGIC);
		snprintf(page->instance, sizeof(page->instance), "%s", instance);
		page->slots = JOURNAL_SLOTS;
	} else if (!page->clean && strncmp(page->boot_id, boot_id, sizeof(page->boot_id)) != 0) {
		page->suspect_until_ms = clock_wall_ms();
	}
	snprintf(page->boot_id, sizeof(page->boot_id), "%s", boot_id);
	page->clean = 0;
	/* A machine that loses power must find that we were at work. */
	msync(page, sizeof(*page), MS_SYNC);
}

enum error journal_open(const char *database, const char *instance, struct journal **journal,
                        struct words *words)
{
	struct journal *made;
	struct journal_page *page;
	char *path = memory_alloc(strlen(database) + sizeof("-inflight"));
	enum error error;

	sprintf(path, "%s-inflight", database);
	error = map_file(path, &page, words);
	free(path);
	if (error != OK)
		return error;
	adopt_page(page, instance);
	made = memory_alloc(sizeof(*made));
	made->page = page;
	pthread_mutex_init(&made->lock, NULL);
	made->first_free = -1;
	*journal = made;
	return OK;
}

void journal_close(struct journal **journal, bool clean)
{
	struct journal *closed = *journal;

	if (!closed)
		return;
	if (clean) {
		closed->page->clean = 1;
		msync(closed->page, sizeof(*closed->page), MS_SYNC);
	}
	if (own_page == closed->page)
		own_page = NULL;
	munmap(closed->page, sizeof(*closed->page));
	pthread_mutex_destroy(&closed->lock);
	free(closed);
	*journal = NULL;
}

/* Among those that journal_take() takes from. */
static void put_back(struct journal *journal, int slot)
{
	pthread_mutex_lock(&journal->lock);
	journal->next_free[slot] = journal->first_free;
	journal->first_free = slot;
	pthread_mutex_unlock(&journal->lock);
}

static bool has_counts(const struct journal_slot *slot)
{
	return atomic_load_explicit(&slot->crashes, memory_order_relaxed) > 0 ||
	       atomic_load_explicit(&slot->stalls, memory_order_relaxed) > 0 || slot->errors_s[0] > 0;
}

void journal_recover(struct journal *journal, journal_each *each, void *context)
{
	for (int i = JOURNAL_SLOTS - 1; i >= 0; i--) {
		struct journal_slot *slot = &journal->page->slot[i];
		int32_t stage = atomic_load_explicit(&slot->stage, memory_order_acquire);
		struct journal_entry entry = {
			.id = slot->id,
			.attempts = slot->attempts,
			.requeue = slot->requeue,
			.slot = i,
			.stage = stage == JOURNAL_PAST_END ? JOURNAL_PAST_END : JOURNAL_SUSPECT,
			.crashes = atomic_load_explicit(&slot->crashes, memory_order_relaxed),
			.stalls = atomic_load_explicit(&slot->stalls, memory_order_relaxed),
		};

		if (atomic_load_explicit(&slot->owner, memory_order_relaxed) != 0)
			atomic_store_explicit(&slot->owner, 0, memory_order_relaxed);
		if (stage == JOURNAL_FREE) { /* nearly all of them: read, not written */
			put_back(journal, i);
			continue;
		}
		if (stage != JOURNAL_PAST_END && !has_counts(slot)) {
			journal_give(journal, i);
			continue;
		}
		memcpy(entry.tenant, slot->tenant, sizeof(entry.tenant));
		entry.tenant[sizeof(entry.tenant) - 1] = '\0';
		atomic_store_explicit(&slot->stage, (int32_t)entry.stage, memory_order_release);
		each(context, &entry);
	}
}

int64_t journal_suspect_until_ms(const struct journal *journal)
{
	return journal->page->suspect_until_ms;
}

static uint64_t this_thread(void)
{
	return (uint64_t)(uintptr_t)pthread_self();
}

static struct journal_slot *slot_of(struct journal *journal, int slot)
{
	return &journal->page->slot[slot];
}

static int find_free(struct journal *journal)
{
	int index;

	pthread_mutex_lock(&journal->lock);
	index = journal->first_free;
	if (index >= 0)
		journal->first_free = journal->next_free[index];
	pthread_mutex_unlock(&journal->lock);
	return index;
}

int journal_take(struct journal *journal, const struct message *message)
{
	struct journal_slot *slot;
	int index = message->journal_slot;

	if (index >= 0) {
		journal_own(journal, index);
		/* Past the end it stays so: an earlier process had it there. */
		if (atomic_load_explicit(&slot_of(journal, index)->stage, memory_order_relaxed) ==
		    JOURNAL_SUSPECT)
			journal_mark(journal, index, JOURNAL_IN_HAND);
		return index;
	}
	index = find_free(journal);
	if (index < 0)
		return -1;
	slot = slot_of(journal, index);
	slot->id = message->id;
	slot->attempts = message->attempts;
	slot->requeue = message->requeue;
	atomic_store_explicit(&slot->crashes, 0, memory_order_relaxed);
	atomic_store_explicit(&slot->stalls, 0, memory_order_relaxed);
	memset(slot->errors_s, 0, sizeof(slot->errors_s));
	snprintf(slot->tenant, sizeof(slot->tenant), "%s", message->tenant_name);
	journal_own(journal, index);
	atomic_store_explicit(&slot->stage, JOURNAL_IN_HAND, memory_order_release);
	fault_here("journal", slot->tenant);
	return index;
}

void journal_mark(struct journal *journal, int slot, enum journal_stage stage)
{
	if (slot < 0)
		return;
	journal_own(journal, slot);
	atomic_store_explicit(&slot_of(journal, slot)->stage, (int32_t)stage, memory_order_release);
	fault_here("journal", slot_of(journal, slot)->tenant);
}

void journal_own(struct journal *journal, int slot)
{
	if (slot < 0)
		return;
	own_page = journal->page;
	atomic_store_explicit(&slot_of(journal, slot)->owner, this_thread(), memory_order_relaxed);
}

void journal_release(struct journal *journal, int slot)
{
	if (slot >= 0)
		atomic_store_explicit(&slot_of(journal, slot)->owner, 0, memory_order_relaxed);
}

void journal_give(struct journal *journal, int slot)
{
	if (slot < 0)
		return;
	journal_release(journal, slot);
	atomic_store_explicit(&slot_of(journal, slot)->stage, JOURNAL_FREE, memory_order_release);
	fault_here("journal", slot_of(journal, slot)->tenant);
	put_back(journal, slot);
}

void journal_keep(struct journal *journal, int slot, const struct message *message)
{
	struct journal_slot *kept = slot_of(journal, slot);

	journal_release(journal, slot);
	atomic_store_explicit(&kept->stage, JOURNAL_SUSPECT, memory_order_release);
	kept->attempts = message->attempts;
	kept->requeue = message->requeue;
}

void journal_stalled(struct journal *journal, pthread_t thread)
{
	for (int i = 0; i < JOURNAL_SLOTS; i++) {
		struct journal_slot *slot = slot_of(journal, i);

		if (atomic_load_explicit(&slot->owner, memory_order_relaxed) == (uint64_t)(uintptr_t)thread)
			atomic_fetch_add_explicit(&slot->stalls, 1, memory_order_relaxed);
	}
}

int journal_failed(struct journal *journal, int slot, int64_t now_ms)
{
	struct journal_slot *failed = slot_of(journal, slot);
	int32_t now_s = (int32_t)(now_ms / 1000);
	int count = 0;

	memmove(failed->errors_s + 1, failed->errors_s, sizeof(failed->errors_s) - sizeof(now_s));
	failed->errors_s[0] = now_s;
	while (count < JOURNAL_ERRORS_MOST && failed->errors_s[count] > 0 &&
	       now_s - failed->errors_s[count] <= JOURNAL_ERRORS_MS / 1000)
		count++;
	return count;
}

struct quarantine_entry *journal_quarantine(struct journal *journal)
{
	return journal->page->quarantine;
}

void journal_crashed(struct journal_hand *hand)
{
	struct journal_page *page = own_page;

	for (int i = 0; page && i < JOURNAL_SLOTS; i++) {
		struct journal_slot *slot = &page->slot[i];

		if (atomic_load_explicit(&slot->owner, memory_order_relaxed) != this_thread())
			continue;
		atomic_fetch_add_explicit(&slot->crashes, 1, memory_order_relaxed);
		if (hand->count++ > 0)
			continue;
		hand->id = slot->id;
		memcpy(hand->tenant, slot->tenant, sizeof(hand->tenant));
	}
}
