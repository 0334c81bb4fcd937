/*
 * log_thread.c - the log's bounded buffer, and the thread that empties it.
 *
 * Promises that the lock is held only to copy, count or swap, never across a
 * call that a file could hold up, and that lines reach the files in the order
 * in which they were given.  A stuck file is waited for until it is reopened or
 * the log is closed; meanwhile the buffer fills and lines are counted.
 */
#include "common/log_thread.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log_line.h"
#include "common/wait.h"

#define GATHER_BYTES   (256 << 10) /* of lines a write, and of buffers that are kept */
#define CLOSE_MS       2000
#define CLOSE_WRITE_MS 1800 /* what of it the thread may use for a file that is stuck */

static void lock(struct log *log)
{
	int rc = pthread_mutex_lock(&log->lock);

	assert(rc == 0);
	(void)rc;
}

static void unlock(struct log *log)
{
	int rc = pthread_mutex_unlock(&log->lock);

	assert(rc == 0);
	(void)rc;
}

static void raise_event(int fd)
{
	const uint64_t one = 1;
	ssize_t written;

	do
		written = write(fd, &one, sizeof(one));
	while (written < 0 && errno == EINTR);
	assert(written == sizeof(one));
}

static void clear_event(int fd)
{
	uint64_t count;
	ssize_t got;

	do
		got = read(fd, &count, sizeof(count));
	while (got < 0 && errno == EINTR);
	assert(got == sizeof(count) || errno == EAGAIN);
}

/* Under the lock: nothing waits for the thread. */
static bool is_idle(const struct log *log)
{
	return log->pending.length == 0 && log->dropped == 0 && !log->reopen;
}

/* --- givers ------------------------------------------------------------- */

static size_t frame_bytes(const char *frame_start, struct log_frame *frame)
{
	memcpy(frame, frame_start, sizeof(*frame));
	return sizeof(*frame) + frame->name_bytes + frame->line_bytes;
}

/* Octets of the frames that have room; *left = how many frames have none. */
static size_t that_fits(const char *frames, size_t length, size_t room, uint64_t *left)
{
	size_t fits = 0;
	struct log_frame frame;

	*left = 0;
	for (size_t at = 0; at < length;) {
		size_t bytes = frame_bytes(frames + at, &frame);

		if (*left == 0 && fits + bytes <= room)
			fits += bytes;
		else
			++*left;
		at += bytes;
	}
	return fits;
}

void log_give(struct log *log, const char *frames, size_t length)
{
	uint64_t left = 0;
	bool was_idle;

	lock(log);
	was_idle = is_idle(log);
	if (length > LOG_BYTES - log->held)
		length = that_fits(frames, length, LOG_BYTES - log->held, &left);
	if (buffer_append(&log->pending, frames, length)) {
		log->held += length;
	} else { /* no memory: nothing of it has room */
		uint64_t all;

		that_fits(frames, length, 0, &all);
		left += all;
	}
	log->dropped += left;
	atomic_fetch_add(&log->dropped_ever, left);
	if (was_idle && !is_idle(log))
		raise_event(log->event_fd);
	unlock(log);
}

void log_count_dropped(struct log *log, uint64_t lines)
{
	lock(log);
	if (is_idle(log))
		raise_event(log->event_fd);
	log->dropped += lines;
	atomic_fetch_add(&log->dropped_ever, lines);
	unlock(log);
}

size_t log_held(struct log *log)
{
	size_t held;

	lock(log);
	held = log->held;
	unlock(log);
	return held;
}

/* --- the thread --------------------------------------------------------- */

/* struct log_patience: until fd takes something, the log is to be reopened, or its end has come. */
static bool wait_writable(void *context, int fd)
{
	struct log *log = context;

	for (;;) {
		struct pollfd fds[2] = {
			{ .fd = fd, .events = POLLOUT },
			{ .fd = log->event_fd, .events = POLLIN },
		};
		int64_t deadline_ms;
		bool reopen;

		lock(log);
		deadline_ms = log->close_deadline;
		reopen = log->reopen;
		unlock(log);
		if (poll(fds, 1, 0) > 0)
			return true;
		if (reopen || wait_for_any(fds, 2, deadline_ms, NULL) != OK)
			return false;
		if (fds[0].revents)
			return true;
		clear_event(log->event_fd);
	}
}

static void lose_line(struct log *log)
{
	log->lost++;
	log->lost_error = ENOMEM;
	atomic_fetch_add(&log->dropped_ever, 1);
}

