"""An untrained Qwen3-VL of about 8 M parameters with its own tokenizer: what becomes `referent-qwen3vl-tiny`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from torch import Tensor
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2VLImageProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from referent.grounding.backends.qwen3_vl_processor import PictureProcessor
from referent.grounding.prompts import QUESTION_HEAD, QUESTION_TAIL, SYSTEM

# The sizes (width, height) it knows: 4:3, 16:9, square and both upright ones, all of about the same area. A picture is
# shown in the size whose shape is nearest, padded by the little that is missing.
PICTURE_SIZES: tuple[tuple[int, int], ...] = ((256, 192), (288, 160), (224, 224), (192, 256), (160, 288))
PATCH, MERGE = 16, 2
NUMBERS = 1001  # coordinates 0..1000 are one token each, with ids 0..1000
SPECIALS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
    "<|video_pad|>",
)  # fmt: skip
BOX_OPEN, BOX_NEXT, BOX_CLOSE, ANSWER_CLOSE = '[{"bbox_2d": [', '"}, {"bbox_2d": [', '], "label": "', '"}]'
FRAGMENTS = (BOX_OPEN, BOX_NEXT, BOX_CLOSE, ANSWER_CLOSE, ", ", "[]")
SENTENCES = (SYSTEM, QUESTION_HEAD, QUESTION_TAIL)  # texts that never vary are one token each
ROLES = ("system\n", "user\n", "assistant\n")
CHAT_TEMPLATE = (
    "{%- for message in messages -%}{{ '<|im_start|>' + message.role + '\\n' }}"
    "{%- if message.content is string -%}{{ message.content }}{%- else -%}{%- for part in message.content -%}"
    "{%- if part.type == 'image' -%}{{ '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{%- elif part.type == 'text' -%}{{ part.text }}{%- endif -%}{%- endfor -%}{%- endif -%}{{ '<|im_end|>\\n' }}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}"
)


def build_tokenizer(words: Iterable[str]) -> PreTrainedTokenizerFast:
    """Bytes, numbers, JSON fragments, fixed sentences and `words`: any text encodes, JSON comes back unchanged."""
    whole = [text.lower() for text in (*SENTENCES, *FRAGMENTS, *ROLES)]
    pieces = [str(number) for number in range(NUMBERS)] + [_byte_form(text) for text in whole]
    for word in sorted(set(words)):
        pieces += [word.lower(), _byte_form(" " + word.lower())]
    pieces += sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    tokenizer.normalizer = normalizers.Lowercase()
    fixed = "|".join(_escaped(text) for text in sorted(whole, key=len, reverse=True))
    pattern = Regex(rf"{fixed}|1000|[1-9][0-9]{{0,2}}|[0-9]| ?[a-z]+|.|\n")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(pattern, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIALS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIALS[1:]),
        clean_up_tokenization_spaces=False,
        model_max_length=2048,
    )


def build_processor(tokenizer: PreTrainedTokenizerFast) -> PictureProcessor:
    """Picture and text to model input; pictures of `PICTURE_SIZES` pass unchanged."""
    areas = [width * height for width, height in PICTURE_SIZES]
    image_processor = Qwen2VLImageProcessor(
        patch_size=PATCH,
        temporal_patch_size=1,
        merge_size=MERGE,
        size={"shortest_edge": min(areas), "longest_edge": max(areas)},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    return PictureProcessor(image_processor, tokenizer, chat_template=CHAT_TEMPLATE)


def build_config(tokenizer: PreTrainedTokenizerFast) -> Qwen3VLConfig:
    """Qwen3-VL with every part of the full-size model (merger, deep stack, interleaved M-RoPE), only smaller."""
    ids = {text: tokenizer.convert_tokens_to_ids(text) for text in SPECIALS}
    vision = {
        "depth": 4, "hidden_size": 192, "num_heads": 6, "intermediate_size": 576, "out_hidden_size": 256,
        "patch_size": PATCH, "temporal_patch_size": 1, "spatial_merge_size": MERGE,
        "num_position_embeddings": 256, "deepstack_visual_indexes": [1],
    }  # fmt: skip
    text = {
        "vocab_size": len(tokenizer), "hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 5,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64, "max_position_embeddings": 2048,
        "rope_parameters": {
            "rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [12, 10, 10], "mrope_interleaved": True,
        },
        "tie_word_embeddings": True, "pad_token_id": ids["<|endoftext|>"], "eos_token_id": ids["<|im_end|>"],
        "bos_token_id": None,
    }  # fmt: skip
    return Qwen3VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
        picture_sizes=[list(size) for size in PICTURE_SIZES],  # what the adapter makes of every picture
    )


def build_model(tokenizer: PreTrainedTokenizerFast) -> Qwen3VLForConditionalGeneration:
    """The untrained model. Numbers start as points of a smooth curve, " word" starts as "word" (a learning aid)."""
    model = Qwen3VLForConditionalGeneration(build_config(tokenizer))
    with torch.no_grad():
        table = model.model.language_model.embed_tokens.weight
        table[:NUMBERS] = number_embeddings(table.shape[1])
        for piece, index in tokenizer.get_vocab().items():
            bare = tokenizer.get_vocab().get(piece[1:]) if piece.startswith("Ġ") and len(piece) > 1 else None
            if bare is not None and bare >= NUMBERS:
                table[index] = table[bare]
    return model


def start_from(model: Any, tokenizer: PreTrainedTokenizerFast, folder: Path) -> list[str]:
    """Take over what the bundle in `folder` has learnt, word by word; returns the words it did not know.

    Raises RuntimeError when its layers are of another size.
    """
    before = Qwen3VLForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, use_safetensors=True
    )
    known = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True).get_vocab()
    state = before.state_dict()
    name = "model.language_model.embed_tokens.weight"
    table, learnt = model.state_dict()[name].clone(), state[name]
    new = []
    for piece, index in tokenizer.get_vocab().items():
        if piece in known:
            table[index] = learnt[known[piece]]
        else:
            new.append(piece)
    model.load_state_dict({**state, name: table, "lm_head.weight": table})
    model.tie_weights()
    return sorted(new)


def number_embeddings(width: int, std: float = 0.02) -> Tensor:
    """(1001, width) Fourier features of 0..1000, so that near numbers start out alike."""
    phase = torch.arange(NUMBERS)[:, None] / (NUMBERS - 1) * math.pi
    frequency = torch.exp(torch.linspace(0, math.log(64), width // 2))[None]
    features = torch.cat([(phase * frequency).sin(), (phase * frequency).cos()], dim=1)
    weight = (1 / frequency.sqrt()).repeat(1, 2)
    features = features * weight
    return features / features.std() * std


def save_bundle(model: Any, processor: PictureProcessor, folder: Path) -> None:
    """Write weights (bfloat16) and everything `from_pretrained` needs into `folder`."""
    state = {name: tensor.detach().to(torch.bfloat16).contiguous() for name, tensor in model.state_dict().items()}
    state.pop("lm_head.weight", None)  # tied to the input embeddings
    twin = Qwen3VLForConditionalGeneration(model.config)
    twin.load_state_dict(state, strict=False)
    twin.tie_weights()
    twin.generation_config.do_sample = False
    twin.generation_config.eos_token_id = model.config.text_config.eos_token_id
    twin.generation_config.pad_token_id = model.config.text_config.pad_token_id
    twin.to(torch.bfloat16).save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    processor.save_pretrained(folder)
    _name_the_full_processor(folder)


def _name_the_full_processor(folder: Path) -> None:
    """Name Qwen3VLProcessor as the class: for one it does not know AutoProcessor returns the bare tokenizer."""
    for name in ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json"):
        path = folder / name
        if path.exists():
            settings = json.loads(path.read_text())
            if "processor_class" in settings or name == "processor_config.json":
                settings["processor_class"] = "Qwen3VLProcessor"
            path.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n")


def _byte_form(text: str) -> str:
    """`text` in the byte-level alphabet, in which a space reads "Ġ"."""
    splits = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
    return "".join(piece for piece, _ in splits)


def _escaped(text: str) -> str:
    """`text` as a literal of the tokenizers library's regular expressions."""
    return "".join("\\n" if c == "\n" else c if c.isalnum() or c == " " else "\\" + c for c in text)
