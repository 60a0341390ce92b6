/* The memory that kernels see: each array lies alone in the middle of a slot of address space, many GiB long, so that
 * the address of any access, however wrong its index, names the array that it was meant for. */
#pragma once
#include <stdint.h>
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace emulator {

constexpr int max_arguments = 64, max_shared = 32, slots = max_arguments + 1 + max_shared;
constexpr int dynamic_slot = max_arguments, first_static_slot = max_arguments + 1;
constexpr size_t page = size_t(64) << 10;

/* What is known of an element: the phases (block.h counts them) of its last write and read, and who did it. */
struct Cell
{
    uint32_t written, read;
    uint16_t writer, reader;
    uint16_t written_step, read_step; /* how many __syncwarps the warp had passed in the phase */
};

enum class Kind : unsigned char { unused, read_only, global, shared };

struct Array
{
    uintptr_t base = 0;
    size_t bytes = 0, committed = 0;
    Kind kind = Kind::unused;
    int shift = 0; /* log2 of an element's bytes */
    Cell *cells = nullptr;
    std::vector<Cell> storage;
    std::string name;
};

inline Array arrays[slots];
inline uintptr_t arena = 0;
inline int slot_shift = 36; /* 64 GiB a slot; less where the address space is limited */

inline void reserve_arena()
{
    while (!arena) {
        size_t slot = size_t(1) << slot_shift;
        void *memory = mmap(nullptr, (slots + 1) * slot, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory != MAP_FAILED)
            arena = (reinterpret_cast<uintptr_t>(memory) + slot - 1) & ~(slot - 1);
        else if (--slot_shift < 26)
            abort();
    }
}

/* Room for an array whose address is `offset` above a multiple of 512. False: it doesn't fit a slot. */
inline bool place(int slot, Kind kind, size_t bytes, int element, size_t offset, const std::string &name)
{
    reserve_arena();
    Array &array = arrays[slot];
    size_t half = size_t(1) << (slot_shift - 1);
    uintptr_t middle = arena + 2 * half * slot + half;
    size_t needed = (offset + bytes + page - 1) / page * page;
    if (needed > half / 2)
        return false;
    if (needed > array.committed) {
        if (mprotect(reinterpret_cast<void *>(middle), needed, PROT_READ | PROT_WRITE))
            return false;
        array.committed = needed;
    }
    array.base = middle + offset;
    array.bytes = bytes;
    array.kind = kind;
    array.shift = __builtin_ctz((unsigned)element);
    array.name = name;
    size_t count = bytes >> array.shift;
    if (kind != Kind::read_only && array.storage.size() < count)
        array.storage.resize(count);
    array.cells = array.storage.data();
    return true;
}

/* Gives pages that no array needs any more back to the system. */
inline void release(int slot)
{
    Array &array = arrays[slot];
    if (array.committed > 64 * page) {
        size_t half = size_t(1) << (slot_shift - 1);
        void *middle = reinterpret_cast<void *>(arena + 2 * half * slot + half);
        madvise(middle, array.committed, MADV_DONTNEED);
        mprotect(middle, array.committed, PROT_NONE);
        array.committed = 0;
        array.storage = {};
    }
    array.kind = Kind::unused;
    array.bytes = 0;
}

} // namespace emulator
