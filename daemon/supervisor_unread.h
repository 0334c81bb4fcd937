/*
 * supervisor_unread.h - a tenant whose mail waits for something of this machine: a row that
 * cannot be read, spool_dir, a descriptor, memory. Internal to the supervisor: its thread
 * alone calls these; neither blocks.
 */
#ifndef OUTBOXD_DAEMON_SUPERVISOR_UNREAD_H
#define OUTBOXD_DAEMON_SUPERVISOR_UNREAD_H

#include "daemon/supervisor.h"

/*
 * A message could not be read, or put into spool_dir (storage.failed), or no session could be had
 * for it (waiting: tenant.waiting). It and the tenant wait. Told once, with words.
 */
void tenant_unread(struct supervisor *supervisor, struct tenant *tenant, const struct message *message,
                   bool waiting);
/* A message could: if it is that one, or long after it, this is told too. */
void tenant_read_again(struct supervisor *supervisor, struct tenant *tenant, const struct message *message);

#endif
