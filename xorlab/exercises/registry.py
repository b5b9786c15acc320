"""All exercises, in the order of the lessons."""
from xorlab.exercises import lesson_02, lesson_05

EXERCISES = {exercise.id: exercise for lesson in (lesson_02, lesson_05) for exercise in lesson.EXERCISES}
