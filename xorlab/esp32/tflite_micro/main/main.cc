#include <cstdio>

#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

extern "C" const unsigned char model_tflite[];

namespace {
// @ARENA_SOURCE@
alignas(16) uint8_t arena[@ARENA@];
}

extern "C" void app_main()
{
    tflite::MicroMutableOpResolver<@COUNT@> operators;
@OPERATORS@
    tflite::MicroInterpreter interpreter(tflite::GetModel(model_tflite), operators, arena, sizeof arena);
    if (interpreter.AllocateTensors() != kTfLiteOk) {
        std::printf("the arena is too small or an operator is missing\n");
        return;
    }
    for (int i = 0; i < 4; ++i) {
        int8_t *input = interpreter.input(0)->data.int8;
        input[0] = i & 2 ? @ONE@ : @ZERO@;
        input[1] = i & 1 ? @ONE@ : @ZERO@;
        interpreter.Invoke();
        std::printf("%d XOR %d: code %d\n", i >> 1, i & 1, interpreter.output(0)->data.int8[0]);
    }
    std::printf("arena used: %u bytes\n", static_cast<unsigned>(interpreter.arena_used_bytes()));
}
