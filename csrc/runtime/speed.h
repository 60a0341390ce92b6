/* Setting the SPEED values of tuning.h, while no kernel runs. */
#ifndef FASTNET_SPEED_H
#define FASTNET_SPEED_H

#include "tuning.h"

void fn_speed_from_caches(int64_t first, int64_t second); /* set the values for these cache sizes, 0 if unknown */
void fn_speed_reset(void); /* set the values for this machine */
int fn_speed_set(const char *name, int64_t value); /* 0, or -1 for an unknown name or value < 1 */
const char *fn_speed_get(int which, int64_t *value); /* the name; NULL after the last one */

#endif
