"""Claims on what came before BERT: how each is tested, and what others published."""

from helpers.history.claim import ADAPTED, BASE, ELSEWHERE, Claim, Test, beside
from helpers.history.evidence import gain, over_less_of_it, surprise
from helpers.history.results import FILM_NER

__all__ = ["EARLY"]

LSTM, SCRATCH = "LM-pre-trained LSTM", "LSTM from scratch"
CNN, CNN_SCRATCH = "TextCNN, source then target", "TextCNN from scratch"
ENCODER, TWIN = "encoder, fine-tuned", "encoder, random weights"
TUNED, RANDOM = "TextCNN, tuned skip-gram", "TextCNN, random vectors"
FALLS = {"above": None, "below": 0.0, "unit": "%"}

EARLY = (
    Claim(
        "C1",
        "what it is",
        "Fine-tuning trains a pre-trained model further on other data: to do better on a task, or "
        "to fit a domain and make a model of that domain.",
        "0, 7, 8, 10",
        "IMDB accuracy of BERT-base: 93.21 frozen, 94.60 fine-tuned, 95.63 after more "
        "pre-training on reviews (Sun et al. 2019).",
        (
            Test(
                "a task: MiniLM fine-tuned over its linear probe",
                gain(ENCODER, "encoder, linear probe"),
            ),
            Test(
                "a domain: perplexity of film reviews, after over before",
                surprise(ADAPTED, BASE, 0, "imdb_text"),
                **FALLS,
            ),
            Test(
                "a domain, not any text: the same over that after as much news",
                surprise(ADAPTED, ELSEWHERE, 0, "imdb_text"),
                **FALLS,
            ),
        ),
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
        (
            beside(
                "at work here: a linear model from IMDB over NB-SVM",
                gain("source, then target", "NB-SVM"),
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
        (
            Test(
                "ratios and letters added: NB-SVM over naive Bayes", gain("NB-SVM", "naive Bayes")
            ),
            beside("NB-SVM over TF-IDF and logistic regression", gain("NB-SVM", "TF-IDF + LR")),
            beside(
                "tuned over untuned, all labels (notebook 1)",
                gain("NB-SVM", "bag of words, untuned", 6_398),
            ),
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
            Test("an LSTM that read IMDB over the same from scratch", gain(LSTM, SCRATCH)),
            Test(
                "a TextCNN that learned IMDB's labels over the same from scratch",
                gain(CNN, CNN_SCRATCH),
            ),
        ),
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
            Test(
                "LSTM: its gain at 320 labels over its gain at all", over_less_of_it(LSTM, SCRATCH)
            ),
            Test(
                "TextCNN: its gain at 320 labels over its gain at all",
                over_less_of_it(CNN, CNN_SCRATCH),
            ),
            beside(
                "LSTM: its gain at 32 labels over its gain at all",
                over_less_of_it(LSTM, SCRATCH, 32),
            ),
            beside(
                "MiniLM: its gain at 100 labels over its gain at 1,000",
                over_less_of_it(ENCODER, TWIN, 100, 1_000),
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
            Test("sentiment: TextCNN on tuned skip-gram over random vectors", gain(TUNED, RANDOM)),
            Test(
                "names: BiLSTM on GloVe over random vectors",
                gain("BiLSTM, GloVe", "BiLSTM, random vectors", task=FILM_NER),
            ),
            beside("averaged GloVe over TF-IDF", gain("averaged GloVe", "TF-IDF + LR")),
            beside("sentiment, all labels", gain(TUNED, RANDOM, 6_398)),
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
        (
            beside(
                "what followed, over word vectors: sentiment, MiniLM over averaged GloVe",
                gain(ENCODER, "averaged GloVe"),
            ),
            beside(
                "what followed, over word vectors: names, MiniLM over BiLSTM on GloVe",
                gain("encoder, token head", "BiLSTM, GloVe", task=FILM_NER),
            ),
        ),
    ),
)
