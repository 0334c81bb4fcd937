/*
 * interpose.c - stands between outboxd and the C library, by LD_PRELOAD.
 *
 * Counts the calls of one class and at the Nth does what the environment says, once; or lets
 * all of them fail as long as a file is there; or records every write and sync of files, to be
 * replayed as a power loss (power.py).
 *
 *   INTERPOSE_PATH    files whose path begins so are meant, others never
 *   INTERPOSE_CLASS   write (pwrite, ftruncate, fallocate) sync (fsync, fdatasync) read
 *                     (pread) open socket (socket, connect, send, recv) memory (malloc, calloc, realloc:
 *                     not in a build with a sanitizer)
 *   INTERPOSE_AT      N: the Nth call of this process
 *   INTERPOSE_ACTION  kill: SIGKILL after the call is done; or the errno (a number) it fails with
 *   INTERPOSE_TOKEN   a file: who removes it acts, so that it happens once in all processes
 *   INTERPOSE_RECORD  a file that gets every write, truncation and sync
 *   INTERPOSE_WHILE   a file: while it is there every call of the class fails (the log's writes too),
 *                     and it grows by an octet each time.  EROFS lets files be opened to be read
 */
#define _GNU_SOURCE
#include "config.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILES 1024 /* descriptors that are looked at */

enum class { CLASS_NONE, CLASS_WRITE, CLASS_SYNC, CLASS_READ, CLASS_OPEN, CLASS_SOCKET, CLASS_MEMORY };
static const char *const class_names[] = { "", "write", "sync", "read", "open", "socket", "memory" };

static struct {
	bool ready;
	enum class what;
	long at;
	int fail; /* errno, 0 = kill */
	const char *path, *token, *lasting;
	int record;
} plan = { .record = -1 };

