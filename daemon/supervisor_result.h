/*
 * supervisor_result.h - letters of workers and storage. Internal to the supervisor: its
 * thread alone calls these; none of them blocks but for a read of the database.
 */
#ifndef OUTBOXD_DAEMON_SUPERVISOR_RESULT_H
#define OUTBOXD_DAEMON_SUPERVISOR_RESULT_H

#include "daemon/supervisor.h"

void take_results(struct supervisor *supervisor);
void take_settled(struct supervisor *supervisor);
void take_exits(struct supervisor *supervisor);
void recover_journal(struct supervisor *supervisor);

#endif