static void write_text(struct log *log)
{
	const struct log_patience patience = { wait_writable, log };
	size_t lost = log_file_write(&log->file, log->text.data, log->text.length, &patience);

	if (lost > 0) {
		log->lost += lost;
		atomic_fetch_add(&log->dropped_ever, lost);
		log->lost_error = log->file.error;
	}
	buffer_clear(&log->text);
}

/* A warning of the log's own; false if there is no memory for it. */
static bool add_warning(struct log *log, const char *event, const char *file, uint64_t count, int errno_value)
{
	size_t start = log->text.length;
	char reason[128];
	bool fits = log_line_begin(&log->text, log->json, clock_wall_ms(), LOG_WARNING, event);

	if (file)
		fits = fits && log_line_text(&log->text, log->json, "file", file);
	if (count > 0)
		fits = fits && log_line_number(&log->text, log->json, "count", (int64_t)count);
	if (errno_value != 0)
		fits = fits && log_line_text(&log->text, log->json, "error",
		                             strerror_r(errno_value, reason, sizeof(reason)));
	fits = fits && log_line_end(&log->text, log->json);
	if (!fits)
		log->text.length = start;
	return fits;
}

static void tenant_file_failed(void *context, const char *path, int errno_value)
{
	add_warning(context, "log.failed", path, 0, errno_value);
}

/* Tells of lost lines; if that is lost too, the number stays for the next time. */
static void tell_lost(struct log *log)
{
	uint64_t lost = log->lost;

	if (lost == 0)
		return;
	if (!add_warning(log, "log.dropped", NULL, lost, log->lost_error))
		return;
	log->lost = 0;
	write_text(log);
	if (log->lost > 0)
		log->lost = lost;
	else
		log->lost_error = 0;
}

static void reopen_if_asked(struct log *log)
{
	struct log_file file;
	bool reopen;

	lock(log);
	reopen = log->reopen;
	log->reopen = false;
	unlock(log);
	if (!reopen)
		return;
	if (log_file_open(&file, log->path, true)) {
		log_file_close(&log->file);
		log->file = file;
	} else {
		add_warning(log, "log.failed", log->path, 0, file.error); /* the old one goes on */
		write_text(log);
	}
	if (log->dir)
		log_dir_forget(log->dir);
}

/* Moves frames into the text and the tenants' files until enough is gathered; answers the octets. */
static size_t gather(struct log *log, const char *frames, size_t length)
{
	size_t at = 0;

	while (at < length && log->text.length < GATHER_BYTES) {
		struct log_frame frame;
		size_t bytes = frame_bytes(frames + at, &frame);
		const char *name = frames + at + sizeof(frame);
		const char *line = name + frame.name_bytes;

		if (!buffer_append(&log->text, line, frame.line_bytes)) {
			lose_line(log);
		}
		if (frame.name_bytes > 0 && !log_dir_add(log->dir, name, line, frame.line_bytes)) {
			lose_line(log);
		}
		at += bytes;
	}
	return at;
}

/* Writes all that is in work, first the main file's, then the tenants'. */
static void write_work(struct log *log)
{
	const struct log_patience patience = { wait_writable, log };
	size_t done = 0;

	do {
		reopen_if_asked(log);
		done += gather(log, log->work.data + done, log->work.length - done);
		write_text(log);
		if (log->dir)
			log_dir_flush(log->dir, &patience, tenant_file_failed, log);
	} while (done < log->work.length);
	write_text(log); /* what the tenants' files had to tell */
}

static void shrink(struct buffer *buffer)
{
	size_t limit = buffer->limit;

	buffer_clear(buffer);
	if (buffer->capacity <= GATHER_BYTES)
		return;
	buffer_fini(buffer);
	buffer_init(buffer, limit);
}

enum next { NEXT_WAIT, NEXT_TURN, NEXT_END };

/* One turn: all that waited when it began. */
static enum next turn(struct log *log)
{
	struct buffer empty = log->work;
	enum next next;
	size_t length;

	clear_event(log->event_fd); /* before the swap: what is given after it raises it again */
	lock(log);
	log->work = log->pending;
	log->pending = empty;
	log->lost += log->dropped;
	log->dropped = 0;
	unlock(log);

	write_work(log);
	reopen_if_asked(log); /* so that a new file tells what the old one did not take */
	tell_lost(log);
	length = log->work.length;
	shrink(&log->work);

	lock(log);
	log->held -= length;
	/* Not by the event: a wait for a stuck file may have cleared it. */
	next = is_idle(log) ? NEXT_WAIT : NEXT_TURN;
	if (log->closing && (next == NEXT_WAIT || deadline_left_ms(log->close_deadline) == 0))
		next = NEXT_END;
	unlock(log);
	return next;
}

