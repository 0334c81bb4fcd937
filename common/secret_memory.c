/*
 * secret_memory.c - memory for secrets alone. See secret_memory.h.
 *
 * Small ones share regions, one for each power of two; what was given back is the next one's. A
 * region is never given back to the system: there are as many as there once were secrets at a time. Large
 * ones have pages of their own. A page is not touched before something is put there.
 */
#include "common/secret_memory.h"

#include <string.h>

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#ifdef WITH_SANITIZER

#include <stdlib.h>

#include "common/buffer.h"

void *secret_memory_take(size_t bytes)
{
	return memory_alloc(bytes);
}

void secret_memory_give(void *memory, size_t bytes)
{
	if (memory)
		explicit_bzero(memory, bytes);
	free(memory);
}

#else

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <unistd.h>

#define REGION_BYTES 65536
#define LEAST_BYTES  32
#define CLASSES      8 /* 32 to 4096 octets */

struct chunk {
	struct chunk *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all that follows */
static struct class
{
	struct chunk *free;
	unsigned char *unused; /* of the last region; room octets */
	size_t room;
} classes[CLASSES];

static void *map(size_t bytes)
{
	void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED) {
		fprintf(stderr, "outboxd: memory for a secret: %s\n", strerror(errno));
		_exit(EX_OSERR);
	}
	(void)madvise(pages, bytes, MADV_DONTDUMP);
	return pages;
}

/* The number of its class and what a chunk there has; CLASSES: it has pages of its own. */
static int class_of(size_t bytes, size_t *chunk_bytes)
{
	int number = 0;

	for (*chunk_bytes = LEAST_BYTES; number < CLASSES && *chunk_bytes < bytes; number++)
		*chunk_bytes *= 2;
	return number;
}

/* Locked. */
static void *take_chunk(struct class *class, size_t bytes)
{
	struct chunk *chunk = class->free;
	unsigned char *fresh;

	if (chunk) {
		class->free = chunk->next;
		chunk->next = NULL; /* the rest was wiped */
		return chunk;
	}
	if (class->room < bytes) {
		class->unused = map(REGION_BYTES);
		class->room = REGION_BYTES;
	}
	fresh = class->unused;
	class->unused += bytes;
	class->room -= bytes;
	return fresh;
}

void *secret_memory_take(size_t bytes)
{
	size_t chunk_bytes;
	int number = class_of(bytes, &chunk_bytes);
	void *memory;

	if (number == CLASSES)
		return map(bytes);
	pthread_mutex_lock(&lock);
	memory = take_chunk(&classes[number], chunk_bytes);
	pthread_mutex_unlock(&lock);
	return memory;
}

void secret_memory_give(void *memory, size_t bytes)
{
	size_t chunk_bytes;
	int number = class_of(bytes, &chunk_bytes);
	struct chunk *chunk = memory;

	if (!memory)
		return;
	explicit_bzero(memory, bytes);
	if (number == CLASSES) {
		(void)munmap(memory, bytes);
		return;
	}
	pthread_mutex_lock(&lock);
	chunk->next = classes[number].free;
	classes[number].free = chunk;
	pthread_mutex_unlock(&lock);
}

#endif
