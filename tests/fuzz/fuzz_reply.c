/*
 * fuzz_reply.c - the reply parser and the verdict on whatever a server says.
 *
 * Wherever the input is cut, replies, texts and capabilities are the same; every
 * reply has a verdict at every stage; the bounds of smtp/reply.h hold.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "smtp/reply.h"
#include "smtp/verdict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int good)
{
	if (!good)
		abort();
}

static enum reply_progress feed(const char *octets, size_t length, size_t step, struct reply *reply,
                                size_t *used)
{
	struct reply_parser parser = { .line = NULL };
	enum reply_progress progress = REPLY_MORE;

	reply_begin(&parser, reply);
	*used = 0;
	while (progress == REPLY_MORE && *used < length) {
		size_t piece = step < length - *used ? step : length - *used, consumed;

		progress = reply_feed(&parser, octets + *used, piece, &consumed);
		must(consumed > 0 && consumed <= piece);
		*used += consumed;
	}
	must((progress == REPLY_MALFORMED) == (parser.why != NULL));
	must(parser.line_length <= parser.line_room && parser.line_room <= REPLY_LINE_BYTES);
	must(reply->room <= REPLY_TEXT_BYTES);
	reply_parser_fini(&parser);
	return progress;
}

static void judge(const struct reply *reply)
{
	for (int stage = STAGE_NONE; stage < STAGE_COUNT; stage++) {
		for (int flags = 0; flags < 8; flags++) {
			struct verdict_place place = { .stage = (enum stage)stage,
				                       .reused = flags & 1,
				                       .accepted_before = flags & 2,
				                       .behind_refused = flags & 4 };
			struct outcome outcome = { 0 };

			verdict_from_reply(&place, reply, &outcome);
			must(outcome.text != NULL);
			must(outcome.verdict != VERDICT_NONE || reply->code < 400);
			must(outcome.verdict != VERDICT_SENT ||
			     (stage == STAGE_END && reply->code / 100 == 2));
			outcome_clear(&outcome);
		}
	}
}

static void check(const struct reply *reply)
{
	struct capabilities capabilities;

	must(reply->code >= 200 && reply->code <= 599);
	must(reply->lines >= 1 && reply->lines <= REPLY_LINES);
	must(reply->length < REPLY_TEXT_BYTES && strlen(reply->text) == reply->length);
	must(strlen(reply->enhanced) < sizeof(reply->enhanced));
	capabilities_parse(reply, &capabilities);
	must(strlen(capabilities.auth) < sizeof(capabilities.auth));
	must(capabilities.size_limit >= 0);
	judge(reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct reply whole, pieces;
	const char *octets = (const char *)data;

	while (size > 0) {
		size_t used, used_pieces;
		enum reply_progress progress = feed(octets, size, size, &whole, &used);

		for (size_t step = 1; step <= 7; step += 3) {
			must(feed(octets, size, step, &pieces, &used_pieces) == progress);
			must(used == used_pieces);
			must(whole.code == pieces.code && whole.length == pieces.length);
			must(memcmp(whole.text, pieces.text, whole.length) == 0);
		}
		if (progress != REPLY_DONE)
			break;
		check(&whole);
		octets += used;
		size -= used;
	}
	return 0;
}
