/*
 * octets.h - how far octets go on that need no look of their own.
 *
 * Pure; any thread. Eight at a time: what is read of a message's text octet by octet costs more
 * than all the rest of its way.
 */
#ifndef OUTBOXD_COMMON_OCTETS_H
#define OUTBOXD_COMMON_OCTETS_H

#include <stddef.h>

/* The octets before the first NUL, CR or LF; length if there is none. */
size_t octets_of_line(const char *bytes, size_t length);

/* The octets before the first that is not between ' ' and '~'; length if all are. */
size_t octets_printable(const char *bytes, size_t length);

#endif
