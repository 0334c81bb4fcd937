/*
 * admin_send.c - a message into the outbox, with files as its parts.
 *
 * Promises: it is inserted whole, with all its attachments, or not at all; a
 * file passes in pieces, in constant memory, and one that changes meanwhile is
 * refused.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buffer.h"
#include "storage/admin_internal.h"

#define COPY_BYTES      65536
#define STATEMENT_BYTES 4096

static enum error changed(const struct admin_file *file, struct words *words)
{
	words_set(words, "%s: it was changed while it was read", file->name);
	return ERROR_INVALID;
}

/* After reading: what was read is what was opened. */
static enum error check_same(const struct admin_file *file, struct words *words)
{
	struct stat now;

	if (fstat(file->fd, &now) != 0) {
		words_set_errno(words, errno, "%s", file->name);
		return ERROR_SYSTEM;
	}
	if (now.st_size == file->size && now.st_mtim.tv_sec == file->modified.tv_sec &&
	    now.st_mtim.tv_nsec == file->modified.tv_nsec)
		return OK;
	return changed(file, words);
}

static enum error copy_octets(const struct admin_file *file, sqlite3_blob *blob, int *rc, struct words *words)
{
	char *block = memory_alloc(COPY_BYTES);
	enum error error = OK;
	int64_t done = 0;

	while (*rc == SQLITE_OK && error == OK && done < file->size) {
		int64_t left = file->size - done;
		ssize_t got = pread(file->fd, block, left < COPY_BYTES ? (size_t)left : COPY_BYTES, done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			words_set_errno(words, errno, "%s", file->name);
			error = ERROR_SYSTEM;
		} else if (got == 0) {
			error = changed(file, words);
		} else {
			*rc = sqlite3_blob_write(blob, block, (int)got, (int)done);
			done += got;
		}
	}
	free(block);
	return error;
}

/* Fills the BLOB that an INSERT made of zeros. */
static enum error copy_file(struct admin *admin, const struct admin_file *file, const char *table,
                            const char *column, int64_t rowid, struct words *words)
{
	sqlite3_blob *blob = NULL;
	int rc = sqlite3_blob_open(admin->connection.db, "main", table, column, rowid, 1, &blob);
	enum error error = copy_octets(file, blob, &rc, words);
	if (error == OK)
		error = admin_error(admin, rc, "writing the message", words);
	(void)sqlite3_blob_close(blob);
	return error == OK ? check_same(file, words) : error;
}

static void bind_zeros(struct statement *statement, int index, const struct admin_file *file)
{
	if (statement->rc == SQLITE_OK)
		statement->rc = sqlite3_bind_zeroblob64(statement->stmt, index, (sqlite3_uint64)file->size);
}

/* ---- the row of outbox --------------------------------------------------------- */

static bool insert_text(const struct admin_mail *mail, struct buffer *sql)
{
	bool fits = buffer_append_text(sql, "INSERT INTO outbox (attachments");

	for (size_t i = 0; i < mail->count; i++)
		fits = fits && buffer_printf(sql, ", %s", mail->columns[i].column);
	if (mail->message.fd >= 0)
		fits = fits && buffer_append_text(sql, ", message");
	fits = fits && buffer_append_text(sql, ") VALUES (?");
	for (size_t i = 0; i < mail->count + (mail->message.fd >= 0); i++)
		fits = fits && buffer_append_text(sql, ", ?");
	return fits && buffer_append_text(sql, ")");
}

static enum error insert(struct admin *admin, const char *sql, const struct admin_mail *mail, int64_t *id,
                         struct words *words)
{
	struct statement statement = admin_prepare(admin, sql);
	int index = 1;
	enum error error;

	statement_int(&statement, index++, (int64_t)mail->attachment_count);
	for (size_t i = 0; i < mail->count; i++)
		statement_text(&statement, index++, mail->columns[i].value);
	if (mail->message.fd >= 0)
		bind_zeros(&statement, index, &mail->message);
	(void)statement_row(&statement);
	*id = sqlite3_last_insert_rowid(admin->connection.db);
	error = admin_error(admin, admin_finish(&statement), "writing the message", words);
	if (error == OK && mail->message.fd >= 0)
		error = copy_file(admin, &mail->message, "outbox", "message", *id, words);
	return error;
}

/* ---- the attachments ------------------------------------------------------------- */

/* Nothing is left to the triggers to fill in: that would write the content once more. */
static const char insert_attachment[] =
	"INSERT INTO outbox_attachment (outbox_id, position, filename, content_type, content_id, content) "
	"VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

static enum error attach(struct admin *admin, struct statement *statement, int64_t id, size_t position,
                         const struct admin_attachment *attachment, struct words *words)
{
	int64_t rowid;
	enum error error;

	statement_int(statement, 1, id);
	statement_int(statement, 2, (int64_t)position);
	statement_text(statement, 3, attachment->filename);
	statement_text(statement, 4, attachment->content_type);
	statement_text(statement, 5, attachment->content_id);
	bind_zeros(statement, 6, &attachment->content);
	(void)statement_row(statement);
	rowid = sqlite3_last_insert_rowid(admin->connection.db);
	error = admin_error(admin, statement_end(statement), "writing the attachment", words);
	if (error == OK)
		return copy_file(admin, &attachment->content, "outbox_attachment", "content", rowid, words);
	if (error == ERROR_INVALID) { /* a rule's sentence does not say of which file */
		struct words sentence = *words;

		words_set(words, "%s: %s", attachment->content.name, sentence.text);
	}
	return error;
}

/* The last one queues the message, within this transaction. */
static enum error attach_all(struct admin *admin, int64_t id, const struct admin_mail *mail,
                             struct words *words)
{
	struct statement statement = admin_prepare(admin, insert_attachment);
	enum error error = OK;

	for (size_t i = 0; i < mail->attachment_count && error == OK; i++)
		error = attach(admin, &statement, id, i + 1, &mail->attachments[i], words);
	(void)admin_finish(&statement);
	return error;
}

static enum error insert_all(struct admin *admin, const char *sql, const struct admin_mail *mail, int64_t *id,
                             struct words *words)
{
	enum error error = insert(admin, sql, mail, id, words);

	if (error == OK && mail->attachment_count > 0)
		error = attach_all(admin, *id, mail, words);
	return error;
}

enum error admin_send(struct admin *admin, const struct admin_mail *mail, int64_t *id, struct words *words)
{
	struct buffer sql;
	enum error error;

	buffer_init(&sql, STATEMENT_BYTES);
	if (insert_text(mail, &sql)) {
		error = admin_begin(admin, words);
		if (error == OK)
			error = admin_end(admin, insert_all(admin, sql.data, mail, id, words), words);
	} else {
		words_set(words, "too many columns at once");
		error = ERROR_LIMIT;
	}
	buffer_fini(&sql);
	return error;
}
