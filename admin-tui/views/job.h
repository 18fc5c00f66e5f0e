/* What may take long, on a thread of its own: a subcommand in the words of the command line, or a
 * change of the store. One at a time; the screen goes on. */
#ifndef VIEWS_JOB_H
#define VIEWS_JOB_H
#include "base/err.h"
#include "base/sbuf.h"
#include "cli/cli.h"

struct job_box;

/** CONFIG (NULL: where it is found by default) is what commands read, each time anew, on their
 * thread: nobody else may call conf_load while one runs. */
enum err job_box_create(const char *config, struct job_box **ret) NODISCARD;
/** Waits for the job that runs. */
void job_box_destroy(struct job_box *b);
bool job_is_running(const struct job_box *b);
/** Runs `credswap ARGV...` (without the name, COUNT words; copied) as --yes --no-input; INPUT (may
 * be empty; copied, wiped afterwards) is its standard input. WHAT names it for people. ERR_BUSY:
 * one runs, or its result was not fetched; ERR_INVALID: too many words, or one that never ends
 * (--follow). */
enum err job_run(struct job_box *b, const char *const *argv, int count, struct slice input,
                 const char *what) NODISCARD;
/** The next job_run is of what a person reviewed at GENERATION of the settings: it changes nothing
 * when somebody else changed them since. */
void job_reviewed(struct job_box *b, int64_t generation);
/** Runs CHANGE as one audited transaction; WHAT is the audit sentence too. ARG is freed by FREE_ARG
 * (may be NULL) on that thread, and stays the caller's on an error here. */
enum err job_change(struct job_box *b, cli_change_cb change, void *arg, void (*free_arg)(void *arg),
                    const char *what) NODISCARD;
/** Readable when a job has ended. */
int job_fd(const struct job_box *b);
struct job_result {
    const char *what;
    int code;          /* sysexits, 0 done */
    struct slice out;  /* NUL-terminated: what it printed; may hold a new placeholder */
    struct slice talk; /* what it said, without "credswap: " */
};
/** True, once for each job: it has ended. RET is valid until the next job or job_forget. */
bool job_result(struct job_box *b, struct job_result *ret);
/** Wipes what the last one printed. */
void job_forget(struct job_box *b);

#endif
