/* The numbers that kernels are tuned by, in two sections.
 *
 * ORDER decides how sums are cut and which algorithm computes them, and so the bits of every result: a change there is
 * a change of numerics.  SPEED decides how work is cut into tasks and blocks; no bit depends on it, which
 * tests/backends/test_tuning.py holds.  What sets the shape of a register tile stays beside the tile.
 */
#ifndef FASTNET_TUNING_H
#define FASTNET_TUNING_H

#include <stdint.h>

/* ---- ORDER ---- */

/* Count up with every change of this section: results of different versions differ by rounding. */
enum { FN_ORDER_VERSION = 1 };

/* Matrix product: a reduction is cut into pieces of so many steps, each accumulated from zero. */
enum { GEMM_KC = 512 };

/* Sums of columns (bias gradients): parts of at least COLUMN_PART_ROWS rows, blocks of COLUMN_ROWS rows in a part. */
enum { COLUMN_PARTS = 64, COLUMN_PART_ROWS = 256, COLUMN_ROWS = 64 };

/* Batch norm: parts of at least NORM_PART_ROWS rows, whole images from NORM_IMAGES images on; blocks of NORM_ROWS rows.
 * Rows are folded to multiples of NORM_FOLD columns, up to NORM_WIDE. */
enum { NORM_PARTS = 64, NORM_PART_ROWS = 256, NORM_IMAGES = 16, NORM_ROWS = 64, NORM_FOLD = 64, NORM_WIDE = 320 };

/* Average pooling adds so many pixels of a window's row at a time. */
enum { AVERAGE_RUN = 32 };

/* Weight gradients: partial gradients, which together take at most WEIGHT_PARTIAL_BYTES unless there is one. */
enum { WEIGHT_PARTS = 16, WEIGHT_PARTIAL_BYTES = 4 << 20 };
/* ... as a matrix product: output pixels of a chunk, and bytes of the input rows that it copies. */
enum { WEIGHT_CHUNK_PIXELS = 384, WEIGHT_SLAB_BYTES = 256 << 10 };
/* ... of small images: images of a chunk. */
enum { SMALL_CHUNK = 256 };

/* An image is small with at most SMALL_PIXELS outputs, of whose taps at most SMALL_INSIDE / SMALL_TAPS lie inside;
 * inference runs it so from SMALL_LEAST_IMAGES images on (measured). */
enum { SMALL_PIXELS = 16, SMALL_INSIDE = 3, SMALL_TAPS = 5, SMALL_LEAST_IMAGES = 4 };

/* Winograd, from so many channels on either side, rows and columns of outputs, and in inference tiles on; below them
 * the direct algorithms are faster (benches/conv_algorithms.py). */
enum { WINOGRAD_CHANNELS = 8, WINOGRAD_PIXELS = 3, WINOGRAD_LEAST_TILES = 4 };
/* Its weight gradient: up to WINOGRAD_PART_CHANNELS channels in times out, images are accumulated in parts, in chunks
 * of tiles whose transforms take WINOGRAD_PART_BYTES; beyond, in chunks as large as the sum, within bounds of bytes and
 * tiles. */
enum { WINOGRAD_PARTS = 16, WINOGRAD_PART_CHANNELS = 32 * 32, WINOGRAD_PART_BYTES = 384 << 10 };
enum { WINOGRAD_PART_LEAST_TILES = 24, WINOGRAD_PART_MOST_TILES = 96 };
enum { WINOGRAD_CHUNK_LEAST_BYTES = 3 << 20, WINOGRAD_CHUNK_MOST_BYTES = 18 << 20 };
enum { WINOGRAD_CHUNK_LEAST_TILES = 64, WINOGRAD_CHUNK_MOST_TILES = 512 };

/* Up to so many output channels vectors run along columns instead (conv/narrow.h, with the bits of a matrix product).
 */
enum { NARROW_CHANNELS = 8 };

/* The scattered input gradient: up to so many input channels, without and with a stride (measured); dy pixels of a
 * span, and the bytes that lie between the sums of two pixels of a class at least. */
enum { SCATTER_CHANNELS = 8, SCATTER_STRIDED = 32, SCATTER_SPAN = 48, SCATTER_APART_BYTES = 64 };

/* Gradients over the maxima of a pooling: input elements and pooled pixels of a band (weights); elements that a frame
 * and all filters may have (input). */
enum { BAND_ELEMENTS = 8192, BAND_PIXELS = 256, FRAME_ELEMENTS = 32768, FRAME_FILTERS = 65536 };
/* They run where an estimate of cycles says that they pay, on vectors of MODEL_LANES elements and two multiply-adds a
 * cycle. The other algorithms take MODEL_DIRECT or, by Winograd, MODEL_WINOGRAD_* cycles for a tap and a vector; a
 * patch takes MODEL_PATCH for each multiply-add, MODEL_LIST for being read and written, 1 / MODEL_FAR more for each
 * element of the filters, which come from the second cache, and MODEL_PIXEL for each pooled pixel. */
enum { MODEL_LANES = 16 };
#define MODEL_DIRECT 0.5
#define MODEL_WINOGRAD_3 0.18
#define MODEL_WINOGRAD_5 0.27
#define MODEL_PATCH 0.5
#define MODEL_LIST 2
#define MODEL_FAR 28000
#define MODEL_PIXEL 3

