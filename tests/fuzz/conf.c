/* room: conf */
/* drives: common/conf/scan.c common/conf/values.c common/conf/load.c */
/* dict: conf */
/* Any bytes as a configuration file: no crash, no leak, and what is accepted can be shown. A first
 * line "#env NAME=VALUE" is the environment and "#fail N" the allocation that fails while the same
 * bytes are read as a file. */
#include "conf/conf.h"

#include "base/check.h"
#include "base/mem.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void show(struct conf *c)
{
    FILE *out = fopen("/dev/null", "we");
    if (out) {
        conf_dump(c, out, true, false);
        conf_dump(c, out, true, true);
        fclose(out);
    }
    conf_destroy(c);
}

static void load(struct slice text)
{
    char path[64], name[64], value[256];
    struct conf *c = NULL;
    struct errmsg msg = {""};
    struct slice rest = text, line = {"", 0};
    uint64_t fail = 0;
    (void)slice_next(&rest, '\n', &line);
    size_t at = slice_find(line, '=', 0);
    bool has_env = slice_starts(line, SLICE("#env CREDSWAP_")) && at < line.n &&
                   slice_copy(slice_sub(line, 5, at), name, sizeof name) &&
                   slice_copy(slice_sub(line, at + 1, line.n), value, sizeof value);
    if (slice_starts(line, SLICE("#fail ")))
        (void)slice_to_u64(slice_sub(line, 6, line.n), &fail);
    if (!has_env && !fail)
        return;
    int fd = memfd_create("conf", MFD_CLOEXEC);
    CHECK(fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (has_env)
        setenv(name, value, 1);
    mem_fail_after((long)(fail % 1000), 0);
    enum err e = conf_load(path, &c, &msg);
    mem_fail_after(0, 0);
    if (has_env)
        unsetenv(name);
    CHECK((e == ERR_OK) == (c != NULL) && (e == ERR_OK || *msg.text));
    if (c)
        show(c);
    close(fd);
    CHECK(conf_load("/nowhere/credswap.conf", &c, &msg) == ERR_CONFIG);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct conf *c = NULL;
    struct errmsg msg;
    if (conf_parse(slice_make(data, size), "fuzz.conf", &c, &msg) == ERR_OK)
        show(c);
    load(slice_make(data, size));
    return 0;
}
