/* The constants that kernels are tuned by, in two sections.
 *
 * ORDER decides how sums are split and which algorithm computes them, and so the bits of every result: changing it
 * changes numerics. SPEED decides how work is split into tasks and blocks; no bit depends on it
 * (tests/backends/test_tuning.py). The constants of the register tile are defined beside the tile.
 */
#ifndef FASTNET_TUNING_H
#define FASTNET_TUNING_H

#include <stdint.h>

/* ---- ORDER ---- */

/* Increment with every change of this section: results of different versions differ by rounding. */
enum { FN_ORDER_VERSION = 3 };

/* Matrix product: a reduction is split into pieces of GEMM_KC steps, each accumulated from zero. */
enum { GEMM_KC = 512 };

/* Sums of columns (bias gradients): parts of at least COLUMN_PART_ROWS rows, blocks of COLUMN_ROWS rows in a part. */
enum { COLUMN_PARTS = 64, COLUMN_PART_ROWS = 256, COLUMN_ROWS = 64 };

/* Batch norm: parts of at least NORM_PART_ROWS rows, whole images from NORM_IMAGES images on; blocks of NORM_ROWS rows.
 * Rows are folded to multiples of NORM_FOLD columns, up to NORM_WIDE. */
enum { NORM_PARTS = 64, NORM_PART_ROWS = 256, NORM_IMAGES = 16, NORM_ROWS = 64, NORM_FOLD = 64, NORM_WIDE = 320 };

/* Group norm: rows of GROUP_WIDTH columns where nothing is summed per channel; gradients of element-wise parameters are
 * summed in at least GROUP_PARTS parts, if these take at most GROUP_PART_BYTES. */
enum { GROUP_WIDTH = 64, GROUP_PARTS = 16, GROUP_PART_BYTES = 4 << 20 };

/* Average pooling sums AVERAGE_RUN pixels of a window's row at a time. */
enum { AVERAGE_RUN = 32 };

/* Weight gradients: at most WEIGHT_PARTS partial gradients of WEIGHT_PARTIAL_BYTES in total, but at least one. */
enum { WEIGHT_PARTS = 16, WEIGHT_PARTIAL_BYTES = 4 << 20 };
/* ... as a matrix product: output pixels per chunk, and bytes of the input rows that a chunk copies. */
enum { WEIGHT_CHUNK_PIXELS = 384, WEIGHT_SLAB_BYTES = 256 << 10 };
/* ... of small images: images per chunk. */
enum { SMALL_CHUNK = 256 };

/* An image is small if it has at most SMALL_PIXELS outputs and at most SMALL_INSIDE / SMALL_TAPS of all taps fall
 * inside it; in inference conv/small.h needs at least SMALL_LEAST_IMAGES images (measured). */
enum { SMALL_PIXELS = 16, SMALL_INSIDE = 3, SMALL_TAPS = 5, SMALL_LEAST_IMAGES = 4 };

/* Winograd: the least input and output channels, output rows and columns; below these the direct algorithms are faster
 * (benches/conv_algorithms.py). */
enum { WINOGRAD_CHANNELS = 8, WINOGRAD_PIXELS = 3 };
/* Its weight gradient: up to WINOGRAD_PART_CHANNELS input times output channels, images are accumulated in parts, in
 * chunks of tiles whose transforms take WINOGRAD_PART_BYTES; beyond, in chunks as large as the sum, within limits of
 * bytes and tiles. */
enum { WINOGRAD_PARTS = 16, WINOGRAD_PART_CHANNELS = 32 * 32, WINOGRAD_PART_BYTES = 384 << 10 };
enum { WINOGRAD_PART_LEAST_TILES = 24, WINOGRAD_PART_MOST_TILES = 96 };
enum { WINOGRAD_CHUNK_LEAST_BYTES = 3 << 20, WINOGRAD_CHUNK_MOST_BYTES = 18 << 20 };
enum { WINOGRAD_CHUNK_LEAST_TILES = 64, WINOGRAD_CHUNK_MOST_TILES = 512 };

