/*
 * check_report.c - findings become rows.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/check.h"
#include "common/text.h"

#define FINDING_BYTES 8192

static struct admin_value text_value(const char *name, const char *text)
{
	return (struct admin_value){ .name = name,
		                     .type = text ? ADMIN_TEXT : ADMIN_NULL,
		                     .text = text,
		                     .length = text ? strlen(text) : 0 };
}

static void add_row(struct check *check, enum check_level level, const char *code, const char *tenant,
                    const char *problem, const char *advice)
{
	static const char *const levels[] = { "ok", "warning", "error" };
	struct buffer finding;

	buffer_init(&finding, 2 * FINDING_BYTES);
	(void)buffer_printf(&finding, "%s%s%s", problem, advice ? "; " : "", advice ? advice : "");
	const struct admin_value values[] = {
		text_value("level", levels[level]),
		text_value("check", code),
		text_value("database", check->database),
		text_value("tenant", tenant),
		text_value("finding", check->json ? problem : finding.data), /* for people with the advice */
		text_value("advice", advice),
	};
	table_row(check->table, values, sizeof values / sizeof values[0]);
	buffer_fini(&finding);
}

static void vfound(struct check *check, enum check_level level, const char *code, const char *tenant,
                   const char *advice, const char *format, va_list arguments)
	__attribute__((format(printf, 6, 0)));

static void vfound(struct check *check, enum check_level level, const char *code, const char *tenant,
                   const char *advice, const char *format, va_list arguments)
{
	char text[FINDING_BYTES];
	char *clean;

	(void)vsnprintf(text, sizeof text, format, arguments);
	clean = text_clean(text, strlen(text), sizeof text);
	add_row(check, level, code, tenant, clean, advice);
	free(clean);
	check->warnings += level == CHECK_WARNING;
	check->errors += level == CHECK_ERROR;
}

void check_found(struct check *check, enum check_level level, const char *code, const char *tenant,
                 const char *advice, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfound(check, level, code, tenant, advice, format, arguments);
	va_end(arguments);
}

int check_mark(const struct check *check)
{
	return check->warnings + check->errors;
}

void check_good(struct check *check, int mark, const char *code, const char *format, ...)
{
	va_list arguments;

	if (check_mark(check) != mark)
		return;
	va_start(arguments, format);
	vfound(check, CHECK_OK, code, NULL, NULL, format, arguments);
	va_end(arguments);
}
