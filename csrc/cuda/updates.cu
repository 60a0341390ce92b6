/* Updates of many arrays in one launch: optimisers' steps, averages of weights, penalties, clipping.
 *
 * `arrays` has a row of addresses for each parameter, 0 where it has no such array. `pieces` has three numbers for each
 * block: a row, and the first and the end of the elements that the block updates. `numbers` are the settings of this
 * step; they lie in device memory, so that a captured launch can run again with others.
 *
 * The formulas are those of csrc/pointwise/optim.h, with the same products fused into sums, and so have its bits. All
 * are bound by memory: each element is read and written once, by consecutive threads.
 */
#include "cuda/dialect.h"

enum { UPDATE_THREADS = 256 };

/* The block's piece of a table of so many columns: its row, and its elements. */
#define PIECE(columns)                                                                                \
    const Int row = (columns) * pieces[3 * (Int)blockIdx.x], first = pieces[3 * (Int)blockIdx.x + 1]; \
    const int count = (int)(pieces[3 * (Int)blockIdx.x + 2] - first);

/* The piece of an array of the row, or null. */
#define ARRAY(column) (arrays[row + (column)] ? arrays[row + (column)] + first : arrays[row + (column)])

#define EACH(i) for (int i = threadIdx.x; i < count; i += blockDim.x)

/* sqrt(correction*v + inside) + eps: of `inside` and eps one is zero */
DEVICE real root(real v, real correction, real inside, real eps) { return sqrt(fma(correction, v, inside)) + eps; }

/* m = beta1*m + rate1*g; w += scale * (m, or with Nesterov's momentum beta1*m + now*g); without m: w += plain*g */
KERNEL_BOUNDED(sgd_step, UPDATE_THREADS)(TABLE(real) arrays, IN(Int) pieces, IN(real) numbers, Int nesterov) {
    PIECE(3)
    OUT(real) w = ARRAY(0);
    IN(real) g = ARRAY(1);
    OUT(real) m = ARRAY(2);
    const real plain = numbers[0], scale = numbers[1], decay = numbers[2];
    const real beta1 = numbers[3], rate1 = numbers[4], now = numbers[5];
    EACH(i) {
        const real before = w[i], slope = fma(decay, before, g[i]);
        if (m) {
            const real mean = fma(beta1, m[i], rate1 * slope);
            m[i] = mean;
            w[i] = fma(scale, nesterov ? fma(beta1, mean, now * slope) : mean, before);
        } else {
            w[i] = fma(plain, slope, before);
        }
    }
}

/* AdaGrad and RMSprop: v = beta2*v + rate2*g^2; w += scale*g / (sqrt(v) + eps).  With u, the mean of the gradients,
 * v - u^2 stands for v; with a velocity m = beta1*m + g / (sqrt(v) + eps), w += scale*m. */
KERNEL_BOUNDED(squares_step, UPDATE_THREADS)(TABLE(real) arrays, IN(Int) pieces, IN(real) numbers) {
    PIECE(5)
    OUT(real) w = ARRAY(0);
    IN(real) g = ARRAY(1);
    OUT(real) v = ARRAY(2);
    OUT(real) u = ARRAY(3);
    OUT(real) m = ARRAY(4);
    const real scale = numbers[0], decay = numbers[1], beta1 = numbers[2], beta2 = numbers[3], rate2 = numbers[4];
    const real inside = numbers[5], eps = numbers[6];
    EACH(i) {
        const real before = w[i], slope = fma(decay, before, g[i]);
        real square = fma(rate2 * slope, slope, beta2 * v[i]);
        v[i] = square;
        if (u) {
            const real mean = fma(rate2, slope, beta2 * u[i]);
            u[i] = mean;
            square = fma(-mean, mean, square);
            square = square < 0 ? (real)0 : square; /* rounding; NaN stays */
        }
        real along = slope / root(square, 1, inside, eps);
        if (m) {
            along = fma(beta1, m[i], along);
            m[i] = along;
        }
        w[i] = fma(scale, along, before);
    }
}

