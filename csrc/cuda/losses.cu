/* Losses: sums in double. Each block writes the sum of its elements' losses to parts[block], which finish_loss adds; a
 * single block writes the loss itself.
 */
#include "cuda/activations.h"
#include "cuda/reduce.h"
#include "cuda/softmax.h"

/* By their numbers in fastnet/ops/target_loss.py. */
enum { SQUARE, ABSOLUTE, HUBER, LOGISTIC, HINGE };

DEVICE void store_part(double sum, double counted, OUT(double) parts, SHARED_ARG(double) warps) {
    sum = block_sum(sum, warps);
    if (threadIdx.x == 0) parts[blockIdx.x] = gridDim.x == 1 ? sum / counted : sum;
}

/* The sum of up to blockDim.x parts, or `known` without them; at least 0, and 1 for 0. */
DEVICE double total_of(IN(double) parts, Int count, double known, SHARED_ARG(double) warps) {
    double total = known;
    if (parts) total = block_sum((Int)threadIdx.x < count ? parts[threadIdx.x] : 0.0, warps);
    return total > 0 ? total : 1.0;
}

/* counts: of each block, how many labels are not `ignored`, or the sum of their weights. */
KERNEL(count_labels)(IN(Int) labels, IN(real) weight, Int n, Int ignored, OUT(double) counts) {
    SHARED(double, warps, REDUCE_WARPS);
    double sum = 0;
    for (Int i = GLOBAL_THREAD; i < n; i += GLOBAL_THREADS)
        if (labels[i] != ignored) sum += weight ? (double)weight[labels[i]] : 1.0;
    sum = block_sum(sum, warps);
    if (threadIdx.x == 0) counts[blockIdx.x] = sum;
}

/* q of class j in the row whose first score is number `at`: w_j (kept t_j + spread) */
DEVICE double probability(IN(real) targets, IN(real) weight, Int at, Int j, Int label, double kept, double spread) {
    const double t = targets ? (double)targets[at + j] : j == label;
    return (weight ? (double)weight[j] : 1.0) * fma(kept, t, spread);
}

/* loss = sum_j q_j (log(sum e) - (s_j - m)) with e_j = e^(s_j - m), m = max s, q_j = w_j ((1 - smoothing) t_j +
 * smoothing / C) for probabilities t, or those of a label;  dscores_j = (sum q * e_j / sum e - q_j) / counted. */
KERNEL(cross_entropy)(IN(real) scores, IN(Int) labels, IN(real) targets, IN(real) weight, IN(double) counts, Int count,
                      double known, Int ignored, double smoothing, Int rows, Int C, Int bits, OUT(real) dscores,
                      OUT(double) parts) {
    SHARED(double, warps, REDUCE_WARPS);
    const int lanes = 1 << (int)bits, lane = (int)threadIdx.x & (lanes - 1);
    const double counted = total_of(counts, count, known, warps), share = 1 / counted;
    const double kept = 1 - smoothing, spread = smoothing / (double)C;
    double sum = 0;
    for (Int first = 0; first < rows; first += GLOBAL_THREADS >> bits) {
        const Int row = first + (GLOBAL_THREAD >> bits);
        const Int at = (row < rows ? row : rows - 1) * C; /* threads without a row take part in shuffles */
        const Int label = labels ? labels[row < rows ? row : rows - 1] : -1;
        const int counts_here = !labels || label != ignored;
        const real largest = largest_of(scores + at, C, lane, lanes);
        const double total = exp_sum(scores + at, C, largest, lane, lanes), log_total = log(total);
        double mass = 0, loss = 0;
        for (Int j = lane; j < C; j += lanes) {
            const double q = probability(targets, weight, at, j, label, kept, spread);
            const double information = log_total - (double)(scores[at + j] - largest);
            mass += q;
            loss = fma(q, q == 0 ? 0.0 : information, loss);
        }
        const double scale = sum_lanes(mass, lanes) / total;
        if (row >= rows) continue;
        if (counts_here) sum += loss;
        for (Int j = lane; j < C; j += lanes) {
            const double q = probability(targets, weight, at, j, label, kept, spread);
            const double slope = fma(scale, (double)exp(scores[at + j] - largest), -q) * share;
            dscores[at + j] = counts_here ? (real)slope : (real)0;
        }
    }
    store_part(sum, counted, parts, warps);
}

/* a / b, correctly rounded, from `inverse`, the rounded 1 / b (Markstein 1990); a division takes a call. */
DEVICE double divided(double a, double b, double inverse) {
    const double quotient = a * inverse, rest = fma(-quotient, b, a);
    return rest == rest ? fma(rest, inverse, quotient) : quotient; /* infinity stays */
}

