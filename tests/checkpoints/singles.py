"""The same weights in the one file that people hold, by the names that such files have."""

from pathlib import Path
from typing import Any

import diffusers as d
import gguf
import torch
from safetensors.torch import save_file

Tensors = dict[str, torch.Tensor]

_INNER = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}  # fmt: skip
_OUTER = {
    "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2",
}  # fmt: skip
_MIDDLE = {"resnets0": "0", "attentions0": "1", "resnets1": "2"}
_VAE = {
    "mid_block.attentions.0": "mid.attn_1", "mid_block.resnets.0": "mid.block_1",
    "mid_block.resnets.1": "mid.block_2", "conv_norm_out": "norm_out",
    "conv_shortcut": "nin_shortcut", "downsamplers.0": "downsample", "upsamplers.0": "upsample",
    "down_blocks": "down", ".resnets.": ".block.", "attn_1.group_norm.": "attn_1.norm.",
    "attn_1.to_q.": "attn_1.q.", "attn_1.to_k.": "attn_1.k.", "attn_1.to_v.": "attn_1.v.",
    "attn_1.to_out.0.": "attn_1.proj_out.",
}  # fmt: skip
_OPEN = {
    "layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}  # fmt: skip


def single(family: str, folder: Path, path: Path, dtype: torch.dtype = torch.float16) -> Path:
    """The checkpoint in `folder` as one file, with all of its parts."""
    pipe = d.DiffusionPipeline.from_pretrained(folder)
    tensors = {name: x.to(dtype).contiguous() for name, x in _WHOLE[family](pipe).items()}
    save_file(tensors, path)
    return path


def flux_transformer(folder: Path, prefix: str = "") -> Tensors:
    """A FLUX transformer alone, as Black Forest Labs names it."""
    model = d.FluxTransformer2DModel.from_pretrained(folder / "transformer")
    return {f"{prefix}{name}": x for name, x in _flux_in_bfl(model.state_dict()).items()}


def write_gguf(tensors: Tensors, path: Path) -> Path:
    """Matrices in Q8_0, the rest in float32."""
    writer = gguf.GGUFWriter(str(path), "flux")
    chosen = gguf.GGMLQuantizationType.Q8_0
    for name, x in tensors.items():
        array = x.float().numpy()
        if array.ndim == 2 and array.shape[1] % 32 == 0 and array.size > 4096:
            writer.add_tensor(name, gguf.quants.quantize(array, chosen), raw_dtype=chosen)
        else:
            writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _sd15(pipe: Any) -> Tensors:
    text = _with_text_model(pipe.text_encoder.state_dict())
    return (
        unet_in_ldm(pipe.unet.state_dict())
        | _vae_in_ldm(pipe.vae.state_dict())
        | {f"cond_stage_model.transformer.{name}": x for name, x in text.items()}
    )


def _sdxl(pipe: Any) -> Tensors:
    names = ("unet", "vae", "text_encoder", "text_encoder_2")
    return sdxl_names({name: getattr(pipe, name).state_dict() for name in names})


def sdxl_names(parts: dict[str, Tensors]) -> Tensors:
    """The tensors of SDXL's parts, as its file names them."""
    text = _with_text_model(parts["text_encoder"])
    second = _clip_in_open_clip(parts["text_encoder_2"])
    return (
        unet_in_ldm(parts["unet"])
        | _vae_in_ldm(parts["vae"])
        | {f"conditioner.embedders.0.transformer.{name}": x for name, x in text.items()}
        | {f"conditioner.embedders.1.model.{name}": x for name, x in second.items()}
    )


def _flux(pipe: Any) -> Tensors:
    """As ComfyUI puts them into one file."""
    text = _with_text_model(pipe.text_encoder.state_dict())
    second = pipe.text_encoder_2.state_dict()
    second.pop("encoder.embed_tokens.weight", None)  # the same as `shared`
    transformer = _flux_in_bfl(pipe.transformer.state_dict())
    return (
        {f"model.diffusion_model.{name}": x for name, x in transformer.items()}
        | _vae_in_ldm(pipe.vae.state_dict(), "vae.")
        | {f"text_encoders.clip_l.transformer.{name}": x for name, x in text.items()}
        | {f"text_encoders.t5xxl.transformer.{name}": x for name, x in second.items()}
    )


_WHOLE = {"sd15": _sd15, "sdxl": _sdxl, "flux-dev": _flux}


def _with_text_model(tensors: Tensors) -> Tensors:
    return {
        name if name.startswith("text_") else f"text_model.{name}": x for name, x in tensors.items()
    }


def unet_in_ldm(state: Tensors, layers: int = 2) -> Tensors:
    attended = {name.split(".attentions")[0] for name in state if ".attentions." in name}

    def block(name: str) -> str:
        side, rest = name.split(".", 1)
        if side == "mid_block":
            kind, number, rest = rest.split(".", 2)
            return f"middle_block.{_MIDDLE[kind + number]}.{rest}"
        i, kind, j, rest = rest.split(".", 3)
        down = side == "down_blocks"
        base = int(i) * (layers + 1)
        out = "input_blocks" if down else "output_blocks"
        if kind == "downsamplers":
            return f"{out}.{base + layers + 1}.0.op.{rest.removeprefix('conv.')}"
        if kind == "upsamplers":
            return f"{out}.{base + layers}.{2 if f'{side}.{i}' in attended else 1}.{rest}"
        return f"{out}.{base + int(j) + down}.{0 if kind == 'resnets' else 1}.{rest}"

    def renamed(name: str) -> str:
        for ours, theirs in _OUTER.items():
            if name.startswith(f"{ours}."):
                return theirs + name[len(ours) :]
        new = block(name)
        if ".resnets." in name:
            for ours, theirs in _INNER.items():
                new = new.replace(f".{ours}.", f".{theirs}.")
        return new

    return {f"model.diffusion_model.{renamed(name)}": x for name, x in state.items()}


def _vae_in_ldm(state: Tensors, prefix: str = "first_stage_model.") -> Tensors:
    out = {}
    for name, x in state.items():
        new = name
        for ours, theirs in _VAE.items():
            new = new.replace(ours, theirs)
        if ".up_blocks." in new:
            side, rest = new.split("up_blocks.", 1)
            number, rest = rest.split(".", 1)
            new = f"{side}up.{3 - int(number)}.{rest}"
        linear = "attn_1" in new and new.endswith("weight") and x.dim() == 2
        out[prefix + new] = x[..., None, None] if linear else x
    return out


def _clip_in_open_clip(state: Tensors) -> Tensors:
    state = {name.removeprefix("text_model."): x for name, x in state.items()}
    out = {
        "token_embedding.weight": state["embeddings.token_embedding.weight"],
        "positional_embedding": state["embeddings.position_embedding.weight"],
        "ln_final.weight": state["final_layer_norm.weight"],
        "ln_final.bias": state["final_layer_norm.bias"],
        "text_projection": state["text_projection.weight"].t(),
        "logit_scale": torch.tensor(4.6),
    }
    for name, x in state.items():
        if not name.startswith("encoder.layers."):
            continue
        number, rest = name.removeprefix("encoder.layers.").split(".", 1)
        for ours, theirs in _OPEN.items():
            if rest.startswith(f"{ours}."):
                out[f"transformer.resblocks.{number}.{theirs}{rest[len(ours) :]}"] = x
        if rest.startswith("self_attn.q_proj"):
            kind = rest.rsplit(".", 1)[1]
            parts = [
                state[f"encoder.layers.{number}.self_attn.{each}_proj.{kind}"] for each in "qkv"
            ]
            out[f"transformer.resblocks.{number}.attn.in_proj_{kind}"] = torch.cat(parts)
    return out


_FLUX = {
    "img_in": "x_embedder", "txt_in": "context_embedder",
    "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
    "time_in.out_layer": "time_text_embed.timestep_embedder.linear_2",
    "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
    "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
    "guidance_in.in_layer": "time_text_embed.guidance_embedder.linear_1",
    "guidance_in.out_layer": "time_text_embed.guidance_embedder.linear_2",
    "final_layer.linear": "proj_out",
}  # fmt: skip
_DOUBLE = {
    "img_mod.lin": "norm1.linear", "txt_mod.lin": "norm1_context.linear",
    "img_attn.qkv": "attn.to_q attn.to_k attn.to_v",
    "txt_attn.qkv": "attn.add_q_proj attn.add_k_proj attn.add_v_proj",
    "img_attn.proj": "attn.to_out.0", "txt_attn.proj": "attn.to_add_out",
    "img_mlp.0": "ff.net.0.proj", "img_mlp.2": "ff.net.2",
    "txt_mlp.0": "ff_context.net.0.proj", "txt_mlp.2": "ff_context.net.2",
}  # fmt: skip
_SINGLE = {
    "linear1": "attn.to_q attn.to_k attn.to_v proj_mlp", "linear2": "proj_out",
    "modulation.lin": "norm.linear",
}  # fmt: skip
_NORMS = {
    "double_blocks": {
        "img_attn.norm.query_norm": "attn.norm_q", "img_attn.norm.key_norm": "attn.norm_k",
        "txt_attn.norm.query_norm": "attn.norm_added_q",
        "txt_attn.norm.key_norm": "attn.norm_added_k",
    },
    "single_blocks": {"norm.query_norm": "attn.norm_q", "norm.key_norm": "attn.norm_k"},
}  # fmt: skip


def _flux_in_bfl(state: Tensors) -> Tensors:
    out: Tensors = {}

    def take(theirs: str, ours: list[str]) -> None:
        for kind in ("weight", "bias"):
            names = [f"{each}.{kind}" for each in ours]
            if all(name in state for name in names):
                out[f"{theirs}.{kind}"] = torch.cat([state[name] for name in names])

    for theirs, ours in _FLUX.items():
        take(theirs, [ours])
    for kind in ("weight", "bias"):
        scale, shift = state[f"norm_out.linear.{kind}"].chunk(2)
        out[f"final_layer.adaLN_modulation.1.{kind}"] = torch.cat([shift, scale])
    sides = (("double_blocks", "transformer_blocks", _DOUBLE),
             ("single_blocks", "single_transformer_blocks", _SINGLE))  # fmt: skip
    for side, blocks, table in sides:
        numbers = {name.split(".")[1] for name in state if name.startswith(f"{blocks}.")}
        for number in sorted(numbers):
            a, b = f"{side}.{number}", f"{blocks}.{number}"
            for theirs, ours in table.items():
                take(f"{a}.{theirs}", [f"{b}.{each}" for each in ours.split()])
            for theirs, ours in _NORMS[side].items():
                out[f"{a}.{theirs}.scale"] = state[f"{b}.{ours}.weight"]
    return out
