/*
 * configuration.c - the file by libConfuse, then --set, then the command line.
 * See configuration.h.
 *
 * A --set is read as one more line of a file: the same words, the same rules,
 * the same errors.
 */
#include "run/configuration.h"

#include <confuse.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/text.h"
#include "run/paths.h"

#define FILE_BYTES_MAX     (1024 * 1024)
#define DAY_MS             (INT64_C(24) * 3600 * 1000)
#define DURATION_MAX_MS    (366 * DAY_MS)
#define KEEP_MAX_MS        (36600 * DAY_MS)

#define MEMORY_MIN_BYTES   (INT64_C(1) << 20)
#define MEMORY_MAX_BYTES   (INT64_C(1) << 40)
#define MEMORY_USUAL_BYTES (INT64_C(256) << 20)

/* libConfuse calls back without a context: one reading at a time, its first words kept here. */
static pthread_mutex_t reading = PTHREAD_MUTEX_INITIALIZER;
static struct words *refusal;
static const char *reading_name;

static void refuse(cfg_t *cfg, const char *format, va_list arguments)
{
	char text[400];

	if (refusal->text[0])
		return;
	vsnprintf(text, sizeof(text), format, arguments);
	if (cfg && cfg->line > 0 && reading_name)
		words_set(refusal, "%s, line %d: %s", reading_name, cfg->line, text);
	else
		words_set(refusal, "%s", text);
}

static int check_duration(cfg_t *cfg, cfg_opt_t *option, const char *value, void *result)
{
	int64_t ms;

	if (!text_to_duration_ms(value, &ms) || ms > DURATION_MAX_MS) {
		cfg_error(cfg, "%s = %s is no duration (such as 30s, 15m, 6h, 2d)", option->name, value);
		return -1;
	}
	*(long *)result = (long)ms;
	return 0;
}

/* How long something is kept: -1 = for ever. */
static int check_keep(cfg_t *cfg, cfg_opt_t *option, const char *value, void *result)
{
	int64_t ms = -1;

	if (strcmp(value, "forever") != 0 && (!text_to_duration_ms(value, &ms) || ms > KEEP_MAX_MS)) {
		cfg_error(cfg, "%s = %s is no duration (such as 12h, 30d) nor forever", option->name, value);
		return -1;
	}
	*(long *)result = (long)ms;
	return 0;
}

static int check_number(cfg_t *cfg, cfg_opt_t *option, const char *value, void *result)
{
	int64_t number;

	if (!text_to_int(value, 1, 1000000, &number)) {
		cfg_error(cfg, "%s = %s is no whole number from 1 to 1000000", option->name, value);
		return -1;
	}
	*(long *)result = (long)number;
	return 0;
}

/* Less than a mebibyte would send all but the smallest messages to spool_dir. */
static int check_memory(cfg_t *cfg, cfg_opt_t *option, const char *value, void *result)
{
	int64_t octets;

	if (!text_to_size(value, &octets) || octets < MEMORY_MIN_BYTES || octets > MEMORY_MAX_BYTES) {
		cfg_error(cfg, "%s = %s is no size from 1M to 1024G (such as 64M, 1G)", option->name, value);
		return -1;
	}
	*(long *)result = (long)octets;
	return 0;
}

/* The value of a word, or -1 with words. */
static int word_of(const char *name, const char *value, const char *const *words_allowed, struct words *words)
{
	for (int i = 0; words_allowed[i]; i++) {
		if (strcmp(words_allowed[i], value) == 0)
			return i;
	}
	words_set(words, "%s = %s is not one of: %s, %s%s%s", name, value, words_allowed[0], words_allowed[1],
	          words_allowed[2] ? ", " : "", words_allowed[2] ? words_allowed[2] : "");
	return -1;
}

/* The file as text; libConfuse is never given a path, so that it follows no include into a pipe. */
static char *read_file(const char *path, struct words *words)
{
	struct stat st;
	char *text = NULL;
	ssize_t got = 0, n = 1;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || fstat(fd, &st) != 0) {
		words_set_errno(words, errno, "cannot read %s", path);
		goto out;
	}
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_BYTES_MAX) {
		words_set(words, "%s is not a regular file of at most 1 MiB", path);
		goto out;
	}
	text = memory_alloc((size_t)st.st_size + 2);
	while (got < st.st_size && (n = read(fd, text + got, (size_t)(st.st_size - got))) > 0)
		got += n;
	if (n < 0) {
		words_set_errno(words, errno, "cannot read %s", path);
		free(text);
		text = NULL;
	} else if (strlen(text) != (size_t)got) {
		words_set(words, "%s contains a NUL", path);
		free(text);
		text = NULL;
	}
