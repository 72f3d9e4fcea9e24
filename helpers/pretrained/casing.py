"""What an uncased tokenizer throws away, given back: how each word is spelled."""

from torch import nn

__all__ = ["CaseAwareTagger"]


class CaseAwareTagger(nn.Module):
    """Add an embedding of a word's casing to those of its sub-words, under all blocks.

    The embeddings start at zero, so that the tagger is at first the one it was given, and what it
    then gains it gains from capitals. Standing at the bottom, they reach every block; a word is
    then judged by its neighbours' capitals too.

    Args:
        model: a token classifier such as `transformers.BertForTokenClassification`.
        num_shapes: kinds of casing, numbered from 1; 0 is padding and what is no word.

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
