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

/* A worker's heap breathes with every request; giving pages back and taking them again costs system
 * calls (0.1 for each request were counted with the defaults). */
void tune_heap(void)
{
    /* NOLINTBEGIN(concurrency-mt-unsafe): before any thread starts */
    mallopt(M_TRIM_THRESHOLD, 4 << 20);
    mallopt(M_TOP_PAD, 256 << 10);
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    /* NOLINTEND(concurrency-mt-unsafe) */
}

void notify_supervisor(const char *state)
{
#ifdef HAVE_SYSTEMD
    sd_notify(0, state);
#else
    (void)state;
#endif
}
