/* Jobs: commands and changes on a thread of their own, their results, their secrets. */
#include "desk.h"

#include "base/clock.h"
#include "base/mem.h"
#include "store/pool.h"
#include "store/store.h"
#include "views/job.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>

struct rig {
    struct desk d;
    struct job_box *b;
};

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    desk_open(&r->d);
    assert_int_equal(desk_run(&r->d, "ca init"), 0);
    *state = r;
    return job_box_create(r->d.conf, &r->b) != ERR_OK;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    mem_fail_after(0, 0);
    job_box_destroy(r->b);
    desk_close(&r->d);
    free(r);
    return 0;
}

static struct job_result await(struct rig *r)
{
    struct pollfd p = {.fd = job_fd(r->b), .events = POLLIN};
    struct job_result got = {0};
    assert_true(job_is_running(r->b));
    assert_int_equal(poll(&p, 1, 60000), 1);
    assert_true(job_result(r->b, &got));
    assert_false(job_is_running(r->b));
    assert_false(job_result(r->b, &got));
    assert_int_equal(poll(&p, 1, 0), 0);
    return got;
}

#define RUN(r, input, ...)                                                                         \
    job_run((r)->b, ((const char *const[]){__VA_ARGS__}),                                          \
            sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), input, "what it does")
#define NOTHING ((struct slice){NULL, 0})

static void assert_text(struct slice got, const char *want)
{
    assert_int_equal(got.p[got.n], '\0');
    assert_string_equal(got.p, want);
}

static void a_command_prints_into_memory(void **state)
{
    struct rig *r = *state;
    assert_int_equal(RUN(r, NOTHING, "client", "add", "mia", "--service", "gemini"), ERR_OK);
    struct job_result got = await(r);
    assert_int_equal(got.code, 0);
    assert_string_equal(got.what, "what it does");
    assert_true(slice_starts(got.out, SLICE("gemini-"))); /* the new placeholder, once */
    assert_true(slice_starts(got.talk, SLICE("client mia")));
    job_forget(r->b);
    assert_int_equal(RUN(r, NOTHING, "client", "list", "--json"), ERR_OK);
    got = await(r);
    assert_non_null(strstr(got.out.p, "\"mia\""));
    assert_text(got.talk, "");
}

static void a_command_that_fails_says_why_without_its_name(void **state)
{
    struct rig *r = *state;
    assert_int_equal(RUN(r, NOTHING, "account", "drain", "nobody"), ERR_OK);
    struct job_result got = await(r);
    assert_int_equal(got.code, EX_FAILED);
    assert_text(got.talk, "no such account: nobody\n");
    assert_text(got.out, "");
    assert_int_equal(RUN(r, NOTHING, "no-such-noun"), ERR_OK);
    got = await(r);
    assert_int_equal(got.code, EX_USAGE);
    assert_true(slice_starts(got.talk, SLICE("there is no")));
}

static void one_job_at_a_time(void **state)
{
    struct rig *r = *state;
    struct job_result got;
    assert_false(job_result(r->b, &got));
    assert_int_equal(RUN(r, NOTHING, "status"), ERR_OK);
    assert_int_equal(RUN(r, NOTHING, "status"), ERR_BUSY);
    assert_int_equal(job_change(r->b, NULL, NULL, NULL, "x"), ERR_BUSY);
    (void)await(r);
    assert_int_equal(RUN(r, NOTHING, "events", "--follow"), ERR_INVALID); /* it would never end */
    assert_false(job_is_running(r->b));
    assert_int_equal(RUN(r, NOTHING, "events"), ERR_OK);
    assert_int_equal(await(r).code, 0);
}

static void a_box_that_goes_waits_for_its_job(void **state)
{
    struct rig *r = *state;
    assert_int_equal(RUN(r, NOTHING, "pool", "set", "gemini", "x=1"), ERR_OK);
    job_box_destroy(r->b);
    r->b = NULL;
}

/* ---- changes ---- */

static enum err add_pool(struct cli *c, void *arg, struct errmsg *msg)
{
    const int *how = arg;
    enum err e = pool_add(c->store, SLICE("spare"), msg);
    return e == ERR_OK && *how ? err_set(msg, ERR_INVALID, "not today") : e;
}

