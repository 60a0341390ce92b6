/* Patches of images as columns, and columns as images: teaching and courses use them. Bound by memory.  Columns are
 * (N, C*R*S, P*Q), with adjacent output pixels, images channels-last; neighbouring threads run along the columns'
 * pixels, of which there are R*S times more than of the images'. */
#include "cuda/gather.h"

KERNEL(im2col)(GEOMETRY_ARGUMENTS, IN(real) x, OUT(real) columns) {
    const Int n = N * C * R * S * P * Q;
    for (Int i = GLOBAL_THREAD; i < n; i += GLOBAL_THREADS) {
        const Int q = i % Q, p = i / Q % P, row = i / (P * Q), s = row % S, r = row / S % R, c = row / (R * S) % C;
        const Int h = p * stride_h - top + r * dilation_h, w = q * stride_w - left + s * dilation_w;
        const bool inside = h >= 0 && h < H && w >= 0 && w < W;
        columns[i] = inside ? x[((row / (R * S * C) * H + h) * W + w) * C + c] : (real)0;
    }
}

/* Each pixel gathers what im2col copied of it, tap by tap. */
KERNEL(col2im)(GEOMETRY_ARGUMENTS, IN(real) columns, OUT(real) x) {
    for (Int i = GLOBAL_THREAD; i < N * C * H * W; i += GLOBAL_THREADS) {
        const Int column = i % W, h = i / W % H, plane = i / (W * H);
        real sum = 0;
        for (Int r = 0; r < R; r++) {
            const Int from_h = h + top - r * dilation_h, p = from_h / stride_h;
            if (from_h < 0 || p >= P || p * stride_h != from_h) continue;
            for (Int s = 0; s < S; s++) {
                const Int from_w = column + left - s * dilation_w, q = from_w / stride_w;
                if (from_w < 0 || q >= Q || q * stride_w != from_w) continue;
                sum += columns[(((plane * R + r) * S + s) * P + p) * Q + q];
            }
        }
        x[((plane / C * H + h) * W + column) * C + plane % C] = sum;
    }
}
