/* room: conf */
/* Any bytes as a configuration file: no crash, no leak, and what is accepted can be shown. */
#include "conf/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct conf *c = NULL;
    struct errmsg msg;
    if (conf_parse(slice_make(data, size), "fuzz.conf", &c, &msg) != ERR_OK)
        return 0;
    FILE *out = fopen("/dev/null", "we");
    if (out) {
        conf_dump(c, out, true, true);
        fclose(out);
    }
    conf_destroy(c);
    return 0;
}
