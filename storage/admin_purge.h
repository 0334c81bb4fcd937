/*
 * admin_purge.h - one more verb of storage/admin.h: finished messages go before their time.
 */
#ifndef OUTBOXD_STORAGE_ADMIN_PURGE_H
#define OUTBOXD_STORAGE_ADMIN_PURGE_H

#include "storage/admin.h"

struct admin_purge {
	const char *tenant; /* NULL = all */
	const char *state;  /* sent, failed or cancelled; NULL = each of them */
	int64_t before_ms;  /* finished before, ms since 1970 */
	bool dry_run;       /* counts, and removes nothing */
	/* how many: also of what was done before an error */
	int64_t sent, failed, cancelled;
};

/*
 * Removes finished messages, with all that belongs to them, in short transactions between
 * which others can write. ERROR_INVALID: a trigger of the file's owner refuses one.
 */
enum error admin_purge(struct admin *admin, struct admin_purge *purge, struct words *words);

#endif