out:
	if (fd >= 0)
		close(fd);
	return text;
}

/* name=value as a line of the file: the value is quoted unless it is a list. */
static bool set_to_line(const char *set, struct buffer *line, struct words *words)
{
	const char *equals = strchr(set, '=');

	if (!equals || equals == set) {
		words_set(words, "--set %s: it must be NAME=VALUE", set);
		return false;
	}
	buffer_append(line, set, (size_t)(equals - set));
	buffer_append_text(line, " = \"");
	for (const char *c = equals + 1; *c; c++) {
		if (*c == '"' || *c == '\\' || *c == '$')
			buffer_append_char(line, '\\');
		buffer_append_char(line, *c);
	}
	return buffer_append_text(line, "\"\n");
}

static bool parse_text(cfg_t *cfg, const char *name, const char *text, struct words *words)
{
	int code;

	reading_name = name;
	code = cfg_parse_buf(cfg, text);
	reading_name = NULL;
	if (code == CFG_SUCCESS && !words->text[0])
		return true;
	if (!words->text[0])
		words_set(words, "%s cannot be read as a configuration", name);
	return false;
}

static bool parse_all(cfg_t *cfg, const struct config_options *options, struct words *words)
{
	bool good = true;

	if (options->file) {
		char *text = read_file(options->file, words);

		good = text && parse_text(cfg, options->file, text, words);
		free(text);
	}
	for (size_t i = 0; i < options->set_count && good; i++) {
		struct buffer line;

		buffer_init(&line, 65536);
		good = set_to_line(options->sets[i], &line, words) &&
		       parse_text(cfg, "--set", line.data, words);
		buffer_fini(&line);
	}
	return good;
}

static char *text_of(cfg_t *cfg, const char *name)
{
	const char *value = cfg_getstr(cfg, name);

	return value && value[0] ? memory_strdup(value) : NULL;
}

static bool adopt_words(cfg_t *cfg, struct config *config, struct words *words)
{
	static const char *const formats[] = { "logfmt", "json", NULL };
	static const char *const levels[] = { "debug", "info", "warning", NULL };
	int format = word_of("log_format", cfg_getstr(cfg, "log_format"), formats, words);
	int level = format < 0 ? -1 : word_of("log_level", cfg_getstr(cfg, "log_level"), levels, words);

	config->log_json = format == 1;
	config->log_level = level < 0 ? LOG_INFO : (enum log_level)level;
	return format >= 0 && level >= 0;
}

static bool adopt_databases(cfg_t *cfg, const struct config_options *options, struct config *config,
                            struct words *words)
{
	size_t from_file = cfg_size(cfg, "database");
	size_t count = options->database_count ? options->database_count : from_file;

	if (count == 0) {
		words_set(words, "no database is named: use --database FILE or the setting database");
		return false;
	}
	config->databases = memory_alloc(count * sizeof(*config->databases));
	config->database_count = count;
	for (size_t i = 0; i < count; i++)
		config->databases[i] = memory_strdup(options->database_count
		                                             ? options->databases[i]
		                                             : cfg_getnstr(cfg, "database", (unsigned)i));
	return true;
}

static bool adopt(cfg_t *cfg, const struct config_options *options, struct config *config,
                  struct words *words)
{
	config->log_file = options->log_file ? memory_strdup(options->log_file) : text_of(cfg, "log_file");
	config->pid_file = options->pid_file ? memory_strdup(options->pid_file) : text_of(cfg, "pid_file");
	config->log_dir = text_of(cfg, "log_dir");
	config->metrics_file = text_of(cfg, "metrics_file");
	config->spool_dir = text_of(cfg, "spool_dir");
	config->secrets_dir = text_of(cfg, "secrets_dir");
	config->secrets_key_file = text_of(cfg, "secrets_key_file");
	config->command_dir = text_of(cfg, "command_dir");
	config->token_program = text_of(cfg, "token_program");
	if (!config->token_program)
		config->token_program = memory_strdup(path_token_program);
	config->token_ca_file = text_of(cfg, "token_ca_file");
	config->dns_servers = text_of(cfg, "dns_servers");
	config->shutdown_grace_ms = cfg_getint(cfg, "shutdown_grace");
	config->idle_timeout_ms = cfg_getint(cfg, "idle_timeout");
	config->stall_grace_ms = cfg_getint(cfg, "stall_grace");
	config->expiry_check_ms = cfg_getint(cfg, "expiry_check");
	config->keep_sent_ms = cfg_getint(cfg, "keep_sent");
	config->keep_failed_ms = cfg_getint(cfg, "keep_failed");
	config->max_workers = (int)cfg_getint(cfg, "max_workers");
	config->max_probes = (int)cfg_getint(cfg, "max_probes");
	config->unsettled_max = (int)cfg_getint(cfg, "unsettled_max");
	config->memory_max_bytes = cfg_getint(cfg, "memory_max");
	return adopt_words(cfg, config, words) && adopt_databases(cfg, options, config, words);
}

