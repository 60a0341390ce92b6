/* Fibres: stacks that give the processor to one another. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cstdlib>

#ifndef __x86_64__
#include <ucontext.h>
#endif

namespace emulator {

constexpr size_t stack_bytes = size_t(64) << 10;

#ifdef __x86_64__

using Context = void *; /* a suspended fibre's stack pointer */

/* Unlike swapcontext this leaves the signal mask alone, which takes a system call, and saves what the ABI asks for. */
extern "C" void emulator_switch(Context *from, Context to);
asm(".text\n"
    ".type emulator_switch, @function\n"
    "emulator_switch:\n"
    "    pushq %rbp\n    pushq %rbx\n    pushq %r12\n    pushq %r13\n    pushq %r14\n    pushq %r15\n"
    "    movq %rsp, (%rdi)\n"
    "    movq %rsi, %rsp\n"
    "    popq %r15\n    popq %r14\n    popq %r13\n    popq %r12\n    popq %rbx\n    popq %rbp\n"
    "    ret\n"
    ".size emulator_switch, . - emulator_switch\n");

inline void switch_to(Context &from, Context &to) { emulator_switch(&from, to); }

inline void prepare(Context &context, char *stack, void (*entry)()) {
    /* As the switch leaves a stack: six registers, and where to return. A function begins 8 bytes off a multiple
     * of 16. */
    void **top = reinterpret_cast<void **>(stack + stack_bytes - 64);
    *top = reinterpret_cast<void *>(entry);
    for (int i = 1; i <= 6; i++) top[-i] = nullptr;
    context = top - 6;
}

#else

using Context = ucontext_t;

inline void switch_to(Context &from, Context &to) { swapcontext(&from, &to); }

inline void prepare(Context &context, char *stack, void (*entry)()) {
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = stack_bytes;
    context.uc_link = nullptr;
    makecontext(&context, entry, 0);
}

#endif

struct Fibre {
    Context context;
    char *stack;
};

/* A stack with an inaccessible page below it: too many local variables are a crash, not a neighbour's damage. */
inline char *new_stack() {
    constexpr size_t guard = size_t(64) << 10; /* the largest page in use */
    void *memory = mmap(nullptr, stack_bytes + guard, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) abort();
    mprotect(memory, guard, PROT_NONE);
    return static_cast<char *>(memory) + guard;
}

} // namespace emulator
