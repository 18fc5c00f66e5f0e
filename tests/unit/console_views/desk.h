/* A throw-away place for the console's tests: folder, configuration, keys made on the spot, and
 * commands run in-process. */
#ifndef CONSOLE_VIEWS_DESK_H
#define CONSOLE_VIEWS_DESK_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/secret.h"
#include "cli/cli.h"

#include <fcntl.h>
#include <ftw.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <unistd.h>

struct desk {
    char dir[64], conf[96];
    char *out, *talk; /* of the last command */
    size_t out_n, talk_n;
    int64_t reviewed; /* generation that the person has seen; 0: no matter */
};

static inline void desk_write(const char *dir, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

static inline void desk_open(struct desk *d)
{
    char text[1024];
    *d = (struct desk){.dir = "/tmp/credswap-desk-XXXXXX"};
    assert_non_null(mkdtemp(d->dir));
    snprintf(d->conf, sizeof d->conf, "%s/credswap.conf", d->dir);
    snprintf(text, sizeof text,
             "listen {\n proxy = {\"127.0.0.1:3128\"}\n admin = \"127.0.0.1:1\"\n socket = "
             "\"%s/sock\"\n}\n"
             "store {\n url = \"sqlite:%s/db\"\n master_key_file = \"%s/master.key\"\n}\n"
             "ca {\n cert = \"%s/ca.pem\"\n key = \"%s/ca.key\"\n}\n",
             d->dir, d->dir, d->dir, d->dir, d->dir);
    desk_write(d->dir, "credswap.conf", text);
}

static inline void desk_forget(struct desk *d)
{
    free(d->out);
    free(d->talk);
    d->out = d->talk = NULL;
}

static inline int desk_remove(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static inline void desk_close(struct desk *d)
{
    desk_forget(d);
    assert_int_equal(nftw(d->dir, desk_remove, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/** Runs `credswap --config ... WORDS` with INPUT on standard input; the exit code. */
static inline int desk_run_with(struct desk *d, const char *input, const char *words, ...)
{
    char line[2048], *argv[64] = {"credswap", "--config", d->conf};
    int argc = 3;
    va_list ap;
    va_start(ap, words);
    vsnprintf(line, sizeof line, words, ap);
    va_end(ap);
    for (char *at = line, *word; (word = strsep(&at, " "));)
        if (*word)
            argv[argc++] = word;
    desk_forget(d);
    int was = dup(STDIN_FILENO), ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], input, strlen(input)), strlen(input));
    close(ends[1]);
    dup2(ends[0], STDIN_FILENO);
    close(ends[0]);
    struct cli c;
    cli_init(&c);
    c.reviewed = d->reviewed;
    c.out = open_memstream(&d->out, &d->out_n);
    c.talk = open_memstream(&d->talk, &d->talk_n);
    int code = cli_run(&c, argc, argv);
    cli_finish(&c);
    fclose(c.out);
    fclose(c.talk);
    dup2(was, STDIN_FILENO);
    close(was);
    return code;
}
#define desk_run(d, ...) desk_run_with(d, "", __VA_ARGS__)

/** How many lines went to stderr. */
static inline int desk_talk_lines(const struct desk *d)
{
    int n = 0;
    for (const char *z = d->talk; *z; z++)
        n += *z == '\n';
    return n;
}

/** DIR/NAME.json: a key file with a new RSA key. */
static inline void desk_key_file(const char *dir, const char *name)
{
    char *pem = NULL, file[96];
    EVP_PKEY *key = EVP_RSA_gen(2048);
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    long n = BIO_get_mem_data(bio, &pem);
    cJSON *o = json_object();
    char email[96];
    snprintf(email, sizeof email, "%s@p.iam.gserviceaccount.com", name);
    json_z(o, "type", "service_account");
    json_z(o, "project_id", "proj");
    json_z(o, "private_key_id", "kid1");
    json_text(o, "private_key", slice_make(pem, (size_t)n));
    json_z(o, "client_email", email);
    json_z(o, "token_uri", "https://oauth2.googleapis.com/token");
    char *text = cJSON_PrintUnformatted(o);
    snprintf(file, sizeof file, "%s.json", name);
    desk_write(dir, file, text);
    cJSON_free(text);
    cJSON_Delete(o);
    BIO_free(bio);
    EVP_PKEY_free(key);
}

#endif
