/* The kernel calls of a Recording (fastnet/backends/native/recording.py), run again on other arrays, with the
 * allocations and releases between them.
 *
 * Packed arguments are copied for each run, so several Python threads can run a recording at the same time. */
#include "fastnet.h"

#include <string.h>

static fn_status run_call(const fn_recording *recording, int64_t index, fn_word *words, void **arrays) {
    const fn_call *call = recording->calls + index;
    for (int64_t i = call->first_reference; i < call[1].first_reference; i++) {
        const fn_reference *r = recording->references + i;
        words[r->word].p = (char *)arrays[r->array] + r->offset;
    }
    return call->run(fn_table((int)call->dtype), words + call->first_word);
}

fn_status fn_recording_run(const fn_recording *recording, void **arrays, int64_t array_count) {
    size_t bytes = (size_t)recording->word_count * sizeof(fn_word);
    fn_word *words = fn_alloc(bytes, FN_SCRATCH);
    fn_status status = words ? FN_OK : FN_NO_MEMORY;
    fn_batch batch;
    if (words) memcpy(words, recording->words, bytes);
    for (int64_t i = 0; i < recording->action_count && status == FN_OK; i++) {
        const fn_action action = recording->actions[i];
        void **array = arrays + action.index;
        switch (action.deed) {
        case FN_DO_ALLOC:
            *array = fn_alloc((size_t)recording->sizes[action.index - recording->given], FN_ARRAY);
            if (!*array) status = FN_NO_MEMORY;
            break;
        case FN_DO_CALL: status = run_call(recording, action.index, words, arrays); break;
        case FN_DO_FREE: fn_free(*array), *array = NULL; break;
        case FN_DO_BEGIN: fn_batch_begin(&batch); break;
        case FN_DO_END: fn_batch_end(); break;
        }
    }
    if (status != FN_OK) fn_batch_end();
    for (int64_t i = recording->given; i < array_count && status != FN_OK; i++) fn_free(arrays[i]), arrays[i] = NULL;
    fn_free(words);
    return status;
}
