"""What an uncased tokenizer throws away, given back: how each word is spelled."""

from torch import nn

__all__ = ["TaggerWithCapitals"]


class TaggerWithCapitals(nn.Module):
    """Add a vector for a word's spelling to the vectors of its pieces, under all blocks.

    The vectors start at zero, so that the tagger is at first the one it was given, and what it then
    gains it gains from capitals. Standing at the bottom, they reach every block; a word is then
    judged by its neighbours' capitals too.

    Args:
        model: a token classifier such as `transformers.BertForTokenClassification`.
        num_shapes: kinds of spelling, numbered from 1; 0 is padding and what is no word.

    Parameter names: `model.bert.encoder.layer.0` (as the classifier names them), `capitals`.
    """

    def __init__(self, model, num_shapes: int):
        super().__init__()
        self.model, self.num_labels = model, model.num_labels
        self.capitals = nn.Embedding(num_shapes, model.config.hidden_size, padding_idx=0)
        nn.init.zeros_(self.capitals.weight)

    def forward(self, input_ids, attention_mask=None, labels=None, shape_ids=None) -> dict:
        """Score the tags of every piece: logits (B, T, C); `shape_ids` (B, T) must be given."""
        if shape_ids is None:
            raise ValueError("This tagger reads spelling too; pass shape_ids as well.")
        if attention_mask is None:
            attention_mask = (input_ids != self.model.config.pad_token_id).long()
        pieces = self.model.get_input_embeddings()(input_ids)  # (B, T, H)
        return self.model(
            inputs_embeds=pieces + self.capitals(shape_ids),
            attention_mask=attention_mask,
            labels=labels,
        )
