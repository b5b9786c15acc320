"""What happens to any .tflite file on the four runtimes, as text, tables and pages.

asked : any file on any runtime, with inputs that are drawn or given.
"""
