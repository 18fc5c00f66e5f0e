/* Files that the build put into the program (cmake/Embed.cmake). */
#ifndef BASE_EMBED_H
#define BASE_EMBED_H
#include <stddef.h>

struct embedded_file {
    const char *name;
    const unsigned char *bytes; /* followed by a NUL that is not counted */
    size_t size;
};

/* data/schema/NNN_*.sql in order of their names */
extern const struct embedded_file credswap_schema[];
extern const size_t credswap_schema_count;

#endif
