/* Time, real or moved by a test. */
#include "base/clock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

static atomic_bool is_fake;
static atomic_uint_fast64_t fake_mono_ms;
static atomic_int_fast64_t fake_wall_ms;

uint64_t clock_mono_us(void)
{
    if (atomic_load_explicit(&is_fake, memory_order_relaxed))
        return atomic_load(&fake_mono_ms) * 1000;
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

uint64_t clock_mono_ms(void)
{
    return clock_mono_us() / 1000;
}

int64_t clock_wall_ms(void)
{
    if (atomic_load_explicit(&is_fake, memory_order_relaxed))
        return atomic_load(&fake_wall_ms);
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t clock_wall_s(void)
{
    return clock_wall_ms() / 1000;
}

void clock_set_fake(uint64_t mono_ms, int64_t wall_ms)
{
    atomic_store(&fake_mono_ms, mono_ms);
    atomic_store(&fake_wall_ms, wall_ms);
    atomic_store(&is_fake, true);
}

void clock_advance_fake(uint64_t ms)
{
    atomic_fetch_add(&fake_mono_ms, ms);
    atomic_fetch_add(&fake_wall_ms, (int64_t)ms);
}

void clock_unset_fake(void)
{
    atomic_store(&is_fake, false);
}

char *clock_format_utc(int64_t unix_s, char *buf, unsigned long size)
{
    time_t t = (time_t)unix_s;
    struct tm tm;
    if (!gmtime_r(&t, &tm) || strftime(buf, size, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        snprintf(buf, size, "-");
    return buf;
}
