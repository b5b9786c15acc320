"""What happens to any .tflite file on the four runtimes, as text, tables and pages.

html : how a report is shown.
examples : files to try the reports on.
asked : any file on any runtime, with inputs that are drawn or given.
inspect : what stands in a file, and which runtimes run it.
compare : on which inputs runtimes answer otherwise.
inner : every tensor of a file, as a runtime has it.
apart : how far two runtimes are apart, tensor by tensor.
worked : one output, worked out as each runtime does it.
why : where two runtimes part, by which arithmetic, and how it goes on from there.
layers : where a quantized net loses what its float model knew.
"""
from xorlab.report.compare import Comparison, compare
from xorlab.report.examples import example
from xorlab.report.inner import tensors
from xorlab.report.inspect import Inspection, inspect
from xorlab.report.layers import Layers, layers
from xorlab.report.why import Why, why

__all__ = ["Comparison", "Inspection", "Layers", "Why", "compare", "example", "inspect", "layers", "tensors", "why"]
