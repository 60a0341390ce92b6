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

constexpr int max_arguments = 512; /* with the arrays of tables */
constexpr int max_shared = 32, slots = max_arguments + 1 + max_shared;
constexpr int dynamic_slot = max_arguments, first_static_slot = max_arguments + 1;
constexpr size_t page = size_t(64) << 10;

/* What is known of an element: the phases (block.h counts them) of its last write and read, and who did it. */
struct Cell {
    uint32_t written, read;
    uint16_t writer, reader;
    uint16_t written_step, read_step; /* how many __syncwarps the warp had passed in the phase */
};

/* in_place: read only, its cells are another argument's, which writes to the same memory. Each has its own copy, as a
 * GPU's cache of read-only data may keep old values. */
enum class Kind : unsigned char { unused, read_only, in_place, global, shared };

struct Array {
    uintptr_t base;
    size_t bytes;
    Cell *cells;
    Kind kind;
    int shift; /* log2 of an element's bytes */
};

struct Room /* the rest of a slot, which accesses don't need */
{
    size_t committed = 0;
    std::vector<Cell> cells;
    std::string name;
};

inline Array arrays[slots];
inline Room rooms[slots];
inline uintptr_t arena = 0;
inline int slot_shift = 36; /* 64 GiB a slot; less where the address space is limited */

inline void reserve_arena() {
    while (!arena) {
        size_t slot = size_t(1) << slot_shift;
        void *memory = mmap(nullptr, (slots + 1) * slot, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory != MAP_FAILED) arena = (reinterpret_cast<uintptr_t>(memory) + slot - 1) & ~(slot - 1);
        else if (--slot_shift < 26) abort();
    }
}

/* Room for an array whose address is `offset` above a multiple of 512. False: it doesn't fit a slot. */
inline bool place(int slot, Kind kind, size_t bytes, int element, size_t offset, const std::string &name) {
    Room &room = rooms[slot];
    size_t half = size_t(1) << (slot_shift - 1);
    uintptr_t middle = arena + 2 * half * slot + half;
    size_t needed = (offset + bytes + page - 1) / page * page;
    if (needed > half / 2) return false;
    if (needed > room.committed) {
        if (mprotect(reinterpret_cast<void *>(middle), needed, PROT_READ | PROT_WRITE)) return false;
        room.committed = needed;
    }
    room.name = name;
    int shift = __builtin_ctz((unsigned)element);
    if (kind != Kind::read_only && room.cells.size() < bytes >> shift) room.cells.resize(bytes >> shift);
    arrays[slot] = {middle + offset, bytes, room.cells.data(), kind, shift};
    return true;
}

/* The array is no more; pages that a large one took go back to the system. */
inline void release(int slot) {
    Room &room = rooms[slot];
    if (room.committed > 256 * page) {
        size_t half = size_t(1) << (slot_shift - 1);
        void *middle = reinterpret_cast<void *>(arena + 2 * half * slot + half);
        madvise(middle, room.committed, MADV_DONTNEED);
        mprotect(middle, room.committed, PROT_NONE);
        room.committed = 0;
        room.cells = {};
    }
    arrays[slot] = {};
}

} // namespace emulator
