/*
 * supervisor_unread.c - a tenant whose message waits for this machine: spool_dir is full
 * or missing, the disk fails, descriptors or memory are short.
 *
 * Promises: it is told once, in words, and once more when it is over; small mail that
 * passes meanwhile is no sign of that.
 */
#include <stdlib.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "daemon/supervisor_status.h"
#include "daemon/supervisor_tenant.h"
#include "daemon/supervisor_unread.h"

#define UNREAD_MS 60000 /* so long without another failure is as good as success */

static void set_error(struct tenant *tenant, const char *error)
{
	free(tenant->last_error);
	tenant->last_error = memory_strdup(error);
}

void tenant_unread(struct supervisor *supervisor, struct tenant *tenant, const struct message *message,
                   bool waiting)
{
	const char *error = message->outcome.text ? message->outcome.text : "it cannot be read";
	const char *event = waiting ? "tenant.waiting" : "storage.failed";
	struct tenant_rare *rare = tenant_rare_use(tenant);

	rare->unread_ms = clock_monotonic_ms();
	if (rare->unread_id)
		return;
	rare->unread_id = message->id;
	rare->unread_waits = waiting;
	log_begin(&supervisor->log, LOG_WARNING, event, supervisor->outbox->db, tenant->name);
	log_number(&supervisor->log, "id", message->id);
	log_text(&supervisor->log, "error", error);
	log_end(&supervisor->log);
	set_error(tenant, error);
	tenant_dirty(supervisor, tenant);
}

void tenant_read_again(struct supervisor *supervisor, struct tenant *tenant, const struct message *message)
{
	struct tenant_rare *rare = tenant->rare;

	if (!rare || !rare->unread_id ||
	    (rare->unread_id != message->id && clock_monotonic_ms() - rare->unread_ms < UNREAD_MS))
		return;
	rare->unread_id = 0;
	log_begin(&supervisor->log, LOG_WARNING, rare->unread_waits ? "tenant.resumed" : "storage.recovered",
	          supervisor->outbox->db, tenant->name);
	log_number(&supervisor->log, "id", message->id);
	log_end(&supervisor->log);
	if (!tenant->down)
		set_error(tenant, NULL);
	tenant_dirty(supervisor, tenant);
}
