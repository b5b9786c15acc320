"""TinyMind's XOR net, compiled from TinyMind's own sources with our header, to stand beside ours."""
from pathlib import Path

from xorlab import codegen

# `batch` is declared for compiler.load, whose loop C++ would otherwise give another name;
# TinyMind's classes with the baked integers, as its documentation wants it on a microcontroller
SOURCE = """
#include "qaffine.hpp"
#include "qactivations.hpp"
#include "qdense.hpp"
#include "weights.hpp"

using namespace pytorch_quant_xor;
typedef tinymind::QDense<int8_t, int8_t, int32_t, int8_t, NumInputs, HiddenSize> First;
typedef tinymind::QDense<int8_t, int8_t, int32_t, int8_t, HiddenSize, NumOutputs> Second;

extern "C" void batch(const int8_t *input, int8_t *output, int64_t n);
extern "C" void xor_net(const int8_t *input, int8_t *output)
{
    static const First first = {kFc1Weights, kFc1Biases, static_cast<int8_t>(kInputZeroPoint), {
        kFc1Multiplier, kFc1Shift, static_cast<int8_t>(kFc1ZeroPoint), static_cast<int8_t>(kFc1Min),
        static_cast<int8_t>(kFc1Max)}};
    static const Second second = {kFc2Weights, kFc2Biases, static_cast<int8_t>(kHiddenZeroPoint), {
        kFc2Multiplier, kFc2Shift, static_cast<int8_t>(kFc2ZeroPoint), static_cast<int8_t>(kFc2Min),
        static_cast<int8_t>(kFc2Max)}};
    int8_t hidden[HiddenSize], logit[NumOutputs];
    first.forward(input, hidden);
    second.forward(hidden, logit);
    *output = tinymind::qApplyLUT(logit[0], kSigmoidTable);
}
"""
# what TinyMind includes of C++'s library: names that C has without std::
STANDARD = {"cstddef": "#include <stddef.h>\nnamespace std { using ::size_t; }\n",
            "cstdint": "#include <stdint.h>\nnamespace std { using ::int8_t; using ::int32_t; using ::int64_t; }\n"}


def write(net, sources, folder):
    """Write what a compiler needs into `folder`; return (source path, flags).

    net : an IntegerMLP for codegen.write_weights_header.  sources : the folder of a TinyMind checkout.
    Raises FileNotFoundError if there is no TinyMind.
    """
    sources, folder = Path(sources), Path(folder)
    if not (sources / "cpp" / "qdense.hpp").is_file():
        raise FileNotFoundError(f"no TinyMind in {sources}: cpp/qdense.hpp is missing; name the folder of its checkout")
    codegen.write_weights_header(net, folder / "weights.hpp")
    for name, text in (STANDARD | {"tinymind_net.cpp": SOURCE}).items():
        (folder / name).write_text(text)
    flags = ["-x", "c++", "-std=c++17", "-fno-exceptions", "-fno-rtti", "-DTINYMIND_ENABLE_QUANTIZATION=1"]
    return folder / "tinymind_net.cpp", flags + [f"-I{path}" for path in (
        folder, sources / "cpp", sources / "cpp" / "include", sources / "include")]
