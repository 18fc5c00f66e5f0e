/* What the processes below one have used: CPU time and memory, read from /proc. */
#ifndef BENCH_TREE_H
#define BENCH_TREE_H
#include <stdint.h>
#include <sys/types.h>

struct memory {
    uint64_t pss_kb, rss_kb;
};

/** User and kernel time of ROOT and all its children, threads included; 0 for no process. */
uint64_t tree_cpu_ns(pid_t root);
/** Zero where the kernel does not let us look. */
struct memory tree_memory(pid_t root);

#endif
