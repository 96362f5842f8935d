/* Loaded into espalier before the C library: the FAULT_AT-th call of the kind FAULT_CALL is met by
 * FAULT_HOW: "kill" and "stop" send the process a signal before the call, a number is the errno with
 * which the call fails. Calls on anything but plain files are not counted. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_int calls;

/* The errno with which this call fails; 0 lets it through. */
static int fault(const char *call) {
    const char *which = getenv("FAULT_CALL"), *at = getenv("FAULT_AT"), *how = getenv("FAULT_HOW");
    if (!which || !at || !how || strcmp(which, call) != 0 || atomic_fetch_add(&calls, 1) + 1 != atoi(at)) return 0;
    if (strcmp(how, "kill") == 0) raise(SIGKILL);
    if (strcmp(how, "stop") == 0) raise(SIGSTOP); /* this thread, at once, and then the others */
    return atoi(how);
}

static int is_plain(int fd) {
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

#define REFUSE_IF(condition)           \
    do {                               \
        int error = (condition);       \
        if (error) {                   \
            errno = error;             \
            return -1;                 \
        }                              \
    } while (0)
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int rename(const char *from, const char *to) {
    REFUSE_IF(fault("rename"));
    return REAL(rename)(from, to);
}

int unlink(const char *path) {
    REFUSE_IF(fault("remove"));
    return REAL(unlink)(path);
}

int unlinkat(int directory, const char *path, int flags) {
    REFUSE_IF(fault("remove"));
    return REAL(unlinkat)(directory, path, flags);
}

int fsync(int fd) {
    REFUSE_IF(fault("sync"));
    return REAL(fsync)(fd);
}

int fdatasync(int fd) {
    REFUSE_IF(fault("sync"));
    return REAL(fdatasync)(fd);
}

ssize_t write(int fd, const void *bytes, size_t length) {
    REFUSE_IF(is_plain(fd) ? fault("write") : 0);
    return REAL(write)(fd, bytes, length);
}

int flock(int fd, int operation) {
    REFUSE_IF(fault("lock"));
    return REAL(flock)(fd, operation);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    REFUSE_IF(flags & O_CREAT ? fault("create") : 0);
    return REAL(open64)(path, flags, mode);
}
