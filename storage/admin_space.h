/*
 * admin_space.h - whether there is room for what outboxd has to record.
 */
#ifndef OUTBOXD_STORAGE_ADMIN_SPACE_H
#define OUTBOXD_STORAGE_ADMIN_SPACE_H

#include "storage/admin.h"

/* True, with words: the database's file system has less than 1 MiB left, or is read-only. Asks the system
 * alone. */
bool admin_cannot_grow(struct admin *admin, struct words *words);

#endif
