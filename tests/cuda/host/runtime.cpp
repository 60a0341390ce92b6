/* The emulator's side that kernels call: shared memory, barriers, collectives, and the calls that GCC puts before each
 * access of memory. Compiled once, into the library that all compiled kernels are linked with. */
#include "races.h"

using namespace emulator;

extern "C" {

emulated_point emulated_thread() { return threads[current].index; }
emulated_point emulated_block() { return block_index; }
emulated_point emulated_threads() { return launched.threads; }
emulated_point emulated_blocks() { return launched.blocks; }

void emulated_barrier(const char *file, int line) {
    waiting_count++;
    wait_in(State::at_barrier, file, line);
}

uint64_t emulated_collective(emulated_kind kind, unsigned mask, uint64_t value, int source, const char *file,
                             int line) {
    int self = current, warp = self / 32;
    Thread &thread = threads[self];
    thread.kind = kind;
    thread.mask = mask;
    thread.value = value;
    thread.source = source & 31;
    if (!(mask >> self % 32 & 1))
        fail(nullptr, file, line, "mask 0x%08x leaves out the calling lane, %d", mask, self % 32);
    bool complete = true;
    for (int lane = 0; lane < 32; lane++) {
        int t = warp * 32 + lane;
        if (!(mask >> lane & 1) || t == self) continue;
        if (t >= thread_count)
            fail(nullptr, file, line, "mask 0x%08x names lane %d, which the block of %d threads lacks", mask, lane,
                 thread_count);
        const Thread &other = threads[t];
        if (other.state == State::returned)
            fail(nullptr, file, line, "warp divergence: mask 0x%08x names lane %d, but %s", mask, lane,
                 place_of(other).text);
        if (other.state != State::in_collective) complete = false;
        else if (other.mask != mask || other.kind != kind)
            fail(nullptr, file, line, "warp divergence: it calls a warp's function with mask 0x%08x, but %s", mask,
                 place_of(other).text);
    }
    if (complete) {
        thread.file = file;
        thread.line = line;
        finish_collective(warp, mask);
    }
    wait_in(complete ? State::ready : State::in_collective, file, line);
    return thread.value;
}

void *emulated_dynamic_shared(const char *name, int element) {
    Array &array = arrays[dynamic_slot];
    if (array.kind == Kind::unused) {
        if (!launched.dynamic_bytes)
            fail(nullptr, nullptr, 0, "DYNAMIC_SHARED %s: the launch gives no shared memory", name);
        place(dynamic_slot, Kind::shared, (size_t)launched.dynamic_bytes, element, 0, name);
    } else if (1 << array.shift > element) {
        fail(nullptr, nullptr, 0, "DYNAMIC_SHARED %s: declare it once, of the type with the fewest bytes", name);
    }
    return reinterpret_cast<void *>(array.base);
}

static const void *shared_keys[max_shared];
static int shared_count;
static long long shared_bytes;

void *emulated_static_shared(const void *key, const char *name, long long count, int element) {
    for (int i = 0; i < shared_count; i++)
        if (shared_keys[i] == key) return reinterpret_cast<void *>(arrays[first_static_slot + i].base);
    shared_bytes += count * element;
    if (shared_count == max_shared || shared_bytes + launched.dynamic_bytes > shared_limit)
        fail(nullptr, nullptr, 0, "SHARED %s: %lld bytes of shared memory are needed; a block has %d", name,
             shared_bytes + launched.dynamic_bytes, shared_limit);
    shared_keys[shared_count] = key;
    place(first_static_slot + shared_count, Kind::shared, (size_t)(count * element), element, 0, name);
    return reinterpret_cast<void *>(arrays[first_static_slot + shared_count++].base);
}

void emulated_check_aligned(const void *address, int bytes, const char *file, int line) {
    uintptr_t a = reinterpret_cast<uintptr_t>(address), slot = (a - arena) >> slot_shift;
    if (a % (uintptr_t)bytes && slot < (uintptr_t)slots)
        fail(nullptr, file, line, "misaligned: %s is not a multiple of %d bytes",
             where(arrays[slot], (a - arrays[slot].base) >> arrays[slot].shift).text, bytes);
}

/* GCC's calls. An address outside the arena is a local variable's or a constant's. */
#define HERE __builtin_return_address(0)
#define ACCESS(size)                                                           \
    void __tsan_read##size(uintptr_t a) { touch(a, size, size, false, HERE); } \
    void __tsan_write##size(uintptr_t a) { touch(a, size, size, true, HERE); }
#define UNALIGNED(size)                                                               \
    void __tsan_unaligned_read##size(uintptr_t a) { touch(a, size, 1, false, HERE); } \
    void __tsan_unaligned_write##size(uintptr_t a) { touch(a, size, 1, true, HERE); }
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)
UNALIGNED(2)
UNALIGNED(4)
UNALIGNED(8)
UNALIGNED(16)
void __tsan_read_range(uintptr_t a, size_t size) { touch(a, size, 1, false, HERE); }
void __tsan_write_range(uintptr_t a, size_t size) { touch(a, size, 1, true, HERE); }
void __tsan_init() {}
void __tsan_func_entry(void *) {}
void __tsan_func_exit() {}

/* UBSan's calls: each begins with a place in the source. */
struct Source {
    const char *file;
    unsigned line, column;
};
#define UNDEFINED(name, text, ...) \
    void __ubsan_handle_##name(const Source *at, ##__VA_ARGS__) { fail(nullptr, at->file, (int)at->line, text); }
