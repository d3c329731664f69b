/* Counts what a process does on the disk under one folder, and fails it at one point.
 *
 * Loaded before the C library. Nothing is counted until `faults_arm` is called.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { NONE, KILL, TEAR, FULL, SYNC };
enum operation { OTHER, MAKE, WRITE, FLUSH };
enum { HALF = -1 };

static char folder[PATH_MAX];
static enum kind fault;
static long fault_at;
static atomic_long count;
static int log_file = -1;

/* Fails the process's `at`-th operation under `path`, which has no links in it. */
void faults_arm(const char *path, const char *kind, long at, const char *log)
{
    static const char *names[] = {"none", "kill", "tear", "full", "sync"};
    for (int i = NONE; i <= SYNC; i++)
        if (!strcmp(kind, names[i]))
            fault = i;
    fault_at = at;
    atomic_store(&count, 0);
    if (*log)
        log_file = syscall(SYS_openat, AT_FDCWD, log,
                           O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    snprintf(folder, sizeof folder, "%s", path);
}

/* Returns how many operations there have been since. */
long faults_count(void)
{
    return atomic_load(&count);
}

static void die(void)
{
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;)
        pause();
}

static int inside(const char *path)
{
    size_t length = strlen(folder);
    return length && !strncmp(path, folder, length)
        && (path[length] == '/' || !path[length]);
}

static void path_of_descriptor(int descriptor, char *path)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = 0;
}

static void path_at(int directory, const char *name, char *path)
{
    char start[PATH_MAX] = "";
    if (*name != '/' && directory == AT_FDCWD)
        strcpy(start, getcwd(path, PATH_MAX) ? path : "");
    else if (*name != '/')
        path_of_descriptor(directory, start);
    if (snprintf(path, PATH_MAX, "%s%s%s", start, *start ? "/" : "", name) >= PATH_MAX)
        *path = 0;
}

static void note(const char *name, const char *path, const char *target)
{
    char line[2 * PATH_MAX + 64];
    int length = snprintf(line, sizeof line, "%s\t%s\t%s\n", name, path, target);
    if (log_file >= 0)
        syscall(SYS_write, log_file, line, length);
}

/* Counts one operation. Returns the error to fail with, `HALF`, or 0. */
static int meet(const char *name, const char *path, const char *target,
                enum operation operation)
{
    if (!inside(path) && !inside(target))
        return 0;
    note(name, path, target);
    long number = atomic_fetch_add(&count, 1) + 1;
    if (number == fault_at && fault == TEAR && operation == WRITE)
        return HALF;
    if (number == fault_at && (fault == KILL || fault == TEAR))
        die();
    if (number < fault_at)
        return 0;
    if (fault == FULL && (operation == MAKE || operation == WRITE))
        return ENOSPC;
    return fault == SYNC && operation == FLUSH ? EIO : 0;
}

static int meet_name(const char *name, int directory, const char *file,
                     enum operation operation)
{
    char path[PATH_MAX];
    if (!*folder)
        return 0;
    path_at(directory, file, path);
    return meet(name, path, "", operation);
}

static int meet_names(const char *name, int from, const char *file, int to,
                      const char *target)
{
    char path[PATH_MAX], second[PATH_MAX];
    if (!*folder)
        return 0;
    path_at(from, file, path);
    path_at(to, target, second);
    return meet(name, path, second, MAKE);
}

static int meet_descriptor(const char *name, int descriptor, enum operation operation)
{
    char path[PATH_MAX];
    if (!*folder)
        return 0;
    path_of_descriptor(descriptor, path);
    return meet(name, path, "", operation);
}

static size_t size_of(int descriptor)
{
    struct stat found;
    return fstat(descriptor, &found) ? 0 : found.st_size;
}

#define NEXT(type, name, ...)                                                          \
    static type (*next)(__VA_ARGS__);                                                  \
    if (!next)                                                                         \
    next = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

