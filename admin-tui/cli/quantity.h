/* Amounts as people write them: 30d, 10M, 2.5; and as people read them. Pure. */
#ifndef CLI_QUANTITY_H
#define CLI_QUANTITY_H
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** "30d" "12h" "90m" "45s" "2w" "1y", one or several ("1d12h"); a bare number is seconds. 1 s to
 * 100 years. */
bool duration_parse(const char *text, int64_t *ret_s);
/** "250", "10k", "10M", "1.5M", "2G": powers of 1000; 0 to 10^15. */
bool quantity_parse(const char *text, int64_t *ret);
/** "3", "0.5": digits with at most 6 behind the point; 0 to 1,000,000. No sign, no exponent. */
bool weight_parse(const char *text, double *ret);
/** "never", a duration from NOW on, or a day "2027-01-31" (its beginning, UTC), which must lie
 * ahead. 0: never. */
bool expiry_parse(const char *text, int64_t now_s, int64_t *ret_unix_s);

#define QUANTITY_TEXT 32
/** The two largest units: "3d04h", "41m", "12s"; a negative span is shown as "-". Returns BUF. */
char *duration_print(int64_t s, char buf[QUANTITY_TEXT]);
/** "950", "12.3K", "10M". Returns BUF. */
char *quantity_print(int64_t n, char buf[QUANTITY_TEXT]);
/** The shortest decimal that reads back: "3", "0.5". Returns BUF. */
char *weight_print(double w, char buf[QUANTITY_TEXT]);

#endif
