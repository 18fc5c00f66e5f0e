/* The proxy's process tree: a peer may be a master with workers, so that the children count. */
#include "tree.h"

#include <ctype.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TREE_MAX = 64,
};

#define SECOND INT64_C(1000000000)

static bool read_file(const char *path, char *text, size_t room)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    size_t len = fread(text, 1, room - 1, f);
    text[len] = 0;
    fclose(f);
    return len > 0;
}

static pid_t parent_of(pid_t pid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    const char *after = read_file(path, text, sizeof text) ? strrchr(text, ')') : NULL;
    return after && strlen(after) > 4 ? (pid_t)strtol(after + 4, NULL, 10) : 0;
}

/* Calls each with the name of every number in a folder of /proc. */
static void each_number(const char *folder, void (*each)(const char *name, void *arg), void *arg)
{
    DIR *dir = opendir(folder);
    for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir))
        if (isdigit((unsigned char)e->d_name[0]))
            each(e->d_name, arg);
    if (dir)
        closedir(dir);
}

struct tree {
    pid_t root, pids[TREE_MAX];
    int count;
};

static void add_if_child(const char *name, void *arg)
{
    struct tree *tree = arg;
    pid_t pid = (pid_t)strtol(name, NULL, 10), up = pid;
    while (up > 1 && up != tree->root)
        up = parent_of(up);
    if (up == tree->root && tree->count < TREE_MAX)
        tree->pids[tree->count++] = pid;
}

static void find_tree(struct tree *tree, pid_t root)
{
    tree->root = root;
    tree->count = 0;
    if (root > 0)
        each_number("/proc", add_if_child, tree);
}

struct thread_sum {
    pid_t pid;
    uint64_t ns;
};

static void add_thread(const char *name, void *arg)
{
    struct thread_sum *sum = arg;
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/task/%.16s/schedstat", sum->pid, name);
    if (read_file(path, text, sizeof text)) {
        sum->ns += strtoull(text, NULL, 10);
        return;
    }
    snprintf(path, sizeof path, "/proc/%d/task/%.16s/stat", sum->pid, name);
    char *at = read_file(path, text, sizeof text) ? strrchr(text, ')') : NULL;
    for (int field = 2; at && field < 14; field++)
        at = strchr(at + 1, ' '); /* before utime */
    if (at) {
        uint64_t user = strtoull(at, &at, 10), kernel = strtoull(at, NULL, 10);
        sum->ns += (user + kernel) * (uint64_t)(SECOND / sysconf(_SC_CLK_TCK));
    }
}

uint64_t tree_cpu_ns(pid_t root)
{
    struct tree tree;
    uint64_t ns = 0;
    find_tree(&tree, root);
    for (int i = 0; i < tree.count; i++) {
        struct thread_sum sum = {.pid = tree.pids[i]};
        char folder[64];
        snprintf(folder, sizeof folder, "/proc/%d/task", sum.pid);
        each_number(folder, add_thread, &sum);
        ns += sum.ns;
    }
    return ns;
}

struct memory tree_memory(pid_t root)
{
    struct tree tree;
    struct memory sum = {0};
    char path[64], text[4096];
    find_tree(&tree, root);
    for (int i = 0; i < tree.count; i++) {
        snprintf(path, sizeof path, "/proc/%d/smaps_rollup", tree.pids[i]);
        if (!read_file(path, text, sizeof text))
            continue;
        const char *pss = strstr(text, "\nPss:"), *rss = strstr(text, "\nRss:");
        sum.pss_kb += pss ? strtoull(pss + 5, NULL, 10) : 0;
        sum.rss_kb += rss ? strtoull(rss + 5, NULL, 10) : 0;
    }
    return sum;
}