#define FAIL_ON(met)                                                                   \
    do {                                                                               \
        int error = (met);                                                             \
        if (error) {                                                                   \
            errno = error;                                                             \
            return -1;                                                                 \
        }                                                                              \
    } while (0)

/* Fails, or writes `half` of the bytes and dies, or goes on. */
#define MEET_WRITE(descriptor, half)                                                   \
    do {                                                                               \
        int met = meet_descriptor("write", descriptor, WRITE);                         \
        if (met == HALF) {                                                             \
            (void)!half;                                                               \
            die();                                                                     \
        }                                                                              \
        FAIL_ON(met);                                                                  \
    } while (0)

static int meet_open(int directory, const char *file, int flags)
{
    if (!*folder || (flags & O_ACCMODE) == O_RDONLY)
        return 0;
    int new = (flags & O_CREAT) && faccessat(directory, file, F_OK, 0);
    return meet_name("open", directory, file, new ? MAKE : OTHER);
}

#define MODE                                                                           \
    mode_t mode = 0;                                                                   \
    if (flags & (O_CREAT | __O_TMPFILE)) {                                             \
        va_list rest;                                                                  \
        va_start(rest, flags);                                                         \
        mode = va_arg(rest, mode_t);                                                   \
        va_end(rest);                                                                  \
    }