/* ---- SPEED: fixed when compiled ---- */

/* How far ahead memory is prefetched: immediate operands.  Steps of a reduction, in operand B by rows and in operand A
 * by columns; channels of transformed weights; rows of the gradient that batch norm reads under a mask; elements of
 * affine maps. */
enum { ROWS_AHEAD = 48, COLUMNS_AHEAD = 16, WINOGRAD_AHEAD = 4, GATED_AHEAD = 16, AFFINE_AHEAD = 4096 };

/* Filters whose patches are listed together: an array's size, and a loop that is unrolled by it. */
enum { LISTED_FILTERS = 16 };

/* ---- SPEED: values at run time ---- */

/* VALUE(name, cache, value): `value` is right where the first cache has 32 to 48 KiB and the second 1 to 2 MiB; it
 * grows and shrinks with the cache that is named. */
#define FN_SPEED_VALUES(VALUE)                                                                                 \
    VALUE(small_work, FN_NO_CACHE, 40000) /* vector operations below which one thread is faster (2 cores) */   \
    VALUE(tasks_per_thread, FN_NO_CACHE, 4) /* at least, where work can be cut so */                           \
    VALUE(stream_bytes, FN_NO_CACHE, 16 << 20) /* outputs from here on are stored past the caches */           \
    VALUE(gemm_tiles, FN_NO_CACHE, 16) /* register tiles of rows in a task of a matrix product */              \
    VALUE(tree_elements, FN_NO_CACHE, 4096) /* of a task that adds parts */                                    \
    VALUE(affine_elements, FN_NO_CACHE, 16384) /* of a task of batch norm's affine maps */                     \
    VALUE(affine_period, FN_L1, 2048) /* elements over which coefficients may be repeated */                   \
    VALUE(affine_block, FN_L1, 4096) /* elements that stay in the first cache */                               \
    VALUE(pool_elements, FN_NO_CACHE, 16384) /* outputs of a task of pooling */                                \
    VALUE(conv_tiles, FN_NO_CACHE, 20) /* register tiles of pixels in a task */                                \
    VALUE(slab_bytes, FN_L2, 256 << 10) /* copied input rows of a task */                                      \
    VALUE(pooled_bytes, FN_L2, 64 << 10) /* outputs that a task keeps until they are pooled */                 \
    VALUE(narrow_tiles, FN_NO_CACHE, 8) /* register tiles of a task, for few output channels */                \
    VALUE(small_tiles, FN_NO_CACHE, 8) /* register tiles of images in a task, for small images */              \
    VALUE(depthwise_bytes, FN_L2, 64 << 10) /* outputs of a task */                                            \
    VALUE(phase_bytes, FN_L2, 384 << 10) /* images whose strided input gradient is made at a time */           \
    VALUE(scatter_rows, FN_NO_CACHE, 4) /* times the rows that a filter spans: the least task */               \
    VALUE(dy_ahead_channels, FN_NO_CACHE, 128) /* up to which weight gradients prefetch the next chunk's dy */ \
    VALUE(unpack_channels, FN_NO_CACHE, 8) /* input channels of a task that unpacks weight gradients */        \
    VALUE(block_bytes, FN_L2, 128 << 10) /* outputs of some images, for their neighbours to read */            \
    VALUE(block_weights, FN_L2, 384 << 10) /* bytes of weights that may stay in the cache beside them */       \
    VALUE(winograd_few_tiles, FN_NO_CACHE, 128) /* up to which all threads multiply the same tiles */          \
    VALUE(winograd_cached_bytes, FN_NO_CACHE, 24 << 20) /* transformed weights beyond which they do, too */    \
    VALUE(winograd_held_bytes, FN_NO_CACHE, 4 << 20) /* transformed weights that are made at a time */         \
    VALUE(winograd_block_bytes, FN_L2, 640 << 10) /* transformed inputs of a block of tiles, within */         \
    VALUE(winograd_block_least, FN_NO_CACHE, 24) /* ... these numbers of tiles */                              \
    VALUE(winograd_block_most, FN_NO_CACHE, 36)                                                                \
    VALUE(winograd_inputs, FN_NO_CACHE, 6) /* tiles of a task that transforms inputs, */                       \
    VALUE(winograd_outputs, FN_NO_CACHE, 12) /* outputs, */                                                    \
    VALUE(winograd_filters, FN_NO_CACHE, 32) /* channels of one that transforms weights, */                    \
    VALUE(winograd_gradients, FN_NO_CACHE, 4) /* tiles of one that transforms the weight gradient's operands */

typedef enum { FN_NO_CACHE, FN_L1, FN_L2 } fn_cache;

typedef struct {
#define FN_SPEED_FIELD(name, cache, value) int64_t name;
    FN_SPEED_VALUES(FN_SPEED_FIELD)
#undef FN_SPEED_FIELD
    int64_t changes; /* how often a value was set: what was measured before is to be measured again */
} fn_speed_values;

/* Set while no kernel runs: runtime/speed.h. */
extern fn_speed_values fn_speed;

#endif
