"""How fast a LoRA adapter is trained here, beside TRL's `SFTTrainer` as it comes.

Both train the same adapter on the same reviews, eight a batch, in float32. They differ in what
they leave out.

- Ours (`experiments.lora`): a classifier on the last token, so that one position of a review has a
  loss and no word is predicted; batches of reviews of one length; activations are kept.
- TRL: the answer is a word to be predicted after the prompt, and on a CPU the logits of every
  position are computed for it; batches at random; activations are thrown away and computed again.

TRL's other default, bfloat16, is off: most processors emulate it, and then it is slower by far.
"""

import tempfile
from collections.abc import Callable

from helpers import pretrained, training
from helpers.adapters import add_adapter
from helpers.commands.speed_ways import DISCARDED, Counter
from helpers.methods import Corpus, decoders, lora
from helpers.runtime import PROFILES
from helpers.training import device_of

__all__ = ["LABELS", "lora_speed"]

LABELS, BATCH_SIZE = 320, 8  # eight is TRL's default, too
RATE = 1e-3


def lora_speed(
    profile: str = "cpu", steps: int = 20, echo: Callable[[str], object] = print
) -> dict[str, float]:
    """Measure both ways of training an adapter, and say what came out.

    Args:
        profile: decides the decoder; in `smoke` fewer reviews are read, again and again.
        steps: counted, after three that are discarded; TRL is given as many.
        echo: receives the report line by line.

    Returns:
        `ours` and `trl`, real tokens a second (padding not counted), and `ratio`, the first over
        the second.

    Raises:
        ValueError: for an unknown profile, or less than one step.
    """
    if profile not in PROFILES:
        raise ValueError(f"No profile {profile!r}; there are {', '.join(PROFILES)}.")
    if steps < 1:
        raise ValueError(f"steps is {steps}; count at least one.")
    corpus = Corpus(PROFILES[profile])
    labelled = corpus.labelled(min(LABELS, max(b for b in corpus.profile.budgets if b != "all")), 0)
    found = {}
    for name, way in (("ours", _ours), ("trl", _trl)):
        counter = way(corpus, labelled, steps)
        tokens = sum(real for *_, real in counter.counted)
        found[name] = tokens / counter.elapsed
        echo(
            f"LoRA, {name:4}: {found[name]:,.0f} real tokens/s over {len(counter.counted)} steps "
            f"of {BATCH_SIZE} reviews, {DISCARDED} steps discarded"
        )
    found["ratio"] = found["ours"] / found["trl"]
    echo(f"LoRA, ours over TRL's SFTTrainer with its defaults, float32: {found['ratio']:.1f} times")
    return found


def _ours(corpus: Corpus, labelled, steps: int) -> Counter:
    """Train as notebook 7 does, and count."""
    device = device_of(decoders.decoder(corpus).model)
    pad_id = decoders.decoder(corpus).pad_id
    counter = Counter(lambda rows: training.pad_batch(rows, pad_id), steps, device=device)
    lora.tune_adapter(
        corpus, labelled, 0, num_epochs=1, min_steps=steps + DISCARDED, batch_size=BATCH_SIZE,
        learning_rate=RATE, collate=counter, callbacks=[counter.callback()], progress=False,
    )  # fmt: skip
    return counter


def _trl(corpus: Corpus, labelled, steps: int) -> Counter:
    """Train with TRL as it comes; only what writes, prints or emulates is turned off."""
    from datasets import Dataset

    from helpers.instructing import sft_trainer, train

    loaded = pretrained.load_decoder(profile=corpus.profile, echo=None)
    loaded = add_adapter(loaded, rank=lora.RANK, alpha=lora.ALPHA)
    rows = Dataset.from_list(
        [
            {
                "prompt": decoders.REVIEW.fill(row["text"]),
                "completion": f" {decoders.REVIEW.answer(row['label'])}",
            }
            for row in labelled
        ]
    )
    with tempfile.TemporaryDirectory(prefix="trl-", ignore_cleanup_errors=True) as folder:
        trainer = sft_trainer(
            loaded, rows, folder, learning_rate=RATE, batch_size=BATCH_SIZE, every_position=True,
            max_length=1024, logging_steps=10, max_steps=steps + DISCARDED,
            gradient_checkpointing=True,
        )  # fmt: skip
        counter = Counter(trainer.data_collator, steps, device=device_of(loaded.model))
        trainer.data_collator = counter
        trainer.add_callback(counter.callback())
        train(trainer)
    return counter
