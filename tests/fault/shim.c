/* Preloaded into the programs by tests: moves their wall clock, and lets writes to their store
 * fail, both while they run. CREDSWAP_SHIM names a file of three 64-bit numbers, mapped and shared:
 * nanoseconds to add to CLOCK_REALTIME, the errno of every write to a file of the store (0: none),
 * and where CLOCK_REALTIME stands still (nanoseconds, 0: it goes on). A file of two is one whose
 * third is 0. CREDSWAP_SHIM_HOST and CREDSWAP_SHIM_USER are what the machine and the user are
 * called. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
#define OURS __attribute__((visibility("default")))

static volatile int64_t *control;

__attribute__((constructor)) static void map_control(void)
{
    const char *path = getenv("CREDSWAP_SHIM");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *p = mmap(NULL, 3 * sizeof *control, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (p != MAP_FAILED)
        control = p;
}

/* ---- the clock ---- */

OURS int clock_gettime(clockid_t id, struct timespec *t)
{
    int r = (int)syscall(SYS_clock_gettime, id, t);
    if (r == 0 && control && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        int64_t ns = (int64_t)t->tv_sec * SECOND + t->tv_nsec + control[0];
        ns = control[2] ? control[2] : ns;
        t->tv_sec = (time_t)(ns / SECOND);
        t->tv_nsec = (long)(ns % SECOND);
    }
    return r;
}

OURS time_t time(time_t *ret)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (ret)
        *ret = t.tv_sec;
    return t.tv_sec;
}

OURS int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    (void)zone;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    tv->tv_sec = t.tv_sec;
    tv->tv_usec = t.tv_nsec / 1000;
    return 0;
}

/* ---- names ---- */

OURS int gethostname(char *buf, size_t size)
{
    const char *name = getenv("CREDSWAP_SHIM_HOST");
    struct utsname u;
    if (uname(&u) != 0)
        return -1;
    snprintf(buf, size, "%s", name ? name : u.nodename);
    return 0;
}

OURS int getpwuid_r(uid_t uid, struct passwd *pw, char *space, size_t size, struct passwd **ret)
{
    static char none[] = "";
    char *name = getenv("CREDSWAP_SHIM_USER");
    if (!name) {
        int (*real)(uid_t, struct passwd *, char *, size_t, struct passwd **);
        *(void **)&real = dlsym(RTLD_NEXT, "getpwuid_r");
        return real(uid, pw, space, size, ret);
    }
    *pw = (struct passwd){name, none, uid, uid, none, none, none};
    *ret = pw;
    return 0;
}

/* ---- the disk ---- */

static int refuses(int fd)
{
    char link[64], path[4096];
    if (!control || control[1] == 0)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0)
        return 0;
    path[n] = '\0';
    if (!strstr(path, "credswap.db"))
        return 0;
    errno = (int)control[1];
    return 1;
}

OURS ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at)
{
    return refuses(fd) ? -1 : syscall(SYS_pwrite64, fd, p, n, at);
}

OURS ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    return pwrite64(fd, p, n, at);
}

OURS int ftruncate64(int fd, off64_t size)
{
    return refuses(fd) ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

OURS int ftruncate(int fd, off_t size)
{
    return ftruncate64(fd, size);
}
