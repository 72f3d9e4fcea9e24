"""A decoder as a reader of batches: padded on the left, after a prefix that was read before."""

import torch
from transformers import DynamicCache

from helpers.training import device_of

__all__ = ["Reader"]


class Reader:
    """Read prompts and score what may follow them, dropout off; a context manager.

    Padding stands on the left, so that the place where the answer begins is the last one in every
    row: the logits of one position are all that is computed of a prompt.

    Args:
        model: a causal language model of transformers.
        prefix: tokens that stand before every prompt; read once, here.
        pad_id: token id of padding.
    """

    def __init__(self, model, prefix: list[int], pad_id: int):
        self.model, self.prefix, self.pad_id = model, prefix, pad_id
        self.device, self.was_training = device_of(model), model.training
        self.kept = []  # keys and values of the prefix, of each layer: (1, heads, P, size)

    def __enter__(self):
        self.model.eval()
        if self.prefix:
            cache = DynamicCache()
            ids = torch.tensor([self.prefix], device=self.device)
            with torch.no_grad():
                self.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
            self.kept = [(layer.keys, layer.values) for layer in cache.layers]
        return self

    def __exit__(self, *_):
        self.model.train(self.was_training)
        self.kept = []

    @torch.no_grad()
    def score(self, rows: list[list[int]], words: list[list[int]]):
        """Log-likelihood of each word after each prompt: an array (B, words)."""
        ids, mask = self._padded(rows)  # (B, T), (B, P + T)
        cache = self._cache(len(rows)) if self.kept or max(map(len, words)) > 1 else None
        first = self._logits(ids, mask, cache, 1)[:, 0]  # (B, V)
        scores = first[:, [word[0] for word in words]]  # (B, words)
        for j, word in enumerate(words):
            if len(word) > 1:
                scores[:, j] += self._rest(word, mask, cache)
        return scores.double().cpu().numpy()

    def _rest(self, word: list[int], mask, cache):
        """Log-likelihood of a word's tokens after its first, in one further step: (B,)."""
        size = len(word) - 1
        ids = torch.tensor(word, device=self.device).expand(len(mask), -1)  # (B, size + 1)
        seen = torch.cat([mask, mask.new_ones(len(mask), size)], dim=1)
        logits = self._logits(ids[:, :-1], seen, cache, size)  # (B, size, V)
        cache.crop(-size)  # the next word follows the prompt, not this word
        return logits.gather(2, ids[:, 1:, None]).sum(dim=(1, 2))

    def _logits(self, ids, mask, cache, keep: int):
        """Log-probabilities of the next token at the last `keep` places: (B, keep, V)."""
        # Counted from the first real token, since learned positions would see the padding.
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        output = self.model(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache,
            use_cache=cache is not None, logits_to_keep=keep,
        )  # fmt: skip
        return output.logits.float().log_softmax(dim=-1)

    def _padded(self, rows: list[list[int]]):
        width = max(map(len, rows))
        ids = torch.full((len(rows), width), self.pad_id)
        mask = torch.ones(len(rows), len(self.prefix) + width, dtype=torch.long)
        for i, row in enumerate(rows):
            ids[i, width - len(row) :] = torch.tensor(row)
            mask[i, len(self.prefix) : len(self.prefix) + width - len(row)] = 0
        return ids.to(self.device), mask.to(self.device)

    def _cache(self, size: int) -> DynamicCache:
        """Give a cache that begins with the prefix, for a batch of this size.

        The rows are views of one prefix: memory is taken only where a layer adds its own keys.
        """
        cache = DynamicCache()
        for i, (keys, values) in enumerate(self.kept):
            cache.update(keys, values, i)
            layer = cache.layers[i]
            layer.keys = keys.expand(size, -1, -1, -1)
            layer.values = values.expand(size, -1, -1, -1)
        return cache
