/* The process-wide choice of convolution algorithm, and the algorithms recorded for the profile. */
#include "fastnet.h"

#include <stdatomic.h>

static _Atomic int conv_algorithm = FN_AUTO;

fn_algorithm fn_conv_algorithm(void) {
    return (fn_algorithm)atomic_load_explicit(&conv_algorithm, memory_order_relaxed);
}
void fn_set_conv_algorithm(fn_algorithm algorithm) {
    atomic_store_explicit(&conv_algorithm, algorithm, memory_order_relaxed);
}

enum { NOTES = 8 }; /* more than there are forms; two threads may record the same one twice */

static _Atomic(const char *) notes[NOTES];

void fn_note(const char *form) {
    for (int i = 0; i < NOTES; i++) {
        const char *known = atomic_load_explicit(&notes[i], memory_order_relaxed);
        if (!known) atomic_store_explicit(&notes[i], form, memory_order_relaxed);
        if (!known || known == form) return;
    }
}

int fn_notes(const char **forms, int most) {
    int count = 0;
    for (int i = 0; i < NOTES; i++) {
        const char *form = atomic_exchange_explicit(&notes[i], NULL, memory_order_relaxed);
        if (form && count < most) forms[count++] = form;
    }
    return count;
}
