"""Editions of a lesson: the student's copy, made from the notebook that holds the solutions.

Standard library only: `lab.py` makes copies before anything is installed.
"""