/* Up to NARROW_CHANNELS output channels, vectors run along columns (conv/narrow.h; same bits as a matrix product).
 */
enum { NARROW_CHANNELS = 8 };

/* The scattered input gradient: the most input channels, without and with a stride (measured); dy pixels per span; the
 * least distance in bytes between the sums of two pixels of a class. */
enum { SCATTER_CHANNELS = 8, SCATTER_STRIDED = 32, SCATTER_SPAN = 48, SCATTER_APART_BYTES = 64 };

/* Gradients over the maxima of a pooling: input elements and pooled pixels per band (weight gradient); the most
 * elements of a frame and of all filters (input gradient). */
enum { BAND_ELEMENTS = 8192, BAND_PIXELS = 256, FRAME_ELEMENTS = 32768, FRAME_FILTERS = 65536 };
/* They run where an estimate in cycles says that they pay, for vectors of MODEL_LANES elements and two multiply-adds
 * per cycle. With V = R * ceil(S*C / MODEL_LANES) vectors in a patch, a pooled output takes
 *   input gradient:   V * (MODEL_PATCH + MODEL_LANES*K*V / MODEL_FAR + MODEL_LIST * lists) + MODEL_PIXEL cycles:
 *                     multiply-adds; filters that come from L2; reading and writing the patch, for `lists` non-empty
 *                     lists per filter; listing the filters;
 *   other algorithms: R*S * C / MODEL_LANES times MODEL_DIRECT or MODEL_WINOGRAD_*, for each pixel of its window.
 * For the weight gradient see conv/pool_weight.h. */
enum { MODEL_LANES = 16 };
#define MODEL_DIRECT 0.5
#define MODEL_WINOGRAD_3 0.18
#define MODEL_WINOGRAD_5 0.27
#define MODEL_PATCH 0.5
#define MODEL_LIST 2
#define MODEL_FAR 28000
#define MODEL_PIXEL 3

/* ---- SPEED: compile-time constants ---- */

/* Prefetch distances (immediate operands): reduction steps in operand B by rows and in operand A by columns; steps
 * before a pixel is read; channels of weights that Winograd transforms at once, and of filters that it keeps; rows that
 * batch norm sums. */
enum { ROWS_AHEAD = 48, COLUMNS_AHEAD = 16, PIXELS_AHEAD = 48 };
enum { WINOGRAD_AHEAD = 4, FILTERS_AHEAD = 16, GATED_AHEAD = 16 };

/* Filters whose patches are listed together; also an array size and the unrolling factor of a loop. */
enum { LISTED_FILTERS = 16 };

/* ---- SPEED: run-time values ---- */

/* VALUE(name, cache, value): `value` suits an L1 of 32 to 48 KiB and an L2 of 1 to 2 MiB; it scales with the named
 * cache. */
