/* Convolutions whose weights stand, for inference: laid out once by conv_fix, then run on any number of images.
 *
 * `laid_out` holds the shift of each output channel, then the prepared weights of each group.
 */
enum { FIXED_TILES = 4, FIXED_SMALL = 4 }; /* the least tiles, and images of few pixels, that pay; measured */

INLINE int64_t whole_lines(int64_t bytes) { return ceil_div(bytes, 64) * 64; }

/* The job of one group for N images, without its arrays; y has `wide` channels a pixel. */
INLINE conv_job fixed_job(const fn_fixed_conv *c, int64_t N, int64_t group) {
    fn_conv g = c->g;
    g.N = N;
    conv_job job = forward_job(&g, group, NULL, NULL, NULL, NULL);
    if (c->pooled) job.pooled = 1, job.P = g.P / 2 * 2, job.Q = g.Q / 2 * 2;
    int64_t side = c->pooled ? 2 : 1;
    job.out_pixel = c->wide, job.out_row = g.Q / side * c->wide, job.out_image = g.P / side * job.out_row;
    job.form = (conv_form)c->form;
    return job;
}

/* Shapes choose; but with few images Winograd and the form for small ones have few rows for the weights that they read,
 * and the latter does not pool. */
static conv_form fixed_form(const fn_fixed_conv *c, const conv_job *job) {
    const fn_conv *g = &c->g;
    conv_form form = conv_choose(job);
    if (form == BY_WINOGRAD && grid_of(g->N, g->P, g->Q, g->R).count < FIXED_TILES) return BY_GEMM;
    if (form == BY_SMALL && g->N < FIXED_SMALL) return BY_GEMM;
    return c->pooled && form == BY_SMALL ? BY_GEMM : form;
}

static fn_status conv_fix(fn_fixed_conv *c, const void *w, const void *shift) {
    const fn_conv *g = &c->g;
    int64_t first = whole_lines(g->K * (int64_t)sizeof(REAL));
    conv_job job = forward_job(g, 0, NULL, w, NULL, NULL);
    c->form = job.form = fixed_form(c, &job);
    conv_measure(&job);
    c->group_bytes = whole_lines(job.prepared_bytes);
    c->laid_out = fn_alloc((size_t)(first + conv_jobs(g) * c->group_bytes), FN_ARRAY);
    if (!c->laid_out) return FN_NO_MEMORY;
    char *to = (char *)c->laid_out;
    if (shift) memcpy(to, shift, (size_t)g->K * sizeof(REAL));
    else memset(to, 0, (size_t)g->K * sizeof(REAL));
    for (int64_t group = 0; group < conv_jobs(g); group++) {
        job.w = forward_job(g, group, NULL, w, NULL, NULL).w;
        job.prepared = (REAL *)(to + first + group * c->group_bytes);
        conv_prepare(&job);
    }
    return FN_OK;
}

static int64_t conv_fixed_scratch(const fn_fixed_conv *c, int64_t N) {
    conv_job job = fixed_job(c, N, 0);
    conv_measure(&job);
    return conv_scratch_bytes(&job);
}

/* add: laid out like y, or NULL; y may be add. */
static void conv_run_fixed(const fn_fixed_conv *c, int64_t N, const void *x, const void *add, void *y, void *scratch) {
    const fn_conv *g = &c->g;
    char *weights = (char *)c->laid_out + whole_lines(g->K * (int64_t)sizeof(REAL));
    const fn_epilogue end = {NULL, c->laid_out, add, c->relu};
    for (int64_t group = 0; group < conv_jobs(g); group++) {
        conv_job job = fixed_job(c, N, group);
        conv_measure(&job);
        job.in = (const REAL *)x + group * job.C, job.out = (REAL *)y + group * job.K;
        job.end = epilogue_of(&end, group * job.K, y);
        job.prepared = (REAL *)(weights + group * c->group_bytes), job.scratch = scratch;
        conv_execute(&job);
    }
}
