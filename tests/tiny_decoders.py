"""Tiny random decoders with a byte-level tokenizer, as folders and as a GGUF file."""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"

__all__ = [
    "CONTEXT",
    "END",
    "byte_level",
    "put_gguf_in_cache",
    "save_gpt2",
    "save_llama",
    "tiny_llama",
]

END = "<|endoftext|>"
CHAT = (
    "{% for m in messages %}<|im|>{{ m['role'] }}\n{{ m['content'] }}<|endoftext|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im|>assistant\n{% endif %}"
)
TEXT = [
    "Review: a good film of a good man\n\nSentiment: positive",
    "Review: bad\nSentiment: negative",
]
CONTEXT = 130


def byte_level() -> Tokenizer:
    """Learn a few whole words, " positive" and " negative" among them; others are pieces."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=[END, "<|im|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT * 5, trainer)
    return tokenizer


def save(model, folder: Path, pad: str | None = None, chat: bool = False) -> Path:
    tokenizer = byte_level()
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END, "bos_token": END}
    config |= {"pad_token": pad} if pad else {}
    config |= {"chat_template": CHAT} if chat else {}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def save_gpt2(folder: Path, kind="GPT2LMHeadModel", **settings) -> Path:
    """Save a GPT-2, which like the real one has no padding token; learned positions."""
    settings = {"eos_token_id": 0, "bos_token_id": 0, "initializer_range": 0.3} | settings
    config = transformers.GPT2Config(
        vocab_size=byte_level().get_vocab_size(), n_positions=CONTEXT, n_embd=16, n_layer=3,
        n_head=2, **settings,
    )  # fmt: skip
    torch.manual_seed(1)
    return save(getattr(transformers, kind)(config), folder)


def tiny_llama(kind="LlamaForCausalLM", **settings):
    """Build a Llama with shared keys and values, as SmolLM2 has them; rotary positions."""
    sizes = {
        "vocab_size": byte_level().get_vocab_size(), "max_position_embeddings": CONTEXT,
        "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 96, "initializer_range": 0.2,
        "tie_word_embeddings": True, "eos_token_id": 0, "bos_token_id": 0,
    }  # fmt: skip
    torch.manual_seed(2)
    return getattr(transformers, kind)(transformers.LlamaConfig(**(sizes | settings)))


def save_llama(folder: Path, kind="LlamaForCausalLM", **settings) -> Path:
    """Save a Llama that pads with its end token and has a chat template."""
    return save(tiny_llama(kind, **settings), folder, pad=END, chat=True)


def put_gguf_in_cache(root: Path, monkeypatch) -> transformers.LlamaForCausalLM:
    """Make a tiny Llama the `smollm2` asset of an empty cache; gives what the file holds.

    Matrices have 4 bits a weight (Q4_1), as in the real file.
    """
    model = tiny_llama()
    path = root / "cache" / "smollm2" / FILE
    path.parent.mkdir(parents=True)
    write_gguf(model, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    lines = [
        '[smollm2]\ntitle = "tiny"\nwheel = "none==1"\ndownload_bytes = 1',
        'wrapper_licence = "MIT"\ncontent_licence = "MIT"\nprovenance = ["Nobody"]',
        'gpu = "the same"',
        f'[[smollm2.members]]\nname = "{FILE}"\narchive = "{FILE}"',
        f'size = {path.stat().st_size}\nsha256 = "{digest}"\n',
    ]
    (root / "assets.toml").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setenv("COURSE_ASSETS", str(root / "assets.toml"))
    monkeypatch.setenv("COURSE_CACHE", str(root / "cache"))
    monkeypatch.setenv("COURSE_PROGRESS", "0")
    return model


GGUF_NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_gguf(model, path: Path) -> None:
    """Write a Llama as GGUF and round the model itself to what the file can hold."""
    import gguf

    config, four_bits = model.config, gguf.GGMLQuantizationType.Q4_1
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(config.vocab_size)
    add_tokenizer(writer)
    for name, value in model.named_parameters():
        matrix = value.detach().numpy()
        if matrix.ndim == 1:
            writer.add_tensor(gguf_name(name), matrix)
            continue
        packed = gguf.quantize(matrix, four_bits)
        unpacked = gguf.dequantize(packed, four_bits)
        value.data.copy_(torch.from_numpy(unpacked.reshape(matrix.shape).copy()))
        for part, heads in (("q_proj", config.num_attention_heads), ("k_proj", 2)):
            if part in name:  # GGUF orders the halves of each head in turns
                packed = packed.reshape(heads, 2, -1, packed.shape[-1]).swapaxes(1, 2)
                packed = np.ascontiguousarray(packed.reshape(matrix.shape[0], -1))
        writer.add_tensor(gguf_name(name), packed, raw_dtype=four_bits)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_tokenizer(writer) -> None:
    tokenizer = json.loads(byte_level().to_str())["model"]
    vocabulary = sorted(tokenizer["vocab"], key=tokenizer["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(vocabulary)
    writer.add_token_types([3 if piece.startswith("<|") else 1 for piece in vocabulary])
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT)


def gguf_name(name: str) -> str:
    if name in GGUF_NAMES:
        return GGUF_NAMES[name]
    _, _, block, *middle, ending = name.split(".")
    return f"blk.{block}.{GGUF_NAMES['.'.join(middle)]}.{ending}"
