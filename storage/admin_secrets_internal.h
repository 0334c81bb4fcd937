/*
 * admin_secrets_internal.h - what the two files of admin_secrets.h share: columns and files.
 */
#ifndef OUTBOXD_STORAGE_ADMIN_SECRETS_INTERNAL_H
#define OUTBOXD_STORAGE_ADMIN_SECRETS_INTERNAL_H

#include "storage/admin_secrets.h"

/* The tenants' names. */
struct admin_names {
	char **names;
	size_t count;
};
enum error admin_names_read(struct admin *admin, struct admin_names *list, struct words *words);
void admin_names_free(struct admin_names *list);

/* Whether the verb has anything to do with this value. */
bool admin_secret_concerned(const struct admin *admin, enum admin_secrets verb, const struct secret *value);

/* One row of admin_secrets_status(); unread: why there is no content, or "". */
void admin_secret_show(struct admin *admin, const struct seal_place *place, const struct secret *content,
                       const struct words *unread, admin_each *each, void *context);

/* Nothing without a folder. Files that cannot be changed are told to trouble. */
enum error admin_files_change(struct admin *admin, enum admin_secrets verb, struct admin_secrets_done *done,
                              admin_trouble *trouble, void *context, struct words *words);
void admin_files_status(struct admin *admin, const struct tenant_settings *settings, admin_each *each,
                        void *context);

#endif
