"""Whisper and Moonshine through transformers, with tiny models of random weights in the official format."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from referent.errors import WeightsMissing
from referent.speech.audio import RATE_HZ
from referent.speech.recognizers import load_recognizer
from referent.speech.seq2seq import plain_words
from referent.speech_config import SpeechConfig

WORDS = ["the", "red", "mug", "blue", "cup", "put", "into", "bowl"]
NOISE = np.random.default_rng(3).normal(0, 0.1, 2 * RATE_HZ).astype(np.float32)


def a_whisper(folder: Path) -> Path:
    """As openai/whisper-* folders are: config, safetensors, preprocessor, tokenizer, generation config."""
    from transformers import (
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperProcessor,
        WhisperTokenizer,
    )

    special = ["<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"]
    vocabulary = {word: index for index, word in enumerate([*special, *(f"Ġ{word}" for word in WORDS)])}
    tokenizer = WhisperTokenizer(vocab=vocabulary, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": special[1:]})
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    ids = {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0, "decoder_start_token_id": 1}
    config = WhisperConfig(
        vocab_size=len(vocabulary), max_target_positions=64, suppress_tokens=[], begin_suppress_tokens=[], **sizes,
        **heads, **ids,
    )  # fmt: skip
    torch.manual_seed(2)
    model = WhisperForConditionalGeneration(config)
    model.generation_config.no_timestamps_token_id = 2
    model.save_pretrained(folder)
    WhisperProcessor(WhisperFeatureExtractor(), tokenizer).save_pretrained(folder)
    return folder


def a_moonshine(folder: Path) -> Path:
    """As UsefulSensors/moonshine-* folders are."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        MoonshineConfig,
        MoonshineForConditionalGeneration,
        PreTrainedTokenizerFast,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2Processor,
    )

    vocabulary = {word: index for index, word in enumerate(["<unk>", "<s>", "</s>", *WORDS])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    config = MoonshineConfig(
        vocab_size=len(vocabulary), hidden_size=32, intermediate_size=32, encoder_num_hidden_layers=1,
        decoder_num_hidden_layers=1, encoder_num_attention_heads=2, decoder_num_attention_heads=2,
        tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(2)
    MoonshineForConditionalGeneration(config).save_pretrained(folder)
    Wav2Vec2Processor(Wav2Vec2FeatureExtractor(sampling_rate=RATE_HZ), tokenizer).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("name", "make"), [("whisper", a_whisper), ("moonshine", a_moonshine)])
def test_a_local_model_writes_known_words_with_a_probability(name: str, make, tmp_path: Path) -> None:
    config = replace(SpeechConfig(), recognizer=name, model=str(make(tmp_path / name)), device="cpu")
    text, confidence = load_recognizer(config).recognize(NOISE)
    assert text
    assert set(text.split()) <= {*WORDS, "unk"}
    assert 0 <= confidence <= 1
    # Random weights are unsure: the mean over tokens is near one in as many as there are.
    assert confidence < 0.5


def test_the_confidence_is_that_of_the_tokens_that_were_chosen(tmp_path: Path) -> None:
    recognizer = load_recognizer(
        replace(SpeechConfig(), recognizer="moonshine", model=str(a_moonshine(tmp_path)), device="cpu")
    )
    model = recognizer._model  # type: ignore[attr-defined]
    inputs = recognizer._processor(NOISE, sampling_rate=RATE_HZ, return_tensors="pt")  # type: ignore[attr-defined]
    made = model.generate(**inputs, do_sample=False, max_new_tokens=13)
    with torch.inference_mode():
        logits = model(**inputs, decoder_input_ids=made[:, :-1]).logits.log_softmax(-1)
    chosen = logits.gather(-1, made[:, 1:, None]).mean().exp()
    assert recognizer.recognize(NOISE)[1] == pytest.approx(float(chosen), abs=1e-4)


@pytest.mark.parametrize("name", ["whisper", "moonshine"])
def test_a_folder_without_a_model_is_refused_with_the_way_out(name: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match=r"speech\.model.*whisper-base"):
        load_recognizer(replace(SpeechConfig(), recognizer=name, model=str(tmp_path)))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "whisper"}))
    with pytest.raises(WeightsMissing, match=r"speech\.model"):
        load_recognizer(replace(SpeechConfig(), recognizer=name, model=str(tmp_path)))


def test_pickled_weights_are_not_loaded(tmp_path: Path) -> None:
    folder = a_moonshine(tmp_path)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(WeightsMissing, match="safetensors"):
        load_recognizer(replace(SpeechConfig(), recognizer="moonshine", model=str(folder)))


def test_no_other_torch_package_is_needed() -> None:
    program = (
        "import sys; from transformers import AutoModelForSpeechSeq2Seq, AutoProcessor, WhisperProcessor;"
        "print(*{'torchvision', 'torchaudio', 'librosa'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "\n"


def test_what_is_written_is_as_instructions_are_typed() -> None:
    assert plain_words(" Put the red mug, please!") == "put the red mug, please"
    assert plain_words("[BLANK]") == "blank"
    assert plain_words(" ... ") == ""
