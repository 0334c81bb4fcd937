/*
 * supervisor_slot.h - the in-flight journal's slots, shared out among tenants.
 *
 * A message has a slot from when its worker takes it until its result is committed (journal.h). Where the
 * table takes results more slowly than servers take mail, these would be used up, and whose message finds
 * none would pause. So no more messages are handed out than there are slots. Supervisor thread.
 */
#ifndef OUTBOXD_DAEMON_SUPERVISOR_SLOT_H
#define OUTBOXD_DAEMON_SUPERVISOR_SLOT_H

struct supervisor;
struct tenant;

/*
 * How many of the tenant's messages may be handed out now. 0: it waits in the line, and is dispatched when
 * its turn has come; who asks while others wait comes behind them.
 */
int slots_share(struct supervisor *supervisor, struct tenant *tenant);
/* So many were handed out, or went to storage; one is back, or its result is committed. */
void slots_take(struct supervisor *supervisor, int count);
void slots_give(struct supervisor *supervisor);
/* What has come back goes to those who wait, the longest first. */
void slots_share_out(struct supervisor *supervisor);

#endif
