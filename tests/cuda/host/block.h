/* The threads of one block: fibres that run until they wait for others. */
#pragma once
#include <stdarg.h>
#include <string.h>

#include "emulator.h"
#undef threadIdx /* here the names belong to fields */
#undef blockIdx
#include "fibres.h"
#include "memory.h"

namespace emulator {

enum class State : unsigned char { unstarted, ready, at_barrier, in_collective, returned };

struct Thread {
    State state;
    Fibre *fibre;
    emulated_point index;
    const char *file; /* where it waits */
    int line;
    emulated_kind kind; /* what it waits for in a collective, and what it brings and takes */
    unsigned mask;
    int source;
    uint64_t value;
};

struct Launch {
    void (*call)(void *const *);
    void *const *arguments;
    emulated_point blocks, threads;
    long long dynamic_bytes;
    uint64_t seed;
};

struct Fault {
    bool failed, everywhere; /* everywhere: not in one thread */
    char text[512];
    emulated_point block, thread;
    const void *code; /* the access, or null where `file` and `line` are known */
    const char *file;
    int line;
};

constexpr int max_threads = 1024, shared_limit = 48 << 10;

inline Launch launched;
inline Fault fault;
inline Thread threads[max_threads];
inline int thread_count, returned_count, unstarted_count, waiting_count;
inline int order[max_threads]; /* in which threads start and go on */
inline int ready[max_threads], ready_first, ready_count;
inline int current; /* the thread that runs */
inline emulated_point block_index;
inline uint32_t phase = 0; /* counts blocks and barriers, over all launches: the time of every access */
inline uint32_t launch_phase, block_phase; /* the first of this launch, of this block */
inline uint16_t warp_steps[max_threads / 32];
inline std::vector<std::pair<uint32_t, emulated_point>> block_phases; /* of the blocks run so far, for messages */
inline Context main_context;
inline std::vector<Fibre *> fibres, idle;
inline Fibre *running = nullptr;
inline uint64_t random_state;

inline uint32_t random_below(uint32_t n) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((random_state >> 32) * n >> 32);
}

inline void shuffle_order() {
    for (int i = thread_count - 1; i > 0; i--) std::swap(order[i], order[random_below((uint32_t)i + 1)]);
}

/* Ends the launch: control returns to run_block, and the fibres are forgotten where they are. */
[[noreturn]] __attribute__((format(printf, 4, 5))) inline void fail(const void *code, const char *file, int line,
                                                                    const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(fault.text, sizeof fault.text, format, list);
    va_end(list);
    fault.failed = true;
    fault.block = block_index;
    fault.thread = threads[current].index;
    fault.code = code;
    fault.file = file;
    fault.line = line;
    Context forgotten;
    switch_to(forgotten, main_context);
    abort();
}

struct Text {
    char text[160];
};

inline Text place_of(const Thread &thread) {
    Text t;
    emulated_point i = thread.index;
    switch (thread.state) {
    case State::at_barrier:
        snprintf(t.text, sizeof t.text, "thread (%u, %u, %u) waits at __syncthreads, %s:%d", i.x, i.y, i.z, thread.file,
                 thread.line);
        break;
    case State::in_collective:
        snprintf(t.text, sizeof t.text, "thread (%u, %u, %u) waits with mask 0x%08x at %s:%d", i.x, i.y, i.z,
                 thread.mask, thread.file, thread.line);
        break;
    default: snprintf(t.text, sizeof t.text, "thread (%u, %u, %u) has returned", i.x, i.y, i.z);
    }
    return t;
}

/* No thread can go on. */
[[noreturn]] inline void deadlock() {
    int waiting = -1, other = -1;
    for (int t = 0; t < thread_count; t++)
        if (threads[t].state == State::at_barrier) waiting = t;
    for (int t = 0; t < thread_count; t++) {
        if (waiting < 0 && threads[t].state == State::in_collective) waiting = t;
        if (threads[t].state != State::at_barrier && (other < 0 || threads[t].state == State::returned)) other = t;
    }
    current = waiting;
    Thread &t = threads[waiting];
    if (t.state == State::at_barrier)
        fail(nullptr, t.file, t.line, "barrier divergence: it waits at __syncthreads, but %s",
             place_of(threads[other]).text);
    for (int lane = 0; lane < 32; lane++)
        if (t.mask >> lane & 1 && threads[waiting / 32 * 32 + lane].state != State::in_collective)
            other = waiting / 32 * 32 + lane;
    fail(nullptr, t.file, t.line, "warp divergence: it waits for the lanes of mask 0x%08x, but %s", t.mask,
         place_of(threads[other]).text);
}