static atomic_long passed;
static atomic_bool done;
static char *names[FILES]; /* of descriptors that are meant */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Called before main(), by one thread: nothing here allocates. */
__attribute__((constructor)) static void read_plan(void)
{
	const char *what = getenv("INTERPOSE_CLASS"), *at = getenv("INTERPOSE_AT");
	const char *action = getenv("INTERPOSE_ACTION"), *record = getenv("INTERPOSE_RECORD");

	plan.path = getenv("INTERPOSE_PATH");
	plan.token = getenv("INTERPOSE_TOKEN");
	plan.lasting = getenv("INTERPOSE_WHILE");
	for (size_t i = 1; what && i < sizeof(class_names) / sizeof(*class_names); i++) {
		if (strcmp(what, class_names[i]) == 0)
			plan.what = (enum class)i;
	}
	plan.at = at ? atol(at) : 0;
	plan.fail = action ? atoi(action) : 0;
	if (record)
		plan.record = (int)syscall(SYS_openat, AT_FDCWD, record,
		                           O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	plan.ready = plan.path != NULL;
}

static bool meant(int fd)
{
	return plan.ready && fd >= 0 && fd < FILES && names[fd];
}

/* Whether the fault is there now; counted by the file's length. */
static bool it_lasts(void)
{
	int fd = (int)syscall(SYS_openat, AT_FDCWD, plan.lasting, O_WRONLY | O_APPEND | O_CLOEXEC, 0);

	if (fd < 0)
		return false;
	syscall(SYS_write, fd, ".", 1);
	syscall(SYS_close, fd);
	return true;
}

/* Whether this call of a class is the one. */
static bool it_is(enum class what)
{
	if (!plan.ready || plan.what != what || atomic_load(&done))
		return false;
	if (plan.lasting)
		return it_lasts();
	if (atomic_fetch_add(&passed, 1) + 1 != plan.at)
		return false;
	atomic_store(&done, true);
	return syscall(SYS_unlinkat, AT_FDCWD, plan.token, 0) == 0;
}

static void end_here(void)
{
	syscall(SYS_kill, (pid_t)syscall(SYS_getpid), SIGKILL);
	for (;;)
		pause();
}

/* One entry of the record: a line, and the bytes of a write. */
static void note(char kind, const char *name, int64_t offset, const void *bytes, size_t length)
{
	char line[PATH_MAX + 64];
	struct iovec parts[2] = { { .iov_base = line },
		                  { .iov_base = (void *)(uintptr_t)bytes, .iov_len = length } };

	parts[0].iov_len = (size_t)snprintf(line, sizeof(line), "%c %s %lld %zu\n", kind, name,
	                                    (long long)offset, length);
	if (!bytes)
		parts[1].iov_len = 0;
	syscall(SYS_writev, plan.record, parts, 2);
}

#define NEXT(name)                                                                                           \
	static __typeof__(&name) next_##name;                                                                \
	if (!next_##name)                                                                                    \
	next_##name = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/* The call's place in its class: fails, or happens and ends the process, or happens. */
#define CALL(what, result, failure, call)                                                                    \
	do {                                                                                                 \
		bool now = it_is(what);                                                                      \
		if (now && plan.fail) {                                                                      \
			errno = plan.fail;                                                                   \
			return failure;                                                                      \
		}                                                                                            \
		result = (call);                                                                             \
		if (now)                                                                                     \
			end_here();                                                                          \
	} while (0)

/* --- files ------------------------------------------------------------------------ */

static void remember(int fd, const char *path)
{
	char link[64], real[PATH_MAX], *copy = NULL;
	ssize_t length;

	if (!plan.ready || fd < 0 || fd >= FILES)
		return;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, real, sizeof(real) - 1);
	real[length > 0 ? length : 0] = '\0';
	if (strncmp(real, plan.path, strlen(plan.path)) == 0) {
		copy = strdup(real);
	} else if (strncmp(path, plan.path, strlen(plan.path)) == 0) {
		copy = strdup(path);
	}
	pthread_mutex_lock(&lock);
	free(names[fd]);
	names[fd] = copy;
	pthread_mutex_unlock(&lock);
	if (copy && plan.record >= 0)
		note('O', copy, 0, NULL, 0);
}

static int open_next(int folder, const char *path, int flags, mode_t mode)
{
	int fd;

	if (plan.ready && strncmp(path, plan.path, strlen(plan.path)) == 0 &&
	    !(plan.fail == EROFS && (flags & O_ACCMODE) == O_RDONLY))
		CALL(CLASS_OPEN, fd, -1, (int)syscall(SYS_openat, folder, path, flags, mode));
	else
		fd = (int)syscall(SYS_openat, folder, path, flags, mode);
	remember(fd, path);
	return fd;
}

#define OPEN(name, arguments, folder, path)                                                                  \
	int name arguments                                                                                   \
	{                                                                                                    \
		mode_t mode = 0;                                                                             \
		if (flags & (O_CREAT | O_TMPFILE)) {                                                         \
			va_list more;                                                                        \
			va_start(more, flags);                                                               \
			mode = va_arg(more, mode_t);                                                         \
			va_end(more);                                                                        \
		}                                                                                            \
		return open_next(folder, path, flags, mode);                                                 \
	}
OPEN(open, (const char *path, int flags, ...), AT_FDCWD, path)
OPEN(open64, (const char *path, int flags, ...), AT_FDCWD, path)
OPEN(openat, (int folder, const char *path, int flags, ...), folder, path)
OPEN(openat64, (int folder, const char *path, int flags, ...), folder, path)

int close(int fd)
{
	if (meant(fd)) {
		pthread_mutex_lock(&lock);
		free(names[fd]);
		names[fd] = NULL;
		pthread_mutex_unlock(&lock);
	}
	return (int)syscall(SYS_close, fd);
}

/*
 * Writes of one file and their record are in one order; recording is for that alone, so
 * that a lock held over the call costs nobody anything.
 */
static ssize_t write_at(int fd, const void *bytes, size_t length, off_t offset)
{
	ssize_t result;

	if (plan.record >= 0) {
		pthread_mutex_lock(&lock);
		result = syscall(SYS_pwrite64, fd, bytes, length, offset);
		if (result > 0)
			note('W', names[fd], offset, bytes, (size_t)result);
		pthread_mutex_unlock(&lock);
		return result;
	}
	CALL(CLASS_WRITE, result, -1, syscall(SYS_pwrite64, fd, bytes, length, offset));
	return result;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
	if (!meant(fd))
		return syscall(SYS_pwrite64, fd, bytes, length, offset);
	return write_at(fd, bytes, length, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset)
{
	return pwrite(fd, bytes, length, offset);
}

/* A fault that lasts is met by every kind of write. */
static bool write_fails(int fd)
{
	if (!plan.lasting || !meant(fd) || !it_is(CLASS_WRITE))
		return false;
	errno = plan.fail;
	return true;
}

/* The log's lines: only told in the record, where they say what was claimed by then. */
ssize_t write(int fd, const void *bytes, size_t length)
{
	ssize_t result;

	if (write_fails(fd))
		return -1;
	if (!meant(fd) || plan.record < 0)
		return syscall(SYS_write, fd, bytes, length);
	pthread_mutex_lock(&lock);
	note('L', names[fd], 0, bytes, length);
	result = syscall(SYS_write, fd, bytes, length);
	pthread_mutex_unlock(&lock);
	return result;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
	if (write_fails(fd))
		return -1;
	if (meant(fd) && plan.record >= 0) {
		pthread_mutex_lock(&lock);
		for (int i = 0; i < count; i++)
			note('L', names[fd], 0, parts[i].iov_base, parts[i].iov_len);
		pthread_mutex_unlock(&lock);
	}
	return syscall(SYS_writev, fd, parts, count);
}

int ftruncate(int fd, off_t length)
{
	int result;

	if (!meant(fd))
		return (int)syscall(SYS_ftruncate, fd, length);
	if (plan.record >= 0) {
		pthread_mutex_lock(&lock);
		result = (int)syscall(SYS_ftruncate, fd, length);
		note('T', names[fd], length, NULL, 0);
		pthread_mutex_unlock(&lock);
		return result;
	}
	CALL(CLASS_WRITE, result, -1, (int)syscall(SYS_ftruncate, fd, length));
	return result;
}

int ftruncate64(int fd, off64_t length)
{
	return ftruncate(fd, length);
}

int posix_fallocate(int fd, off_t offset, off_t length)
{
	int result;

	if (meant(fd) && it_is(CLASS_WRITE)) {
		if (plan.fail)
			return plan.fail;
		result = (int)syscall(SYS_fallocate, fd, 0, offset, length);
		end_here();
	}
	result = (int)syscall(SYS_fallocate, fd, 0, offset, length);
	return result == 0 ? 0 : errno;
}

int posix_fallocate64(int fd, off64_t offset, off64_t length)
{
	return posix_fallocate(fd, offset, length);
}

static int sync_file(int fd, long number)
{
	int result;

	if (!meant(fd))
		return (int)syscall(number, fd);
	if (plan.record >= 0) {
		pthread_mutex_lock(&lock);
		note('S', names[fd], 0, NULL, 0);
		pthread_mutex_unlock(&lock);
	}
	CALL(CLASS_SYNC, result, -1, (int)syscall(number, fd));
	return result;
}

int fsync(int fd)
{
	return sync_file(fd, SYS_fsync);
}

int fdatasync(int fd)
{
	return sync_file(fd, SYS_fdatasync);
}

ssize_t pread(int fd, void *bytes, size_t length, off_t offset)
{
	ssize_t result;

	if (!meant(fd))
		return syscall(SYS_pread64, fd, bytes, length, offset);
	CALL(CLASS_READ, result, -1, syscall(SYS_pread64, fd, bytes, length, offset));
	return result;
}

ssize_t pread64(int fd, void *bytes, size_t length, off64_t offset)
{
	return pread(fd, bytes, length, offset);
}

/* --- sockets of the network ---------------------------------------------------------- */

/* The service's own pairs of sockets are no network. */
static bool network(int fd)
{
	int domain = 0;
	socklen_t length = sizeof(domain);

	return plan.what == CLASS_SOCKET && getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 &&
	       (domain == AF_INET || domain == AF_INET6);
}

int socket(int domain, int type, int protocol)
{
	int result;

	NEXT(socket);
	if (domain != AF_INET && domain != AF_INET6)
		return next_socket(domain, type, protocol);
	CALL(CLASS_SOCKET, result, -1, next_socket(domain, type, protocol));
	return result;
}

int connect(int fd, const struct sockaddr *address, socklen_t length)
{
	int result;

	NEXT(connect);
	if (address->sa_family != AF_INET && address->sa_family != AF_INET6)
		return next_connect(fd, address, length);
	CALL(CLASS_SOCKET, result, -1, next_connect(fd, address, length));
	return result;
}

ssize_t send(int fd, const void *bytes, size_t length, int flags)
{
	ssize_t result;

	NEXT(send);
	if (!network(fd))
		return next_send(fd, bytes, length, flags);
	CALL(CLASS_SOCKET, result, -1, next_send(fd, bytes, length, flags));
	return result;
}

ssize_t recv(int fd, void *bytes, size_t length, int flags)
{
	ssize_t result;

	NEXT(recv);
	if (!network(fd))
		return next_recv(fd, bytes, length, flags);
	CALL(CLASS_SOCKET, result, -1, next_recv(fd, bytes, length, flags));
	return result;
}

/* --- memory ------------------------------------------------------------------------- */

#ifndef WITH_SANITIZER /* which takes nothing back that the C library gave */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);

void *malloc(size_t size)
{
	void *result;

	CALL(CLASS_MEMORY, result, NULL, __libc_malloc(size));
	return result;
}

void *calloc(size_t count, size_t size)
{
	void *result;

	CALL(CLASS_MEMORY, result, NULL, __libc_calloc(count, size));
	return result;
}

void *realloc(void *old, size_t size)
{
	void *result;

	CALL(CLASS_MEMORY, result, NULL, __libc_realloc(old, size));
	return result;
}
#endif
