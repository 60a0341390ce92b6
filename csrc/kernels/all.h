/* Everything, in order of use, compiled once for each file in ../isa, and the table that it fills. */
#include "vec.h"

#include "transpose.h"

#include "index.h"

#include "reduce.h"

#include "epilogue.h"

#include "tile.h"

#include "gemm.h"

#include "conv_job.h"

#include "conv_depthwise.h"

#include "conv_depthwise_weight.h"

#include "conv_narrow.h"

#include "conv_small.h"

#include "winograd.h"

#include "conv_winograd.h"

#include "conv_winograd_weight.h"

#include "conv_scatter.h"

#include "conv_gemm.h"

#include "conv_grad_input.h"

#include "conv_fixed.h"

#include "conv_grad_weight.h"

#include "pool.h"

#include "pool_planes.h"

#include "norm.h"

#include "norm_apply.h"

#include "conv_images.h"

#include "conv_norm.h"

#include "conv_pool_patches.h"

#include "conv_pool_weight.h"

#include "conv_pool_input.h"

#include "conv_pool.h"

#include "vecmath.h"

#include "activation.h"

#include "loss.h"

#include "optim.h"

#include "random.h"

#include "layout.h"

#include "peak.h"

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
