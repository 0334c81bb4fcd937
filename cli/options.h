/*
 * options.h - long options by table. Pure.
 *
 * "--name value", "--name=value", "--" before operands that begin with a
 * hyphen; options and operands in any order. The texts stay argv's.
 */
#ifndef OUTBOXD_CLI_OPTIONS_H
#define OUTBOXD_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

struct option_rule {
	const char *name;     /* without the hyphens; NULL ends a table */
	const char *argument; /* what the help calls the value; NULL: takes none */
	const char *help;
	bool many;           /* may be given more than once */
	const char *refusal; /* takes none: said to who gives one all the same, whose value is not repeated */
};

struct option_grammar {
	const struct option_rule *rules;  /* may be NULL */
	const struct option_rule *common; /* may be NULL */
	bool columns; /* any other --some-name takes a value and names the column some_name */
	bool leading; /* stops before the first operand */
};

struct option_given {
	const struct option_rule *rule; /* NULL: a column */
	char *column;                   /* allocated */
	const char *value;              /* NULL: takes none */
};

struct options {
	struct option_given *given; /* in their order */
	size_t given_count;
	const char **operands;
	size_t operand_count;
	int consumed; /* how many of argv */
};

/* ERROR_INVALID with words. Either way the caller ends it with options_fini(). */
enum error options_parse(const struct option_grammar *grammar, int argc, char *const *argv,
                         struct options *options, struct words *words);
void options_fini(struct options *options);

bool options_have(const struct options *options, const char *name);
/* The value, or NULL. */
const char *options_value(const struct options *options, const char *name);
/* All values with ", " between, allocated; NULL if there is none. */
char *options_joined(const struct options *options, const char *name);

#endif
