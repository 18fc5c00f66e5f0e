/* Who has it? The lock of the one daemon, and the process that holds SQLite's write lock. */
#include "store/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define PATH_SIZE 4096
/* What a writer locks: a byte of the -shm file (sqlite.org/walformat.html); bytes of the database
 * itself from the pending to the first shared one (sqlite.org/lockingv3.html) when it wants it for
 * itself. */
#define WAL_WRITE_LOCK 120
#define PENDING_LOCK 0x40000000
#define SHARED_LOCK (PENDING_LOCK + 2)

static int read_pid(int fd)
{
    char buf[24];
    ssize_t n = pread(fd, buf, sizeof buf - 1, 0);
    uint64_t pid = 0;
    if (n <= 0)
        return 0;
    struct slice text = slice_make(buf, (size_t)n);
    text = slice_sub(text, 0, slice_find(text, '\n', 0));
    return slice_to_u64(text, &pid) && pid < INT32_MAX ? (int)pid : 0;
}

static enum err take(int fd, const char *path, struct errmsg *msg)
{
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK)
            return err_set(msg, ERR_IO, "%s: cannot be locked (%s)", path, strerrordesc_np(errno));
        return err_set(msg, ERR_BUSY, "another credswapd (process %d) uses this store (%s)",
                       read_pid(fd), path);
    }
    char buf[24];
    int n = snprintf(buf, sizeof buf, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, buf, (size_t)n, 0) != n)
        return err_set(msg, ERR_IO, "%s: cannot be written (%s)", path, strerrordesc_np(errno));
    return ERR_OK;
}

enum err store_lock_daemon(const char *path, int *ret_fd, struct errmsg *msg)
{
    char name[PATH_SIZE];
    int n = snprintf(name, sizeof name, "%s.lock", path);
    if (n < 0 || (size_t)n >= sizeof name)
        return err_set(msg, ERR_INVALID, "store: the path is too long");
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_set(msg, errno == EACCES || errno == EROFS ? ERR_DENIED : ERR_IO,
                       "%s: cannot be opened (%s)", name, strerrordesc_np(errno));
    enum err e = take(fd, name, msg);
    if (e == ERR_OK)
        *ret_fd = fd;
    else
        close(fd);
    return e;
}

bool store_is_served(const char *path)
{
    char name[PATH_SIZE];
    int n = snprintf(name, sizeof name, "%s.lock", path);
    int fd = n > 0 && (size_t)n < sizeof name ? open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (fd < 0)
        return false;
    bool is_held = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    close(fd);
    return is_held;
}

/* The file stays: removing it could take it from under a process that has just opened it. */
void store_unlock_daemon(int fd)
{
    if (fd < 0)
        return;
    if (ftruncate(fd, 0) != 0)
        (void)0; /* only its text is stale then */
    close(fd);
}

/* "7: POSIX  ADVISORY  WRITE 4711 08:01:1234 120 120" */
static int holder_of_line(struct slice line, const struct stat *st, uint64_t first, uint64_t last)
{
    struct slice words[8] = {{NULL, 0}}, word;
    size_t n = 0;
    while (n < 8 && slice_next(&line, ' ', &word))
        if (word.n > 0)
            words[n++] = word;
    char file[64];
    snprintf(file, sizeof file, "%02x:%02x:%llu", major(st->st_dev), minor(st->st_dev),
             (unsigned long long)st->st_ino);
    uint64_t from = 0, pid = 0;
    if (n < 8 || !slice_eq(words[3], SLICE("WRITE")) || !slice_eq(words[5], slice_of(file)) ||
        !slice_to_u64(words[6], &from) || from < first || from > last)
        return 0;
    return slice_to_u64(words[4], &pid) && pid < INT32_MAX ? (int)pid : 0;
}

static int holder_of(const char *name, uint64_t first, uint64_t last)
{
    char line[256];
    struct stat st;
    if (stat(name, &st) != 0)
        return 0;
    FILE *f = fopen("/proc/locks", "re");
    if (!f)
        return 0;
    int pid = 0;
    while (pid == 0 && fgets(line, sizeof line, f)) {
        struct slice text = slice_of(line);
        text = slice_sub(text, 0, slice_find(text, '\n', 0));
        pid = holder_of_line(text, &st, first, last);
    }
    (void)!fclose(f);
    return pid;
}

int store_locked_by(const char *path)
{
    char name[PATH_SIZE];
    int n = snprintf(name, sizeof name, "%s-shm", path);
    if (n < 0 || (size_t)n >= sizeof name)
        return 0;
    int pid = holder_of(name, WAL_WRITE_LOCK, WAL_WRITE_LOCK);
    return pid ? pid : holder_of(path, PENDING_LOCK, SHARED_LOCK);
}
