/*
 * pieces.c - a message as a row of pieces, read as one stream.
 *
 * Promises: reading twice gives the same octets; at most CHUNK_OCTETS of a
 * body and their encoded form are in memory. Fails with ERROR_SYSTEM when a
 * spool file fails, ERROR_INVALID when a body holds what may not leave (which
 * pieces_measure() finds before anything is sent).
 */
#include "mime/pieces.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_OCTETS 8192 /* of a file; touched only then: a thread's stack is memory, too */
#define NEAR_OCTETS  2048 /* of what is in memory, where a chunk more costs no call of the system */
#define READY_MAX    ENCODER_OUT_MAX(CHUNK_OCTETS)
#define LINE_OCTETS  16 /* lines are mostly longer */

static void begin_piece(struct pieces *pieces, const struct piece *piece)
{
	encoder_begin(&pieces->encoder, piece->encoding, piece->exact, piece->line);
	pieces->position = piece->start;
	pieces->begun = true;
}

static void end_piece(struct pieces *pieces)
{
	pieces->begun = false;
	pieces->current++;
}

static size_t smaller(int64_t left, size_t most)
{
	return left < (int64_t)most ? (size_t)left : most;
}

/* What was grown for it is not kept by a message that waits for its answer. */
static void drop_ready(struct pieces *pieces)
{
	buffer_fini(&pieces->ready);
	buffer_init(&pieces->ready, READY_MAX);
	pieces->given = 0;
}

static enum error encode_next(struct pieces *pieces, const struct piece *piece)
{
	char room[CHUNK_OCTETS];
	const char *chunk = room;
	int64_t left = piece->end - pieces->position;
	size_t wanted = smaller(left, piece->body->memory ? NEAR_OCTETS : CHUNK_OCTETS);
	size_t got = 0;
	enum error error = OK;

	if (wanted > 0)
		error = body_look(piece->body, pieces->position, room, wanted, &chunk, &got);
	if (error)
		return error;
	if (wanted > 0 && got == 0)
		return ERROR_SYSTEM; /* the body is shorter than it said */
	pieces->position += (int64_t)got;
	buffer_reserve(&pieces->ready, got + got / LINE_OCTETS + 160); /* for most texts: grown once */
	error = encoder_feed(&pieces->encoder, chunk, got, &pieces->ready);
	if (!error && pieces->position == piece->end) {
		error = encoder_end(&pieces->encoder, &pieces->ready);
		if (!error)
			end_piece(pieces);
	}
	return error;
}

static size_t give_text(struct pieces *pieces, const struct piece *piece, void *bytes, size_t capacity)
{
	size_t length = smaller(piece->end - pieces->position, capacity);

	memcpy(bytes, piece->text + pieces->position, length);
	pieces->position += (int64_t)length;
	if (pieces->position == piece->end)
		end_piece(pieces);
	return length;
}

static size_t give_ready(struct pieces *pieces, void *bytes, size_t capacity)
{
	size_t length = smaller((int64_t)(pieces->ready.length - pieces->given), capacity);

	if (length == 0)
		return 0;
	memcpy(bytes, pieces->ready.data + pieces->given, length);
	pieces->given += length;
	if (pieces->given == pieces->ready.length) {
		buffer_clear(&pieces->ready);
		pieces->given = 0;
	}
	return length;
}

static enum error pieces_read(struct source *source, void *bytes, size_t capacity, size_t *length)
{
	struct pieces *pieces = (struct pieces *)source;

	for (;;) {
		const struct piece *piece;
		enum error error;

		*length = give_ready(pieces, bytes, capacity);
		if (*length > 0 || capacity == 0)
			return OK;
		if (pieces->current == pieces->count) {
			drop_ready(pieces);
			return OK;
		}
		piece = &pieces->items[pieces->current];
		if (!pieces->begun)
			begin_piece(pieces, piece);
		if (piece->text) {
			*length = give_text(pieces, piece, bytes, capacity);
			return OK;
		}
		error = encode_next(pieces, piece);
		if (error)
			return error;
	}
}

static void pieces_rewind(struct source *source)
{
	struct pieces *pieces = (struct pieces *)source;

	pieces->current = 0;
	pieces->begun = false;
	drop_ready(pieces);
}

struct pieces *pieces_create(void)
{
	struct pieces *pieces = memory_alloc(sizeof(*pieces));

	pieces->source.read = pieces_read;
	pieces->source.rewind = pieces_rewind;
	buffer_init(&pieces->ready, READY_MAX);
	return pieces;
}

void pieces_destroy(struct pieces **pieces)
{
	if (!*pieces)
		return;
	for (size_t i = 0; i < (*pieces)->count; i++)
		free((*pieces)->items[i].text);
	free((*pieces)->items);
	buffer_fini(&(*pieces)->ready);
	free(*pieces);
	*pieces = NULL;
}

static void add(struct pieces *pieces, const struct piece *piece)
{
	if (pieces->count == pieces->capacity) {
		pieces->capacity = pieces->capacity ? 2 * pieces->capacity : 8;
		pieces->items = memory_resize(pieces->items, pieces->capacity * sizeof(pieces->items[0]));
	}
	pieces->items[pieces->count++] = *piece;
}

void pieces_add_text(struct pieces *pieces, char *text, size_t length)
{
	if (length > 0)
		add(pieces, &(struct piece){ .text = text, .end = (int64_t)length });
	else
		free(text);
}

void pieces_add_body(struct pieces *pieces, const struct body *body, int64_t start, int64_t end, int64_t line)
{
	if (end > start)
		add(pieces, &(struct piece){ .body = body, .start = start, .end = end, .line = line });
}

void pieces_add_encoded(struct pieces *pieces, const struct body *body, enum encoding encoding, bool exact)
{
	if (body->size > 0)
		add(pieces, &(struct piece){ .body = body,
		                             .end = body->size,
		                             .encoding = encoding,
		                             .exact = exact,
		                             .line = 1 });
}

static bool has_eight_bit(const char *bytes, size_t length)
{
	unsigned char all = 0;

	for (size_t i = 0; i < length; i++)
		all |= (unsigned char)bytes[i];
	return all >= 0x80;
}

enum error pieces_measure(struct pieces *pieces, const char *column, int64_t *size, bool *eight_bit,
                          struct words *words)
{
	char chunk[NEAR_OCTETS];
	size_t got;

	*size = 0;
	*eight_bit = false;
	pieces_rewind(&pieces->source);
	do {
		enum error error = pieces_read(&pieces->source, chunk, sizeof(chunk), &got);

		if (error == ERROR_INVALID)
			words_set(words,
			          "%s, line %lld: a NUL, or a carriage return without a "
			          "line feed",
			          column, (long long)pieces->encoder.line);
		else if (error)
			words_set(words, "%s cannot be read from its spool file", column);
		if (error)
			return error;
		*size += (int64_t)got;
		*eight_bit = *eight_bit || has_eight_bit(chunk, got);
	} while (got > 0);
	pieces_rewind(&pieces->source);
	return OK;
}
