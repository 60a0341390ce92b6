/* A pooling's windows along an axis: which taps of a window lie inside the image, and which windows hold a pixel. */
#ifndef FASTNET_WINDOWS_H
#define FASTNET_WINDOWS_H

#include "cuda/dialect.h"

/* [first, end) */
typedef struct {
    int first, end;
} Range;

/* The taps of a window that starts at `start`, `step` apart, that lie inside an axis of `size`; at least one does. */
DEVICE Range taps_inside(int start, int step, int size, int taps) {
    int before = start < 0 ? (-1 - start) / step + 1 : 0, inside = (size - 1 - start) / step + 1;
    Range range = {before, inside < taps ? inside : taps};
    return range;
}

/* The windows of `count` whose first and last tap, `reach` apart, enclose position `at` of the padded axis. */
DEVICE Range windows_over(int at, int reach, int stride, int count) {
    int last = at / stride + 1;
    Range range = {at <= reach ? 0 : (at - reach - 1) / stride + 1, last < count ? last : count};
    return range;
}

/* The tap of a window that lies at `distance` from its start, or -1 between two taps. */
DEVICE int tap_at(int distance, int step) { return step == 1 ? distance : distance % step ? -1 : distance / step; }

#endif
