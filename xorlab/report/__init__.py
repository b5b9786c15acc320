"""What happens to any .tflite file on the four runtimes, as text, tables and pages.

asked : any file on any runtime, with inputs that are drawn or given.
html : how a report is shown.
inspect : what stands in a file, and which runtimes run it.
compare : on which inputs runtimes answer otherwise.
"""
from xorlab.report.compare import Comparison, compare
from xorlab.report.inspect import Inspection, inspect

__all__ = ["Comparison", "Inspection", "compare", "inspect"]
