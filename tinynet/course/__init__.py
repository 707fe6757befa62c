"""The checks of the course's exercises: each says what is wrong with an answer, not only that it is.

The lessons are in docs/course, as pages and as notebooks; they need nothing but this package. Answers are compared
with tinynet's own layers or with numerical derivatives, and a wrong one with the mistakes that are usual.
"""

from tinynet.course.report import prediction

__all__ = ["prediction"]
