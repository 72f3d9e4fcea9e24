"""Give a tagger the casing of words, which an uncased tokenizer drops."""

from torch import nn

__all__ = ["CaseAwareTagger"]


class CaseAwareTagger(nn.Module):
    """Add an embedding of each word's casing to its sub-word embeddings, below all blocks.

    The new embeddings start at zero, so the tagger is at first unchanged. Because they enter at the
    bottom, a word is also judged by its neighbours' capitals. `num_shapes` kinds of casing are
    numbered from 1; 0 is padding and special tokens. `model` is a token classifier of transformers.
    Parameter names: `model.bert.encoder.layer.0` (as the classifier names them), `casing`.
    """

    def __init__(self, model, num_shapes: int):
        super().__init__()
        self.model, self.num_labels = model, model.num_labels
        self.casing = nn.Embedding(num_shapes, model.config.hidden_size, padding_idx=0)
        nn.init.zeros_(self.casing.weight)

    def forward(self, input_ids, shape_ids, attention_mask=None, labels=None):
        """Score the tags of every sub-word: logits (B, T, C); `shape_ids` is (B, T)."""
        if attention_mask is None:
            attention_mask = (input_ids != self.model.config.pad_token_id).long()
        sub_words = self.model.get_input_embeddings()(input_ids)  # (B, T, H)
        return self.model(
            inputs_embeds=sub_words + self.casing(shape_ids),
            attention_mask=attention_mask,
            labels=labels,
        )
