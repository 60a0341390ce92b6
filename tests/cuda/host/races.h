/* What each access of memory is checked for. */
#pragma once
#include "block.h"

namespace emulator {

/* Cell::reader: a thread, or several threads of one warp, or of several; and whether another block has read it, too. */
constexpr unsigned several = 1024, many = 0x7fff, foreign = 0x8000;

inline const char *name_of(const Array &array) { return rooms[&array - arrays].name.c_str(); }

inline Text where(const Array &array, size_t cell) {
    Text t;
    const char *kind = array.kind == Kind::shared ? "shared" : "argument";
    snprintf(t.text, sizeof t.text, "%s %s[%zu]", kind, name_of(array), cell);
    return t;
}

inline Text block_of(uint32_t time) {
    Text t;
    emulated_point b = {};
    for (const auto &known : block_phases)
        if (known.first <= time) b = known.second;
    snprintf(t.text, sizeof t.text, "block (%u, %u, %u)", b.x, b.y, b.z);
    return t;
}

[[noreturn]] __attribute__((cold, noinline)) inline void
race(const void *code, const Array &array, size_t cell, const char *verb, unsigned other, const char *other_verb) {
    Text place = where(array, cell);
    if (other >= several)
        fail(code, nullptr, 0, "race: it %s %s, which other threads %s, with no barrier between", verb, place.text,
             other_verb);
    emulated_point i = threads[other].index;
    fail(code, nullptr, 0, "race: it %s %s, which thread (%u, %u, %u) %s, with no barrier between", verb, place.text,
         i.x, i.y, i.z, other_verb);
}

inline void read_cell(const Array &array, size_t index, const void *code) {
    Cell &cell = array.cells[index];
    unsigned self = (unsigned)current, warp = self / 32;
    uint16_t step = warp_steps[warp];
    unsigned reader = cell.reader & ~foreign;
    if (cell.read == phase && reader == self && cell.read_step == step) return;
    if (array.kind == Kind::shared) {
        if (cell.written < block_phase)
            fail(code, nullptr, 0, "it reads %s, which no thread of this block has written", where(array, index).text);
    } else if (cell.written >= launch_phase && cell.written < block_phase) {
        fail(code, nullptr, 0, "race of blocks: it reads %s, which %s writes", where(array, index).text,
             block_of(cell.written).text);
    }
    if (cell.written == phase && cell.writer != self && (cell.writer / 32u != warp || cell.written_step == step))
        race(code, array, index, "reads", cell.writer, "wrote");
    if (array.kind == Kind::in_place && cell.written >= block_phase)
        fail(code, nullptr, 0, "it reads %s (IN) after the same memory was written through another argument",
             where(array, index).text);
    unsigned other_block =
        cell.read >= launch_phase && (cell.read < block_phase || cell.reader & foreign) ? foreign : 0;
    if (cell.read != phase) reader = self;
    else if (reader < several ? reader / 32 == warp : reader == several + warp)
        reader = reader == self || cell.read_step != step ? self : several + warp;
    else reader = many;
    cell.read = phase;
    cell.reader = (uint16_t)(reader | other_block);
    cell.read_step = step;
}

inline void write_cell(const Array &array, size_t index, const void *code) {
    Cell &cell = array.cells[index];
    unsigned self = (unsigned)current, warp = self / 32;
    uint16_t step = warp_steps[warp];
    if (cell.written == phase && cell.writer != self && (cell.writer / 32u != warp || cell.written_step == step))
        race(code, array, index, "writes", cell.writer, "wrote");
    if (cell.read == phase) {
        unsigned reader = cell.reader & ~foreign;
        unsigned reader_warp = reader < several ? reader / 32 : reader - several;
        if (reader != self && (reader_warp != warp || cell.read_step == step))
            race(code, array, index, "writes", reader, "read");
    }
    if (array.kind == Kind::global) {
        if (cell.written >= launch_phase && cell.written < block_phase)
            fail(code, nullptr, 0, "race of blocks: it writes %s, which %s writes, too", where(array, index).text,
                 block_of(cell.written).text);
        if (cell.read >= launch_phase && (cell.read < block_phase || cell.reader & foreign))
            fail(code, nullptr, 0, "race of blocks: it writes %s, which %s reads", where(array, index).text,
                 cell.reader & foreign ? "another block" : block_of(cell.read).text);
    }
    cell.written = phase;
    cell.writer = (uint16_t)self;
    cell.written_step = step;
}

[[noreturn]] __attribute__((cold, noinline)) inline void outside(uintptr_t address, const Array &array, size_t bytes,
                                                                 const char *verb, const void *code) {
    long long element = (long long)1 << array.shift;
    long long distance = (long long)(address - array.base);
    long long index = distance >= 0 ? distance / element : -((-distance + element - 1) / element);
    fail(code, nullptr, 0, "out of bounds: it %s %zu bytes at %s %s[%lld], whose elements are 0 to %lld", verb, bytes,
         array.kind == Kind::shared ? "shared" : "argument", name_of(array), index,
         (long long)(array.bytes >> array.shift) - 1);
}

[[noreturn]] __attribute__((cold, noinline)) inline void null_pointer(uintptr_t address, const char *verb,
                                                                      const void *code) {
    fail(code, nullptr, 0, "it %s through a null pointer (address %lld)", verb, (long long)address);
}

[[noreturn]] __attribute__((cold, noinline)) inline void
misaligned(const Array &array, uintptr_t address, size_t bytes, size_t alignment, const char *verb, const void *code) {
    fail(code, nullptr, 0, "misaligned: it %s %zu bytes at %s, not a multiple of %zu", verb, bytes,
         where(array, (address - array.base) >> array.shift).text, alignment);
}

/* Inlined into each of GCC's calls, whose size is a constant. */
__attribute__((always_inline)) inline void touch(uintptr_t address, size_t bytes, size_t alignment, bool writes,
                                                 const void *code) {
    uintptr_t slot = (address - arena) >> slot_shift;
    const char *verb = writes ? "writes" : "reads";
    if (slot >= (uintptr_t)slots) {
        if (address < (uintptr_t)1 << slot_shift || (intptr_t)address < 0) null_pointer(address, verb, code);
        return; /* a local variable or a constant */
    }
    const Array &array = arrays[slot];
    uintptr_t offset = address - array.base;
    if (offset >= array.bytes || bytes > array.bytes - offset) outside(address, array, bytes, verb, code);
    if (address & (alignment - 1)) misaligned(array, address, bytes, alignment, verb, code);
    if (array.kind == Kind::read_only) return;
    size_t first = offset >> array.shift, last = (offset + bytes - 1) >> array.shift;
    do
        if (writes) write_cell(array, first, code);
        else read_cell(array, first, code);
    while (first++ != last);
}

} // namespace emulator
