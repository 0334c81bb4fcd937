/*
 * schema_sql.h - storage/schema.sql and storage/migrations/ as strings, generated at build time.
 */
#ifndef OUTBOXD_STORAGE_SCHEMA_SQL_H
#define OUTBOXD_STORAGE_SCHEMA_SQL_H

extern const char *const storage_schema_sql;
extern const char storage_migration_1_to_2_sql[];
extern const char storage_migration_2_to_3_sql[];

#endif
