/* Reading and writing of small files. */
#include "cli/input.h"

#include "base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

/* One more piece; *RET_N is 0 at the end. Where OUT is full, a single byte more is too much. */
static enum err read_piece(int fd, struct sbuf *out, size_t *ret_n)
{
    char extra = 0;
    size_t left = out->max - out->n, want = left < 4096 ? left : 4096;
    char *to = want ? sbuf_reserve(out, want) : &extra;
    if (!to)
        return ERR_NOMEM;
    ssize_t n = read(fd, to, want ? want : 1);
    if (n < 0)
        return errno == EINTR ? ERR_AGAIN : ERR_IO;
    if (n > 0 && want == 0)
        return ERR_TOO_LARGE;
    sbuf_commit(out, (size_t)n);
    *ret_n = (size_t)n;
    return ERR_OK;
}

static enum err read_all(int fd, struct sbuf *out)
{
    for (size_t n = 1; n > 0;) {
        enum err e = read_piece(fd, out, &n);
        if (e != ERR_OK && e != ERR_AGAIN)
            return e;
    }
    return ERR_OK;
}

static enum err read_given(struct slice given, struct sbuf *out)
{
    if (given.n > out->max - out->n)
        return ERR_TOO_LARGE;
    sbuf_add_slice(out, given);
    return out->failed ? ERR_NOMEM : ERR_OK;
}

int input_read(struct cli *c, const char *path, struct sbuf *out)
{
    bool is_stdin = strcmp(path, "-") == 0, is_given = is_stdin && c->input;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return cli_fail(c, errno == EACCES ? EX_NOPERM : EX_NOINPUT,
                        "cannot read %s: %s; check the path", path, strerrordesc_np(errno));
    enum err e = is_given ? read_given(*c->input, out) : read_all(fd, out);
    int why = errno;
    if (!is_stdin)
        close(fd);
    if (e == ERR_TOO_LARGE)
        return cli_fail(c, EX_DATAERR,
                        "%s is larger than %zu bytes; that is not what is wanted here",
                        is_stdin ? "standard input" : path, out->max);
    if (e != ERR_OK)
        return cli_fail(c, EX_NOINPUT, "cannot read %s: %s; check the path", path,
                        e == ERR_IO ? strerrordesc_np(why) : err_str(e));
    return 0;
}

static int ask_secret(struct cli *c, const char *prompt, struct sbuf *out)
{
    struct termios was, now;
    if (tcgetattr(STDIN_FILENO, &was) != 0)
        return cli_fail(c, EX_FAILED, "cannot switch the echo off; pipe the value instead");
    now = was;
    now.c_lflag &= ~(tcflag_t)ECHO;
    fprintf(c->talk, "%s: ", prompt);
    (void)fflush(c->talk);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &now);
    char byte;
    while (read(STDIN_FILENO, &byte, 1) == 1 && byte != '\n')
        sbuf_addc(out, byte);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &was);
    fputc('\n', c->talk);
    return out->failed ? cli_fail(c, EX_DATAERR, "that is too long") : 0;
}

int input_secret(struct cli *c, const char *prompt, struct sbuf *out)
{
    int code = 0;
    bool is_terminal = !c->input && isatty(STDIN_FILENO);
    if (is_terminal && c->args.no_input)
        return cli_fail(c, EX_USAGE, "%s is wanted on standard input; pipe it in", prompt);
    if (is_terminal)
        code = ask_secret(c, prompt, out);
    else
        code = input_read(c, "-", out);
    if (out->n && out->p[out->n - 1] == '\n')
        out->n--;
    if (out->n && out->p[out->n - 1] == '\r')
        out->n--;
    if (code == 0 && out->n == 0)
        return cli_fail(c, EX_NOINPUT, "nothing came on standard input; pipe in %s", prompt);
    return code;
}

static enum err io_failed(struct errmsg *msg, const char *verb, const char *path)
{
    int why = errno;
    enum err e = why == EEXIST ? ERR_EXISTS : why == EACCES || why == EPERM ? ERR_DENIED : ERR_IO;
    return err_set(msg, e, "cannot %s %s: %s", verb, path, strerrordesc_np(why));
}

static bool write_all(int fd, struct slice s)
{
    while (s.n) {
        ssize_t n = write(fd, s.p, s.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        s = slice_sub(s, (size_t)n, s.n);
    }
    return fsync(fd) == 0;
}

enum err output_new(const char *path, unsigned mode, struct slice bytes, struct errmsg *msg)
{
    char part[4096];
    if ((size_t)snprintf(part, sizeof part, "%s.%ld.part", path, (long)getpid()) >= sizeof part)
        return err_set(msg, ERR_INVALID, "the path %.60s... is too long", path);
    int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return io_failed(msg, "write", part);
    bool is_written = write_all(fd, bytes) && fchmod(fd, mode) == 0;
    is_written = close(fd) == 0 && is_written;
    /* link, not rename: a file that is there is never replaced */
    enum err e = ERR_OK;
    if (!is_written || link(part, path) != 0)
        e = io_failed(msg, "write", path);
    unlink(part);
    return e;
}

enum err output_folder(const char *path, struct errmsg *msg)
{
    char dir[4096];
    if ((size_t)snprintf(dir, sizeof dir, "%s", path) >= sizeof dir)
        return err_set(msg, ERR_INVALID, "the path %.60s... is too long", path);
    for (char *z = dir + 1; *dir && *z; z++) {
        if (*z != '/')
            continue;
        *z = '\0';
        if (mkdir(dir, 0700) != 0 && errno != EEXIST)
            return io_failed(msg, "make folder", dir);
        *z = '/';
    }
    return ERR_OK;
}
