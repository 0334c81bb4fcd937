/*
 * send_parts.h - the attachments that outboxctl send was given.
 *
 * One thread.
 */
#ifndef OUTBOXD_CLI_SEND_PARTS_H
#define OUTBOXD_CLI_SEND_PARTS_H

#include "cli/cli.h"
#include "cli/input.h"

struct send_parts {
	struct admin_attachment *items; /* in the order of the command line */
	struct input *inputs;           /* of the same order, open */
	size_t count;
};

/*
 * Opens the file of each --attach and --inline, and finds its type. An exit
 * status, after having said why; either way the caller ends it with
 * send_parts_fini(), after the database was closed (input.h).
 */
int send_parts_gather(const struct options *options, struct send_parts *parts);
void send_parts_fini(struct send_parts *parts);

/* Whether each --inline has both a name and a file. Pure. */
bool send_parts_well_named(const struct options *options);

/* How many of the options that name a file name standard input. Pure. */
size_t send_parts_from_standard_input(const struct options *options);

#endif
