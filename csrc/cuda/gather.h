/* The geometry of convolutions: which input pixels the outputs read.
 *
 * The input gradient is a convolution of dy, too.  With a stride, dx[h] reads taps r where (h + top - r*dilation)
 * is a multiple of the stride: the rows h of one phase, h % stride, read the same taps, and those are `tap_apart`
 * apart.  So a strided gradient is one convolution per phase, at stride 1, without taps that meet nothing. */
#ifndef FASTNET_GATHER_H
#define FASTNET_GATHER_H

#include "cuda/dialect.h"

/* N images of C channels, K filters in all; the order of Conv2dGeometry's fields, without bottom and right. */
#define GEOMETRY_ARGUMENTS                                                                                        \
    Int N, Int C, Int H, Int W, Int K, Int R, Int S, Int P, Int Q, Int stride_h, Int stride_w, Int top, Int left, \
        Int dilation_h, Int dilation_w, Int groups
#define GEOMETRY {N, C, H, W, K, R, S, P, Q, stride_h, stride_w, top, left, dilation_h, dilation_w, groups}

struct Geometry {
    Int N, C, H, W, K, R, S, P, Q, stride_h, stride_w, top, left, dilation_h, dilation_w, groups;
};

/* One axis: output number u lies at first + u*apart, and its tap number i at pixel in_first + u*in_apart + i*in_tap of
 * the input; that is tap number first_tap + i*tap_apart of the kernel. */
struct Axis {
    int count, first, apart, in_first, in_apart, in_tap, in_count, taps, first_tap, tap_apart;
};

DEVICE Axis forward_axis(int size, int outputs, int taps, int stride, int before, int dilation) {
    return {outputs, 0, 1, -before, stride, dilation, size, taps, 0, 1};
}

DEVICE Axis gradient_axis(int size, int outputs, int taps, int stride, int before, int dilation, int phase) {
    int apart = stride, rest = dilation; /* after the loop, apart is their greatest common divisor */
    while (rest) {
        const int divisor = rest;
        rest = apart % rest;
        apart = divisor;
    }
    apart = stride / apart;
    int tap = 0;
    while (tap < apart && (phase + before - tap * dilation) % stride) tap++;
    const int count = phase < size ? (size - phase + stride - 1) / stride : 0;
    const int met = tap < apart && tap < taps ? (taps - tap + apart - 1) / apart : 0;
    return {count, phase, stride, (phase + before - tap * dilation) / stride, 1, -(apart * dilation / stride), outputs,
            met,   tap,   apart};
}

/* A place in a sum over taps and channels, in this order: rows i, columns j, channels c. */
struct Place {
    int rows, columns, channels; /* of the sum */
    int i, j, c;

    METHOD Place(int rows, int columns, int channels, Int step) : rows(rows), columns(columns), channels(channels) {
        c = (int)(step % channels);
        const Int tap = step / channels;
        i = columns ? (int)(tap / columns) : rows;
        j = columns ? (int)(tap % columns) : 0;
    }

    /* Whether the tap has changed. */
    METHOD bool advance(int steps) {
        c += steps;
        if (c < channels) return false;
        j += c / channels;
        c %= channels;
        if (j >= columns) {
            i += columns ? j / columns : 0;
            j = columns ? j % columns : 0;
        }
        return true;
    }
};

#endif