static void destroy(struct log *log)
{
	log_file_close(&log->file);
	log_dir_destroy(&log->dir);
	if (log->event_fd >= 0)
		close(log->event_fd);
	if (log->done_fd >= 0)
		close(log->done_fd);
	buffer_fini(&log->pending);
	buffer_fini(&log->work);
	buffer_fini(&log->text);
	pthread_mutex_destroy(&log->lock);
	free(log->path);
	free(log);
}

static void *run(void *argument)
{
	struct log *log = argument;
	enum next next;
	bool abandoned;

	while ((next = turn(log)) != NEXT_END)
		if (next == NEXT_WAIT)
			wait_for(log->event_fd, POLLIN, DEADLINE_NEVER, NULL);
	lock(log);
	log->finished = true;
	abandoned = log->abandoned;
	raise_event(log->done_fd);
	unlock(log);
	if (abandoned)
		destroy(log);
	return NULL;
}

/* --- open, reopen, close -------------------------------------------------- */

/* The thread takes no signals but those of its own faults. */
static int start_thread(struct log *log)
{
	static const int own[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP };
	sigset_t blocked, before;
	int rc;

	sigfillset(&blocked);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		sigdelset(&blocked, own[i]);
	pthread_sigmask(SIG_SETMASK, &blocked, &before);
	rc = pthread_create(&log->thread, NULL, run, log);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc == 0)
		pthread_setname_np(log->thread, "log");
	return rc;
}

static enum error open_main_file(struct log *log, struct words *words)
{
	int reason;

	if (log_file_open(&log->file, log->path, true))
		return OK;
	reason = log->file.error;
	words_set_errno(words, reason, "log file %s", log->path);
	return reason == EACCES || reason == EPERM ? ERROR_PERMISSION : ERROR_SYSTEM;
}

static enum error open_all(struct log *log, const char *dir, struct words *words)
{
	enum error error = open_main_file(log, words);
	int rc;

	if (error == OK && dir)
		error = log_dir_create(dir, &log->dir, words);
	if (error != OK)
		return error;
	log->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	log->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (log->event_fd < 0 || log->done_fd < 0) {
		words_set_errno(words, errno, "log: eventfd");
		return ERROR_SYSTEM;
	}
	rc = start_thread(log);
	if (rc != 0) {
		words_set_errno(words, rc, "log: thread");
		return ERROR_SYSTEM;
	}
	return OK;
}

enum error log_open(const struct log_settings *settings, struct log **log, struct words *words)
{
	struct log *new = memory_alloc(sizeof(*new));
	enum error error;

	new->path = memory_strdup(settings->file ? settings->file : "-");
	new->level = settings->level;
	new->json = settings->json;
	new->event_fd = new->done_fd = -1;
	new->file.fd = -1;
	new->close_deadline = DEADLINE_NEVER;
	pthread_mutex_init(&new->lock, NULL);
	buffer_init(&new->pending, LOG_BYTES);
	buffer_init(&new->work, LOG_BYTES);
	buffer_init(&new->text, LOG_BYTES * 2);
	error = open_all(new, settings->dir, words);
	if (error == OK)
		*log = new;
	else
		destroy(new);
	return error;
}

void log_reopen(struct log *log)
{
	lock(log);
	log->reopen = true;
	raise_event(log->event_fd);
	unlock(log);
}

/* True if the thread has written what was there and was joined; else, if abandoned, it frees all one day. */
static bool end_thread(struct log *log, bool abandoned)
{
	int64_t deadline_ms = deadline_after_ms(CLOSE_MS);
	bool finished;

	if (log->joined)
		return true;
	lock(log);
	log->closing = true;
	log->close_deadline = deadline_after_ms(CLOSE_WRITE_MS);
	raise_event(log->event_fd);
	unlock(log);
	wait_for(log->done_fd, POLLIN, deadline_ms, NULL);

	lock(log);
	finished = log->finished;
	log->abandoned = abandoned && !finished;
	unlock(log);
	if (finished)
		pthread_join(log->thread, NULL);
	log->joined = finished;
	return finished;
}

void log_leave(struct log *log)
{
	end_thread(log, false);
}

void log_close(struct log **log)
{
	struct log *old = *log;

	*log = NULL;
	if (!old)
		return;
	if (end_thread(old, true))
		destroy(old);
	else
		pthread_detach(old->thread); /* held fast in write(2): it frees all if it ever returns */
}
