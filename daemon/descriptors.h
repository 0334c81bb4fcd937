/*
 * descriptors.h - the limit of open files, and who may have how many of them.
 *
 * Main's thread. Does not block.
 */
#ifndef OUTBOXD_DAEMON_DESCRIPTORS_H
#define OUTBOXD_DAEMON_DESCRIPTORS_H

#include <stddef.h>
#include <stdint.h>

struct descriptor_share {
	int workers, probes; /* at least one of each */
	int files;           /* of messages that a worker has on disk beside another one */
};

/* Raises the limit as far as it goes; what it is then, -1 = there is none. */
int64_t descriptors_raise(void);

/*
 * Pure. Sessions (workers, probes, and as many as probes that were set aside) have two each. Who
 * has so few that they are not enough must do with them: one that is not to be had is waited for.
 */
struct descriptor_share descriptors_share(int64_t limit, size_t databases, int max_workers, int max_probes);

#endif
