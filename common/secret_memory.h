/*
 * secret_memory.h - memory for secrets alone: pages that are in no core file (MADV_DONTDUMP).
 *
 * The service allows no core files anyway (RLIMIT_CORE, PR_SET_DUMPABLE); this holds where somebody turns
 * that off to look into a crash. Any thread; does not block. With a sanitizer it is the heap, so that leaks
 * and reads beyond the end are seen.
 */
#ifndef OUTBOXD_COMMON_SECRET_MEMORY_H
#define OUTBOXD_COMMON_SECRET_MEMORY_H

#include <stddef.h>

/* So many octets of zero; no memory ends the process with words (exit status 71). */
void *secret_memory_take(size_t bytes);

/* Wipes and gives back what was taken with this number of octets. NULL is none. */
void secret_memory_give(void *memory, size_t bytes);

#endif
