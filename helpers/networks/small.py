"""Networks of the 2010s for texts, words and digits, and what they share with the tiny GPT."""

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["IGNORED", "PAD", "BiLSTMTagger", "DigitsCNN", "LSTMClassifier", "LSTMLanguageModel"]
__all__ += ["TextCNN", "outputs", "real_tokens"]

PAD = 0
IGNORED = -100  # the label that torch's cross entropy leaves out, as everywhere in transformers


def word_embedding(size: int, dimensions: int, matrix=None) -> nn.Embedding:
    """Make an embedding, random or copied from a matrix; padding is the zero vector."""
    if matrix is not None and (matrix.ndim != 2 or len(matrix) != size):
        raise ValueError(
            f"The word vectors have shape {tuple(matrix.shape)}; the vocabulary needs "
            f"({size}, dimensions). Build the matrix from this vocabulary."
        )
    embedding = nn.Embedding(size, dimensions if matrix is None else matrix.shape[1], PAD)
    with torch.no_grad():
        if matrix is None:
            embedding.weight.normal_(std=0.1)
        else:
            embedding.weight.copy_(torch.as_tensor(matrix))
        embedding.weight[PAD] = 0
    return embedding


def real_tokens(input_ids, attention_mask=None):
    """Mark the tokens that are not padding: booleans (B, T)."""
    return input_ids != PAD if attention_mask is None else attention_mask.bool()


def concat_pool(states, real):
    """Last state, mean and maximum over real tokens, side by side: (B, T, H) -> (B, 3H)."""
    real = real | (torch.arange(real.shape[1], device=real.device) == 0)  # no text is empty
    mask = real[:, :, None]
    last = states[torch.arange(len(states), device=real.device), real.sum(dim=1) - 1]
    mean = (states * mask).sum(dim=1) / mask.sum(dim=1)
    largest = states.masked_fill(~mask, -torch.inf).amax(dim=1)
    return torch.cat([last, mean, largest], dim=1)


def outputs(logits, labels=None) -> dict:
    """Return logits (..., C) and, with labels (...), the mean cross entropy over all but -100."""
    if labels is None:
        return {"logits": logits}
    loss = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORED)
    return {"loss": loss, "logits": logits}


class TextCNN(nn.Module):
    """Find the telling phrases of a text with filters over 3, 4 and 5 words (Kim 2014).

    A filter measures how much each window of words matches its pattern; only its best window
    counts. There are `filters` (F) of each width; `freeze_embeddings` keeps the word vectors
    unchanged ("static" in the paper). Parameter names: `embedding`, `convolutions.0`, `head`.
    """

    def __init__(
        self, vocabulary_size: int, num_labels: int = 2, dimensions: int = 100, embeddings=None,
        freeze_embeddings: bool = False, widths=(3, 4, 5), filters: int = 100, dropout: float = 0.5
    ):  # fmt: skip
        super().__init__()
        self.num_labels, self.widths = num_labels, widths
        self.embedding = word_embedding(vocabulary_size, dimensions, embeddings)
        self.embedding.weight.requires_grad_(not freeze_embeddings)
        width = self.embedding.embedding_dim
        self.convolutions = nn.ModuleList(nn.Conv1d(width, filters, size) for size in widths)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(filters * len(widths), num_labels)

    def forward(self, input_ids, attention_mask=None, labels=None) -> dict:
        """Classify texts: logits (B, C)."""
        lengths = real_tokens(input_ids, attention_mask).sum(dim=1)  # (B,)
        missing = max(self.widths) - input_ids.shape[1]
        if missing > 0:  # every text is shorter than the widest filter
            input_ids = F.pad(input_ids, (0, missing), value=PAD)
        x = self.embedding(input_ids).transpose(1, 2)  # (B, D, T)
        features = torch.cat([self.best_window(conv, x, lengths) for conv in self.convolutions], 1)
        return outputs(self.head(self.dropout(features)), labels)

    @staticmethod
    def best_window(convolution, x, lengths):
        """Largest output of each filter over windows of real words: (B, D, T) -> (B, F)."""
        answers = F.relu(convolution(x))  # (B, F, T - width + 1)
        starts = torch.arange(answers.shape[2], device=x.device)
        # A text shorter than the filter keeps its first window. After ReLU nothing is below 0, so
        # a window set to 0 cannot win the maximum.
        last = (lengths - convolution.kernel_size[0]).clamp(min=0)
        return (answers * (starts <= last[:, None])[:, None, :]).amax(dim=2)


