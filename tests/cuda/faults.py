"""Kernels with one planted fault each, and what the emulator must say of it.

`//!` marks the line that the message must name; SIZE in a message is the bytes of a real. Arguments: x and plus 102
numbers, y 102 zeros, same is y, none a null pointer; n = 102.
"""

from __future__ import annotations

from typing import NamedTuple


class Planted(NamedTuple):
    code: str
    message: str
    blocks: int | tuple[int, ...] = 1
    threads: int | tuple[int, ...] = 64
    shared: int = 0


TILE = "SHARED(real, tile, 64); int t = threadIdx.x;"

FAULTS = {
    # Elements and addresses.
    "read_off_by_one": Planted(
        "for (Int i = GLOBAL_THREAD; i <= n; i += GLOBAL_THREADS)\n    y[i % n] = x[i]; //!",
        r"it reads SIZE bytes at argument x\[102\], whose elements are 0 to 101",
    ),
    "write_off_by_one": Planted(
        "for (Int i = GLOBAL_THREAD; i <= n; i += GLOBAL_THREADS)\n    y[i] = 1; //!",
        r"it writes SIZE bytes at argument y\[102\], whose elements are 0 to 101",
    ),
    "negative_index": Planted("y[0] = x[-1]; //!", r"argument x\[-1\]", threads=1),
    "far_index": Planted("y[n * 10000000] = x[0]; //!", r"argument y\[1020000000\]", threads=1),
    "pointer_moved_out": Planted("IN(real) row = x + n;\ny[0] = row[3]; //!", r"argument x\[105\]", threads=1),
    "vector_over_the_end": Planted(
        "real4 four = load4(x + 100);\ny[0] = four.w;",
        r"out of bounds: it reads \d+ bytes at argument x\[10[0-3]\]",
        threads=1,
    ),
    "misaligned_vector": Planted(
        "real4 four = load4(x + 1);\ny[0] = four.x;",
        r"misaligned: argument x\[1\] is not a multiple of 16 bytes",
        threads=1,
    ),
    "misaligned_type": Planted(
        "DYNAMIC_SHARED(int, words);\nInt *wide = reinterpret_cast<Int *>(words + 1);\nwide[0] = n; //!",
        r"misaligned: it writes 8 bytes at shared words\[1\], not a multiple of 8",
        threads=1,
        shared=16,
    ),
    "null_pointer": Planted("y[0] = none[5]; //!", r"it reads through a null pointer \(address (20|40)\)", threads=1),
    # Shared memory.
    "shared_out_of_bounds": Planted(TILE + "\ntile[t + 1] = x[t]; //!", r"SIZE bytes at shared tile\[64\]"),
    "dynamic_out_of_bounds": Planted(
        "DYNAMIC_SHARED(real, sums);\nsums[threadIdx.x] = 1; //!",
        r"at shared sums\[\d+\], whose elements are 0 to (4|9)",
        shared=40,
    ),
    "no_dynamic_memory": Planted(
        "DYNAMIC_SHARED(real, sums);\nsums[0] = y[0];", r"DYNAMIC_SHARED sums: the launch gives no shared memory"
    ),
    "too_much_shared": Planted(
        "SHARED(real, big, 12288); SHARED(real, more, 12288);\nbig[0] = more[0] = y[0] = 1;",
        r"SHARED (big|more): (98304|98312|98308|196608) bytes of shared memory are needed; a block has 49152",
        threads=1,
    ),
    "shared_not_written": Planted(
        TILE + "\nif (t > 0) tile[t] = x[t];\n__syncthreads();\ny[t] = tile[t]; //!",
        r"it reads shared tile\[0\], which no thread of this block has written",
    ),
    "shared_of_the_block_before": Planted(
        TILE + "\nif (blockIdx.x != 3) tile[t] = x[t];\n__syncthreads();\nif (blockIdx.x == 3) y[t] = tile[t]; //!",
        r"block \(3, 0, 0\).* which no thread of this block has written",
        blocks=8,
    ),
    # Races.
    "missing_barrier": Planted(
        TILE + "\ntile[t] = x[t];\ny[t] = tile[63 - t];",
        r"race: it (writes|reads) shared tile\[\d+\], which thread \(\d+, 0, 0\) (read|wrote), with no barrier between"
        r"|which no thread of this block has written",
    ),
    "missing_barrier_in_a_sum": Planted(
        TILE + "\ntile[t] = x[t];\n__syncthreads();\n"
        "for (int k = 32; k; k /= 2)\n"
        "    if (t < k) tile[t] += tile[t + k]; //!\n"
        "if (t == 0) y[0] = tile[0];",
        r"race: it (writes|reads) shared tile\[\d+\], which (other threads|thread \(\d+, 0, 0\)) (read|wrote)",
    ),
    "barrier_after_reads_missing": Planted(
        TILE + "\nfor (int k = 0; k < 2; k++) {\n"
        "    tile[t] = x[t + 10 * k];\n"
        "    __syncthreads();\n"
        "    y[t] = tile[63 - t];\n}",
        r"race: it (writes|reads) shared tile\[\d+\], which thread \(\d+, 0, 0\) (read|wrote)",
    ),
    "many_readers_one_writer": Planted(
        TILE + "\ntile[t] = x[t];\n__syncthreads();\ny[t] = tile[5];\nif (t == 5) tile[5] = 0;",
        r"race: it (writes shared tile\[5\], which other threads read|reads shared tile\[5\], which thread)",
    ),
    "the_last_of_two_readers_writes": Planted(
        TILE + "\nif (t == 0) tile[5] = 0;\n__syncthreads();\ny[t] = tile[5];\nif (t == 1) tile[5] = 1;",
        r"race: it (writes|reads) shared tile\[5\], which (other threads|thread \(\d+, 0, 0\)) (read|wrote)",
        threads=2,
    ),
    "shuffles_do_not_order_memory": Planted(
        TILE + "\ntile[t] = x[t];\nreal s = __shfl_xor_sync(0xffffffffu, x[t], 1);\ny[t] = s + tile[t ^ 1]; //!",
        r"race: it reads shared tile\[\d+\], which thread \(\d+, 0, 0\) wrote",
    ),
    "a_warp_syncs_itself_alone": Planted(
        TILE + "\ntile[t] = x[t];\n__syncwarp();\ny[t] = tile[63 - t];",
        r"race: it (reads|writes) shared tile|which no thread of this block has written",
    ),
    "part_of_a_warp_syncs": Planted(
        TILE + "\ntile[t] = x[t];\nif (t < 16) { __syncwarp(0xffffu);\n    y[t] = tile[31 - t]; }",
        r"race: it (reads|writes) shared tile|which no thread of this block has written",
        threads=32,
    ),
    "race_in_global_memory": Planted("y[threadIdx.x / 2] = 1; //!", r"race: it writes argument y\[\d+\], which thread"),
    "race_read_in_global_memory": Planted(
        "y[threadIdx.x] += y[threadIdx.x + 1]; //!", r"race: it (reads|writes) argument y\[\d+\], which (thread|other)"
    ),
    "blocks_write_one_element": Planted(
        "y[threadIdx.x] = blockIdx.x; //!",
        r"race of blocks: it writes argument y\[\d+\], which block \(\d, 0, 0\) writes, too",
        blocks=3,
    ),
    "a_block_reads_what_another_writes": Planted(
        "Int i = blockIdx.x;\nif (threadIdx.x == 0)\n    y[i] += y[(i + 1) % gridDim.x]; //!",
        r"race of blocks: it (reads|writes) argument y\[\d\], which (another block|block \(\d, 0, 0\)) (writes|reads)",
        blocks=4,
    ),
    "the_last_of_two_blocks_writes": Planted(
        "real s = y[7];\nif (s == 0 && blockIdx.x == 1)\n    y[7] = s + 1;",
        r"race of blocks: it (reads|writes) argument y\[7\], which (another block|block \(\d, 0, 0\)) (reads|writes)",
        blocks=2,
        threads=1,
    ),
    # Barriers.
    "divergent_barrier": Planted(
        TILE + "\ntile[t] = x[t];\nif (t < 60)\n    __syncthreads(); //!\ny[t] = tile[t];",
        r"barrier divergence: it waits at __syncthreads, but thread \(\d+, 0, 0\) has returned",
    ),
    "return_before_a_barrier": Planted(
        TILE + "\ntile[t] = x[t];\nif (t >= n - 50) return;\n__syncthreads(); //!\ny[t] = tile[t];",
        r"barrier divergence: it waits at __syncthreads, but thread \(\d+, 0, 0\) has returned",
    ),
    "two_barriers": Planted(
        TILE + "\ntile[t] = x[t];\nif (t % 2)\n    __syncthreads();\nelse\n    __syncthreads();\ny[t] = tile[t];",
        r"barrier divergence: it waits at this __syncthreads, but thread \(0, 0, 0\) waits at __syncthreads, faults",
    ),
    "another_number_of_barriers": Planted(
        "for (int k = 0; k < (int)threadIdx.x; k++)\n    __syncthreads(); //!\ny[threadIdx.x] = 1;",
        r"barrier divergence: it waits at __syncthreads, but thread \(\d+, 0, 0\) has returned",
    ),
    # Warps.
    "mask_without_the_caller": Planted(
        "y[threadIdx.x] = __shfl_sync(0xffffu, x[threadIdx.x], 0); //!",
        r"mask 0x0000ffff leaves out the calling lane, \d+",
        threads=32,
    ),
    "mask_of_lanes_that_returned": Planted(
        "if (threadIdx.x >= 16) return;\ny[threadIdx.x] = __shfl_sync(0xffffffffu, x[threadIdx.x], 0); //!",
        r"warp divergence: (mask 0xffffffff names lane \d+|it waits for the lanes of mask 0xffffffff), but .*returned",
        threads=32,
    ),
    "mask_of_lanes_that_do_not_exist": Planted(
        "y[threadIdx.x] = __shfl_sync(0xffffffffu, x[threadIdx.x], 0); //!",
        r"mask 0xffffffff names lane 20, which the block of 20 threads lacks",
        threads=20,
    ),
    "shuffle_outside_the_mask": Planted(
        "if (threadIdx.x < 16)\n    y[threadIdx.x] = __shfl_down_sync(0xffffu, x[threadIdx.x], 1); //!",
        r"the shuffle reads lane 16, which mask 0x0000ffff leaves out",
        threads=32,
    ),
    "two_masks": Planted(
        "unsigned mask = threadIdx.x == 3 ? 0xfffffffeu : 0xffffffffu;\n"
        "y[threadIdx.x] = __shfl_sync(mask, x[threadIdx.x], 3); //!",
        r"warp divergence: it calls a warp's function with mask 0xfffffff[ef], but thread \(\d+, 0, 0\) waits",
        threads=32,
    ),
    "two_functions": Planted(
        "if (threadIdx.x == 3)\n    y[0] = __ballot_sync(0xffffffffu, 1);\n"
        "else\n    y[threadIdx.x] = __shfl_sync(0xffffffffu, x[0], 4);",
        r"warp divergence: it calls a warp's function",
        threads=32,
    ),
    "lanes_at_a_barrier": Planted(
        "if (threadIdx.x < 16)\n    y[threadIdx.x] = __shfl_sync(0xffffffffu, x[0], 0);\n__syncthreads(); //!",
        r"barrier divergence: it waits at __syncthreads, but thread \(\d+, 0, 0\) waits with mask 0xffffffff",
        threads=32,
    ),
    # Arithmetic that C++ leaves undefined.
    "overflow_of_a_sum": Planted(
        "int big = 2147483547;\ny[0] = big + (int)n; //!", "signed overflow of a sum", threads=1
    ),
    "overflow_of_a_product": Planted("int m = n * 1000;\ny[0] = m * m; //!", "signed overflow of a product", threads=1),
    "division_by_zero": Planted("y[0] = 5 / (n - 102); //!", "a division by 0", threads=1),
    "shift_too_far": Planted(
        "y[0] = 1 << (int)(n - 60); //!", "a shift by a negative number or by all bits", threads=1
    ),
    "local_index": Planted(
        "real four[4] = {x[0], x[1], x[2], x[3]};\ny[0] = four[n - 96]; //!",
        "an index outside a local array",
        threads=1,
    ),
    "number_too_large": Planted(
        "real large = (real)n * 1e9f;\ny[0] = (int)large; //!", "a number that the integer type cannot hold", threads=1
    ),
    # Arguments.
    "read_after_written_in_place": Planted(
        "Int i = threadIdx.x;\ny[i] = 2;\nplus[i] = y[i] + same[i]; //!",
        r"it reads argument same\[\d+\] \(IN\) after the same memory was written through another argument",
    ),
    "neighbour_in_place": Planted(
        "Int i = threadIdx.x;\ny[i] = same[i + 1]; //!",
        r"race: it (reads argument same|writes argument y)\[\d+\], which thread",
    ),
}


def source() -> str:
    """All of them in one text, faults.cu."""
    return "".join(
        f"KERNEL({name})(IN(real) x, OUT(real) y, OUT(real) plus, IN(real) same, IN(real) none, Int n)\n"
        f"{{\n(void)x; (void)y; (void)plus; (void)same; (void)none; (void)n;\n{planted.code}\n}}\n"
        for name, planted in FAULTS.items()
    )
