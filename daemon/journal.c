/*
 * journal.c - see journal.h. Slots are written with plain stores to a shared
 * mapping: they survive the process, which is what they are for. The order
 * inside a slot: the words first, the stage last (release).
 */
#include "daemon/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"

#define MAGIC         "outboxd-inflight-1"
#define BOOT_ID_BYTES 40

struct slot {
	_Atomic int32_t stage; /* enum journal_stage */
	int32_t attempts;
	int32_t requeue;
	int32_t crashes;
	int64_t id;
	char tenant[64];
	char spare[40];
};

struct page {
	char magic[32];
	char instance[40]; /* of the outbox: a copied file is not taken for ours */
	char boot_id[BOOT_ID_BYTES];
	int32_t slots;
	int32_t clean;
	int64_t suspect_until_ms;
	char spare[128];
	struct slot slot[JOURNAL_SLOTS];
};

struct journal {
	struct page *page;
	pthread_mutex_t lock; /* of the free list alone */
	int next_free[JOURNAL_SLOTS];
	int first_free;
};

static void read_boot_id(char text[BOOT_ID_BYTES])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, BOOT_ID_BYTES - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
}

static enum error map_file(const char *path, struct page **page, struct words *words)
{
	enum error error = ERROR_SYSTEM;
	struct stat st;
	int code;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0) {
		words_set_errno(words, errno, "cannot open the in-flight journal %s", path);
		return ERROR_SYSTEM;
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
	error = OK;
out:
	close(fd);
	return error;
}

/* A new or foreign page begins empty; one of ours that was not closed tells what it knows. */
static void adopt_page(struct page *page, const char *instance)
{
	char boot_id[BOOT_ID_BYTES];

	read_boot_id(boot_id);
	if (strncmp(page->magic, MAGIC, sizeof(page->magic)) != 0 ||
	    strncmp(page->instance, instance, sizeof(page->instance)) != 0 || page->slots != JOURNAL_SLOTS) {
		memset(page, 0, sizeof(*page));
		snprintf(page->magic, sizeof(page->magic), "%s", MAGIC);
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
	struct page *page;
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
	munmap(closed->page, sizeof(*closed->page));
	pthread_mutex_destroy(&closed->lock);
	free(closed);
	*journal = NULL;
}

void journal_recover(struct journal *journal, journal_each *each, void *context)
{
	for (int i = JOURNAL_SLOTS - 1; i >= 0; i--) {
		struct slot *slot = &journal->page->slot[i];
		struct journal_entry entry = {
			.id = slot->id, .attempts = slot->attempts, .requeue = slot->requeue, .slot = i
		};

		if (atomic_load_explicit(&slot->stage, memory_order_acquire) != JOURNAL_PAST_END) {
			journal_give(journal, i);
			continue;
		}
		memcpy(entry.tenant, slot->tenant, sizeof(entry.tenant));
		entry.tenant[sizeof(entry.tenant) - 1] = '\0';
		each(context, &entry);
	}
}

int64_t journal_suspect_until_ms(const struct journal *journal)
{
	return journal->page->suspect_until_ms;
}

int journal_take(struct journal *journal, const struct message *message)
{
	struct slot *slot;
	int index;

	pthread_mutex_lock(&journal->lock);
	index = journal->first_free;
	if (index >= 0)
		journal->first_free = journal->next_free[index];
	pthread_mutex_unlock(&journal->lock);
	if (index < 0)
		return -1;
	slot = &journal->page->slot[index];
	slot->id = message->id;
	slot->attempts = message->attempts;
	slot->requeue = message->requeue;
	slot->crashes = 0;
	snprintf(slot->tenant, sizeof(slot->tenant), "%s", message->tenant_name);
	atomic_store_explicit(&slot->stage, JOURNAL_IN_HAND, memory_order_release);
	return index;
}

void journal_mark(struct journal *journal, int slot, enum journal_stage stage)
{
	if (slot >= 0)
		atomic_store_explicit(&journal->page->slot[slot].stage, (int32_t)stage, memory_order_release);
}

void journal_give(struct journal *journal, int slot)
{
	if (slot < 0)
		return;
	atomic_store_explicit(&journal->page->slot[slot].stage, JOURNAL_FREE, memory_order_release);
	pthread_mutex_lock(&journal->lock);
	journal->next_free[slot] = journal->first_free;
	journal->first_free = slot;
	pthread_mutex_unlock(&journal->lock);
}
