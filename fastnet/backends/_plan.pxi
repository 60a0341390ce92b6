"""Inference plans (engine/plan.c)."""

cdef extern from "fastnet.h" nogil:
    ctypedef struct fn_place:
        int64_t at, image
    ctypedef struct fn_step:
        fn_place x, add, y
        int64_t kind, begins, inner, first, wide, pixels, channels, activation, pooled, map
        double a, b
        const void *slopes
        fn_conv conv
        fn_pool pool
        const void *arrays[4]
    ctypedef struct fn_plan:
        pass
    enum:
        FN_STEPS
        FN_STEP_conv
        FN_INPUT
        FN_OUTPUT
        FN_NOWHERE
    const char *fn_step_names[FN_STEPS]
    fn_plan *fn_plan_new(int dtype, int64_t batch, int64_t arena, int64_t count)
    fn_status fn_plan_set(fn_plan *plan, int64_t i, const fn_step *step)
    void fn_plan_ready(fn_plan *plan)
    fn_status fn_plan_run(const fn_plan *plan, int64_t N, const void *x, void *y)
    void fn_plan_free(fn_plan *plan)

STEP_KINDS = {fn_step_names[i].decode(): i for i in range(FN_STEPS)}
INPUT, OUTPUT, NOWHERE = FN_INPUT, FN_OUTPUT, FN_NOWHERE  # special places, besides offsets

cdef class Plan:
    """The steps of fastnet/backends/native/steps.py, ready to run, also from several Python threads at a time.

    arena: bytes per image.  steps: a dictionary for each step, with the fields of fn_step by name.  `kind`, a name of
    STEP_KINDS, the pairs (at, image) `x`, `add` and `y`, `begins` and `inner` are required; others are 0 by default.
    `map` is a name of ELEMENTWISE, `conv` and `pool` are packed geometries, and `arrays` four arrays or None.
    """

    cdef fn_plan *plan
    cdef list kept

    def __cinit__(self, int dtype, int64_t batch, int64_t arena, list steps):
        self.plan = fn_plan_new(dtype, batch, arena, len(steps))
        if self.plan == NULL:
            raise MemoryError("fastnet: not enough memory for a plan")
        self.kept = []
        for i, fields in enumerate(steps):
            self.set_step(i, dict(fields))
        fn_plan_ready(self.plan)

    cdef int set_step(self, int64_t i, dict fields) except -1:
        cdef fn_step step
        cdef fn_status status
        memset(&step, 0, sizeof(fn_step))
        step.kind = STEP_KINDS[fields.pop("kind")]
        step.x.at, step.x.image = fields.pop("x")
        step.add.at, step.add.image = fields.pop("add")
        step.y.at, step.y.image = fields.pop("y")
        step.begins, step.inner = fields.pop("begins"), fields.pop("inner")
        step.first, step.wide = fields.pop("first", 0), fields.pop("wide", 0)
        step.pixels, step.channels = fields.pop("pixels", 0), fields.pop("channels", 0)
        step.activation, step.pooled = fields.pop("activation", 0), fields.pop("pooled", False)
        step.a, step.b = fields.pop("a", 0), fields.pop("b", 0)
        if "map" in fields:
            step.map = ELEMENTWISE.index(fields.pop("map"))
        if "conv" in fields:
            step.conv = conv_of(fields.pop("conv"))[0]
        if "pool" in fields:
            step.pool = pool_of(fields.pop("pool"))[0]
        arrays = fields.pop("arrays", (None,) * 4)
        slopes = fields.pop("slopes", None)
        for j in range(4):
            step.arrays[j] = address(arrays[j])
        step.slopes = address(slopes)
        if fields:
            raise TypeError(f"a step has no fields {', '.join(fields)}")
        if step.kind != FN_STEP_conv:  # a convolution's arrays are read here
            self.kept.append((arrays, slopes))
        with nogil:
            status = fn_plan_set(self.plan, i, &step)
        return check(status)

    def __dealloc__(self):
        fn_plan_free(self.plan)

    def run(self, int64_t N, x, y):
        """x: N images in the kernels' memory order; y: their outputs."""
        cdef const void *x_ = address(x)
        cdef void *y_ = writable(y)
        cdef fn_status status
        with nogil:
            status = fn_plan_run(self.plan, N, x_, y_)
        check(status)
