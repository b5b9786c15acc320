#include "corners.h"

#include "xor_net.h"

/* the codes of 0 and 1 are @ZERO@ and @ONE@; above @HALF@ an output code stands for more than one half */
const corner_t corners[4] = {
@CORNERS@
};

int8_t corner_answer(int i)
{
    int8_t output[1];
    xor_net(corners[i].input, output);
    return output[0];
}

int corner_class(int8_t code)
{
    return code > @HALF@;
}

int corners_right(void)
{
    int right = 0;
    for (int i = 0; i < 4; ++i) {
        const int8_t code = corner_answer(i);
        right += code == corners[i].output && corner_class(code) == corners[i].label;
    }
    return right;
}
