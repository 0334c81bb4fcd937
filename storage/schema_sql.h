/*
 * schema_sql.h - storage/schema.sql as a string, generated at build time.
 */
#ifndef OUTBOXD_STORAGE_SCHEMA_SQL_H
#define OUTBOXD_STORAGE_SCHEMA_SQL_H

extern const char *const storage_schema_sql;

#endif
