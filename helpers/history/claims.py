"""The thirteen claims: what is said of fine-tuning, in the order in which it is said.

The statements paraphrase a short article on fine-tuning large language models (2023). The tests
were fixed with the lessons: comparisons at 320 labels, unless a claim names another number.
Published figures stand beside ours; their splits, sizes and models differ.
"""

from helpers.history.results import FILM_NER, ZERO_SHOT, Results
from helpers.history.verdicts import (
    FEW,
    Claim,
    Test,
    Verdict,
    difference,
    gain_with_fewer,
    judge,
    margin_over_best,
    perplexity_change,
    relative_change,
)

__all__ = ["ADAPTED", "CLAIMS", "ELSEWHERE", "FULL", "LORA", "judge_all"]

NB_SVM, TFIDF, UNTUNED = "NB-SVM", "TF-IDF + LR", "bag of words, untuned"
LSTM, SCRATCH = "LM-pre-trained LSTM", "LSTM from scratch"
CNN, CNN_SCRATCH = "TextCNN, source then target", "TextCNN from scratch"
TUNED, RANDOM, GLOVE = "TextCNN, tuned skip-gram", "TextCNN, random vectors", "averaged GloVe"
BILSTM, BILSTM_RANDOM = "BiLSTM, GloVe", "BiLSTM, random vectors"
ENCODER, TWIN, PROBE = "encoder, fine-tuned", "encoder, random weights", "encoder, linear probe"
TAGGER, CAPITALS = "encoder, token head", "encoder, token head + capitals"
TINY, TINY_SCRATCH = "tiny GPT, fine-tuned", "tiny GPT from scratch"
ZERO_SHOT_RANDOM, PROBES = "decoder, zero-shot, random weights", ("decoder, linear probe", PROBE)
LORA, FULL, TOP = "decoder + LoRA", "decoder, full fine-tuning", "decoder, top four"
BASE = ("decoder, untouched", ZERO_SHOT)
"""Names under which the decoder stands before any tuning, for what it knows besides reviews."""
ADAPTED, ELSEWHERE = "decoder, LoRA on the text of reviews", "decoder, LoRA on the text of news"
"""The decoder after next-word prediction on film reviews, and after as much news."""
EARLIER = ("classical", "pretraining", "embeddings")
MARGINS = {"perplexity": 0.10, "pairs": -0.05}
"""Fixed before anything was measured: what "preserved" allows (C11)."""


def after_reading(what: str, before: str | tuple[str, ...]) -> Test:
    """Perplexity of film reviews for the decoder that read film reviews."""
    return perplexity_change(what, ADAPTED, before, 0, "imdb_text")


def over_zero_shot(what: str, method: str, labels: int = FEW, above: float = 0.0) -> Test:
    """A tuned decoder minus the same decoder zero-shot."""
    return difference(what, method, BASE[::-1], labels, second_labels=0, above=above)


def after_tuning(what: str, method: str, task: str) -> Test:
    """The tuned decoder minus the untuned one, on another task."""
    return difference(what, method, BASE, second_labels=0, task=task, above=MARGINS["pairs"])


