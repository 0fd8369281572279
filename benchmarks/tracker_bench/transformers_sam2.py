"""An official SAM 2 model as transformers' Sam2VideoModel: the configuration read off the model, the weights renamed.

transformers 5 has the modules of the official code under other names; nothing has to be transposed or split.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn

POSITIONS = "shared_image_embedding.positional_embedding"
# Applied one after the other, in this order.
RENAMED = tuple(
    (re.compile(official), theirs)
    for official, theirs in (
        # image encoder
        (r"^image_encoder\.trunk\.patch_embed\.proj\.", "vision_encoder.backbone.patch_embed.projection."),
        (r"^image_encoder\.trunk\.", "vision_encoder.backbone."),
        (r"^image_encoder\.neck\.convs\.(\d+)\.conv\.", r"vision_encoder.neck.convs.\1."),
        # memory encoder
        (r"^memory_encoder\.out_proj\.", "memory_encoder.projection."),
        (r"^memory_encoder\.pix_feat_proj\.", "memory_encoder.feature_projection."),
        (r"^memory_encoder\.fuser\.", "memory_encoder.memory_fuser."),
        (r"\.dwconv\.", ".depthwise_conv."),
        (r"\.pwconv(\d)\.", r".pointwise_conv\1."),
        (r"\.gamma$", ".scale"),
        (r"^memory_encoder\.mask_downsampler\.encoder\.12\.", "memory_encoder.mask_downsampler.final_conv."),
        *(
            (rf"\.mask_downsampler\.encoder\.{3 * layer + part}\.", f".mask_downsampler.layers.{layer}.{name}.")
            for layer in range(4)
            for part, name in enumerate(("conv", "layer_norm"))
        ),
        # prompt encoder
        (r"^sam_prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix$", POSITIONS),
        (r"^sam_prompt_encoder\.", "prompt_encoder."),
        *(
            (rf"\.mask_downscaling\.{number}\.", f".mask_embed.{name}.")
            for number, name in ((0, "conv1"), (1, "layer_norm1"), (3, "conv2"), (4, "layer_norm2"), (6, "conv3"))
        ),
        # mask decoder
        (r"^sam_mask_decoder\.", "mask_decoder."),
        (r"\.output_upscaling\.0\.", ".upscale_conv1."),
        (r"\.output_upscaling\.1\.", ".upscale_layer_norm."),
        (r"\.output_upscaling\.3\.", ".upscale_conv2."),
        (r"\.norm_final_attn\.", ".layer_norm_final_attn."),
        # the model itself
        (r"^maskmem_tpos_enc$", "memory_temporal_positional_encoding"),
        (r"^no_mem_embed$", "no_memory_embedding"),
        (r"^no_mem_pos_enc$", "no_memory_positional_encoding"),
        (r"^no_obj_ptr$", "no_object_pointer"),
        (r"^no_obj_embed_spatial$", "occlusion_spatial_embedding_parameter"),
        (r"^obj_ptr_proj\.", "object_pointer_proj."),
        (r"^obj_ptr_tpos_proj\.", "temporal_positional_encoding_projection_layer."),
        # everywhere
        (r"\.mlp\.layers\.0\.", ".mlp.proj_in."),
        (r"\.mlp\.layers\.1\.", ".mlp.proj_out."),
        (r"(mlps\.\d+|_head|_pointer_proj)\.layers\.0\.", r"\1.proj_in."),
        (r"(mlps\.\d+|_head|_pointer_proj)\.layers\.2\.", r"\1.proj_out."),
        (r"(mlps\.\d+|_head|_pointer_proj)\.layers\.1\.", r"\1.layers.0."),
        (r"\.out_proj\.", ".o_proj."),
        (r"\.norm(\d?)\.", r".layer_norm\1."),
    )
)  # fmt: skip


def converted(official: nn.Module) -> Any:
    """A `Sam2VideoModel` in evaluation mode with the weights of `official`, a `SAM2Base` on the CPU.

    Raises RuntimeError where the two architectures differ: every weight must find its place and every place its weight.
    """
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoModel

    model = Sam2VideoModel(configuration(official))
    _allow_other_memory_widths(model, official)
    model.load_state_dict(renamed(official.state_dict()))
    return model.eval()


def renamed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of the official model under the names of `Sam2VideoModel`."""
    theirs = {}
    for name, weight in weights.items():
        for pattern, replacement in RENAMED:
            name = pattern.sub(replacement, name)
        theirs[name] = weight
    theirs["prompt_encoder.shared_embedding.positional_embedding"] = theirs[POSITIONS]
    kinds = [theirs.pop(f"prompt_encoder.point_embeddings.{kind}.weight") for kind in range(4)]
    theirs["prompt_encoder.point_embed.weight"] = torch.cat(kinds)
    return theirs


