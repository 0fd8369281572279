"""The workshop of the small Qwen3-VL: its training pass is the released model's, its rows are real chats, it learns."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import PreTrainedTokenizerFast

from referent.errors import BadMessage
from referent.grounding.answers import answer_text
from referent.grounding.backends.qwen3_vl import load_model, speak
from referent.grounding.backends.qwen3_vl_processor import PictureProcessor
from referent.grounding.prompts import chat_messages
from referent.sources.simulation.expressions import words_of_expressions
from referent.sources.simulation.truth import ObjectTruth
from referent.sources.simulation.vocabulary import COLORS
from referent.training.grounder import FULL, Plan, Pool, Trainer, main, train
from referent.training.grounder_curve import lines_of_run
from referent.training.grounder_forward import PackedForward, grid_of, patches_from_pictures
from referent.training.grounder_losses import answer_loss
from referent.training.grounder_model import (
    PICTURE_SIZES,
    build_model,
    build_processor,
    build_tokenizer,
    save_bundle,
    start_from,
)
from referent.training.grounder_packing import IGNORED, Packer, dense_labels
from referent.training.grounder_stills import (
    Still,
    plain_example,
    read_still,
    still_path,
    varied_example,
    write_still,
)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer(words_of_expressions())


@pytest.fixture(scope="module")
def processor(tokenizer: PreTrainedTokenizerFast) -> PictureProcessor:
    return build_processor(tokenizer)


def a_still(seed: int = 0, size: tuple[int, int] = (320, 240)) -> Still:
    """Flat colored squares called boxes: trivial to draw, with a truth of their own."""
    rng = np.random.default_rng(seed)
    width, height = size
    rgb, ids = np.full((height, width, 3), 150, np.uint8), np.zeros((height, width), np.uint8)
    things = []
    for number, color in enumerate(rng.choice(list(COLORS), 2, replace=False), start=1):
        x, y = 20 + (number - 1) * width // 2 + rng.integers(20), rng.integers(20, height - 80)
        rgb[y : y + 60, x : x + 60] = np.array(COLORS[color]) * 255
        ids[y : y + 60, x : x + 60] = number
        pose = np.eye(4)
        pose[:3, 3] = ((x + 30 - width / 2) / 300, 0, 1)
        box = np.array([x, y, x + 60, y + 60], np.float32)
        things.append(
            ObjectTruth(number, "box", str(color), "plain", "large", pose, np.full(3, 0.1), 3600, 3600, 1.0, box)
        )
    rgb_jpeg = cv2.imencode(".jpg", rgb[..., ::-1])[1].tobytes()
    parts = np.where(ids > 0, np.cumsum(ids > 0, axis=0) <= 15, False).astype(np.uint8)  # their upper ends are handles
    ids_png, parts_png = (cv2.imencode(".png", each)[1].tobytes() for each in (ids, parts))
    return Still(rgb_jpeg, ids_png, parts_png, tuple(things))


def test_any_text_comes_back_from_the_tokenizer_and_a_coordinate_is_one_token(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    answer = answer_text([[0, 7, 100, 1000], [12, 34, 56, 78]], ["red mug", "blue box"])
    ids = tokenizer(answer)["input_ids"]
    assert tokenizer.decode(ids) == answer
    assert [i for i in ids if i <= 1000] == [0, 7, 100, 1000, 12, 34, 56, 78]
    odd = 'tasse "über" 007 \t\n{x}: 1234567890 😀'
    assert tokenizer.decode(tokenizer(odd)["input_ids"]) == odd


@pytest.mark.parametrize("size", PICTURE_SIZES)
def test_the_packed_pass_equals_the_released_one(
    size: tuple[int, int], tokenizer: PreTrainedTokenizerFast, processor: PictureProcessor
) -> None:
    torch.manual_seed(0)
    model = build_model(tokenizer).float().eval()
    torch.nn.init.normal_(model.model.visual.pos_embed.weight, std=0.5)  # so that positions matter
    picture = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    text = processor.apply_chat_template(chat_messages("the red mug"), tokenize=False, add_generation_prompt=True)
    inputs = processor(images=[Image.fromarray(picture)], text=[text], return_tensors="pt")
    packed = PackedForward(model)
    patches = patches_from_pictures(torch.from_numpy(picture)[None])
    torch.testing.assert_close(patches[0], inputs["pixel_values"], atol=1e-6, rtol=0)
    ids = inputs["input_ids"]
    start = ids[0].tolist().index(tokenizer.convert_tokens_to_ids("<|image_pad|>"))
    positions, _ = model.model.get_rope_index(ids, inputs["mm_token_type_ids"], inputs["image_grid_thw"])
    causal = torch.ones(1, ids.shape[1], ids.shape[1], dtype=torch.bool).tril()
    with torch.no_grad():
        ours = packed.logits(packed.read(ids, positions, causal, packed.look(patches, grid_of(*size)), start).hidden)
        theirs = model(**inputs).logits
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("size", [(320, 240), (240, 320)])
def test_every_dialogue_of_a_row_is_what_the_adapter_would_send(
    size: tuple[int, int], tokenizer: PreTrainedTokenizerFast, processor: PictureProcessor
) -> None:
    """Prefix and dialogue, cut out of the row, are token by token and position by position a chat of their own."""
    torch.manual_seed(0)
    model = build_model(tokenizer)
    packer = Packer(tokenizer, processor.chat_template)
    row = packer.row(plain_example(a_still(size=size)), np.random.default_rng(0), FULL)
    batch = packer.batch([row])
    dialogues = np.array(row.dialogue)
    assert dialogues.max() >= 3
    for number in range(1, dialogues.max() + 1):
        keep = np.flatnonzero((dialogues == 0) | (dialogues == number))
        ids = torch.tensor(row.ids)[None, keep]
        is_picture = (ids == tokenizer.convert_tokens_to_ids("<|image_pad|>")).int()
        positions, _ = model.model.get_rope_index(ids, is_picture, torch.tensor([[1, *row.grid]]))
        torch.testing.assert_close(batch.positions[:, 0, keep], positions[:, 0])
        asked = tokenizer.decode(ids[0]).split("<|im_start|>assistant\n")[0]
        quoted = asked.split('description "')[1].split('" in the image')[0]
        text = processor.apply_chat_template(chat_messages(quoted), tokenize=False, add_generation_prompt=True)
        chat = processor(images=[Image.fromarray(row.rgb)], text=[text])["input_ids"][0]
        assert ids[0, : len(chat)].tolist() == list(chat)
        answered = [t for t in batch.target[0, keep].tolist() if t != IGNORED]
        assert tokenizer.decode(answered).startswith("[")
        assert tokenizer.decode(answered).endswith("]<|im_end|>")


def test_dialogues_of_a_row_do_not_see_each_other(
    tokenizer: PreTrainedTokenizerFast, processor: PictureProcessor
) -> None:
    packer = Packer(tokenizer, processor.chat_template)
    row = packer.row(plain_example(a_still()), np.random.default_rng(0), FULL)
    allowed = packer.batch([row]).allowed[0].numpy()
    dialogue = np.array(row.dialogue)
    seen = allowed[: len(dialogue), : len(dialogue)]
    rows, columns = np.nonzero(seen)
    assert ((dialogue[columns] == 0) | (dialogue[columns] == dialogue[rows])).all()
    assert (columns <= rows).all()


def test_views_of_a_still_keep_truth_and_picture_together(tmp_path: Path) -> None:
    write_still(a_still(), still_path(tmp_path, 0))
    still = read_still(still_path(tmp_path, 0))
    arrays = dict.fromkeys(("camera_from_object", "size_m", "box_xyxy", "parts_xyxy"))
    assert [vars(a) | arrays for a in still.objects] == [vars(b) | arrays for b in a_still().objects]
    for seed in range(40):
        size = PICTURE_SIZES[seed % len(PICTURE_SIZES)]
        example = varied_example(still, np.random.default_rng(seed), size)
        assert example.rgb.shape == (size[1], size[0], 3)
        for thing in example.truth.objects:
            if thing.visible_px < 100 or thing.box_xyxy is None:
                continue
            mask = example.truth.instance_ids == thing.instance_id
            ys, xs = np.nonzero(mask)
            tight = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
            np.testing.assert_allclose(thing.box_xyxy, tight, atol=1.5)
            assert example.truth.part_ids is not None
            ys, xs = np.nonzero(mask & (example.truth.part_ids == 1))
            if len(ys):
                tight = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
                np.testing.assert_allclose(thing.parts_xyxy["handle"], tight, atol=1.5)
            seen = np.median(example.rgb[mask], axis=0) / 255
            names = list(COLORS)
            nearest = names[int(np.argmin([np.abs(seen - COLORS[name]).sum() for name in names]))]
            assert nearest == thing.color


def test_dense_labels_name_what_each_patch_shows() -> None:
    example = plain_example(a_still())
    labels, boxes = dense_labels(example.truth)
    shown = labels[:, 0] > 0
    colors = {list(COLORS)[index - 1] for index in labels[shown, 1]}
    assert colors == {thing.color for thing in example.truth.objects}
    assert (boxes[shown, 2:] > 0.1).all()
    assert (boxes[~shown] == 0).all()


def test_a_near_number_costs_less_than_a_far_one(tokenizer: PreTrainedTokenizerFast) -> None:
    logits = torch.zeros(2, len(tokenizer))
    logits[0, 510], logits[1, 900] = 10, 10
    near, far = (answer_loss(logits[i : i + 1], torch.tensor([500]), sigma=8) for i in (0, 1))
    assert near < far


def test_a_run_ends_on_time_goes_on_when_resumed_and_leaves_a_checkpoint_that_speaks(tmp_path: Path) -> None:
    stills, output = tmp_path / "stills", tmp_path / "run"
    stills.mkdir()
    for seed in range(4):
        write_still(a_still(seed), still_path(stills, seed))
    train(Plan(stills, output, minutes=0.02, batch=1))
    first = torch.load(output / "checkpoint.pt", weights_only=True)
    bundle = train(Plan(stills, output, minutes=first["spent_s"] / 60 + 0.02, batch=1))
    second = torch.load(output / "checkpoint.pt", weights_only=True)
    assert 0 < first["step"] < second["step"]
    assert second["spent_s"] > first["spent_s"] + 1.2
    model, processor = load_model(bundle, "cpu")
    spoken = speak(model, processor, plain_example(a_still()).rgb, chat_messages("the box"), max_new_tokens=4)
    assert spoken
    settings = json.loads((bundle / "processor_config.json").read_text())
    assert settings["processor_class"] == "Qwen3VLProcessor"  # AutoProcessor knows no other name


def test_a_run_that_starts_from_a_bundle_knows_its_words_and_answers_as_it_did(tmp_path: Path) -> None:
    torch.manual_seed(0)
    small = build_tokenizer(["red", "mug", "box"])
    before = build_model(small)
    save_bundle(before, build_processor(small), tmp_path)
    large = build_tokenizer(["red", "mug", "box", "banana", "jar"])
    after = build_model(large)
    new = start_from(after, large, tmp_path)
    assert {piece.removeprefix("Ġ") for piece in new} == {"banana", "jar"}
    stored, _ = load_model(tmp_path, "cpu")
    tables = [model.model.language_model.embed_tokens.weight for model in (stored, after)]
    for word in ("red", "Ġmug", "1000", "<|im_end|>"):
        torch.testing.assert_close(
            tables[0][small.convert_tokens_to_ids(word)], tables[1][large.convert_tokens_to_ids(word)]
        )
    picture = plain_example(a_still()).rgb
    answers = [
        speak(model, build_processor(tokenizer), picture, chat_messages("the red box"), max_new_tokens=1)[0][1]
        for model, tokenizer in ((stored, small), (after.eval(), large))
    ]
    assert answers[0] == pytest.approx(answers[1], rel=0.02)  # a few words more share the probability


def test_a_resumed_trainer_learns_exactly_what_an_unbroken_one_would(tmp_path: Path) -> None:
    write_still(a_still(), still_path(tmp_path, 0))
    unbroken, resumed = (Trainer(Plan(tmp_path, tmp_path, minutes=1, seed=seed)) for seed in (0, 1))
    row = unbroken.packer.row(plain_example(a_still()), np.random.default_rng(4), FULL)
    batch = unbroken.packer.batch([row])
    before = unbroken.learn(batch, 0.5)["loss"]
    resumed.restore(copy.deepcopy(unbroken.state()))
    after = [trainer.learn(batch, 0.5)["loss"] for trainer in (unbroken, resumed)]
    assert after[0] == after[1] < before


@pytest.mark.parametrize("wish", [("--start-from", "nowhere"), ("--device", "cuda")])
def test_what_a_run_cannot_have_is_said_in_one_line(
    wish: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["grounder", "--stills", str(tmp_path), "--output", str(tmp_path / "run"), *wish])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert f"{wish[0]} {wish[1]}:" in capsys.readouterr().err


def test_an_empty_pool_says_how_to_fill_it(tmp_path: Path) -> None:
    with pytest.raises(BadMessage, match="grounder_stills"):
        Pool(tmp_path)


def test_a_resumed_runs_curve_counts_repeated_steps_once(tmp_path: Path) -> None:
    steps = [(20, 0.1), (40, 0.2), (60, 0.9), (40, 0.3), (60, 0.4)]  # the run fell back to step 20 and went on
    curve = tmp_path / "learning_curve.jsonl"
    curve.write_text("\n".join(json.dumps({"step": s, "spent_s": s * 1.0, "category": v}) for s, v in steps))
    assert [line["category"] for line in lines_of_run(curve)] == [0.1, 0.3, 0.4]