CLAIMS = (
    Claim(
        "C1",
        "what it is",
        "Fine-tuning trains a pre-trained model further on other data: to do better on a task, or "
        "to fit a domain and make a model of that domain.",
        "0, 7, 8, 10",
        "IMDB accuracy of BERT-base: 93.21 frozen, 94.60 fine-tuned, 95.63 after more "
        "pre-training on reviews (Sun et al. 2019).",
        (
            difference("a task: MiniLM fine-tuned over its linear probe", ENCODER, PROBE),
            after_reading("a domain: perplexity of film reviews, after over before", BASE),
            after_reading(
                "a domain, not any text: the same over that after as much news", ELSEWHERE
            ),
        ),
        (),
        "the domain was tried once: one seed, 28 reviews; its intervals are over texts alone",
    ),
    Claim(
        "C2",
        "before 2010",
        "The idea to carry knowledge from one task to another is older than deep learning.",
        "1",
        "Networks that start from another task's weights (Pratt 1993); tasks learned together "
        "(Caruana 1997); a linear model pulled towards another domain's weights (Chelba & Acero "
        "2004); features shared between domains (Daumé III 2007, Blitzer et al. 2007).",
        (),
        (
            difference(
                "at work here: a linear model from IMDB over NB-SVM", "source, then target", NB_SVM
            ),
        ),
    ),
    Claim(
        "C3",
        "before 2010",
        "Traditional models were tuned by hand, in their settings and in what they count; tested "
        "here: that it pays.",
        "1",
        "Film reviews, SVM on single words: 72.8 by how often, 82.9 by whether at all (Pang et "
        "al. 2002). Snippets: 79.4 for NB-SVM, 77.7 for an SVM on pairs (Wang & Manning 2012).",
        (difference("ratios and letters added: NB-SVM over naive Bayes", NB_SVM, "naive Bayes"),),
        (
            difference("NB-SVM over TF-IDF and logistic regression", NB_SVM, TFIDF),
            difference("tuned over untuned, all labels (notebook 1)", NB_SVM, UNTUNED, 6_398),
        ),
        "of the settings alone, validation accuracies are all we have",
    ),
    Claim(
        "C4",
        "2013-2014",
        "Pre-train a large network on massive data, then fine-tune it on a task with less.",
        "2",
        "IMDB accuracy of an LSTM: 86.5 from scratch, 92.36 from a language model (Dai & Le 2015, "
        "as quoted by Dieng et al. 2017).",
        (
            difference("an LSTM that read IMDB over the same from scratch", LSTM, SCRATCH),
            difference(
                "a TextCNN that learned IMDB's labels over the same from scratch", CNN, CNN_SCRATCH
            ),
        ),
        (),
        "massive means some twenty thousand reviews here",
    ),
    Claim(
        "C5",
        "2013-2014",
        "This works best where labelled data are few.",
        "2 to 6",
        "With 100 labels, a pre-trained language model is as good as training from scratch on 10 "
        "(IMDB) or 20 (AG news) times as many (Howard & Ruder 2018).",
        (
            gain_with_fewer("LSTM: its gain at 320 labels over its gain at all", LSTM, SCRATCH),
            gain_with_fewer(
                "TextCNN: its gain at 320 labels over its gain at all", CNN, CNN_SCRATCH
            ),
        ),
        (
            gain_with_fewer("LSTM: its gain at 32 labels over its gain at all", LSTM, SCRATCH, 32),
            gain_with_fewer(
                "MiniLM: its gain at 100 labels over its gain at 1,000", ENCODER, TWIN, 100, 1_000
            ),
        ),
        "few means 320 of 6,398 here: with 32, and for MiniLM between 100 and 1,000, no such "
        "difference was found",
    ),
    Claim(
        "C6",
        "2013-2015",
        "Word vectors from a large corpus help specific tasks: sentiment, and finding names.",
        "3, 5",
        "Snippets, TextCNN: 76.1 on random vectors, 81.5 on tuned word2vec (Kim 2014). Names in "
        "news: F1 88.8 with hand-made features (Florian et al. 2003), 90.9 on pre-trained vectors "
        "(Lample et al. 2016).",
        (
            difference("sentiment: TextCNN on tuned skip-gram over random vectors", TUNED, RANDOM),
            difference(
                "names: BiLSTM on GloVe over random vectors", BILSTM, BILSTM_RANDOM, task=FILM_NER
            ),
        ),
        (
            difference("averaged GloVe over TF-IDF", GLOVE, TFIDF),
            difference("sentiment, all labels", TUNED, RANDOM, 6_398),
        ),
        "the vectors for sentiment read IMDB's reviews, no large corpus; GloVe did",
    ),
    Claim(
        "C7",
        "2013-2015",
        "Word vectors laid the ground for the models that followed.",
        "3, 4, 5",
        "BERT's authors count pre-trained word vectors as an integral part of language systems "
        "(Devlin et al. 2019, section 2.1) and as the first step of the fine-tuning that BERT "
        "takes up (section 2.2). In between: vectors that depend on the sentence raise F1 on news "
        "from 90.15 to 92.22 (Peters et al. 2018).",
        (),
        (
            difference(
                "what followed, over word vectors: sentiment, MiniLM over averaged GloVe",
                ENCODER,
                GLOVE,
            ),
            difference(
                "what followed, over word vectors: names, MiniLM over BiLSTM on GloVe",
                TAGGER,
                BILSTM,
                task=FILM_NER,
            ),
        ),
    ),
    Claim(
        "C8",
        "2018",
        "BERT and other transformers: pre-trained at large scale, then fine-tuned, they reach the "
        "state of the art on a range of tasks.",
        "4, 5",
        "Names in news: F1 92.4 (base), 92.8 (large) (Devlin et al. 2019). Snippets: BERT 85.7 "
        "(Lin et al. 2021, its repository), the LM-pre-trained LSTM 82.1 (Miyato et al. 2017).",
        (
            margin_over_best(
                "sentiment: MiniLM over the best of the earlier eras", ENCODER, EARLIER
            ),
            margin_over_best(
                "names: MiniLM over the best of the earlier eras", TAGGER, EARLIER, FILM_NER
            ),
        ),
        (
            margin_over_best("names: the same, told of capitals", CAPITALS, EARLIER, FILM_NER),
            difference("sentiment: MiniLM over its random twin", ENCODER, TWIN),
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
            difference("asked: SmolLM2 over random weights", ZERO_SHOT, ZERO_SHOT_RANDOM, 0),
            over_zero_shot("tuned: its top blocks over asking", TOP),
        ),
        (difference("a GPT of our own over its twin from scratch", TINY, TINY_SCRATCH),),
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
        (over_zero_shot("SmolLM2 with LoRA over asking", LORA),),
        (
            over_zero_shot("the same with 32 labels", LORA, 32),
            over_zero_shot("the same with 100 labels", LORA, 100),
            over_zero_shot("top blocks tuned with 32 labels", TOP, 32),
            over_zero_shot("all blocks tuned, over asking", FULL),
            difference("LoRA over all blocks tuned", LORA, FULL),
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
            perplexity_change(
                "perplexity of news, LoRA over before", LORA, BASE, below=MARGINS["perplexity"]
            ),
            after_tuning("minimal pairs, LoRA minus before", LORA, "minimal_pairs"),
        ),
        (
            perplexity_change(
                "perplexity of news, all blocks tuned", FULL, BASE, below=MARGINS["perplexity"]
            ),
            after_tuning("minimal pairs, all blocks tuned", FULL, "minimal_pairs"),
            after_tuning("types of names, asked, LoRA minus before", LORA, "film_ner_types"),
            after_tuning("types of names, asked, all blocks tuned", FULL, "film_ner_types"),
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
        (over_zero_shot("absolute: LoRA minus asking is 10 points or more", LORA, above=0.10),),
        (
            relative_change("relative: more right answers", LORA, BASE[::-1], above=0.10),
            relative_change("relative: fewer errors", LORA, BASE[::-1], errors=True, above=0.10),
            difference(
                "against a frozen model: LoRA minus a linear probe", LORA, PROBES, above=0.10
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


def judge_all(results: Results) -> list[Verdict]:
    """Verdicts on all claims, in their order; the bootstraps take some seconds."""
    return [judge(claim, results) for claim in CLAIMS]
