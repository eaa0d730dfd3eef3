"""From the names that single files have to those of diffusers and transformers."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.loaders.single_file_model import SINGLE_FILE_LOADABLE_CLASSES
from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint

from imagemill.errors import Fault
from imagemill.pipelines.weights.flux_names import from_bfl
from imagemill.pipelines.weights.headers import broken
from imagemill.pipelines.weights.kinds import PREFIXES
from imagemill.pipelines.weights.parts import Module, read_tensors

log = logging.getLogger(__name__)
Tensors = dict[str, torch.Tensor]

LDM = PREFIXES[0]  # which diffusers' converter of UNets wants to see
VAES = ("first_stage_model.", "vae.", "")
# Weights in fp8 that ComfyUI scales, each by a number of its own beside it.
SCALED = ("scaled_fp8", "scale_weight", "scale_input")


def converted(title: str, module: Module, config: Mapping[str, Any], path: Path) -> Tensors:
    """The weights of a file that holds one part alone."""
    return convert(title, module, config, read_tensors(path, ""), "")


def convert(
    title: str, module: Module, config: Mapping[str, Any], tensors: Tensors, prefix: str
) -> Tensors:
    """`tensors`, whose names begin with `prefix`, by the names that the module has."""
    if any(name.endswith(SCALED) for name in tensors):
        raise broken(
            f"{title} is scaled fp8 as ComfyUI has it, which is not read here; take the plain "
            "fp8, fp16 or GGUF file of the model"
        )
    bare = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    expected = module.state_dict().keys()
    if expected <= bare.keys():  # diffusers' own names
        return bare
    try:
        return _converter(module)(module, config, bare)
    except Fault:
        raise
    except Exception as error:  # of many kinds, by which name or size is unexpected
        log.warning("%s could not be converted", title, exc_info=error)
        raise broken(
            f"{title} lacks weights, or has them in another layout or size than its kind; give "
            "another file of the model, or a folder"
        ) from error


Converter = Callable[[Module, Mapping[str, Any], Tensors], Tensors]


def _converter(module: Module) -> Converter:
    return _denoiser if isinstance(module, diffusers.ModelMixin) else _text


def _denoiser(module: Module, config: Mapping[str, Any], bare: Tensors) -> Tensors:
    kind = type(module).__name__
    if kind == "FluxTransformer2DModel":  # diffusers' own knows one width alone
        return from_bfl(bare)
    convert: Callable[..., Tensors] = SINGLE_FILE_LOADABLE_CLASSES[kind]["checkpoint_mapping_fn"]
    if kind == "UNet2DConditionModel":
        bare = {LDM + name: tensor for name, tensor in bare.items()}
    if kind == "AutoencoderKL":  # a file of a VAE alone may have the prefix of a whole model
        prefix = next(each for each in VAES if any(name.startswith(each) for name in bare))
        bare = {name.removeprefix(prefix): tensor for name, tensor in bare.items()}
    return convert(checkpoint=bare, config=dict(config))


def _text(module: Module, config: Mapping[str, Any], bare: Tensors) -> Tensors:
    if any("transformer.resblocks." in name for name in bare):
        bare = convert_open_clip_checkpoint(module, bare, prefix="")
    expected = module.state_dict()
    if not any(name.startswith("text_model.") for name in expected):
        bare = {name.removeprefix("text_model."): tensor for name, tensor in bare.items()}
    projection = expected.get("text_projection.weight")
    if projection is not None and "text_projection.weight" not in bare:
        # SD3's files leave it out: it changes nothing.
        bare["text_projection.weight"] = torch.eye(*projection.shape)
    return bare
