"""The model card (Mitchell et al. 2019), filled from the run: nothing on it is typed by hand."""

__all__ = ["model_card"]

METRICS = {"accuracy": "accuracy", "span_f1": "span F1", "perplexity": "perplexity of a token"}
USES = {
    "classification": "puts a text into one of {classes} classes: {names}",
    "ner": "marks names of {classes} types in a sentence: {names}",
    "text": "goes on writing in the manner of the text it was adapted to",
    "chat": "answers a message in the manner of the answers it was adapted to",
}
BEFORE = {
    "classification": "linear model of counted words, tuned by cross-validation",
    "ner": "each word's commonest tag in train",
    "text": "the same model before it was adapted",
    "chat": "the same model before it was adapted",
}
LIMITS = {
    "classification": "Every text is put into one of the classes, also one that belongs to none.",
    "ner": "A name that stands after the last token read is not found.",
    "text": "What it writes may be false, and may repeat its training text word for word.",
    "chat": "What it answers may be false; it learned a manner, hardly any facts.",
}


def model_card(numbers: dict, name: str) -> str:
    """Write the card as Markdown.

    Args:
        numbers: what `folder.figures` gave.
        name: of the model.
    """
    sections = (
        _front(numbers, name), _figures(numbers), _data(numbers), _training(numbers),
        _limits(numbers), _usage(numbers, name),
    )  # fmt: skip
    return "\n\n".join(sections) + "\n"


def _front(numbers: dict, name: str) -> str:
    names = [n for n in numbers["data"]["label_names"] if n != "O"]
    if numbers["task"] == "ner":
        names = sorted({n[2:] for n in names})
    use = USES[numbers["task"]].format(classes=len(names), names=", ".join(names))
    base = numbers["base"]
    start = f"It was fine-tuned from {base['name']} (`{base['source']}`)." if base else ""
    kind = {"linear": "a linear model of counted words", "encoder": "an encoder, fine-tuned",
            "lora": "a LoRA adapter for a decoder"}[numbers["method"]]  # fmt: skip
    return f"# {name}\n\nThis is {kind}. It {use}. {start}".rstrip()


def _figures(numbers: dict) -> str:
    test, share = numbers["test"], numbers["test"]["most_common_share"]
    lines = [
        "## How good it is", "",
        f"| | {METRICS[test['metric']]} | 95 % interval | examples |", "|---|---:|---:|---:|",
        _row("validation, which was used to choose", numbers["validation"]),
        _row("**test, opened once**", test),
        _row(f"baseline on test: {BEFORE[numbers['task']]}", numbers["baseline"]),
    ]  # fmt: skip
    if share is not None:
        lines.append(f"| always the commonest class, test | {share:.3f} | | {test['examples']:,} |")
    gain = numbers["gain"]
    if test["metric"] == "perplexity":
        shown = f"{gain['value']:+.1%} [{gain['low']:+.1%}, {gain['high']:+.1%}] perplexity"
    else:
        points = [100 * gain[key] for key in ("value", "low", "high")]
        shown = "{:+.1f} points [{:+.1f}, {:+.1f}]".format(*points)
    if numbers["method"] != "linear":
        lines += ["", f"Against the baseline, paired on the same examples: {shown}."]
    if "macro_f1" in test:
        lines += ["", f"Macro-F1 on test: {test['macro_f1']:.3f}."]
    lines += ["", f"The test was opened at {test['opened']}, after every choice."]
    lines.append("Intervals are bootstrapped over examples; they say nothing about other data.")
    return "\n".join(lines)


def _row(name: str, score: dict) -> str:
    interval = f"{score['low']:.3f} to {score['high']:.3f}"
    return f"| {name} | {score['value']:.3f} | {interval} | {score['examples']:,} |"


def _data(numbers: dict) -> str:
    data, split = numbers["data"], numbers["split"]
    lines = ["## Data", "", f"`{data['source']}`, {data['examples']:,} examples, cut in three: "
             f"train {split['train']:,}, validation {split['validation']:,}, test "
             f"{split['test']:,} (rule: {split['rule']})."]  # fmt: skip
    if data["counts"]:
        counts = ", ".join(f"{name} {count:,}" for name, count in data["counts"].items())
        lines += ["", f"In the file: {counts}."]
    lines += [f"- {note}" for note in split["notes"]]
    lines += [f"- {warning}" for warning in data["warnings"]]
    return "\n".join(lines)


def _training(numbers: dict) -> str:
    training, settings = numbers["training"], numbers["settings"]
    shown = ", ".join(f"{key} {value}" for key, value in settings.items()) or "none"
    used = ", ".join(f"{package} {version}" for package, version in numbers["versions"].items())
    return "\n".join([
        "## Training", "",
        f"- {training['trained_parameters']:,} of {training['total_parameters']:,} parameters "
        f"trained in {training['seconds'] / 60:.1f} minutes",
        f"- settings: {shown}",
        f"- versions: {used}",
        *(f"- {note}" for note in training["notes"]),
    ])  # fmt: skip


def _limits(numbers: dict) -> str:
    lines = [LIMITS[numbers["task"]]]
    if "max_length" in numbers["settings"]:
        lines.append(f"Of an example {numbers['settings']['max_length']} tokens are read at most.")
    lines.append(
        "Figures hold for data like the file's: same source, same time, same way of labelling. "
        "Measure again before using it elsewhere, and look at groups that matter one by one."
    )
    lines.append("No licence is stated here: that of the base and that of your data decide.")
    return "\n".join(["## Limits", "", *(f"- {line}" for line in lines)])


def _usage(numbers: dict, name: str) -> str:
    extra = ""
    if numbers["method"] == "lora":
        extra = " The adapter needs its base, which is loaded from where it came."
    return "\n".join([
        "## Use", "", "```bash", f'course predict {name} "a text"',
        f"course predict {name} --file in.csv --output out.csv", "```", "",
        f"From Python: `from helpers import finetune; model = finetune.load({name!r})`."
        + extra,
        "", "To share it (look first whether your data may be shared: a model can give away parts "
        "of it):", "", "```bash", "hf auth login", f"hf upload OWNER/{name} {name}", "```",
    ])  # fmt: skip
