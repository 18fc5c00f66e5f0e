/* What a process that holds everyone's keys does first: no core, no ptrace, no inheritance. */
#include "server/server_internal.h"

#include <malloc.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

void harden_process(void)
{
    const struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

void raise_descriptor_limit(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
        r.rlim_cur = r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
}

#define TRIM_KEEPS (256 << 10)

/* A worker's heap breathes with every request; giving pages back and taking them again costs system
 * calls (0.1 for each request were counted with the defaults). */
void tune_heap(void)
{
    /* NOLINTBEGIN(concurrency-mt-unsafe): before any thread starts */
    mallopt(M_TRIM_THRESHOLD, 4 << 20);
    mallopt(M_TOP_PAD, TRIM_KEEPS);
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    /* NOLINTEND(concurrency-mt-unsafe) */
}

#define CROWD 1024u
#define SETTLE_MS 10000u

bool crowd_left(struct crowd *c, uint64_t connections, uint64_t now_ms)
{
    if (connections > c->most)
        c->most = connections;
    if (c->most < CROWD || connections > c->most / 2) {
        c->due_ms = 0;
        return false;
    }
    if (c->due_ms == 0)
        c->due_ms = now_ms + SETTLE_MS;
    if (now_ms < c->due_ms)
        return false;
    *c = (struct crowd){.most = connections};
    return true;
}

/* What a crowd of connections took lies in the middle of the heaps when it has left, where free()
 * gives nothing back. Looking through them holds up each worker for some tens of ms, so it is done
 * seldom, and not for what a thousand connections held. */
void heap_follow(struct crowd *c, uint64_t connections, uint64_t now_ms)
{
    if (crowd_left(c, connections, now_ms))
        malloc_trim(TRIM_KEEPS);
}

void notify_supervisor(const char *state)
{
#ifdef HAVE_SYSTEMD
    sd_notify(0, state);
#else
    (void)state;
#endif
}
