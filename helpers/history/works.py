"""The works behind each era, dated: what the timeline shows."""

from typing import NamedTuple

__all__ = ["SPANS", "WORKS", "Work"]


class Work(NamedTuple):
    """A publication: the era it belongs to, its year, who, and what it brought."""

    era: str
    year: int
    who: str
    what: str


SPANS = {
    "classical": (1993, 2012),
    "pretraining": (2006, 2018),
    "embeddings": (2013, 2016),
    "bert": (2017, 2020),
    "gpt": (2018, 2020),
    "lora": (2021, 2024),
}
"""From its first to its last work, by the year in which it was posted: LoRA in 2021."""

WORKS = (
    Work("classical", 1993, "Pratt", "weights of another task"),
    Work("classical", 1997, "Caruana", "tasks learned together"),
    Work("classical", 2001, "Lafferty et al.", "CRF"),
    Work("classical", 2004, "Chelba & Acero", "pulled towards a source"),
    Work("classical", 2012, "Wang & Manning", "NB-SVM"),
    Work("pretraining", 2006, "Hinton et al.", "layer by layer"),
    Work("pretraining", 2014, "Yosinski et al.", "what transfers"),
    Work("pretraining", 2015, "Dai & Le", "language model first"),
    Work("pretraining", 2018, "Howard & Ruder", "ULMFiT"),
    Work("embeddings", 2013, "Mikolov et al.", "word2vec"),
    Work("embeddings", 2014, "Pennington et al.", "GloVe"),
    Work("embeddings", 2014, "Kim", "TextCNN"),
    Work("embeddings", 2016, "Lample et al.", "names"),
    Work("bert", 2017, "Vaswani et al.", "attention"),
    Work("bert", 2019, "Devlin et al.", "BERT"),
    Work("bert", 2020, "Wang et al.", "MiniLM"),
    Work("gpt", 2018, "Radford et al.", "fine-tune it"),
    Work("gpt", 2019, "Radford et al.", "ask it"),
    Work("gpt", 2020, "Brown et al.", "show it examples"),
    Work("lora", 2022, "Hu et al.", "LoRA"),
    Work("lora", 2022, "Ouyang et al.", "instructions"),
    Work("lora", 2023, "Dettmers et al.", "QLoRA"),
    Work("lora", 2024, "Biderman et al.", "learns less, forgets less"),
)
"""In the order of eras and years; LoRA was first posted in 2021 (Hu et al. 2022)."""
