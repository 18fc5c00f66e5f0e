/* Preloaded into the daemon by run.py: while the byte in the file that CREDSWAP_STILL names is set,
 * time stands still for the worker threads, so that what they do once a second does not come into
 * the count. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    CLOCKS = 8
};

static const volatile char *is_still;
static _Thread_local struct timespec held[CLOCKS];
static _Thread_local bool is_held[CLOCKS];

__attribute__((constructor)) static void find_switch(void)
{
    const char *name = getenv("CREDSWAP_STILL");
    int fd = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    void *page = fd < 0 ? MAP_FAILED : mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (page != MAP_FAILED)
        is_still = page;
}

static bool is_worker(void)
{
    char name[16] = "";
    return prctl(PR_GET_NAME, name) == 0 && !strncmp(name, "worker-", 7);
}

int clock_gettime(clockid_t id, struct timespec *t)
{
    bool can_hold = is_still && *is_still && id >= 0 && id < CLOCKS;
    if (can_hold && is_held[id]) {
        *t = held[id];
        return 0;
    }
    int r = (int)syscall(SYS_clock_gettime, id, t);
    if (r == 0 && can_hold && is_worker()) {
        held[id] = *t;
        is_held[id] = true;
    }
    return r;
}
