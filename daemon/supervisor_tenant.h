/*
 * supervisor_tenant.h - a tenant as the supervisor knows it. Internal to the supervisor: its
 * thread alone calls these; none of them blocks but for a read of the database.
 */
#ifndef OUTBOXD_DAEMON_SUPERVISOR_TENANT_H
#define OUTBOXD_DAEMON_SUPERVISOR_TENANT_H

#include "daemon/supervisor.h"

struct tenant *tenant_find(struct supervisor *supervisor, const char *name);
struct tenant *tenant_make(struct supervisor *supervisor,
                           const char *name);                      /* finds or makes; loads settings */
void tenant_load(struct supervisor *supervisor, const char *name); /* NULL = all */
void tenant_free_all(struct supervisor *supervisor);
/* The tenant's server is in trouble; words for its administrator. */
void tenant_trouble(struct supervisor *supervisor, struct tenant *tenant, enum trouble trouble,
                    const char *error);
/* A message was answered by a well server. */
void tenant_well(struct supervisor *supervisor, struct tenant *tenant);
void tenant_reset(struct supervisor *supervisor, struct tenant *tenant); /* clears the backoff */
/* Its mail made us fail again and again: no workers for a while; words say how. */
void tenant_quarantine(struct supervisor *supervisor, struct tenant *tenant, const char *error);
/* False while it lasts. */
bool tenant_leaves_quarantine(struct supervisor *supervisor, struct tenant *tenant);
bool tenant_may_send(const struct tenant *tenant);
/* The keys were read again: where they open a password that was closed, its backoff is over. */
void tenant_try_keys(struct supervisor *supervisor, struct tenant *tenant);
/* While it is down: whether the file of its secret is a new one. */
void tenant_check_secret(struct supervisor *supervisor, struct tenant *tenant);

/*
 * Its connection was lost with several messages under way. A server that dies when a message comes before
 * the last one is answered would do so each time, and leave messages uncertain: it gets no other
 * chance before the settings change or the service begins anew. Told once.
 */
void tenant_one_at_a_time(struct supervisor *supervisor, struct tenant *tenant);

#endif
