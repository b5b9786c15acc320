"""Exercises: what a lesson asks, what it says to each answer, and how far a student has come."""
