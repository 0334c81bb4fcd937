/*
 * password.h - a password from a person or a program, never from an argument.
 */
#ifndef OUTBOXD_CLI_PASSWORD_H
#define OUTBOXD_CLI_PASSWORD_H

#include "common/error.h"
#include "common/secret.h"

/*
 * Asks twice on the terminal, without echo. Blocks for the person. ERROR_NOT_FOUND:
 * there is no terminal; ERROR_INTERRUPTED; ERROR_INVALID: empty, or two different ones.
 */
enum error password_prompt(const char *tenant, struct secret *password, struct words *words);

/* All of a descriptor without its last line end. Blocks for its end. ERROR_INVALID: empty, a NUL, or too
 * long. */
enum error password_read(int fd, const char *name, struct secret *password, struct words *words);

#endif
