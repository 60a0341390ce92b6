/* All kernels, compiled once for each file of isa/, and the table that they fill.  Each header depends on those before
 * it; the order follows the floors of docs/design.md. */
#include "simd/vec.h"
#include "simd/transpose.h"
#include "simd/vecmath.h"
#include "micro/taps.h"
#include "micro/index.h"
#include "micro/reduce.h"
#include "micro/epilogue.h"
#include "micro/tile.h"
#include "micro/gemm.h"
#include "micro/peak.h"
#include "pointwise/activation.h"
#include "pointwise/softmax.h"
#include "pointwise/loss.h"
#include "pointwise/distance.h"
#include "pointwise/optim.h"
#include "pointwise/average.h"
#include "pointwise/random.h"
#include "pointwise/layout.h"
#include "pool/pool.h"
#include "pool/planes.h"
#include "pool/resample.h"
#include "pool/adaptive.h"
#include "norm/moments.h"
#include "norm/apply.h"
#include "conv/job.h"
#include "conv/depthwise.h"
#include "conv/narrow.h"
#include "conv/small.h"
#include "conv/winograd_transform.h"
#include "conv/winograd.h"
#include "conv/gemm.h"
#include "conv/algorithms.h"
#include "conv/forward.h"
#include "conv/fixed.h"
#include "conv/scatter.h"
#include "conv/grad_input.h"
#include "conv/transpose.h"
#include "conv/depthwise_weight.h"
#include "conv/winograd_weight.h"
#include "conv/gemm_weight.h"
#include "conv/grad_weight.h"
#include "conv/images.h"
#include "conv/norm.h"
#include "conv/pool_patches.h"
#include "conv/pool_weight.h"
#include "conv/pool_input.h"
#include "conv/pool.h"

const fn_kernels TABLE = {
    .isa = ISA_NAME,
    .lanes = LANES,
#define KERNEL(type, name, ...) .name = name,
#define INNER_KERNEL(type, name, ...) .name = name,
#include "kernels.def"
};

TARGET_END
