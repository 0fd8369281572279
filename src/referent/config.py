"""Every setting of Referent: default, bounds, unit and meaning, in one frozen tree of dataclasses.

`load_config` reads YAML; `settings.flatten` lists every setting by its dotted name (the ROS node declares its
parameters from that list). A setting exists here and nowhere else; those of the node `speech`, which stands apart from
the rest, are written in `speech_config`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from referent.settings import check_value, flatten, override, read_yaml, setting
from referent.speech_config import SpeechConfig


@dataclass(frozen=True)
class InputConfig:
    """How color and depth become frames."""

    max_skew_s: float = setting(0.02, "color and depth this far apart still pair up", unit="s", low=0, high=1)
    queue_length: int = setting(5, "color and depth images each that wait for their partner", low=1, high=100)
    jump_back_s: float = setting(1.0, "a stamp this far back means the stream began again", unit="s", low=0.01, high=60)
    depth_unit_m: float = setting(
        0.001, "metres per count of 16-bit depth (REP-118: 0.001)", unit="m", low=1e-6, high=0.1
    )
    max_depth_m: float = setting(10.0, "depth beyond this counts as unknown", unit="m", low=0.1, high=1000)
    image_transport: str = setting("raw", "how color and depth arrive", choices=("raw", "compressed"))
    rectified: bool = setting(
        True, "images have no lens distortion; false = they are raw and are rectified here, by their camera_info"
    )
    registration_check_s: float = setting(
        5.0, "time between two looks whether depth fits color; 0 = never", unit="s", low=0, high=3600
    )
    reliable: bool = setting(False, "subscribe reliably instead of with the sensor-data profile")


@dataclass(frozen=True)
class TrackerConfig:
    """Room 2: SAM 2 over the stream."""

    model: str = setting("referent-sam2-small", "name in models/models.yaml")
    device: str = setting("auto", "where SAM 2 runs", choices=("auto", "cpu", "cuda"))
    arithmetic: str = setting(
        "fast",
        "fast = batched, the same up to rounding; official = sam2's own modules, bit-equal and slower, float32 only",
        choices=("fast", "official"),
    )
    precision: str = setting(
        "auto", "number format; auto = bf16 on a GPU, fp32 on a CPU", choices=("auto", "fp32", "bf16")
    )
    acceleration: str = setting(
        "auto",
        "how SAM 2's steps are launched; auto = CUDA graphs on a GPU, eager on a CPU",
        choices=("auto", "eager", "compile", "graphs"),
    )
    memory_policy: str = setting(
        "official",
        "which frames an object is remembered by: as SAM 2 does, or anchored",
        choices=("official", "anchored"),
    )
    threads: int = setting(
        1, "CPU threads of the tracker; 0 = leave to torch, results then depend on the machine", low=0, high=256
    )
    image_size: int = setting(0, "side of the square model input; 0 = what the model was made for", unit="px", low=0)
    history_frames: int = setting(90, "frames of image features kept for late answers", low=1, high=10_000)
    history_bytes: int = setting(1_000_000_000, "memory those features may take", unit="bytes", low=1_000_000)
    max_objects: int = setting(16, "objects tracked at once", low=1, high=1000)
    max_cond_frames: int = setting(4, "prompted frames remembered per object", low=1, high=64)
    agreement_iou: float = setting(
        0.8,
        "a new prompt that overlaps the track this much confirms it instead of replacing it; 1 = never",
        low=0,
        high=1,
    )
    catch_up_frames: int = setting(
        4, "past frames a corrected track catches up between two live frames; 0 = all at once", low=0, high=10_000
    )
    catch_up_stride: int = setting(1, "a correction is carried over every n-th past frame; 1 = exact", low=1, high=30)
    commit_max_area: float = setting(
        0.8, "a corrected track whose mask fills more of the picture than this is refused", low=0.01, high=1
    )
    fill_hole_area: int = setting(0, "holes up to this many low-res pixels are filled; 0 = none", unit="px", low=0)


@dataclass(frozen=True)
class GrounderConfig:
    """Room 3: which multimodal LLM answers and how."""

    backend: str = setting("qwen3_vl", "grounder backend: a name from referent.grounding.backends or an entry point")
    model: str = setting("referent-qwen3vl-tiny", "name in models/models.yaml, a folder, or the server's model name")
    device: str = setting("auto", "where a local grounder runs", choices=("auto", "cpu", "cuda"))
    threads: int = setting(1, "CPU threads of a local grounder", low=0, high=256)
    max_new_tokens: int = setting(256, "length of an answer", unit="tokens", low=8, high=8192)
    max_items: int = setting(16, "regions taken from one answer", low=1, high=1000)
    url: str = setting("", "base URL of an OpenAI-compatible server, such as a local vLLM with path /v1")
    api_key_env: str = setting("REFERENT_API_KEY", "environment variable that holds the server's key")
    coordinate_space: str = setting(
        "rel1000", "how the model writes coordinates", choices=("rel1000", "norm1", "pct100", "px_model")
    )
    coordinate_order: str = setting(
        "xyxy",
        "how a server's model orders a box; yxyx = y1, x1, y2, x2 (Gemini, PaliGemma), xywh = corner and size",
        choices=("xyxy", "yxyx", "xywh"),
    )
    calibrate: str = setting(
        "auto",
        "show the grounder squares at known places when it starts, and refuse it when its boxes are elsewhere, or only "
        "warn; auto = refuse for servers, warn for installed backends, off for ours",
        choices=("auto", "off", "warn", "refuse"),
    )
    timeout_s: float = setting(20.0, "an answer later than this is a failure", unit="s", low=0.1, high=600)
    max_reply_bytes: int = setting(1_000_000, "largest reply taken from a server", unit="bytes", low=1000)
    fallback: str = setting(
        "",
        "whom to ask next when the grounder fails or is late: BACKEND[:MODEL][@URL] or YAML files, in order, "
        "separated by commas",
    )
    record: str = setting("", "file that every answer is written to, to be given again by the scripted backend")
    script: str = setting("", "file of recorded answers that the scripted backend gives")


@dataclass(frozen=True)
class GroundingConfig:
    """Room 3: when to ask, and when to believe the answer. Sources of the defaults are named in brackets."""

    reground_policy: str = setting(
        "evidence",
        "when found targets are asked about again: on evidence, every reground_interval_frames (as Grounded-SAM-2), "
        "never, or as soon as the last answer is in",
        choices=("evidence", "interval", "never", "every_answer"),
    )
    reground_interval_frames: int = setting(20, "frames between two questions of `interval` [Grounded-SAM-2]", low=1)
    time_travel: bool = setting(True, "apply an answer to the frame asked about; false = to the present one, as others")
    lost_after_frames: int = setting(3, "frames in a row without the object before it is lost [sam2 #239]", low=1)
    uncertain_after_frames: int = setting(2, "doubtful frames in a row that make a track uncertain [measured]", low=1)
    certain_after_frames: int = setting(3, "sound frames in a row that end it [as lost_after_frames]", low=1)
    uncertain_score: float = setting(0.4, "mask score below which a frame is doubtful [SAM 3, measured]", low=0, high=1)
    certain_score: float = setting(0.6, "mask score from which on a frame is sound [SAM 3, measured]", low=0, high=1)
    uncertain_area_factor: float = setting(
        2.0,
        "a mask that grew or shrank more than this against its recent median is doubtful [DAM4SAM]",
        low=1,
        high=100,
    )
    uncertain_size_factor: float = setting(
        2.0,
        "a box that grew or shrank more than this since the grounder saw it is doubtful, half hidden or run over "
        "[measured]",
        low=1,
        high=100,
    )
    uncertain_stability: float = setting(
        0.9, "mask stability (SAM 2's own measure) below which a frame is doubtful [measured]", low=0, high=1
    )
    uncertain_overlap: float = setting(
        0.8, "IoU with another target's mask above which one of both is wrong [SAM2MOT]", low=0, high=1
    )
    lookalike_iou: float = setting(
        0.7,
        "a sound mask whose rival outline agrees less than this has a look-alike near; 0 = off [DAM4SAM]",
        low=0,
        high=1,
    )
    scene_cut: float = setting(0.35, "change of the whole picture that asks for a new look [SeC]", low=0, high=1)
    stale_after_s: float = setting(
        12.0,
        "a target not verified for so long is asked about; the less sure, the sooner, down to a quarter",
        unit="s",
        low=0.1,
    )
    routine_questions_per_minute: int = setting(6, "questions without an event, all kinds counted", low=0, high=600)
    doubt_questions_per_minute: int = setting(30, "questions out of doubt, all kinds counted", low=0, high=600)
    questions_per_minute: int = setting(60, "questions of any kind", low=1, high=6000)
    backoff_first_s: float = setting(0.5, "pause before asking again after nothing was found", unit="s", low=0.01)
    backoff_changed_s: float = setting(
        0.5, "pause after a question about what is not seen, once the picture has changed", unit="s", low=0.01
    )
    picture_change: float = setting(
        0.12, "change of color in any place of the picture that is such a change [measured]", low=0, high=1
    )
    backoff_max_s: float = setting(4.0, "longest such pause", unit="s", low=0.01)
    doubt_patience_s: float = setting(
        0.7, "a track that looks doubtful is asked about once it looks sound again, or after so long", unit="s", low=0
    )
    lost_patience_s: float = setting(
        0.5, "what is lost is asked about after so long, as most comes back by itself [measured]", unit="s", low=0
    )
    doubt_pause_first_s: float = setting(
        2.0, "pause before a confirmed track is doubted again; doubles up to stale_after_s", unit="s", low=0
    )
    answer_deadline_s: float = setting(120.0, "frame time after which an answer is given up", unit="s", low=0.1)
    confirm_iou: float = setting(
        0.5,
        "an answer that overlaps a track this much agrees with it; 1 = never, so every answer prompts",
        low=0,
        high=1,
    )
    refine_iou: float = setting(
        0.2, "one that overlaps it at least this much is the same object with another outline", low=0, high=1
    )
    act_score: float = setting(
        0.5, "an answer less sure than this is asked once more on a newer frame; none given = sure", low=0, high=1
    )
    lost_act_score: float = setting(
        0.8, "the same for what was followed and is lost: its track may find it again [measured]", low=0, high=1
    )
    dispels: float = setting(
        0.75, "a suspicion ends once the grounder's agreement makes the track this probable", low=0.5, high=0.99
    )
    belief_cap: float = setting(
        0.98, "however often the grounder agrees, a track is never surer than this", low=0.5, high=0.9999
    )
    candidate_score_gap: float = setting(
        0.5, "regions less sure than the best by more than this are no rivals of it", low=0, high=1
    )
    max_candidates: int = setting(4, "regions followed while it is not clear which one is meant", low=1, high=100)
    absent_score: float = setting(0.5, "so sure `nothing matches` must be to speak against a track", low=0, high=1)
    denials: int = setting(2, "such answers in a row that end a track something else speaks against too", low=1)
    refuted: float = setting(
        0.1, "or one answer that leaves such a track less probable than this; 0 = never", low=0, high=0.5
    )
    verify: bool = setting(False, "ask about the cut-out of an unsure region before asking once more")
    history_turns: int = setting(4, "earlier turns of the dialogue that a question is given", low=0, high=100)
    replay_latency_s: float = setting(0.5, "simulated delay of the grounder in replay", unit="s", low=0, high=600)


@dataclass(frozen=True)
class GeometryConfig:
    """Room 4: mask and depth to pose."""

    erode_px: int = setting(1, "mask border left out", unit="px", low=0, high=50)
    edge_fraction: float = setting(0.02, "3x3 depth range above this share of depth is an edge", low=0, high=1)
    plane_ring_px: int = setting(25, "outer radius of the ring searched for the table", unit="px", low=2, high=500)
    plane_cut_m: float = setting(0.005, "points closer to the support plane are the plane's", unit="m", low=0, high=0.1)
    min_points: int = setting(30, "fewer points give no pose", low=4)
    max_points: int = setting(20_000, "more points are thinned", low=100)
    depth_sensor: str = setting(
        "stereo",
        "how depth noise grows: stereo = with z^2, by the next two settings; kinect = as a Kinect v1's [Nguyen 2012]",
        choices=("stereo", "kinect"),
    )
    depth_noise_px: float = setting(0.1, "disparity noise of a stereo depth sensor", unit="px", low=0)
    depth_baseline_m: float = setting(0.05, "baseline of a stereo depth sensor", unit="m", low=1e-4)
    depth_correlation_m: float = setting(
        0.010, "neighbouring depth pixels err together over about this length", unit="m", low=1e-4, high=0.2
    )
    floor_position_m: float = setting(0.003, "least position sigma, at 0.5 m", unit="m", low=0)
    floor_rotation_deg: float = setting(1.0, "least rotation sigma", unit="deg", low=0)
    models: str = setting("", "YAML file that lists CAD models of known objects by label; empty = none known")


@dataclass(frozen=True)
class MemoryConfig:
    """Where things were seen, kept over the shift and the night: what `~/query_objects` answers from."""

    path: str = setting("", "file the memory is kept in; empty = in RAM, and forgotten at the end")
    frame: str = setting(
        "map", "coordinate frame that stays where it is, which places are remembered in; empty = nothing is remembered"
    )
    max_objects: int = setting(500, "things remembered; the one not seen for longest goes first", low=1, high=100_000)
    max_age_h: float = setting(720.0, "what was not seen for so long is forgotten; 0 = never", unit="h", low=0)
    interval_s: float = setting(1.0, "time between two notes of one object", unit="s", low=0, high=3600)
    frame_sigma_m: float = setting(0.02, "how unsure the camera's place in the frame is", unit="m", low=0, high=10)
    frame_sigma_deg: float = setting(
        0.5, "how unsure its direction is: far things are the less sure for it", unit="deg", low=0, high=90
    )
    drift_m: float = setting(
        0.05, "sigma of the place of what nobody has seen for an hour; grows with the root of time", unit="m", low=0
    )
    drift_deg: float = setting(10.0, "the same of its orientation", unit="deg", low=0)
    half_life_h: float = setting(24.0, "a score halves in so long without a look; 0 = never", unit="h", low=0)
    gate_sigmas: float = setting(
        3.0, "how many sigmas off a sighting of a like thing is still the one remembered", low=0.1, high=20
    )
    gate_max_m: float = setting(0.5, "and never farther off than this", unit="m", low=0, high=100)
    crop_px: int = setting(224, "longer side of the remembered picture of an object", unit="px", low=16, high=1024)


@dataclass(frozen=True)
class OutputConfig:
    """What is handed out."""

    frame: str = setting("", "coordinate frame of poses; empty = the camera's optical frame")
    world_frame: str = setting("", "frame whose z points up, used as gravity; empty = none known")
    camera_sigma_m: float = setting(
        0.0,
        "how unsure the camera's place in output.frame is (calibration, localisation); added to poses; 0 = exact",
        unit="m",
        low=0,
        high=10,
    )
    camera_sigma_deg: float = setting(
        0.0, "how unsure its direction there is: far things are the less sure for it", unit="deg", low=0, high=90
    )
    publish_tf: bool = setting(True, "broadcast object_<id> transforms")
    transform_wait_s: float = setting(0.1, "how long a frame may wait for its transform", unit="s", low=0, high=10)
    diagnostics_period_s: float = setting(1.0, "time between diagnostics", unit="s", low=0.1, high=60)


@dataclass(frozen=True)
class Config:
    """The whole tree."""

    input: InputConfig = field(default_factory=InputConfig)
    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    grounder: GrounderConfig = field(default_factory=GrounderConfig)
    grounding: GroundingConfig = field(default_factory=GroundingConfig)
    geometry: GeometryConfig = field(default_factory=GeometryConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    speech: SpeechConfig = field(default_factory=SpeechConfig)

    def __post_init__(self) -> None:
        for item in flatten(self):
            check_value(item.name, item.value, type(item.default), item.info)


# What may differ from one frame to the next: nothing was built from it, and no state depends on it.
_LIVE_OUTPUT = frozenset(
    ("output.frame", "output.publish_tf", "output.transform_wait_s", "output.diagnostics_period_s")
)
_FIXED_GROUNDING = frozenset(("grounding.history_turns", "grounding.replay_latency_s"))


def is_live(name: str) -> bool:
    """Whether a setting (dotted name) may be changed while frames are processed."""
    return name in _LIVE_OUTPUT or (name.startswith("grounding.") and name not in _FIXED_GROUNDING)


def load_config(
    path: Path | str | None = None, changes: Mapping[str, object] | None = None, *, base: Config | None = None
) -> Config:
    """The defaults, or `base`, changed by a YAML file of `group: {key: value}` and then by `changes`."""
    config = base or Config()
    if path is not None:
        config = override(config, read_yaml(Path(path), {group.name for group in fields(Config)}))
    return override(config, changes or {})