static void a_change_is_one_audited_transaction(void **state)
{
    struct rig *r = *state;
    int *how = malloc(sizeof *how);
    *how = 1;
    assert_int_equal(job_change(r->b, add_pool, how, free, "pool spare"), ERR_OK);
    struct job_result got = await(r);
    assert_int_equal(got.code, EX_DATAERR);
    assert_text(got.talk, "not today\n");
    how = malloc(sizeof *how);
    *how = 0;
    assert_int_equal(job_change(r->b, add_pool, how, free, "pool spare"), ERR_OK);
    assert_int_equal(await(r).code, 0); /* the first one left nothing behind */
    assert_int_equal(desk_run(&r->d, "events --kind audit"), 0);
    assert_non_null(strstr(r->d.out, "pool spare"));
}

struct holder {
    char path[128];
    int held; /* eventfd */
};

static void *hold(void *arg)
{
    struct holder *h = arg;
    struct store *s = NULL;
    struct errmsg msg;
    uint64_t one = 1;
    assert_int_equal(store_open(h->path, STORE_PATIENT, &s, &msg), ERR_OK);
    assert_int_equal(store_begin(s, &msg), ERR_OK);
    assert_int_equal(write(h->held, &one, sizeof one), sizeof one);
    usleep(400 * 1000);
    store_close(s);
    return NULL;
}

static void a_job_waits_while_another_has_the_store(void **state)
{
    struct rig *r = *state;
    struct holder h = {.held = eventfd(0, EFD_CLOEXEC)};
    pthread_t t;
    uint64_t one;
    snprintf(h.path, sizeof h.path, "%s/db", r->d.dir);
    assert_int_equal(pthread_create(&t, NULL, hold, &h), 0);
    assert_int_equal(read(h.held, &one, sizeof one), sizeof one);
    uint64_t before = clock_mono_ms();
    assert_int_equal(RUN(r, NOTHING, "host", "set", "example.com", "deny"), ERR_OK);
    assert_true(clock_mono_ms() - before < 300); /* who starts it goes on at once */
    assert_int_equal(await(r).code, 0);
    pthread_join(t, NULL);
    close(h.held);
}

/* ---- secrets ---- */

/* memchr finds the few places where it is worth looking: memory is nearly all zeros. */
static int count_twins(const unsigned char *p, size_t size, const unsigned char *twin, size_t n)
{
    int found = 0;
    const unsigned char *end = p + size, *at = p;
    while ((size_t)(end - at) >= n &&
           (at = memchr(at, (unsigned char)~twin[0], (size_t)(end - at)))) {
        size_t k = 0;
        while (k < n && at + k < end && (at[k] ^ twin[k]) == 0xff)
            k++;
        found += k == n;
        at++;
    }
    return found;
}

/* Pages that were never touched are left out: a sanitizer sets aside very many. */
static bool is_touched(uint64_t from, size_t size)
{
    unsigned char pages[257] = {0};
    if (mincore((void *)(uintptr_t)(from & ~4095ULL), size + (from & 4095), pages) != 0)
        return true;
    return memchr(pages, 1, sizeof pages) != NULL;
}

/* How often our writable memory holds the N bytes that are TWIN with each bit turned. */
static int find_in_memory(const unsigned char *twin, size_t n)
{
    static unsigned char piece[1 << 20];
    char line[512];
    int found = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    assert_true(maps && mem >= 0);
    while (fgets(line, sizeof line, maps)) {
        char *end = NULL;
        uint64_t from = strtoull(line, &end, 16), to = strtoull(end + 1, &end, 16);
        if (strncmp(end, " rw", 3) != 0 || to - from > 256u << 20)
            continue; /* not memory of ours, or a sanitizer's */
        while (from < to) {
            size_t want = to - from < sizeof piece ? (size_t)(to - from) : sizeof piece;
            bool is_piece = from <= (uint64_t)(uintptr_t)piece + sizeof piece &&
                            from + want >= (uint64_t)(uintptr_t)piece;
            long got = is_piece || !is_touched(from, want) /* not through a sanitizer's pread */
                           ? 0
                           : syscall(SYS_pread64, mem, piece, want, (off_t)from);
            found += got > 0 ? count_twins(piece, (size_t)got, twin, n) : 0;
            from += want > n && to - from > want ? want - n : want;
        }
    }
    fclose(maps);
    close(mem);
    mem_wipe(piece, sizeof piece);
    return found;
}

#define SECRET_BYTES 64
#define END_BYTES 24 /* what is looked for: free() writes over the start of a block */

