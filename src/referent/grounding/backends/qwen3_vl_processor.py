"""The Qwen3-VL processor for pictures only: needs no torchvision, which its video half would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoImageProcessor, AutoTokenizer, Qwen3VLProcessor

__all__ = ["PictureProcessor", "load_processor"]


class PictureProcessor(Qwen3VLProcessor):
    """`Qwen3VLProcessor` without its video processor; reads and writes the same files."""

    def __init__(self, image_processor: Any, tokenizer: Any, chat_template: str | None = None, **kwargs: Any) -> None:
        super().__init__(image_processor, tokenizer, None, chat_template=chat_template, **kwargs)

    @classmethod
    def get_attributes(cls) -> list[str]:
        """What is saved and loaded: no video processor."""
        return ["image_processor", "tokenizer"]


def load_processor(folder: Path) -> PictureProcessor:
    """The processor of the model in `folder`, offline."""
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    image_processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    template = folder / "chat_template.jinja"
    text = template.read_text() if template.exists() else tokenizer.chat_template
    return PictureProcessor(image_processor, tokenizer, chat_template=text)
