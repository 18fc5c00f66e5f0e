/* CA, its sum, the script, the placeholder: lines of a shell, none wider than a terminal of 80
 * columns, so that they can be copied from one. */
#include "cli/handout.h"

#include "cli/env.h"
#include "cli/input.h"
#include "conf/conf.h"
#include "store/client.h"

#include <openssl/evp.h>
#include <unistd.h>

void handout_sha256(struct slice bytes, char ret[65])
{
    unsigned char sum[32] = {0};
    unsigned int n = 0;
    EVP_Digest(bytes.p, bytes.n, sum, &n, EVP_sha256(), NULL);
    for (size_t i = 0; i < sizeof sum; i++)
        snprintf(ret + 2 * i, 3, "%02x", sum[i]);
}

const char *handout_hostname(char buf[256])
{
    if (gethostname(buf, 256) != 0 || !*buf)
        snprintf(buf, 256, "localhost");
    buf[255] = '\0';
    return buf;
}

static const struct {
    const char *variable, *note;
} variables[] = {
    [SERVICE_GEMINI] = {"GEMINI_API_KEY", "or as a Bearer token, x-goog-api-key or ?key="},
    [SERVICE_CLAUDE] = {"ANTHROPIC_API_KEY", "or ANTHROPIC_AUTH_TOKEN"},
};

struct sums {
    char ca[65], env[65]; /* "" while there is no CA */
};

/* env.sh is run by its reader, so its sum must not come the same way as the script. */
static void find_sums(struct cli *c, const char *proxy, struct sums *ret)
{
    struct sbuf pem, script;
    *ret = (struct sums){{0}, {0}};
    if (access(c->conf->ca.cert, R_OK) != 0)
        return;
    sbuf_init(&pem, 1 << 20);
    sbuf_init(&script, 1 << 20);
    if (input_read(c, c->conf->ca.cert, &pem) == 0) {
        struct env_facts f = {.ca_pem = sbuf_slice(&pem)};
        snprintf(f.proxy, sizeof f.proxy, "%s", proxy);
        handout_sha256(sbuf_slice(&pem), ret->ca);
        if (env_render(&f, ENV_SH, &script) == ERR_OK)
            handout_sha256(sbuf_slice(&script), ret->env);
    }
    sbuf_finish(&pem);
    sbuf_finish(&script);
}

static void print_fetch(FILE *f, const char *proxy, const char *file, const char *sum)
{
    fprintf(f, "curl -fsS %s/%s -o \"$d/%s\"", proxy, file, file);
    if (*sum)
        fprintf(f, " &&\n s=%s &&\n echo \"$s  $d/%s\" | sha256sum -c -", sum, file);
}

static void print_text(struct cli *c, const char *proxy, const struct sums *sums,
                       enum service service, struct slice placeholder)
{
    FILE *f = c->out;
    if (placeholder.n)
        fprintf(f, "%.*s\n\n", SLICE_FMT(placeholder));
    fprintf(f, "d=${XDG_CONFIG_HOME:-$HOME/.config}/credswap; mkdir -p \"$d\"\n");
    print_fetch(f, proxy, "ca.pem", sums->ca);
    fputc('\n', f);
    print_fetch(f, proxy, "env.sh", sums->env);
    fprintf(f, " && . \"$d/env.sh\"\n");
    if (placeholder.n)
        fprintf(f, "export %s=%.*s\n", variables[service].variable, SLICE_FMT(placeholder));
    else
        fprintf(f, "export %s=...   # your placeholder\n", variables[service].variable);
    fprintf(f, "# %s\n", variables[service].note);
    if (!*sums->ca)
        cli_say(c, "warning: there is no CA yet; credswap ca init makes one, then credswap ca show "
                   "has its sum");
}

void handout_print(struct cli *c, struct slice name, enum service service, struct slice placeholder)
{
    char proxy[300], hostname[256];
    struct sums sums;
    struct errmsg msg = {0};
    if (env_proxy(c->conf, handout_hostname(hostname), proxy, &msg) != ERR_OK)
        snprintf(proxy, sizeof proxy, "http://PROXY:PORT");
    find_sums(c, proxy, &sums);
    if (!c->args.json) {
        print_text(c, proxy, &sums, service, placeholder);
        return;
    }
    cJSON *o = json_object();
    json_text(o, "name", name);
    json_z(o, "service", service_name(service));
    json_text(o, "placeholder", placeholder.n ? placeholder : (struct slice){NULL, 0});
    json_z(o, "variable", variables[service].variable);
    json_z(o, "proxy", proxy);
    json_z(o, "ca_sha256", *sums.ca ? sums.ca : NULL);
    json_z(o, "env_sha256", *sums.env ? sums.env : NULL);
    json_print(c->out, o);
    cJSON_Delete(o);
}