/* libconfuse goes on without a default that it had no memory for, and then 0 is read. */
static bool has_defaults(cfg_t *cfg, const cfg_opt_t *known)
{
	for (; known->name; known++)
		if (!(known->flags & CFGF_LIST) && cfg_size(cfg, known->name) == 0)
			return false;
	return true;
}

enum error config_read(const struct config_options *options, struct config **config, struct words *words)
{
	cfg_opt_t known[] = {
		CFG_STR_LIST("database", "{}", CFGF_NONE),
		CFG_STR("log_file", "-", CFGF_NONE),
		CFG_STR("log_dir", "", CFGF_NONE),
		CFG_STR("log_format", "logfmt", CFGF_NONE),
		CFG_STR("log_level", "info", CFGF_NONE),
		CFG_STR("metrics_file", "", CFGF_NONE),
		CFG_STR("pid_file", "", CFGF_NONE),
		CFG_STR("spool_dir", "", CFGF_NONE),
		CFG_STR("secrets_dir", "", CFGF_NONE),
		CFG_STR("secrets_key_file", "", CFGF_NONE),
		CFG_STR("command_dir", "", CFGF_NONE),
		CFG_STR("token_program", "", CFGF_NONE),
		CFG_STR("token_ca_file", "", CFGF_NONE),
		CFG_STR("dns_servers", "", CFGF_NONE),
		CFG_INT_CB("shutdown_grace", 60000, CFGF_NONE, check_duration),
		CFG_INT_CB("idle_timeout", 10000, CFGF_NONE, check_duration),
		CFG_INT_CB("stall_grace", 30000, CFGF_NONE, check_duration),
		CFG_INT_CB("expiry_check", 60000, CFGF_NONE, check_duration),
		CFG_INT_CB("max_workers", 1000, CFGF_NONE, check_number),
		CFG_INT_CB("max_probes", 200, CFGF_NONE, check_number),
		CFG_INT_CB("unsettled_max", 256, CFGF_NONE, check_number),
		CFG_INT_CB("memory_max", MEMORY_USUAL_BYTES, CFGF_NONE, check_memory),
		CFG_INT_CB("keep_sent", 30 * DAY_MS, CFGF_NONE, check_keep),
		CFG_INT_CB("keep_failed", 90 * DAY_MS, CFGF_NONE, check_keep),
		CFG_END(),
	};
	struct config *made = memory_alloc(sizeof(*made));
	cfg_t *cfg;
	bool good;

	atomic_store(&made->references, 1);
	words->text[0] = '\0';
	pthread_mutex_lock(&reading);
	refusal = words;
	cfg = cfg_init(known, CFGF_NONE);
	cfg_set_error_function(cfg, refuse);
	good = has_defaults(cfg, known);
	if (!good)
		words_set(words, "out of memory");
	good = good && parse_all(cfg, options, words) && adopt(cfg, options, made, words);
	cfg_free(cfg);
	pthread_mutex_unlock(&reading);
	if (!good) {
		config_release(&made);
		return ERROR_INVALID;
	}
	*config = made;
	return OK;
}

struct config *config_hold(struct config *config)
{
	atomic_fetch_add(&config->references, 1);
	return config;
}

void config_release(struct config **config)
{
	struct config *released = *config;

	*config = NULL;
	if (!released || atomic_fetch_sub(&released->references, 1) > 1)
		return;
	for (size_t i = 0; i < released->database_count; i++)
		free(released->databases[i]);
	free(released->databases);
	free(released->log_file);
	free(released->log_dir);
	free(released->metrics_file);
	free(released->pid_file);
	free(released->spool_dir);
	free(released->secrets_dir);
	free(released->secrets_key_file);
	free(released->command_dir);
	free(released->token_program);
	free(released->token_ca_file);
	free(released->dns_servers);
	free(released);
}