static void make_secret(char secret[SECRET_BYTES], unsigned char twin[END_BYTES], char first)
{
    memset(secret, 'k', SECRET_BYTES);
    for (size_t i = 0; i < END_BYTES; i++) {
        twin[i] = (unsigned char)~(first + (int)i * 7 % 26);
        secret[SECRET_BYTES - END_BYTES + i] = (char)~twin[i];
    }
}

static void what_was_freed_is_found(void **state)
{
    unsigned char twin[END_BYTES];
    char *secret = malloc(SECRET_BYTES);
    make_secret(secret, twin, 'a');
    assert_int_equal(find_in_memory(twin, sizeof twin), 1);
    free(secret);
    assert_int_equal(find_in_memory(twin, sizeof twin), 1);
}

static void a_secret_on_input_does_not_stay(void **state)
{
    struct rig *r = *state;
    unsigned char twin[END_BYTES];
    char secret[SECRET_BYTES];
    make_secret(secret, twin, 'A');
    assert_int_equal(find_in_memory(twin, sizeof twin), 1);
    assert_int_equal(RUN(r, slice_make(secret, sizeof secret), "account", "add", "--kind",
                         "api-key", "--host", "api.anthropic.com", "--name", "c1", "-"),
                     ERR_OK);
    mem_wipe(secret, sizeof secret);
    struct job_result got = await(r);
    if (got.code)
        print_error("%s\n", got.talk.p);
    assert_int_equal(got.code, 0);
    assert_int_equal(find_in_memory(twin, sizeof twin), 0);
    assert_int_equal(desk_run(&r->d, "account list"), 0);
    assert_non_null(strstr(r->d.out, "c1"));
}

static void a_new_placeholder_is_forgotten_with_its_job(void **state)
{
    struct rig *r = *state;
    unsigned char twin[END_BYTES];
    assert_int_equal(RUN(r, NOTHING, "client", "add", "mia", "--service", "gemini"), ERR_OK);
    struct job_result got = await(r);
    assert_true(got.code == 0 && slice_find(got.out, '\n', 0) > 7 + END_BYTES);
    for (size_t i = 0; i < END_BYTES; i++)
        twin[i] = (unsigned char)~(unsigned char)got.out.p[7 + i]; /* behind "gemini-" */
    assert_true(find_in_memory(twin, sizeof twin) >= 1);
    job_forget(r->b);
    assert_int_equal(find_in_memory(twin, sizeof twin), 0);
}

static void input_too_large_is_refused(void **state)
{
    struct rig *r = *state;
    static char big[5000];
    memset(big, 'a', sizeof big);
    assert_int_equal(RUN(r, slice_make(big, sizeof big), "account", "add", "--kind", "api-key",
                         "--host", "api.anthropic.com", "--name", "c1", "-"),
                     ERR_OK);
    struct job_result got = await(r);
    assert_int_equal(got.code, EX_DATAERR);
    assert_non_null(strstr(got.talk.p, "larger than"));
    assert_int_equal(RUN(r, SLICE(""), "account", "add", "--kind", "api-key", "--host",
                         "api.anthropic.com", "--name", "c1", "-"),
                     ERR_OK);
    assert_int_equal(await(r).code, EX_NOINPUT); /* and nobody was asked at a terminal */
}

static void no_memory_is_no_job(void **state)
{
    struct rig *r = *state;
    int failures = 0;
    for (long n = 1; n < 20; n++) {
        mem_fail_after(n, 0);
        enum err e = RUN(r, SLICE("x"), "status");
        mem_fail_after(0, 0);
        if (e == ERR_OK)
            break;
        assert_int_equal(e, ERR_NOMEM);
        assert_false(job_is_running(r->b));
        failures++;
    }
    assert_int_equal(failures, 8); /* the input, six words, the name */
    (void)await(r);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_command_prints_into_memory),
        T(a_command_that_fails_says_why_without_its_name),
        T(one_job_at_a_time),
        T(a_box_that_goes_waits_for_its_job),
        T(a_change_is_one_audited_transaction),
        T(a_job_waits_while_another_has_the_store),
        cmocka_unit_test(what_was_freed_is_found),
        T(a_secret_on_input_does_not_stay),
        T(a_new_placeholder_is_forgotten_with_its_job),
        T(input_too_large_is_refused),
        T(no_memory_is_no_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