class LSTMLanguageModel(nn.Module):
    """Predict each next word from the words before it; no labels but the text itself are needed.

    Word vectors serve as input and as output (tied weights; Press & Wolf 2017). Scoring every word
    at every position is slow on a CPU, so training compares the right word with `samples` words
    drawn by rank (sampled softmax, Jean et al. 2015); evaluation compares it with all. Ids must be
    ordered by frequency, as by `Vocabulary.build`. `labels` are the input ids; the shift by one
    happens here. Parameter names: `embedding`, `lstm`, `project`, `bias`.
    """

    def __init__(
        self, vocabulary_size: int, dimensions: int = 128, hidden: int = 256, embeddings=None,
        samples: int = 1_000, dropout: float = 0.1
    ):  # fmt: skip
        super().__init__()
        self.samples = samples
        self.embedding = word_embedding(vocabulary_size, dimensions, embeddings)
        self.lstm = nn.LSTM(self.embedding.embedding_dim, hidden, batch_first=True)
        self.project = nn.Linear(hidden, self.embedding.embedding_dim)
        self.bias = nn.Parameter(torch.zeros(vocabulary_size))
        self.dropout = nn.Dropout(dropout)
        rank = torch.arange(vocabulary_size).float()
        drawn = torch.log1p(1 / rank.clamp(min=1))  # Zipf's law: about 1 / rank
        drawn[PAD] = 0  # padding is never a negative
        self.register_buffer("drawn", drawn / drawn.sum(), persistent=False)

    def forward(self, input_ids, attention_mask=None, labels=None) -> dict:
        """Return only the mean loss per word if there are labels, else logits (B, T, V)."""
        states, _ = self.lstm(self.dropout(self.embedding(input_ids)))  # (B, T, H)
        states = self.dropout(self.project(self.dropout(states)))  # (B, T, D)
        if labels is None:
            return {"logits": self.scores(states)}
        real = real_tokens(input_ids, attention_mask)
        counted = real[:, 1:] & (labels[:, 1:] != IGNORED)  # (B, T - 1): the word after each state
        states, words = states[:, :-1][counted], labels[:, 1:][counted]  # (N, D), (N,)
        return {"loss": self.sampled(states, words) if self.training else self.exact(states, words)}

    def scores(self, states):
        """Compare states (..., D) with every word: (..., V); padding is never the next word."""
        scores = F.linear(states, self.embedding.weight, self.bias)
        return scores.index_fill(-1, torch.tensor(PAD, device=scores.device), -torch.inf)

    def exact(self, states, words):
        """Mean loss over all words, computed for some states at a time to save memory."""
        parts = [
            F.cross_entropy(self.scores(some), right, reduction="sum")
            for some, right in zip(states.split(512), words.split(512), strict=True)
        ]
        return torch.stack(parts).sum() / len(words)

    def sampled(self, states, words):
        """Estimate the loss from sampled words, corrected for their probability of being drawn."""
        wrong = torch.multinomial(self.drawn, self.samples, replacement=True)  # (S,)
        stands_for = -torch.log(self.drawn[wrong] * self.samples)
        right = (states * self.embedding.weight[words]).sum(dim=1) + self.bias[words]  # (N,)
        others = F.linear(states, self.embedding.weight[wrong], self.bias[wrong] + stands_for)
        others = others.masked_fill(words[:, None] == wrong, -torch.inf)  # (N, S)
        return (torch.cat([right[:, None], others], dim=1).logsumexp(dim=1) - right).mean()


