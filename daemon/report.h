/*
 * report.h - the log lines about messages and tenants.
 *
 * Called by the storage thread after a commit, or by the supervisor; each with
 * a batch of its own.
 */
#ifndef OUTBOXD_DAEMON_REPORT_H
#define OUTBOXD_DAEMON_REPORT_H

#include "common/log.h"
#include "common/message.h"

/* One line a recipient of a settled message (delivery.…), or message.invalid; db NULL = only one outbox. */
void report_message(struct log_batch *batch, const char *db, const struct message *message);

#endif
