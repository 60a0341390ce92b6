/* The SPEED values of tuning.h: set from the caches that the machine reports, or by tests. */
#include "runtime/speed.h"

#include <stddef.h>
#include <string.h>

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

#define DEFAULT(name, cache, value) .name = value,
fn_speed_values fn_speed = {FN_SPEED_VALUES(DEFAULT)};

static const struct {
    const char *name;
    size_t offset;
    fn_cache cache;
    int64_t value;
} entries[] = {
#define ENTRY(name, cache, value) {#name, offsetof(fn_speed_values, name), cache, value},
    FN_SPEED_VALUES(ENTRY)};

enum { ENTRIES = sizeof entries / sizeof entries[0] };

static int64_t *entry(int which) { return (int64_t *)((char *)&fn_speed + entries[which].offset); }

/* value * bytes / (the nearest size in [least, most]), limited to a factor of 4 either way; 0 bytes: unknown. */
static int64_t scaled(int64_t value, int64_t bytes, int64_t least, int64_t most) {
    int64_t usual = bytes < least ? least : bytes > most ? most : bytes;
    if (bytes <= 0) return value;
    if (bytes < usual / 4) bytes = usual / 4;
    if (bytes > 4 * usual) bytes = 4 * usual;
    return value * bytes / usual;
}

void fn_speed_from_caches(int64_t first, int64_t second) {
    for (int i = 0; i < ENTRIES; i++) {
        int64_t value = entries[i].value;
        if (entries[i].cache == FN_L1) value = scaled(value, first, 32 << 10, 48 << 10);
        if (entries[i].cache == FN_L2) value = scaled(value, second, 1 << 20, 2 << 20);
        *entry(i) = value;
    }
    fn_speed.changes++;
}

void fn_speed_reset(void) {
    int64_t first = 0, second = 0;
#ifdef _SC_LEVEL1_DCACHE_SIZE
    first = sysconf(_SC_LEVEL1_DCACHE_SIZE);
    second = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
    fn_speed_from_caches(first, second);
}

int fn_speed_set(const char *name, int64_t value) {
    for (int i = 0; i < ENTRIES; i++)
        if (value >= 1 && !strcmp(entries[i].name, name)) {
            *entry(i) = value;
            fn_speed.changes++;
            return 0;
        }
    return -1;
}

const char *fn_speed_get(int which, int64_t *value) {
    if (which < 0 || which >= ENTRIES) return NULL;
    *value = *entry(which);
    return entries[which].name;
}
