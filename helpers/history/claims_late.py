"""Claims on BERT, GPT and large language models: how each is tested, and what others published."""

from helpers.history.claim import BASE, FULL, LORA, MARGINS, Claim, Test, beside
from helpers.history.evidence import gain, more_than_best, relative, surprise
from helpers.history.lines import ASKED
from helpers.history.results import FILM_NER

__all__ = ["LATE"]

EARLIER = ("classical", "pretraining", "embeddings")
ENCODER, TWIN, TOP = "encoder, fine-tuned", "encoder, random weights", "decoder, top four"
KEPT = {"below": MARGINS["perplexity"], "above": None, "unit": "%"}

LATE = (
    Claim(
        "C8",
        "2018",
        "BERT and other transformers: pre-trained at large scale, then fine-tuned, they reach the "
        "state of the art on a range of tasks.",
        "4, 5",
        "Names in news: F1 92.4 (base), 92.8 (large) (Devlin et al. 2019). Snippets: BERT 85.7 "
        "(Lin et al. 2021, its repository), the LM-pre-trained LSTM 82.1 (Miyato et al. 2017).",
        (
            Test(
                "sentiment: MiniLM over the best of the earlier eras",
                more_than_best(ENCODER, EARLIER),
            ),
            Test(
                "names: MiniLM over the best of the earlier eras",
                more_than_best("encoder, token head", EARLIER, FILM_NER),
            ),
            beside(
                "names: the same, told of capitals",
                more_than_best("encoder, token head + capitals", EARLIER, FILM_NER),
            ),
            beside("sentiment: MiniLM over its random twin", gain(ENCODER, TWIN)),
        ),
        "two tasks, and a small encoder without capitals in place of BERT",
    ),
    Claim(
        "C9",
        "since 2018",
        "The GPT series shows what large generative pre-training can do; fine-tuned, it serves a "
        "wide range of applications.",
        "6",
        "Snippets, gpt-3.5-turbo asked: 91 (Alammar & Grootendorst 2024). IMDB, GPT-2 fine-tuned: "
        "91.88, logistic regression 88.85 (Raschka 2024, its repository).",
        (
            Test(
                "asked: SmolLM2 over random weights",
                gain(ASKED, "decoder, zero-shot, random weights", 0),
            ),
            Test("tuned: its top blocks over asking", gain(TOP, BASE[::-1], second_labels=0)),
            beside(
                "a GPT of our own over its twin from scratch",
                gain("tiny GPT, fine-tuned", "tiny GPT from scratch"),
            ),
        ),
        "one application; how wide the range is was not measured; SmolLM2 of 2024 stands for GPT, "
        "asked with the best of five prompts",
    ),
    Claim(
        "C10",
        "LLMs",
        "A small data set of a task is enough to improve an LLM on it.",
        "7",
        "Snippets: a 3B model, 87.4 asked, 92.2 with QLoRA (Marwanpng/MovieSentimentLM, its card). "
        "SST-2: RoBERTa-large, 83.6 asked, 92.7 after 16 examples a class (Gao et al. 2021).",
        (
            Test("SmolLM2 with LoRA over asking", gain(LORA, BASE[::-1], second_labels=0)),
            beside("the same with 32 labels", gain(LORA, BASE[::-1], 32, second_labels=0)),
            beside("the same with 100 labels", gain(LORA, BASE[::-1], 100, second_labels=0)),
            beside("top blocks tuned with 32 labels", gain(TOP, BASE[::-1], 32, second_labels=0)),
            beside("all blocks tuned, over asking", gain(FULL, BASE[::-1], second_labels=0)),
            beside("LoRA over all blocks tuned", gain(LORA, FULL)),
        ),
        "small means 320 labels; asked with the best of five prompts; see the lines beside for 32",
    ),
    Claim(
        "C11",
        "LLMs",
        "Its general knowledge of language is preserved while it learns the task.",
        "7",
        "A 7B model trained on code: a score of what it keeps, higher is better, 0.617 with LoRA, "
        "0.545 with all weights (Biderman et al. 2024).",
        (
            Test("perplexity of news, LoRA over before", surprise(LORA, BASE), **KEPT),
            Test(
                "minimal pairs, LoRA minus before",
                gain(LORA, BASE, second_labels=0, task="minimal_pairs"),
                above=MARGINS["pairs"],
            ),
            beside("perplexity of news, all blocks tuned", surprise(FULL, BASE), **KEPT),
            beside(
                "minimal pairs, all blocks tuned",
                gain(FULL, BASE, second_labels=0, task="minimal_pairs"),
                above=MARGINS["pairs"],
            ),
            beside(
                "types of names, asked, LoRA minus before",
                gain(LORA, BASE, second_labels=0, task="film_ner_types"),
                above=-0.05,
            ),
            beside(
                "types of names, asked, all blocks tuned",
                gain(FULL, BASE, second_labels=0, task="film_ner_types"),
                above=-0.05,
            ),
        ),
        "margins fixed beforehand: perplexity less than 10 % up, pairs less than 5 points down; "
        "the border of the types is borrowed from the pairs",
    ),
    Claim(
        "C12",
        "LLMs",
        "A study by Google found that fine-tuning an LLM improved the accuracy of sentiment "
        "analysis by 10 percent.",
        "7, 9",
        "No source found for such a study. Neighbours, each a gain over ordinary fine-tuning: from "
        "about 68 to 90 on IMDB with 20 labels and much unlabelled text, at Google (Xie et al. "
        "2020); from 82.74 to 90.77 with 100 labels (Sun et al. 2019); 11 % on average over tasks "
        "(Gao et al. 2021).",
        (
            Test(
                "absolute: LoRA minus asking is 10 points or more",
                gain(LORA, BASE[::-1], second_labels=0),
                above=0.10,
            ),
            beside(
                "relative: more right answers", relative(LORA, BASE[::-1]), above=0.10, unit="%"
            ),
            beside(
                "relative: fewer errors",
                relative(LORA, BASE[::-1], errors=True),
                above=0.10,
                unit="%",
            ),
            beside(
                "against a frozen model: LoRA minus a linear probe",
                gain(LORA, ("decoder, linear probe", "encoder, linear probe")),
                above=0.10,
            ),
        ),
        "the study: no source found; only the size of the effect is tested",
    ),
    Claim(
        "C13",
        "in the end",
        "Fine-tuning is integral to adapting LLMs to many applications.",
        "10",
        "One large model is usually adapted to many applications by fine-tuning (Hu et al. 2022, "
        "section 1). Foundation models are by definition such that can be adapted, by fine-tuning "
        "for example (Bommasani et al. 2021). People preferred a model of 1.3 billion parameters, "
        "fine-tuned on instructions and preferences, to GPT-3 with 175 billion (Ouyang et "
        "al. 2022).",
    ),
)
