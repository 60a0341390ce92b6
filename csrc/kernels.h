/* Everything, in order of use, compiled once for each file in ../isa, and the table that it fills. */
#include "simd/vec.h"
#include "simd/transpose.h"
#include "micro/index.h"
#include "micro/reduce.h"
#include "micro/epilogue.h"
#include "micro/tile.h"
#include "micro/gemm.h"
#include "conv/job.h"
#include "conv/depthwise.h"
#include "conv/depthwise_weight.h"
#include "conv/narrow.h"
#include "conv/small.h"
#include "conv/winograd_transform.h"
#include "conv/winograd.h"
#include "conv/winograd_weight.h"
#include "conv/scatter.h"
#include "conv/gemm.h"
#include "conv/grad_input.h"
#include "conv/fixed.h"
#include "conv/grad_weight.h"
#include "pool/pool.h"
#include "pool/planes.h"
#include "norm/moments.h"
#include "norm/apply.h"
#include "conv/images.h"
#include "conv/norm.h"
#include "conv/pool_patches.h"
#include "conv/pool_weight.h"
#include "conv/pool_input.h"
#include "conv/pool.h"
#include "simd/vecmath.h"
#include "pointwise/activation.h"
#include "pointwise/loss.h"
#include "pointwise/optim.h"
#include "pointwise/random.h"
#include "pointwise/layout.h"
#include "micro/peak.h"

const fn_kernels TABLE = {
    .isa = ISA_NAME,
    .lanes = LANES,
    .gemm = gemm,
    .conv_forward = conv_forward,
    .conv_grad_input = conv_grad_input,
    .conv_grad_weight = conv_grad_weight,
    .conv_fix = conv_fix,
    .conv_fixed_scratch = conv_fixed_scratch,
    .conv_run_fixed = conv_run_fixed,
    .column_sum = column_sum,
    .im2col = im2col,
    .col2im = col2im,
    .max_pool = max_pool,
    .max_pool_backward = max_pool_backward,
    .max_pool_planes = max_pool_planes,
    .max_pool_planes_backward = max_pool_planes_backward,
    .avg_pool = avg_pool,
    .avg_pool_backward = avg_pool_backward,
    .norm_moments = norm_moments,
    .norm_apply = norm_apply,
    .norm_sums = norm_sums,
    .norm_backward = norm_backward,
    .conv_norm_forward = conv_norm_forward,
    .conv_norm_backward = conv_norm_backward,
    .conv_pool_forward = conv_pool_forward,
    .conv_pool_backward = conv_pool_backward,
    .relu = relu,
    .relu_backward = relu_backward,
    .leaky_relu = leaky_relu,
    .leaky_relu_backward = leaky_relu_backward,
    .sigmoid = sigmoid,
    .sigmoid_backward = sigmoid_backward,
    .tanh = hyperbolic_tangent,
    .tanh_backward = tanh_backward,
    .add = add,
    .uniform = uniform,
    .dropout = dropout,
    .dropout_backward = dropout_backward,
    .softmax_loss = softmax_loss,
    .svm_loss = svm_loss,
    .sgd_step = sgd_step,
    .adagrad_step = adagrad_step,
    .rmsprop_step = rmsprop_step,
    .adam_step = adam_step,
    .to_channels_last = to_channels_last,
    .to_channels_first = to_channels_first,
    .copy_rows = copy_rows,
    .subsample = subsample,
    .fma_burst = fma_burst,
};

TARGET_END
