/*
 * options.c - long options by table.
 *
 * Promises: an option is never guessed from a part of its name, and no value
 * is repeated in the words of a refusal (it may be a password). Fails with
 * words for what no rule knows.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/options.h"
#include "common/buffer.h"

#define JOINED_BYTES (16 << 20)

static const struct option_rule *find_in(const struct option_rule *rules, const char *name, size_t length)
{
	for (; rules && rules->name; rules++)
		if (strlen(rules->name) == length && memcmp(rules->name, name, length) == 0)
			return rules;
	return NULL;
}

/* "tls-ca-file" as the column's name, NULL if it can be none. */
static char *column_name(const char *name, size_t length)
{
	char *column;

	if (length == 0 || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") < length)
		return NULL;
	column = memory_strndup(name, length);
	for (char *c = column; *c; c++)
		if (*c == '-')
			*c = '_';
	return column;
}

static bool given_already(const struct options *options, const struct option_given *new)
{
	for (size_t i = 0; i < options->given_count; i++) {
		const struct option_given *old = &options->given[i];

		if (new->rule ? old->rule == new->rule : old->column && strcmp(old->column, new->column) == 0)
			return true;
	}
	return false;
}

/* One option at argv[0]; *used = how many of argv it takes. */
static enum error parse_option(const struct option_grammar *grammar, int argc, char *const *argv, int *used,
                               struct option_given *new, struct words *words)
{
	const char *name = argv[0] + 2;
	const char *equals = strchr(name, '=');
	size_t length = equals ? (size_t)(equals - name) : strlen(name);

	*used = 1;
	new->rule = find_in(grammar->rules, name, length);
	if (!new->rule)
		new->rule = find_in(grammar->common, name, length);
	if (!new->rule && grammar->columns)
		new->column = column_name(name, length);
	if (!new->rule && !new->column) {
		words_set(words, "unknown option --%.*s", (int)(length < 40 ? length : 40), name);
		return ERROR_INVALID;
	}
	if (new->rule && !new->rule->argument) {
		if (!equals)
			return OK;
		if (new->rule->refusal)
			words_set(words, "%s", new->rule->refusal);
		else
			words_set(words, "--%s takes no value", new->rule->name);
		return ERROR_INVALID;
	}
	if (equals) {
		new->value = equals + 1;
	} else if (argc > 1) {
		new->value = argv[1];
		*used = 2;
	} else {
		words_set(words, "--%s needs a value", name);
		return ERROR_INVALID;
	}
	return OK;
}

static enum error add_option(const struct option_grammar *grammar, int argc, char *const *argv, int *used,
                             struct options *options, struct words *words)
{
	struct option_given new = { .rule = NULL };
	enum error error = parse_option(grammar, argc, argv, used, &new, words);

	if (error == OK && !(new.rule &&new.rule->many) && given_already(options, &new)) {
		words_set(words, "--%s is given twice", new.rule ? new.rule->name : new.column);
		error = ERROR_INVALID;
	}
	if (error != OK) {
		free(new.column);
		return error;
	}
	options->given[options->given_count++] = new;
	return OK;
}

enum error options_parse(const struct option_grammar *grammar, int argc, char *const *argv,
                         struct options *options, struct words *words)
{
	bool only_operands = false;

	memset(options, 0, sizeof *options);
	options->given = memory_alloc(((size_t)argc + 1) * sizeof *options->given);
	options->operands = memory_alloc(((size_t)argc + 1) * sizeof *options->operands);
	for (int i = 0; i < argc; options->consumed = i) {
		int used = 1;
		enum error error = OK;

		if (only_operands || argv[i][0] != '-' || strcmp(argv[i], "-") == 0) {
			if (grammar->leading)
				return OK;
			options->operands[options->operand_count++] = argv[i];
		} else if (strcmp(argv[i], "--") == 0) {
			only_operands = true;
		} else if (argv[i][1] != '-') {
			/* its letters may be anything, also a secret: only the first is told */
			words_set(words, "unknown option -%c", argv[i][1]);
			error = ERROR_INVALID;
		} else {
			error = add_option(grammar, argc - i, argv + i, &used, options, words);
		}
		if (error != OK)
			return error;
		i += used;
	}
	return OK;
}

void options_fini(struct options *options)
{
	for (size_t i = 0; i < options->given_count; i++)
		free(options->given[i].column);
	free(options->given);
	free(options->operands);
	memset(options, 0, sizeof *options);
}

static const struct option_given *find_given(const struct options *options, const char *name)
{
	for (size_t i = 0; i < options->given_count; i++)
		if (options->given[i].rule && strcmp(options->given[i].rule->name, name) == 0)
			return &options->given[i];
	return NULL;
}

bool options_have(const struct options *options, const char *name)
{
	return find_given(options, name) != NULL;
}

const char *options_value(const struct options *options, const char *name)
{
	const struct option_given *given = find_given(options, name);

	return given ? given->value : NULL;
}

char *options_joined(const struct options *options, const char *name)
{
	struct buffer joined;

	if (!options_have(options, name))
		return NULL;
	buffer_init(&joined, JOINED_BYTES); /* more than the system lets into an argument list */
	for (size_t i = 0; i < options->given_count; i++) {
		const struct option_given *given = &options->given[i];

		if (given->rule && strcmp(given->rule->name, name) == 0)
			(void)buffer_printf(&joined, "%s%s", joined.length ? ", " : "", given->value);
	}
	return buffer_take(&joined);
}
