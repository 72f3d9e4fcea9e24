"""A text classifier over the mean of its tokens' vectors."""

import copy
from pathlib import Path

import torch
from torch import nn

from helpers.files import write_bytes, write_text
from helpers.networks.layers import outputs
from helpers.pretrained.reading import explained, missing_parameters, quiet, seeded
from helpers.pretrained.sources import CONFIG, MEAN_POOLED, REMEDIES, Choice, ModelError

__all__ = ["MeanPooledClassifier"]

WEIGHTS = "model.safetensors"


class MeanPooledClassifier(nn.Module):
    """Judge a text by the mean of its tokens' last vectors, with one linear layer.

    BERT's own classifier reads the first token through a "pooler" layer. That serves where the
    pooler was trained (BERT's was, on pairs of sentences; Devlin et al. 2018). MiniLM was tuned on
    means (Reimers & Gurevych 2019) and its pooler was not trained at all, so a frozen MiniLM says
    little through it. The mean asks nothing of a checkpoint, and a linear probe is then linear.

    Args:
        bert: an encoder that gives `last_hidden_state`, such as `transformers.BertModel`; a pooler
            it may have is taken off, so that no unused parameter is counted.
        num_labels: classes (C).
        dropout: share of the mean vector hidden in training.

    Parameter names: `bert.embeddings`, `bert.encoder.layer.0` (as the encoder names them), `head`.
    """

    base_model_prefix = "bert"

    def __init__(self, bert, num_labels: int = 2, dropout: float = 0.1):
        super().__init__()
        if getattr(bert, "pooler", None) is not None:
            bert.pooler = None
        self.num_labels, self.config = num_labels, bert.config
        self.bert = bert
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(bert.config.hidden_size, num_labels)
        nn.init.normal_(self.head.weight, std=getattr(bert.config, "initializer_range", 0.02))
        nn.init.zeros_(self.head.bias)

    def forward(self, input_ids, attention_mask=None, labels=None) -> dict:
        """Classify texts: logits (B, C)."""
        if attention_mask is None:
            attention_mask = (input_ids != self.config.pad_token_id).long()
        states = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return outputs(self.head(self.dropout(self.pool(states, attention_mask))), labels)

    @staticmethod
    def pool(states, attention_mask) -> torch.Tensor:
        """Average the vectors of real tokens: (B, T, H) -> (B, H)."""
        real = attention_mask[:, :, None].to(states.dtype)
        return (states * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)

    def save_pretrained(self, folder: Path | str) -> None:
        """Write body, head and label names to a folder, for `from_pretrained` or `load_encoder`.

        The body's weights have the names that transformers gives them, so the folder also serves
        as an encoder without this head. The tokenizer is saved beside it with its own
        `save_pretrained`.

        Args:
            folder: made if needed. Each file is written whole or not at all, `config.json` last.
        """
        from safetensors.torch import save

        folder, own = Path(folder), f"{self.bert.base_model_prefix}."
        weights = {
            own + name.removeprefix("bert.") if name.startswith("bert.") else name: value
            for name, value in self.state_dict().items()
        }
        config = copy.deepcopy(self.config)
        if config.num_labels != self.num_labels:
            config.num_labels = self.num_labels
        config.architectures, config.head_dropout = [MEAN_POOLED], self.dropout.p
        ready = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
        write_bytes(folder / WEIGHTS, save(ready, metadata={"format": "pt"}))
        write_text(folder / CONFIG, config.to_json_string())

    @classmethod
    def from_pretrained(
        cls, folder: Path | str, *, config=None, attention: str = "sdpa"
    ) -> "MeanPooledClassifier":
        """Read what `save_pretrained` wrote: float32, in evaluation mode, on the CPU.

        Args:
            folder: with `config.json` and `model.safetensors`; no tokenizer is looked for.
            config: to use in place of the folder's own, for other label names.
            attention: as for `load_encoder`.

        Raises:
            ModelError: if a file is missing or damaged, the folder holds another kind of model, or
                the head does not have the size that its config says.
        """
        from transformers import AutoConfig, AutoModel

        folder = Path(folder)
        choice = Choice(folder.name, str(folder))
        for path in (folder / CONFIG, folder / WEIGHTS):
            if not path.is_file():
                raise ModelError(f"There is no file {path}. {REMEDIES[CONFIG]}")
        with quiet(), seeded(0), explained(choice):
            config = AutoConfig.from_pretrained(folder) if config is None else config
            if MEAN_POOLED not in (config.architectures or []):
                raise ModelError(
                    f"{folder} holds {', '.join(config.architectures or ['a body'])}, no "
                    f"{MEAN_POOLED}. Read it with load_encoder(source=...)."
                )
            body, report = AutoModel.from_pretrained(
                folder, config=config, dtype=torch.float32, attn_implementation=attention,
                output_loading_info=True, ignore_mismatched_sizes=True, use_safetensors=True,
            )  # fmt: skip
            missing_parameters(body, report, choice)
            model = cls(body, config.num_labels, getattr(config, "head_dropout", 0.1))
            _load_head(model.head, folder)
        return model.eval()


def _load_head(head: nn.Linear, folder: Path) -> None:
    """Copy a head out of a folder's weights, if it is there and has the size it should have."""
    from safetensors import safe_open

    with safe_open(folder / WEIGHTS, framework="pt") as file, torch.no_grad():
        for name, parameter in head.named_parameters():
            key = f"head.{name}"
            if key not in file.keys():  # noqa: SIM118 (not a dict)
                raise ModelError(
                    f"{folder} has no head: {key} is not among its weights. Save it again."
                )
            saved = file.get_tensor(key)
            if saved.shape != parameter.shape:
                raise ModelError(
                    f"The head in {folder} does not fit: {key} has shape {tuple(saved.shape)} "
                    f"instead of {tuple(parameter.shape)}. Give a folder whose {CONFIG} is its own."
                )
            parameter.copy_(saved)
