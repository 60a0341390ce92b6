/* The forward pass.  Needs conv/algorithms.h. */

/* The problem of one group, or of all groups if one job takes them together. */
INLINE conv_problem forward_problem(const fn_conv *g) {
    int64_t together = groups_together(g), depth = g->C / g->groups;
    return (conv_problem){
        .N = g->N,
        .H = g->H,
        .W = g->W,
        .C = depth * together,
        .P = g->P,
        .Q = g->Q,
        .K = g->K / g->groups * together,
        .R = g->R,
        .S = g->S,
        .stride_h = g->stride_h,
        .stride_w = g->stride_w,
        .first_h = -g->pad_top,
        .first_w = -g->pad_left,
        .tap_h = g->dilation_h,
        .tap_w = g->dilation_w,
        .group = together > 1 ? depth : 0,
    };
}

/* x, w, y: of all groups; y may be NULL if the caller sets it later. */
INLINE conv_job forward_job(const fn_conv *g, int64_t group, int threads, const REAL *x, const REAL *w,
                            const fn_epilogue *end, REAL *y) {
    conv_problem conv = forward_problem(g);
    int64_t taps = g->R * g->S, depth = g->C / g->groups;
    return (conv_job){
        .conv = conv,
        .at =
            {
                .in = x + group * conv.C,
                .in_pixel = g->C,
                .out = y + group * conv.K,
                .out_image = g->P * g->Q * g->K,
                .out_row = g->Q * g->K,
                .out_pixel = g->K,
                .w = w + group * conv.K * depth * taps,
                .w_tap_h = g->S,
                .w_tap_w = 1,
                .w_in = taps,
                .w_out = depth * taps,
                .w_group = depth * depth * taps,
            },
        .end = epilogue_of(end, group * conv.K, y),
        .run = {.threads = threads},
    };
}

static fn_status conv_forward(const fn_conv *g, const void *x, const void *w, const fn_epilogue *end, void *y) {
    int threads = fn_threads();
    fn_status status = FN_OK;
    for (int64_t group = 0; group < conv_jobs(g) && status == FN_OK; group++) {
        conv_job job = forward_job(g, group, threads, x, w, end, y);
        status = conv_run(&job);
    }
    return status;
}
