/*
 * supervisor_picture.h - figures of an outbox for metrics_file. Internal to the supervisor:
 * its thread alone calls these; none of them blocks.
 */
#ifndef OUTBOXD_DAEMON_SUPERVISOR_PICTURE_H
#define OUTBOXD_DAEMON_SUPERVISOR_PICTURE_H

#include "daemon/supervisor.h"

/* A message's result is committed. */
void picture_count(struct supervisor *supervisor, struct tenant *tenant, const struct message *message);
/* All tenants as they are now, to the thread that writes them. */
void picture_give(struct supervisor *supervisor);

#endif
