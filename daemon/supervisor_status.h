/*
 * supervisor_status.h - a tenant as others see it. Internal to the supervisor: its thread
 * alone calls these; none of them blocks but for a read of the database.
 */
#ifndef OUTBOXD_DAEMON_SUPERVISOR_STATUS_H
#define OUTBOXD_DAEMON_SUPERVISOR_STATUS_H

#include "daemon/supervisor.h"

/* outbox_tenant_status.state; settings must be there. */
const char *tenant_state(const struct tenant *tenant);
/* SIGUSR1: the tenant and each of its workers, a line each. */
void tenant_tell(struct supervisor *supervisor, struct tenant *tenant);
/* Its row is to be written, at most once a second. */
void tenant_dirty(struct supervisor *supervisor, struct tenant *tenant);
void tenant_write_statuses(struct supervisor *supervisor, bool all);

#endif
