"""What a lesson asks of the learner: guesses, answers that check themselves, things to move.

`stored.answer`, which reads the reference ledger, is imported from its own module: it brings every
method with it.
"""

from helpers.lessons.checking import check
from helpers.lessons.controls import explore
from helpers.lessons.guesses import forget_guesses, guess, my_guesses, reveal
from helpers.lessons.hint import Hint
from helpers.lessons.numbered import CHECKS

__all__ = ["CHECKS", "Hint", "check", "explore", "forget_guesses", "guess", "my_guesses", "reveal"]
