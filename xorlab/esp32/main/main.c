#include <stdio.h>

#include "corners.h"

void app_main(void)
{
    for (int i = 0; i < 4; ++i) {
        const int8_t code = corner_answer(i);
        printf("%d XOR %d: code %d, class %d\n", corners[i].input[0] == corners[3].input[0],
               corners[i].input[1] == corners[3].input[1], code, corner_class(code));
    }
    printf("%d of 4 corners right\n", corners_right());
}
