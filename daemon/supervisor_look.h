/*
 * supervisor_look.h - what is due, as the table says. Internal to the supervisor: its
 * thread alone calls these; none of them blocks but for a read of the database.
 */
#ifndef OUTBOXD_DAEMON_SUPERVISOR_LOOK_H
#define OUTBOXD_DAEMON_SUPERVISOR_LOOK_H

#include "daemon/supervisor.h"

void look_scan(struct supervisor *supervisor);
void look_changes(struct supervisor *supervisor);
/* Fetches due messages of a tenant if there is room and reason. */
void look_tenant(struct supervisor *supervisor, struct tenant *tenant);
/* From now on until tenant_well() or tenant_reset(): what expires is looked for, since nothing can be sent.
 */
void look_for_expired(struct supervisor *supervisor, struct tenant *tenant);
struct in_hand *in_hand_find(struct supervisor *supervisor, int64_t id);
/* A message that was found comes into our hands. */
void in_hand_add(struct supervisor *supervisor, struct tenant *tenant, struct message *message);
/* The message leaves our hands: forgets the id, looks again if a look passed over it; frees it. */
void in_hand_leave(struct supervisor *supervisor, struct message **message);

#endif