#define OPEN(name)                                                                     \
    int name(const char *file, int flags, ...)                                         \
    {                                                                                  \
        MODE;                                                                          \
        NEXT(int, name, const char *, int, ...);                                       \
        FAIL_ON(meet_open(AT_FDCWD, file, flags));                                     \
        return next(file, flags, mode);                                                \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                   \
    int name(int directory, const char *file, int flags, ...)                          \
    {                                                                                  \
        MODE;                                                                          \
        NEXT(int, name, int, const char *, int, ...);                                  \
        FAIL_ON(meet_open(directory, file, flags));                                    \
        return next(directory, file, flags, mode);                                     \
    }
OPENAT(openat)
OPENAT(openat64)

#define CREAT(name)                                                                    \
    int name(const char *file, mode_t mode)                                            \
    {                                                                                  \
        NEXT(int, name, const char *, mode_t);                                         \
        FAIL_ON(meet_open(AT_FDCWD, file, O_CREAT | O_WRONLY | O_TRUNC));              \
        return next(file, mode);                                                       \
    }
CREAT(creat)
CREAT(creat64)

ssize_t write(int descriptor, const void *bytes, size_t size)
{
    NEXT(ssize_t, write, int, const void *, size_t);
    MEET_WRITE(descriptor, next(descriptor, bytes, size / 2));
    return next(descriptor, bytes, size);
}

#define PWRITE(name, offset_type)                                                      \
    ssize_t name(int descriptor, const void *bytes, size_t size, offset_type offset)   \
    {                                                                                  \
        NEXT(ssize_t, name, int, const void *, size_t, offset_type);                   \
        MEET_WRITE(descriptor, next(descriptor, bytes, size / 2, offset));             \
        return next(descriptor, bytes, size, offset);                                  \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t writev(int descriptor, const struct iovec *parts, int number)
{
    NEXT(ssize_t, writev, int, const struct iovec *, int);
    struct iovec first = {parts->iov_base, parts->iov_len / 2};
    MEET_WRITE(descriptor, next(descriptor, &first, 1));
    return next(descriptor, parts, number);
}

#define SENDFILE(name, offset_type)                                                    \
    ssize_t name(int target, int source, offset_type *offset, size_t size)             \
    {                                                                                  \
        NEXT(ssize_t, name, int, int, offset_type *, size_t);                          \
        MEET_WRITE(target, next(target, source, offset, size_of(source) / 2));         \
        return next(target, source, offset, size);                                     \
    }
SENDFILE(sendfile, off_t)
SENDFILE(sendfile64, off64_t)

ssize_t copy_file_range(int source, off64_t *from, int target, off64_t *to,
                        size_t size, unsigned int flags)
{
    NEXT(ssize_t, copy_file_range, int, off64_t *, int, off64_t *, size_t, unsigned int);
    MEET_WRITE(target, next(source, from, target, to, size_of(source) / 2, flags));
    return next(source, from, target, to, size, flags);
}

int fsync(int descriptor)
{
    NEXT(int, fsync, int);
    FAIL_ON(meet_descriptor("fsync", descriptor, FLUSH));
    return next(descriptor);
}

int fdatasync(int descriptor)
{
    NEXT(int, fdatasync, int);
    FAIL_ON(meet_descriptor("fsync", descriptor, FLUSH));
    return next(descriptor);
}

#define FTRUNCATE(name, size_type)                                                     \
    int name(int descriptor, size_type size)                                           \
    {                                                                                  \
        NEXT(int, name, int, size_type);                                               \
        FAIL_ON(meet_descriptor("truncate", descriptor, OTHER));                     \
        return next(descriptor, size);                                                 \
    }
FTRUNCATE(ftruncate, off_t)
FTRUNCATE(ftruncate64, off64_t)

int close(int descriptor)
{
    NEXT(int, close, int);
    if (*folder && descriptor != log_file) {
        int flags = fcntl(descriptor, F_GETFL);
        if (flags >= 0 && (flags & O_ACCMODE) != O_RDONLY)
            meet_descriptor("close", descriptor, OTHER);
    }
    return next(descriptor);
}

int rename(const char *file, const char *target)
{
    NEXT(int, rename, const char *, const char *);
    FAIL_ON(meet_names("rename", AT_FDCWD, file, AT_FDCWD, target));
    return next(file, target);
}

int renameat(int from, const char *file, int to, const char *target)
{
    NEXT(int, renameat, int, const char *, int, const char *);
    FAIL_ON(meet_names("rename", from, file, to, target));
    return next(from, file, to, target);
}

int renameat2(int from, const char *file, int to, const char *target, unsigned int flags)
{
    NEXT(int, renameat2, int, const char *, int, const char *, unsigned int);
    FAIL_ON(meet_names("rename", from, file, to, target));
    return next(from, file, to, target, flags);
}

int link(const char *file, const char *target)
{
    NEXT(int, link, const char *, const char *);
    FAIL_ON(meet_names("link", AT_FDCWD, file, AT_FDCWD, target));
    return next(file, target);
}

int linkat(int from, const char *file, int to, const char *target, int flags)
{
    NEXT(int, linkat, int, const char *, int, const char *, int);
    FAIL_ON(meet_names("link", from, file, to, target));
    return next(from, file, to, target, flags);
}

int symlink(const char *content, const char *file)
{
    NEXT(int, symlink, const char *, const char *);
    FAIL_ON(meet_name("link", AT_FDCWD, file, MAKE));
    return next(content, file);
}

int unlink(const char *file)
{
    NEXT(int, unlink, const char *);
    FAIL_ON(meet_name("unlink", AT_FDCWD, file, OTHER));
    return next(file);
}

int unlinkat(int directory, const char *file, int flags)
{
    NEXT(int, unlinkat, int, const char *, int);
    FAIL_ON(meet_name("unlink", directory, file, OTHER));
    return next(directory, file, flags);
}

int rmdir(const char *file)
{
    NEXT(int, rmdir, const char *);
    FAIL_ON(meet_name("unlink", AT_FDCWD, file, OTHER));
    return next(file);
}

int mkdir(const char *file, mode_t mode)
{
    NEXT(int, mkdir, const char *, mode_t);
    FAIL_ON(meet_name("mkdir", AT_FDCWD, file, MAKE));
    return next(file, mode);
}

int mkdirat(int directory, const char *file, mode_t mode)
{
    NEXT(int, mkdirat, int, const char *, mode_t);
    FAIL_ON(meet_name("mkdir", directory, file, MAKE));
    return next(directory, file, mode);
}