UNDEFINED(add_overflow, "signed overflow of a sum", void *, void *)
UNDEFINED(sub_overflow, "signed overflow of a difference", void *, void *)
UNDEFINED(mul_overflow, "signed overflow of a product", void *, void *)
UNDEFINED(negate_overflow, "signed overflow of a negation", void *)
UNDEFINED(divrem_overflow, "a division by 0, or signed overflow of a quotient", void *, void *)
UNDEFINED(shift_out_of_bounds, "a shift by a negative number or by all bits", void *, void *)
UNDEFINED(out_of_bounds, "an index outside a local array", void *)
UNDEFINED(float_cast_overflow, "a number that the integer type cannot hold", void *)

/* What tests/cuda/emulator.py calls. */
struct Argument {
    long long integer;
    double number;
    void *data; /* an array's first byte, or null; of a table the places of its arrays among the arguments, or -1 */
    const unsigned char *own; /* which elements are a view's own, not another's between them; null: all */
    long long bytes, offset;
    int kind; /* 0 an integer, 1 a number, 2 an array, 3 a table */
    int element, written, same; /* same: the argument written to this memory, or -1 */
    const char *name;
};

const Fault *emulator_launch(void (*call)(void *const *), const Argument *arguments, int count, const unsigned *blocks,
                             const unsigned *shape, long long dynamic_bytes, uint64_t seed) {
    fault = {};
    reserve_arena();
    if (phase > 3u << 30) { /* start the clock again */
        for (Room &room : rooms) room.cells.clear();
        phase = 0;
    }
    void *values[max_arguments];
    uintptr_t bases[max_arguments];
    for (int i = 0; i < count; i++) {
        const Argument &a = arguments[i];
        values[i] = const_cast<long long *>(&a.integer);
        if (a.kind == 1) values[i] = const_cast<double *>(&a.number);
        if (a.kind < 2) continue;
        values[i] = &bases[i];
        bases[i] = 0;
        if (!a.bytes) continue;
        Kind kind = a.written ? Kind::global : Kind::read_only;
        if (!place(i, kind, (size_t)a.bytes, a.element, (size_t)a.offset, a.name)) {
            fault.failed = fault.everywhere = true;
            snprintf(fault.text, sizeof fault.text, "argument %s is too large for the emulator", a.name);
            return &fault;
        }
        bases[i] = arrays[i].base;
        memcpy(reinterpret_cast<void *>(bases[i]), a.data, (size_t)a.bytes);
    }
    for (int i = 0; i < count; i++) {
        const Argument &a = arguments[i];
        if (a.kind == 2 && a.same >= 0) {
            arrays[i].kind = Kind::in_place;
            arrays[i].cells = arrays[a.same].cells;
        }
        if (a.kind == 3)
            for (long long e = 0; e < a.bytes / 8; e++) {
                long long of = static_cast<const long long *>(a.data)[e];
                reinterpret_cast<uintptr_t *>(bases[i])[e] = of < 0 ? 0 : bases[of];
            }
    }
    launched = {call, values, {blocks[0], blocks[1], blocks[2]}, {shape[0], shape[1], shape[2]}, dynamic_bytes, seed};
    thread_count = (int)(shape[0] * shape[1] * shape[2]);
    for (int t = 0; t < thread_count; t++) {
        unsigned i = (unsigned)t;
        threads[t].index = {i % shape[0], i / shape[0] % shape[1], i / shape[0] / shape[1]};
        order[t] = t;
    }
    random_state = seed * 0x9e3779b97f4a7c15u + 1;
    launch_phase = phase + 1;
    block_phases.clear();
    shared_count = 0;
    shared_bytes = 0;

    /* Blocks in the order (step * i + start) modulo their number, where step has no factor in common with it. */
    uint64_t total = (uint64_t)blocks[0] * blocks[1] * blocks[2];
    uint64_t start = random_below((uint32_t)total), step = 1 + random_below((uint32_t)total);
    auto common = [](uint64_t a, uint64_t b) {
        while (b) {
            uint64_t rest = a % b;
            a = b;
            b = rest;
        }
        return a;
    };
    while (common(step, total) != 1) step++;
    for (uint64_t i = 0; i < total; i++) {
        uint64_t b = (step * i + start) % total;
        block_index = {(unsigned)(b % blocks[0]), (unsigned)(b / blocks[0] % blocks[1]),
                       (unsigned)(b / blocks[0] / blocks[1])};
        if (!run_block()) break;
    }

    /* Back to the caller's arrays: what was written alone, as another argument may lie between an array's elements. */
    for (int i = 0; i < count; i++) {
        const Argument &a = arguments[i];
        if (a.kind < 2 || !a.bytes) continue;
        const char *from = reinterpret_cast<const char *>(arrays[i].base);
        for (long long e = 0; a.written && e < a.bytes / a.element; e++) {
            if (arrays[i].cells[e].written < launch_phase) continue;
            memcpy(static_cast<char *>(a.data) + e * a.element, from + e * a.element, (size_t)a.element);
            if (a.own && !a.own[e] && !fault.failed) {
                fault.failed = fault.everywhere = true;
                snprintf(fault.text, sizeof fault.text, "%s[%lld], between the view's elements, was written", a.name,
                         e);
            }
        }
        release(i);
    }
    for (int slot = dynamic_slot; slot < slots; slot++) release(slot);
    return &fault;
}
}
