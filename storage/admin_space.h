/*
 * admin_space.h - whether there is room for what outboxd has to record, and whether its rules are there.
 */
#ifndef OUTBOXD_STORAGE_ADMIN_SPACE_H
#define OUTBOXD_STORAGE_ADMIN_SPACE_H

#include "storage/admin.h"

/* True, with words: the database's file system has less than 1 MiB left, or is read-only. Asks the system
 * alone. */
bool admin_cannot_grow(struct admin *admin, struct words *words);

/* True, with words: a trigger, view or index of ours was dropped or changed, or messages were committed
 * without, and no outboxd has mended that yet. Blocks for disk work. */
bool admin_rules_differ(struct admin *admin, struct words *words);

#endif
