"""All exercises, in the order of the lessons."""
from xorlab.exercises import lesson_00, lesson_01, lesson_02

EXERCISES = {exercise.id: exercise for lesson in (lesson_00, lesson_01, lesson_02) for exercise in lesson.EXERCISES}
