"""Any audio encoder or classifier of transformers, with its own feature extractor and sampling rate.

Each clip goes through the extractor alone and at its own length, as one would do with a single file: what a batch is
padded with enters the mean and deviation that wav2vec 2.0 normalises a clip by, and CLAP's extractor marks one clip of
each batch at random. Clips whose features have one shape then go through the network together.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from bench import CheckpointError, DataError, TaskInfo, import_transformers

Layer = int | Literal["all"] | None

_UNUSED = ("masked_spec_embed", "decoder.")
"""Tensors that an encoder does without, and that many checkpoints lack."""


class OwnHead(nn.Module):
    """A classifier of transformers whose labels are found among its own: ``order`` are their rows in its logits."""

    def __init__(self, whole: nn.Module, order: Sequence[int]) -> None:
        super().__init__()
        self.whole, self.order = whole, list(order)

    def forward(self, features: dict[str, Tensor], _: list[int]) -> Tensor:
        """Features of clips to logits ``(batch, classes)``."""
        logits: Tensor = self.whole(**features).logits.float()
        return logits[:, self.order]


class Encoder(nn.Module):
    """``network`` behind its feature ``extractor``, and before a linear classifier of the data set's classes.

    Args:
        network: The encoder; ``classifier`` is what holds it together with a head of its own.
        extractor: Of the same checkpoint.
        task: The data set's; its rate is the extractor's.
        layer: Which of the hidden states is pooled, or the mean of ``all``; ``None`` = the last one, as the network
            gives it.
        pool: ``own`` (what the network itself makes of a clip), or over time; ``None`` = ``own`` where there is one.
        own_head: The network's own classifier, where it knows the labels of the data set.

    Attributes:
        text_folder: Where its text tower is, if it has one.
    """

    network: Any
    text_folder: str | None = None

    def __init__(
        self, network: nn.Module, extractor: Any, task: TaskInfo, *, layer: Layer = None, pool: str | None = None,
        own_head: OwnHead | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.network, self.extractor, self.rate = network, extractor, task.sample_rate
        self.layer, self.pool, self.own_head = layer, pool, own_head
        self.least = _least_samples(network.config)
        width = self.embed(torch.zeros(1, max(task.clip_samples, self.least))).shape[1]
        self.head = None if own_head else nn.Linear(width, task.num_classes)

    def forward(self, audio: Tensor, audio_samples: Tensor | None = None) -> Tensor:
        """``(batch, samples) -> (batch, classes)``."""
        if self.own_head is not None:
            return self._by_shape(audio, audio_samples, self.own_head)  # (batch, classes)
        head: Any = self.head
        return head(self.embed(audio, audio_samples))  # type: ignore[no-any-return]  # (batch, classes)

    def embed(self, audio: Tensor, audio_samples: Tensor | None = None) -> Tensor:
        """``(batch, samples) -> (batch, dim)``."""
        return self._by_shape(audio, audio_samples, self._pooled)

    def frames(self, audio: Tensor, audio_samples: Tensor | None = None) -> list[Tensor]:
        """``(batch, samples)`` -> of each clip ``(steps, layers, dim)``: steps that stand for the clip, not padding."""
        found: dict[int, Tensor] = {}
        for places, features, own in self._groups(audio, audio_samples):
            states, heard = self._hidden(self._run(features), own)
            found |= {place: states[row, heard[row]] for row, place in enumerate(places)}
        return [found[place] for place in range(len(audio))]

    @torch.no_grad()
    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """``(texts, dim)``, of the length by which CLAP multiplies a cosine."""
        if self.text_folder is None:
            raise CheckpointError(
                f"{type(self.network).__name__} has no text tower; mode zero_shot takes a CLAP folder"
            )
        try:
            tokenizer = import_transformers().AutoTokenizer.from_pretrained(self.text_folder, local_files_only=True)
        except (OSError, ValueError, KeyError, TypeError) as error:
            first = " ".join(str(error).strip().splitlines()[:1])
            raise CheckpointError(f"{self.text_folder} has no tokenizer that can be read ({first})") from error
        words: Any = tokenizer(list(texts), padding=True, return_tensors="pt")
        if len(torch.unique(words["input_ids"], dim=0)) < len(set(texts)):  # one without files is made, and is empty
            raise CheckpointError(
                f"the tokenizer of {self.text_folder} reads different texts alike ({', '.join(texts[:2])}, ...); has "
                "the folder a tokenizer.json, or a vocab.json with merges.txt? Save the processor there"
            )
        whole: Any = import_transformers().ClapModel.from_pretrained(self.text_folder, local_files_only=True)
        found = whole.eval().get_text_features(**words)
        vectors: Tensor = getattr(found, "pooler_output", found).float()
        scale: Tensor = whole.logit_scale_a.float().exp()
        return nn.functional.normalize(vectors, dim=-1) * scale

    def _by_shape(self, audio: Tensor, audio_samples: Tensor | None, head: Any) -> Tensor:
        """What ``head`` makes of all clips, one row each."""
        places, parts = [], []
        for some, features, own in self._groups(audio, audio_samples):
            places += some
            parts.append(head(features, own))
        return torch.cat(parts)[torch.argsort(torch.tensor(places, device=parts[0].device))]

    def _groups(
        self, audio: Tensor, audio_samples: Tensor | None
    ) -> Iterator[tuple[list[int], dict[str, Tensor], list[int]]]:
        """Features, extracted clip by clip, of all clips for which they have one shape; places and samples of these."""
        own = [audio.shape[1]] * len(audio) if audio_samples is None else audio_samples.tolist()
        own = [count or audio.shape[1] for count in own]  # a clip that could not be read is silence
        if min(own) < self.least:
            raise DataError(
                f"a clip of {min(own)} samples ({1e3 * min(own) / self.rate:.0f} ms) is shorter than the {self.least} "
                f"that {type(self.network).__name__} needs; leave such clips out, or fill them with recipe.fill=tile"
            )
        groups: dict[Any, list[tuple[int, dict[str, Tensor]]]] = defaultdict(list)
        for place, (clip, count) in enumerate(zip(audio, own, strict=True)):
            features = self._features(clip[:count])
            groups[tuple((name, x.shape) for name, x in features.items())].append((place, features))
        for group in groups.values():
            places = [place for place, _ in group]
            together = {name: torch.cat([features[name] for _, features in group]) for name in group[0][1]}
            yield places, together, [own[place] for place in places]

    def _features(self, clip: Tensor) -> dict[str, Tensor]:
        """What the extractor makes of one clip ``(samples,)``, each tensor ``(1, ...)`` on the network's device."""
        weight = next(self.network.parameters())
        wave = np.zeros(clip.shape, np.float32) if clip.is_meta else clip.detach().float().cpu().numpy()
        state = np.random.get_state()  # noqa: NPY002  CLAP's extractor draws from the legacy generator
        np.random.seed(0)  # noqa: NPY002
        try:
            with torch.autocast("cpu", enabled=False), torch.device("cpu"):  # AST's knows neither bfloat16 nor "meta"
                made = self.extractor(wave, sampling_rate=self.rate, return_tensors="pt")
        finally:
            np.random.set_state(state)  # noqa: NPY002
        return {k: x.to(weight.device, weight.dtype if x.is_floating_point() else x.dtype) for k, x in made.items()}

    def _run(self, features: dict[str, Tensor]) -> Any:
        return self.network(**features, output_hidden_states=self.layer is not None, return_dict=True)

    def _hidden(self, out: Any, own: list[int]) -> tuple[Tensor, Tensor]:
        """``(batch, steps, layers, dim)``, and which steps ``(batch, steps)`` stand for a clip."""
        states = torch.stack([_steps(one) for one in self._states(out)], 2).float()
        return states, self._heard(states, own)

    def _pooled(self, features: dict[str, Tensor], own: list[int]) -> Tensor:
        out = self._run(features)
        pools = (out[key] for key in ("audio_embeds", "pooler_output") if out.get(key) is not None)
        own_pool: Tensor | None = next(pools, None)
        if self.pool == "own" and own_pool is None:
            raise CheckpointError(f"{type(self.network).__name__} pools nothing itself; use ?pool=mean, max or first")
        if own_pool is not None and self.pool in (None, "own") and self.layer is None:
            return own_pool.float()  # (batch, dim)
        hidden, heard = self._hidden(out, own)
        states = hidden.mean(2)  # (batch, steps, dim)
        if self.pool == "first":
            return states[:, 0]  # (batch, dim)
        if self.pool == "max":
            return states.masked_fill(~heard[..., None], -torch.inf).amax(1)  # (batch, dim)
        weight = heard[..., None].to(states)
        return (states * weight).sum(1) / weight.sum(1)  # (batch, dim)

    def _states(self, out: Any) -> Sequence[Tensor]:
        name = type(self.network).__name__
        if self.layer is None:
            states: Tensor | None = out.get("last_hidden_state")
            if states is None:
                raise CheckpointError(f"{name} gives {', '.join(out.keys())}, no last_hidden_state to make a vector of")
            return [states]
        layers = out.get("hidden_states") or ()
        if self.layer == "all":
            if len({one.shape for one in layers}) != 1:
                raise CheckpointError(f"{name} has hidden states of no one shape; choose one with ?layer=N")
            return layers
        if not -len(layers) <= self.layer < len(layers):
            raise CheckpointError(f"{name} has hidden states 0 to {len(layers) - 1}; ?layer={self.layer} is none")
        return [layers[self.layer]]

    def _heard(self, states: Tensor, own: list[int]) -> Tensor:
        """``(batch, steps)``: which steps stand for the clip, not for what its extractor pads every clip to."""
        heard = torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)
        config = self.network.config
        if config.model_type == "whisper":
            for row, count in zip(heard, own, strict=True):
                row[math.ceil(count / (2 * self.extractor.hop_length)) :] = False  # a convolution of stride 2
        elif config.model_type == "audio-spectrogram-transformer":
            heard[:, :2] = False  # class and distillation tokens
            grid = heard[:, 2:].view(len(heard), -1, (config.max_length - config.patch_size) // config.time_stride + 1)
            for row, count in zip(grid, own, strict=True):  # (bands, patches in time)
                frames = 1 + (count - self.least) // (self.rate // 100)
                row[:, math.ceil(frames / config.time_stride) :] = False
        return heard


def build(
    task: TaskInfo, *, folder: str, layer: Layer = None, pool: str | None = None, dtype: str = "float32"
) -> Encoder:
    """The encoder of a folder of transformers.

    Raises:
        CheckpointError: It cannot be read, lacks weights, or is no audio model.
    """
    with torch.device("cpu"):  # constants of what is imported now outlive a count on "meta": torchaudio's epsilon
        logging = import_transformers().utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # it lists what an encoder leaves unused, a decoder or the text tower
    logging.disable_progress_bar()
    try:
        extractor, whole = _loaded(Path(folder))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        first = " ".join(str(error).strip().splitlines()[:1])
        raise CheckpointError(
            f"{folder} cannot be read as an audio model of transformers ({type(error).__name__}: {first})"
        ) from error
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
    whole = whole.to(torch.get_default_device(), getattr(torch, dtype))  # wav2vec 2.0 makes a mask on the CPU
    network = _encoder(whole)
    if hasattr(network.config, "apply_spec_augment"):
        network.config.apply_spec_augment = False  # augmentation is the recipe's
    if hasattr(network, "masked_spec_embed"):
        network.masked_spec_embed.requires_grad_(requires_grad=False)  # only that would use it
    order = _order(whole.config, task) if hasattr(whole, "classifier") else None
    own_head = None if order is None else OwnHead(whole, order)
    encoder = Encoder(network, extractor, task, layer=layer, pool=pool, own_head=own_head)
    encoder.text_folder = folder if whole.config.model_type.startswith("clap") else None
    return encoder


def _loaded(folder: Path) -> tuple[Any, Any]:
    """The feature extractor and the whole network, every tensor of it from the files."""
    transformers = import_transformers()
    local = {"local_files_only": True, "trust_remote_code": False}
    config = transformers.AutoConfig.from_pretrained(folder, **local)
    kind = transformers.AutoModel
    if (config.architectures or [""])[0].endswith(("ForAudioClassification", "ForSequenceClassification")):
        kind = transformers.AutoModelForAudioClassification
    elif config.model_type == "clap":
        kind = transformers.ClapAudioModelWithProjection
    with torch.device("cpu"):
        extractor = transformers.AutoFeatureExtractor.from_pretrained(folder, **local)
    if torch.get_default_device().type == "meta":  # only counted
        if config.model_type == "clap":
            return extractor, kind(config.audio_config)
        return extractor, kind.from_config(config).eval()  # in training some layers are left out by chance
    whole, info = kind.from_pretrained(folder, output_loading_info=True, local_files_only=True)
    missing = sorted(name for name in info["missing_keys"] if not any(part in name for part in _UNUSED))
    if missing:
        some = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise CheckpointError(f"{folder} lacks {some}, which {type(whole).__name__} has; they would be random")
    return extractor, whole


def _encoder(whole: Any) -> Any:
    if whole.config.is_encoder_decoder:
        return whole.encoder if hasattr(whole, "encoder") else whole.get_encoder()
    return getattr(whole, whole.base_model_prefix, whole)


def _order(config: Any, task: TaskInfo) -> list[int] | None:
    """Where each label of the data set stands among those of a classifier; ``None`` where it has others."""
    plain = {str(label).lower().replace("_", " "): int(row) for row, label in config.id2label.items()}
    rows = [plain.get(name.lower().replace("_", " "), -1) for name in task.label_names]
    return rows if rows and min(rows) >= 0 and len(set(rows)) == len(rows) else None


def _steps(states: Tensor) -> Tensor:
    """``(batch, steps, dim)``, also of the maps ``(batch, dim, height, width)`` of a hierarchical network."""
    return states.flatten(2).transpose(1, 2) if states.ndim == 4 else states


def _least_samples(config: Any) -> int:
    """Samples that a network of convolutions, or a filter bank without padding, needs to give one step."""
    if config.model_type == "audio-spectrogram-transformer":
        return 400
    least = 1
    strides = zip(getattr(config, "conv_kernel", ()), getattr(config, "conv_stride", ()), strict=True)
    for kernel, stride in reversed(list(strides)):
        least = (least - 1) * stride + kernel
    return least