#define FN_SPEED_VALUES(VALUE)                                                                               \
    VALUE(small_work, FN_NO_CACHE, 40000) /* vector operations below which one thread is faster (2 cores) */ \
    VALUE(tasks_per_thread, FN_NO_CACHE, 4) /* at least, if the work can be split so far */                  \
    VALUE(stream_bytes, FN_L2, 16 << 20) /* least output for non-temporal stores */                          \
    VALUE(plan_least, FN_NO_CACHE, 64 << 10) /* least values of a part of a plan's stretch */                \
    VALUE(plan_bytes, FN_L2, 8 << 20) /* ... and most, unless its weights take more */                       \
    VALUE(distance_tiles, FN_NO_CACHE, 16) /* register tiles of rows in a task of L1 distances */            \
    VALUE(gemm_bytes, FN_L2, 384 << 10) /* the block of A of a task of a matrix product */                   \
    VALUE(gemm_tasks, FN_NO_CACHE, 2) /* of a thread, if the product is large enough */                      \
    VALUE(gemm_group, FN_NO_CACHE, 16) /* most panels of B in a task */                                      \
    VALUE(gemm_panels, FN_NO_CACHE, 3) /* least panels of B for which A is packed */                         \
    VALUE(tree_elements, FN_NO_CACHE, 4096) /* of a task that adds parts */                                  \
    VALUE(affine_elements, FN_NO_CACHE, 16384) /* of a task of batch norm's affine maps */                   \
    VALUE(affine_period, FN_L1, 2048) /* elements over which coefficients may be repeated */                 \
    VALUE(affine_block, FN_L1, 4096) /* elements that stay in L1 */                                          \
    VALUE(pool_elements, FN_NO_CACHE, 16384) /* outputs of a task of pooling */                              \
    VALUE(conv_tiles, FN_NO_CACHE, 20) /* register tiles of pixels in a task */                              \
    VALUE(slab_bytes, FN_L2, 256 << 10) /* copied input rows of a task */                                    \
    VALUE(pooled_bytes, FN_L2, 64 << 10) /* outputs that a task keeps until they are pooled */               \
    VALUE(narrow_tiles, FN_NO_CACHE, 8) /* register tiles of a task, for few output channels */              \
    VALUE(small_tiles, FN_NO_CACHE, 8) /* register tiles of images in a task, for small images */            \
    VALUE(depthwise_bytes, FN_L2, 64 << 10) /* outputs of a task */                                          \
    VALUE(phase_bytes, FN_L2, 384 << 10) /* dx of the images processed together (strided) */                 \
    VALUE(scatter_rows, FN_NO_CACHE, 4) /* least task, in multiples of a filter's rows */                    \
    VALUE(packed_bytes, FN_L1, 26 << 10) /* most of a panel of dy that is packed to stay in L1 */            \
    VALUE(unpack_channels, FN_NO_CACHE, 8) /* input channels of a task that unpacks weight gradients */      \
    VALUE(block_bytes, FN_L2, 128 << 10) /* outputs of a block of images (conv/images.h) */                  \
    VALUE(block_weights, FN_L2, 384 << 10) /* most bytes of weights beside such a block */                   \
    VALUE(winograd_few_tiles, FN_NO_CACHE, 128) /* up to which work goes by points */                        \
    VALUE(winograd_fewest_tiles, FN_NO_CACHE, 4) /* ... by panels, if filters are kept */                    \
    VALUE(winograd_cached_bytes, FN_NO_CACHE, 24 << 20) /* transformed weights beyond which it does, too */  \
    VALUE(winograd_held_bytes, FN_NO_CACHE, 4 << 20) /* transformed weights computed at a time */            \
    VALUE(winograd_block_bytes, FN_L2, 640 << 10) /* transformed inputs of a block of tiles, within */       \
    VALUE(winograd_block_least, FN_L2, 24) /* ... these numbers of tiles */                                  \
    VALUE(winograd_block_most, FN_L2, 36)                                                                    \
    VALUE(winograd_inputs, FN_NO_CACHE, 6) /* tiles of a task that transforms inputs, */                     \
    VALUE(winograd_outputs, FN_NO_CACHE, 12) /* outputs, */                                                  \
    VALUE(winograd_filters, FN_NO_CACHE, 32) /* channels of one that transforms weights, */                  \
    VALUE(winograd_gradients, FN_NO_CACHE, 4) /* tiles of one that transforms the weight gradient's operands */

typedef enum { FN_NO_CACHE, FN_L1, FN_L2 } fn_cache;

typedef struct {
#define FN_SPEED_FIELD(name, cache, value) int64_t name;
    FN_SPEED_VALUES(FN_SPEED_FIELD)
#undef FN_SPEED_FIELD
    int64_t changes; /* how often a value was set; plans made before must be measured again */
} fn_speed_values;

/* Set only while no kernel runs (runtime/speed.h). */
extern fn_speed_values fn_speed;

#endif
