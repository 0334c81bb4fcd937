/*
 * send_parts.c - the attachments that outboxctl send was given.
 *
 * Promises: the recipient sees the file's own name, without its folder; a name
 * or content id that could not be sent is refused before anything is written.
 */
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "cli/file_type.h"
#include "cli/send_parts.h"
#include "common/buffer.h"
#include "common/text.h"
#include "mime/media.h"

#define NAME_MAX_CHARACTERS 255 /* as outbox_attachment takes them */
#define PARTS_MAX           1000

/* "FILE", or "CID=FILE" */
static const char *file_of(const struct option_given *given)
{
	const char *equals;

	if (strcmp(given->rule->name, "inline") != 0)
		return given->value;
	equals = strchr(given->value, '=');
	return equals ? equals + 1 : "";
}

static bool names_a_part(const struct option_given *given)
{
	return given->rule &&
	       (strcmp(given->rule->name, "attach") == 0 || strcmp(given->rule->name, "inline") == 0);
}

bool send_parts_well_named(const struct options *options)
{
	for (size_t i = 0; i < options->given_count; i++) {
		const struct option_given *given = &options->given[i];
		const char *equals = names_a_part(given) ? strchr(given->value, '=') : NULL;

		if (names_a_part(given) && strcmp(given->rule->name, "inline") == 0 &&
		    (!equals || equals == given->value || !equals[1]))
			return false;
	}
	return true;
}

size_t send_parts_from_standard_input(const struct options *options)
{
	static const char *const bodies[] = { "text", "html", "message" };
	size_t found = 0;

	for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
		const char *file = options_value(options, bodies[i]);

		found += file && strcmp(file, "-") == 0;
	}
	for (size_t i = 0; i < options->given_count; i++)
		found += names_a_part(&options->given[i]) && strcmp(file_of(&options->given[i]), "-") == 0;
	return found;
}

static enum error check_name(const char *file, const char *name, struct words *words)
{
	size_t length = strlen(name), valid = text_utf8_valid(name, length), at = 0, characters = 0;

	if (valid < length) {
		words_set(words, "an attachment's name is not UTF-8 behind \"%.*s\": give it another one",
		          (int)valid, name);
		return ERROR_INVALID;
	}
	for (; at < length; characters++) {
		uint32_t code_point;

		at += text_utf8_next(name + at, length - at, &code_point);
		if (!text_is_control(code_point))
			continue;
		words_set(words, "an attachment's name has the control character U+%04X: give it another one",
		          code_point);
		return ERROR_INVALID;
	}
	if (characters <= NAME_MAX_CHARACTERS)
		return OK;
	words_set(words, "%s: its name is longer than %d characters", file, NAME_MAX_CHARACTERS);
	return ERROR_INVALID;
}

/* CID of "CID=FILE"; parts are those before it. */
static enum error take_content_id(const char *value, const struct send_parts *parts, char **content_id,
                                  struct words *words)
{
	char *id = memory_strndup(value, strcspn(value, "="));
	enum error error = content_id_check("--inline, what is before =", id, words);

	for (size_t i = 0; i < parts->count && error == OK; i++) {
		const char *other = parts->items[i].content_id;

		if (!other || strcmp(other, id) != 0)
			continue;
		words_set(words, "--inline %s is given twice", id);
		error = ERROR_INVALID;
	}
	if (error == OK)
		*content_id = id;
	else
		free(id);
	return error;
}

/* The next of parts, which is counted whatever comes. */
static int gather(const struct option_given *given, struct file_types *types, struct send_parts *parts)
{
	struct admin_attachment *item = &parts->items[parts->count];
	struct input *input = &parts->inputs[parts->count];
	const char *file = file_of(given), *slash = strrchr(file, '/');
	bool standard = strcmp(file, "-") == 0;
	const char *name = slash ? slash + 1 : file;
	struct words words;
	char *content_id = NULL;
	enum error error;

	input->fd = -1;
	*item = (struct admin_attachment){ .content = { .fd = -1 } };
	error = standard ? OK : check_name(file, name, &words);
	if (error == OK && strcmp(given->rule->name, "inline") == 0)
		error = take_content_id(given->value, parts, &content_id, &words);
	item->content_id = content_id;
	parts->count++;
	if (error != OK)
		return cli_fail(error, &words);
	error = input_open(file, input, &words);
	if (error != OK)
		return cli_fail_file(error, &words);
	item->filename = standard ? NULL : name;
	item->content_type = file_type(types, input->fd);
	item->content = (struct admin_file){ .name = standard ? "standard input" : file,
		                             .fd = input->fd,
		                             .size = input->size,
		                             .modified = input->modified };
	return EX_OK;
}

static size_t count_parts(const struct options *options)
{
	size_t count = 0;

	for (size_t i = 0; i < options->given_count; i++)
		count += names_a_part(&options->given[i]);
	return count;
}

int send_parts_gather(const struct options *options, struct send_parts *parts)
{
	size_t count = count_parts(options);
	struct file_types *types;
	struct words words;
	int status = EX_OK;

	if (count == 0)
		return EX_OK;
	if (count > PARTS_MAX) {
		words_set(&words, "more than %d attachments", PARTS_MAX);
		return cli_fail(ERROR_LIMIT, &words);
	}
	if (file_types_open(&types, &words) != OK)
		return cli_fail(ERROR_SYSTEM, &words);
	parts->items = memory_alloc(count * sizeof *parts->items);
	parts->inputs = memory_alloc(count * sizeof *parts->inputs);
	for (size_t i = 0; i < options->given_count && status == EX_OK; i++) {
		if (!names_a_part(&options->given[i]))
			continue;
		status = gather(&options->given[i], types, parts);
	}
	file_types_close(&types);
	return status;
}

void send_parts_fini(struct send_parts *parts)
{
	for (size_t i = 0; i < parts->count; i++) {
		free((char *)(uintptr_t)parts->items[i].content_type);
		free((char *)(uintptr_t)parts->items[i].content_id);
		input_close(&parts->inputs[i]);
	}
	free(parts->items);
	free(parts->inputs);
	*parts = (struct send_parts){ .count = 0 };
}
