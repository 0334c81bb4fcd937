/*
 * notify.h - a word to the service manager (sd_notify(3), without its library).
 */
#ifndef OUTBOXD_DAEMON_NOTIFY_H
#define OUTBOXD_DAEMON_NOTIFY_H

#include <stdint.h>

/* Sends "READY=1" and the like to $NOTIFY_SOCKET, if there is one. Monitor only. Does not block. */
void notify(const char *state);

/* How often the service manager wants to hear WATCHDOG=1, in ms (half of its limit); 0 = not at all. */
int64_t notify_watchdog_ms(void);

#endif
