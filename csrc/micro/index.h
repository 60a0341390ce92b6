/* The position of a maximum in its window: a byte, or 32 bits if windows have 256 pixels or more.
 *
 * GCC 12 converts vectors of integers only by factors of two and with the same signedness, otherwise lane by lane. */
typedef uint8_t byte_lanes __attribute__((vector_size(VECTOR_BYTES / sizeof(REAL))));
typedef int8_t signed_bytes __attribute__((vector_size(VECTOR_BYTES / sizeof(REAL))));
typedef int16_t signed_halves __attribute__((vector_size(2 * VECTOR_BYTES / sizeof(REAL))));
typedef uint16_t half_lanes __attribute__((vector_size(2 * VECTOR_BYTES / sizeof(REAL))));
typedef uint32_t long_lanes __attribute__((vector_size(4 * VECTOR_BYTES / sizeof(REAL))));
typedef int32_t word_lanes __attribute__((vector_size(4 * VECTOR_BYTES / sizeof(REAL))));
typedef enum { MAX_BYTES, MAX_WORDS, MAX_ALONE, AVERAGE } pool_kind; /* the width of max pooling's index */

INLINE void store_index(pool_kind kind, void *index, int64_t at, mask which, int64_t lanes) {
    size_t count = (size_t)min64(lanes, LANES);
    if (kind == MAX_BYTES) {
        word_lanes words = __builtin_convertvector(which, word_lanes);
        signed_bytes narrow = __builtin_convertvector(__builtin_convertvector(words, signed_halves), signed_bytes);
        if (lanes >= LANES) memcpy((uint8_t *)index + at, &narrow, sizeof narrow);
        else memcpy((uint8_t *)index + at, &narrow, count);
    } else {
        word_lanes narrow = __builtin_convertvector(which, word_lanes);
        memcpy((int32_t *)index + at, &narrow, count * sizeof(int32_t));
    }
}

INLINE mask load_index(pool_kind kind, const void *index, int64_t at, int64_t lanes) {
    byte_lanes bytes;
    word_lanes words;
    if (lanes < LANES) {
        int32_t part[LANES] = {0};
        for (int64_t i = 0; i < lanes; i++)
            part[i] = kind == MAX_BYTES ? ((const uint8_t *)index)[at + i] : ((const int32_t *)index)[at + i];
        memcpy(&words, part, sizeof words);
    } else if (kind == MAX_BYTES) {
        memcpy(&bytes, (const uint8_t *)index + at, sizeof bytes);
        words = (word_lanes) __builtin_convertvector(__builtin_convertvector(bytes, half_lanes), long_lanes);
    } else memcpy(&words, (const int32_t *)index + at, sizeof words);
    return __builtin_convertvector(words, mask);
}