/* loss = w_label * sum over j != label of v_j, or of v_j^2, v_j = max(0, s_j - s_label + margin) */
KERNEL(multiclass_hinge)(IN(real) scores, IN(Int) labels, IN(real) weight, IN(double) counts, Int count, double known,
                         Int ignored, double margin, Int squared, Int rows, Int C, Int bits, OUT(real) dscores,
                         OUT(double) parts) {
    SHARED(double, warps, REDUCE_WARPS);
    const int lanes = 1 << (int)bits, lane = (int)threadIdx.x & (lanes - 1);
    const double counted = total_of(counts, count, known, warps), share = 1 / counted;
    double sum = 0;
    for (Int first = 0; first < rows; first += GLOBAL_THREADS >> bits) {
        const Int row = first + (GLOBAL_THREAD >> bits);
        const Int given = row < rows ? labels[row] : ignored; /* threads without a row take part in shuffles */
        const Int label = given == ignored ? -1 : given;
        IN(real) s = scores + (row < rows ? row : 0) * C;
        OUT(real) d = dscores + (row < rows ? row : 0) * C;
        const double correct = label < 0 ? 0.0 : (double)s[label];
        const double importance = weight && label >= 0 ? (double)weight[label] : 1.0;
        double loss = 0, slopes = 0;
        for (Int j = lane; row < rows && j < C; j += lanes) {
            const double value = label < 0 ? 0.0 : ((double)s[j] - correct) + margin;
            const double violation = j == label || value <= 0 ? 0.0 : value; /* NaN counts */
            const double slope = squared ? 2 * violation : j != label && value > 0;
            loss = fma(violation, squared ? violation : 1.0, loss);
            slopes += slope;
            if (j != label) d[j] = (real)divided(slope * importance, counted, share);
        }
        slopes = sum_lanes(slopes, lanes);
        sum += loss * importance;
        if (lane == 0 && label >= 0) d[label] = (real)divided(-slopes * importance, counted, share);
    }
    store_part(sum, counted, parts, warps);
}

typedef struct {
    real loss, slope;
} Point;

/* SQUARE: d^2, d = x - t.  ABSOLUTE: |d|.  HUBER: d^2/2 where |d| <= a, else a(|d| - a/2).
 * HINGE: max(0, a - yx), y = 1 where t > 0, else -1.
 * LOGISTIC: -t log p - (1 - t) log(1 - p), p = 1/(1 + e^-x), which is max(x, 0) - xt + log(1 + e^-|x|). */
DEVICE Point target_loss_of(Int kind, real a, real x, real t) {
    real d = x - t, size = fabs(d), y = t > 0 ? (real)1 : (real)-1, value = fma(-y, x, a);
    Point at;
    switch ((int)kind) {
    case SQUARE: at = {d * d, d + d}; break;
    case ABSOLUTE: at = {size, d > 0 ? (real)1 : d < 0 ? (real)-1 : d}; break;
    case HUBER: at = {size > a ? a * (size - (real)0.5 * a) : (real)0.5 * d * d, d > a ? a : d < -a ? -a : d}; break;
    case HINGE: at = {rectify(value), value > 0 ? -y : rectify(value)}; break;
    default: at = {fma(-x, t, rectify(x)) + log1p(exp(-fabs(x))), sigmoid_of(x) - t};
    }
    return at;
}

/* Means over n elements */
KERNEL(target_loss)(IN(real) x, IN(real) t, OUT(real) dx, OUT(double) parts, Int n, Int kind, double a) {
    SHARED(double, warps, REDUCE_WARPS);
    real share = (real)(1 / (double)n);
    double sum = 0;
    for (Int i = GLOBAL_THREAD; i < n; i += GLOBAL_THREADS) {
        Point at = target_loss_of(kind, (real)a, x[i], t[i]);
        dx[i] = at.slope * share;
        sum += (double)at.loss;
    }
    store_part(sum, (double)n, parts, warps);
}

/* loss = the sum of the parts / counted; one block */
KERNEL(finish_loss)(IN(double) parts, Int blocks, IN(double) counts, Int count, double known, OUT(double) loss) {
    SHARED(double, warps, REDUCE_WARPS);
    double counted = total_of(counts, count, known, warps), sum = 0;
    for (Int i = threadIdx.x; i < blocks; i += blockDim.x) sum += parts[i];
    sum = block_sum(sum, warps);
    if (threadIdx.x == 0) loss[0] = sum / counted;
}
