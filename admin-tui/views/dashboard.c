/* Arguments to options. */
#include "views/dashboard.h"

#include "cli/cli.h"
#include "ui/canvas.h"
#include "views/app.h"

#include <stdlib.h>
#include <unistd.h>

static bool parse_interval(const char *text, int *ret_ms)
{
    char *end = NULL;
    double s = strtod(text, &end);
    if (end == text || *end || !(s >= 0.5 && s <= 10))
        return false;
    *ret_ms = (int)(s * 1000);
    return true;
}

static bool parse_size(const char *text, int *ret_width, int *ret_height)
{
    struct slice rest = slice_of(text), w;
    uint64_t width, height;
    if (!slice_next(&rest, 'x', &w) || !slice_to_u64(w, &width) || !slice_to_u64(rest, &height) ||
        width < 1 || height < 1 || width > CANVAS_WIDTH_MAX || height > CANVAS_HEIGHT_MAX)
        return false;
    *ret_width = (int)width;
    *ret_height = (int)height;
    return true;
}

int dashboard_run(struct cli *c)
{
    const struct args *a = &c->args;
    const char *interval = args_get(a, "--interval"), *size = args_get(a, "--size");
    struct app_options o = {.once = args_get(a, "--once") != NULL,
                            .plain = args_get(a, "--plain") != NULL,
                            .no_color = args_get(a, "--no-color") != NULL,
                            .ascii = args_get(a, "--ascii") != NULL,
                            .no_mouse = args_get(a, "--no-mouse") != NULL,
                            .screen = args_operand(a, 0)};
    if (interval && !parse_interval(interval, &o.interval_ms))
        return cli_fail(c, EX_USAGE, "--interval %.40s is not 0.5 to 10 seconds", interval);
    if (size && !parse_size(size, &o.width, &o.height))
        return cli_fail(c, EX_USAGE, "--size %.40s is not WIDTHxHEIGHT, e.g. 120x40", size);
    return app_main(c, &o);
}
