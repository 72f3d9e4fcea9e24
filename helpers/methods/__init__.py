"""The methods of the comparison, one module for each era; `helpers.grid` runs them."""

from helpers.methods.base import FILM_NER, REVIEWS, Corpus, Fitted, Measurement, Method, Task

__all__ = ["FILM_NER", "REVIEWS", "Corpus", "Fitted", "Measurement", "Method", "Task"]
