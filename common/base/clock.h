/* Two clocks: monotonic for deadlines, wall only for expiry times that others set. Tests move both.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H
#include <stdint.h>

/** Milliseconds since some fixed point; never goes back. Thread: any. */
uint64_t clock_mono_ms(void);
uint64_t clock_mono_us(void);
/** Unix time. */
int64_t clock_wall_s(void);
int64_t clock_wall_ms(void);

/** From now on both clocks stand at these values until set again; clock_unset_fake() lets them run.
 */
void clock_set_fake(uint64_t mono_ms, int64_t wall_ms);
void clock_advance_fake(uint64_t ms);
void clock_unset_fake(void);

/** "2026-11-22T14:02:11Z" into BUF (21 bytes at least). Returns BUF. */
char *clock_format_utc(int64_t unix_s, char *buf, unsigned long size);

#endif