inline void make_ready(int t) {
    threads[t].state = State::ready;
    ready[(ready_first + ready_count++) % max_threads] = t;
}

inline void work();

inline Fibre *idle_fibre() {
    if (idle.empty()) {
        Fibre *fibre = new Fibre;
        fibre->stack = new_stack();
        prepare(fibre->context, fibre->stack, work);
        fibres.push_back(fibre);
        return fibre;
    }
    Fibre *fibre = idle.back();
    idle.pop_back();
    return fibre;
}

inline void open_barrier() {
    const Thread &first = threads[0];
    for (int t = 1; t < thread_count; t++)
        if (threads[t].line != first.line || strcmp(threads[t].file, first.file)) {
            current = t;
            fail(nullptr, threads[t].file, threads[t].line,
                 "barrier divergence: it waits at this __syncthreads, but %s", place_of(first).text);
        }
    phase++;
    memset(warp_steps, 0, sizeof warp_steps);
    waiting_count = 0;
    shuffle_order();
    for (int i = 0; i < thread_count; i++) make_ready(order[i]);
}

/* Leaves the running fibre, whose thread waits or which has no thread left, for one that can go on. */
inline void go_on() {
    if (waiting_count == thread_count) open_barrier();
    Fibre *left = running;
    if (ready_count) {
        current = ready[ready_first];
        ready_first = (ready_first + 1) % max_threads;
        ready_count--;
        running = threads[current].fibre;
    } else if (unstarted_count) {
        running = idle_fibre();
    } else if (returned_count == thread_count) {
        switch_to(left->context, main_context);
        return;
    } else {
        deadlock();
    }
    if (running != left) switch_to(left->context, running->context);
}

/* A fibre runs threads one after the other as long as they don't wait: a kernel without barriers needs one fibre. */
inline void work() {
    for (;;) {
        while (unstarted_count) {
            int t = current = order[--unstarted_count];
            threads[t].fibre = running;
            threads[t].state = State::ready;
            launched.call(launched.arguments);
            threads[t].state = State::returned;
            returned_count++;
        }
        idle.push_back(running);
        go_on();
    }
}

/* The current thread waits in `state` until others make it ready. */
inline void wait_in(State state, const char *file, int line) {
    int self = current;
    Thread &thread = threads[self];
    thread.state = state;
    thread.file = file;
    thread.line = line;
    go_on();
    current = self;
}

inline bool run_block() {
    block_phase = ++phase;
    block_phases.emplace_back(phase, block_index);
    memset(warp_steps, 0, sizeof warp_steps);
    returned_count = waiting_count = ready_count = 0;
    unstarted_count = thread_count;
    for (int t = 0; t < thread_count; t++) threads[t].state = State::unstarted;
    shuffle_order();
    running = idle_fibre();
    switch_to(main_context, running->context);
    if (!fault.failed) return true;
    idle.clear(); /* every stack begins anew */
    for (Fibre *fibre : fibres) {
        prepare(fibre->context, fibre->stack, work);
        idle.push_back(fibre);
    }
    return false;
}

/* The lanes that the mask names have all come. */
inline void finish_collective(int warp, unsigned mask) {
    Thread *lanes = threads + warp * 32;
    uint64_t votes = 0, values[32];
    int lane_count = thread_count - warp * 32 < 32 ? thread_count - warp * 32 : 32;
    unsigned all = lane_count == 32 ? 0xffffffffu : (1u << lane_count) - 1;
    if (lanes[__builtin_ctz(mask)].kind == emulated_sync && mask == all) warp_steps[warp]++;
    for (int i = 0; i < 32; i++)
        if (mask >> i & 1) {
            values[i] = lanes[i].value;
            votes |= (uint64_t)(lanes[i].value != 0) << i;
        }
    for (int i = 0; i < 32; i++) {
        if (!(mask >> i & 1)) continue;
        Thread &thread = lanes[i];
        if (thread.kind == emulated_vote) thread.value = votes;
        if (thread.kind == emulated_shuffle) {
            if (!(mask >> thread.source & 1)) {
                current = warp * 32 + i;
                fail(nullptr, thread.file, thread.line, "the shuffle reads lane %d, which mask 0x%08x leaves out",
                     thread.source, mask);
            }
            thread.value = values[thread.source];
        }
        make_ready(warp * 32 + i);
    }
}

} // namespace emulator
