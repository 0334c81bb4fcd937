/*
 * disk.h - outboxes whose disk does not answer: a call into SQLite that does not return can
 * neither be called off nor waited for.
 *
 * An outbox's supervisor and storage thread publish since when they are in one turn of their
 * work. Main, which never enters SQLite, looks at that once a second: an outbox that hangs is
 * told (storage.failed), nothing of it is begun, and its workers' places are others' until it
 * answers (storage.recovered). All functions are main's; none blocks.
 */
#ifndef OUTBOXD_DAEMON_DISK_H
#define OUTBOXD_DAEMON_DISK_H

#include <stddef.h>

#include "common/log.h"

struct outbox;

/* Tells what has changed. */
void disk_check(struct outbox *outboxes, size_t count, struct log_batch *log);

/* How many hang and have not ended. */
size_t disk_hanging(const struct outbox *outboxes, size_t count);

#endif