/* v = beta2*v + rate2*g^2; d = sqrt((u + eps) / (v + eps)) * g; u = beta2*u + rate2*d^2; w += scale*d */
KERNEL_BOUNDED(adadelta_step, UPDATE_THREADS)(TABLE(real) arrays, IN(Int) pieces, IN(real) numbers) {
    PIECE(4)
    OUT(real) w = ARRAY(0);
    IN(real) g = ARRAY(1);
    OUT(real) v = ARRAY(2);
    OUT(real) u = ARRAY(3);
    const real scale = numbers[0], decay = numbers[1], beta2 = numbers[2], rate2 = numbers[3], eps = numbers[4];
    EACH(i) {
        const real before = w[i], slope = fma(decay, before, g[i]), old = u[i];
        const real square = fma(rate2 * slope, slope, beta2 * v[i]);
        const real step = sqrt((old + eps) / (square + eps)) * slope;
        v[i] = square;
        u[i] = fma(rate2 * step, step, beta2 * old);
        w[i] = fma(scale, step, before);
    }
}

/* Adam and NAdam: m = beta1*m + rate1*g; v = beta2*v + rate2*g^2; with u, v = u = max(u, v);
 * w = shrink*w - (lr*m + now*g) / (sqrt(correction*v) + eps) */
KERNEL_BOUNDED(adam_step, UPDATE_THREADS)(TABLE(real) arrays, IN(Int) pieces, IN(real) numbers) {
    PIECE(5)
    OUT(real) w = ARRAY(0);
    IN(real) g = ARRAY(1);
    OUT(real) m = ARRAY(2);
    OUT(real) v = ARRAY(3);
    OUT(real) u = ARRAY(4);
    const real lr = numbers[0], now = numbers[1], shrink = numbers[2], decay = numbers[3];
    const real beta1 = numbers[4], rate1 = numbers[5], beta2 = numbers[6], rate2 = numbers[7];
    const real correction = numbers[8], inside = numbers[9], eps = numbers[10];
    EACH(i) {
        const real before = w[i], slope = fma(decay, before, g[i]);
        const real mean = fma(beta1, m[i], rate1 * slope);
        real square = fma(rate2 * slope, slope, beta2 * v[i]);
        m[i] = mean;
        v[i] = square;
        if (u) {
            const real largest = u[i];
            square = largest > square ? largest : square;
            u[i] = square;
        }
        const real down = fma(now, slope, lr * mean) / root(square, correction, inside, eps);
        w[i] = fma(shrink, before, -down);
    }
}

/* average = decay*average + rate*w */
KERNEL_BOUNDED(average_step, UPDATE_THREADS)(TABLE(real) arrays, IN(Int) pieces, IN(real) numbers) {
    PIECE(2)
    OUT(real) average = ARRAY(0);
    IN(real) w = ARRAY(1);
    const real decay = numbers[0], rate = numbers[1];
    EACH(i) average[i] = fma(decay, average[i], rate * w[i]);
}

/* g += l2*w + l1*sign(w) */
KERNEL_BOUNDED(add_penalty, UPDATE_THREADS)(TABLE(real) arrays, IN(Int) pieces, IN(real) numbers) {
    PIECE(2)
    IN(real) w = ARRAY(0);
    OUT(real) g = ARRAY(1);
    const real l1 = numbers[0], l2 = numbers[1];
    EACH(i) {
        const real value = w[i], sign = value > 0 ? l1 : value < 0 ? -l1 : (real)0;
        g[i] = g[i] + fma(l2, value, sign);
    }
}

KERNEL_BOUNDED(rescale, UPDATE_THREADS)(TABLE(real) arrays, IN(Int) pieces, IN(real) numbers) {
    PIECE(1)
    OUT(real) x = ARRAY(0);
    const real factor = numbers[0];
    EACH(i) x[i] = x[i] * factor;
}

/* x = min(max(x, -size), size); NaN stays */
KERNEL_BOUNDED(clip, UPDATE_THREADS)(TABLE(real) arrays, IN(Int) pieces, IN(real) numbers) {
    PIECE(1)
    OUT(real) x = ARRAY(0);
    const real size = numbers[0];
    EACH(i) {
        const real value = x[i];
        x[i] = value < -size ? -size : value > size ? size : value;
    }
}