def configuration(official: Any) -> Any:
    """The `Sam2VideoConfig` of an official model, read off its modules."""
    from transformers.models.sam2_video.configuration_sam2_video import Sam2VideoConfig

    attention, layer = official.memory_attention, official.memory_attention.layers[0]
    decoder, width, size = official.sam_mask_decoder, official.hidden_dim, official.image_size
    fuser = official.memory_encoder.fuser.layers
    return Sam2VideoConfig(
        vision_config=_vision(official),
        prompt_encoder_config={"hidden_size": width, "image_size": size},
        mask_decoder_config={
            "hidden_size": width,
            "mlp_dim": decoder.transformer.layers[0].mlp.layers[0].out_features,
            "num_attention_heads": decoder.transformer.num_heads,
            "iou_head_hidden_dim": decoder.iou_prediction_head.layers[0].out_features,
            "dynamic_multimask_via_stability": decoder.dynamic_multimask_via_stability,
            "dynamic_multimask_stability_delta": decoder.dynamic_multimask_stability_delta,
            "dynamic_multimask_stability_thresh": decoder.dynamic_multimask_stability_thresh,
        },
        image_size=size,
        num_maskmem=official.num_maskmem,
        sigmoid_scale_for_mem_enc=official.sigmoid_scale_for_mem_enc,
        sigmoid_bias_for_mem_enc=official.sigmoid_bias_for_mem_enc,
        enable_occlusion_spatial_embedding=official.no_obj_embed_spatial is not None,
        multimask_output_in_sam=official.multimask_output_in_sam,
        multimask_min_pt_num=official.multimask_min_pt_num,
        multimask_max_pt_num=official.multimask_max_pt_num,
        multimask_output_for_tracking=official.multimask_output_for_tracking,
        max_object_pointers_in_encoder=official.max_obj_ptrs_in_encoder,
        max_cond_frame_num=official.max_cond_frames_in_attn,
        memory_attention_hidden_size=width,
        memory_attention_num_layers=len(attention.layers),
        memory_attention_feed_forward_hidden_size=layer.linear1.out_features,
        memory_attention_rope_feat_sizes=[size // 16, size // 16],
        memory_encoder_hidden_size=width,
        memory_encoder_output_channels=official.mem_dim,
        rope_parameters={"rope_type": "axial", "rope_theta": layer.self_attn.compute_cis.keywords["theta"]},
        mask_downsampler_embed_dim=width,
        memory_fuser_num_layers=len(fuser),
        memory_fuser_embed_dim=width,
        memory_fuser_intermediate_dim=fuser[0].pwconv1.out_features,
    )


def _vision(official: Any) -> dict[str, Any]:
    trunk, neck, size = official.image_encoder.trunk, official.image_encoder.neck, official.image_size
    last_blocks = [trunk.blocks[index] for index in trunk.stage_ends]
    lengths = [end - before for before, end in zip([-1, *trunk.stage_ends], trunk.stage_ends, strict=False)]
    return {
        "backbone_config": {
            "model_type": "sam2_hiera_det_model",
            "hidden_size": last_blocks[0].dim_out,
            "image_size": [size, size],
            "window_positional_embedding_background_size": list(trunk.window_pos_embed_bkg_spatial_size),
            "num_query_pool_stages": len(trunk.q_pool_blocks),
            "blocks_per_stage": lengths,
            "embed_dim_per_stage": [block.dim_out for block in last_blocks],
            "num_attention_heads_per_stage": [block.attn.num_heads for block in last_blocks],
            "window_size_per_stage": list(trunk.window_spec),
            "global_attention_blocks": list(trunk.global_att_blocks),
        },
        "backbone_channel_list": list(neck.backbone_channel_list),
        "backbone_feature_sizes": [[size // stride, size // stride] for stride in (4, 8, 16)],
        "fpn_hidden_size": neck.d_model,
        "fpn_top_down_levels": list(neck.fpn_top_down_levels),
    }


def _allow_other_memory_widths(model: Any, official: Any) -> None:
    """transformers writes 64 channels into the keys of its memory attention; small models have fewer."""
    for layer in model.memory_attention.layers:
        attention = layer.cross_attn_image
        if official.mem_dim != attention.kv_in_dim:
            attention.k_proj = nn.Linear(official.mem_dim, attention.internal_dim)
            attention.v_proj = nn.Linear(official.mem_dim, attention.internal_dim)