class LSTMClassifier(nn.Module):
    """Read a text word by word, and classify it from the states on the way.

    The head reads last state, mean and maximum over real words (concat pooling, Howard & Ruder
    2018). Parameter names: `embedding`, `lstm`, `head`.
    """

    def __init__(
        self, vocabulary_size: int, num_labels: int = 2, dimensions: int = 128, hidden: int = 256,
        embeddings=None, dropout: float = 0.3
    ):  # fmt: skip
        super().__init__()
        self.num_labels = num_labels
        self.embedding = word_embedding(vocabulary_size, dimensions, embeddings)
        self.lstm = nn.LSTM(self.embedding.embedding_dim, hidden, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(3 * hidden, num_labels)

    @classmethod
    def from_language_model(
        cls, model: LSTMLanguageModel, num_labels: int = 2, dropout: float = 0.3
    ) -> "LSTMClassifier":
        """Start from copies of a language model's embedding and LSTM; the head is random."""
        size, dimensions = model.embedding.weight.shape
        classifier = cls(size, num_labels, dimensions, model.lstm.hidden_size, dropout=dropout)
        classifier.embedding.load_state_dict(model.embedding.state_dict())
        classifier.lstm.load_state_dict(model.lstm.state_dict())
        return classifier.to(model.embedding.weight.device)

    def forward(self, input_ids, attention_mask=None, labels=None) -> dict:
        """Classify texts: logits (B, C)."""
        real = real_tokens(input_ids, attention_mask)  # (B, T)
        # Padding stands on the right, so it cannot reach the states of real words.
        states, _ = self.lstm(self.dropout(self.embedding(input_ids)))  # (B, T, H)
        return outputs(self.head(self.dropout(concat_pool(states, real))), labels)


class BiLSTMTagger(nn.Module):
    """Label every word of a sentence, read in both directions (Huang, Xu & Yu 2015).

    Words labelled -100 are left out of the loss. With `num_shapes`, `forward` also needs
    `shape_ids` (B, T): kinds of spelling, such as 1 lower case and 2 capital first; 0 is padding.
    Parameter names: `embedding`, `shape_embedding`, `lstm`, `head`.
    """

    def __init__(
        self, vocabulary_size: int, num_labels: int, dimensions: int = 100, hidden: int = 100,
        embeddings=None, num_shapes: int = 0, dropout: float = 0.3
    ):  # fmt: skip
        super().__init__()
        self.num_labels = num_labels
        self.embedding = word_embedding(vocabulary_size, dimensions, embeddings)
        self.shape_embedding = nn.Embedding(num_shapes, 8, padding_idx=PAD) if num_shapes else None
        width = self.embedding.embedding_dim + (8 if num_shapes else 0)
        self.lstm = nn.LSTM(width, hidden, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * hidden, num_labels)

    def forward(self, input_ids, attention_mask=None, labels=None, shape_ids=None) -> dict:
        """Score the labels of every word: logits (B, T, C)."""
        x = self.embedding(input_ids)  # (B, T, D)
        if self.shape_embedding is not None:
            if shape_ids is None:
                raise ValueError("This tagger was built with num_shapes; pass shape_ids as well.")
            x = torch.cat([x, self.shape_embedding(shape_ids)], dim=2)  # (B, T, D + 8)
        # The backward direction would read the padding first; packing hides it.
        lengths = real_tokens(input_ids, attention_mask).sum(dim=1).clamp(min=1).cpu()
        packed = nn.utils.rnn.pack_padded_sequence(
            self.dropout(x), lengths, batch_first=True, enforce_sorted=False
        )
        states, _ = nn.utils.rnn.pad_packed_sequence(
            self.lstm(packed)[0], batch_first=True, total_length=input_ids.shape[1]
        )  # (B, T, 2H)
        return outputs(self.head(self.dropout(states)), labels)


class DigitsCNN(nn.Module):
    """Classify 8 x 8 digits with three layers of filters and a head, to copy or freeze by name."""

    def __init__(self, num_labels: int = 10, filters: int = 16):
        super().__init__()
        self.num_labels = num_labels
        self.layer1 = nn.Conv2d(1, filters, 3, padding=1)
        self.layer2 = nn.Conv2d(filters, 2 * filters, 3, padding=1)
        self.layer3 = nn.Conv2d(2 * filters, 4 * filters, 3, padding=1)
        self.head = nn.Linear(4 * filters * 4, num_labels)

    @staticmethod
    def layer_names() -> list[str]:
        """Names of the layers, from the image upwards; parameter names begin with them."""
        return ["layer1", "layer2", "layer3", "head"]

    def forward(self, pixel_values, labels=None) -> dict:
        """Classify images (B, 8, 8) of brightness 0 to 1: logits (B, C)."""
        x = F.relu(self.layer1(pixel_values.float()[:, None]))  # (B, filters, 8, 8)
        x = F.max_pool2d(F.relu(self.layer2(x)), 2)  # (B, 2 x filters, 4, 4)
        x = F.max_pool2d(F.relu(self.layer3(x)), 2)  # (B, 4 x filters, 2, 2)
        return outputs(self.head(x.flatten(1)), labels)
