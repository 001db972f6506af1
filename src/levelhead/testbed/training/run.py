"""The training loop: resumable at every step, and the same numbers whether it was interrupted or not."""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from levelhead.errors import FileError, InputError
from levelhead.testbed.model import build
from levelhead.testbed.training import checkpoint, workers
from levelhead.testbed.training.packing import PREFIX, TOPICS, Packed, pack
from levelhead.testbed.training.recipe import STAGES, Recipe, Stage
from levelhead.testbed.training.scenes import draw_scene, generator, pixels
from levelhead.testbed.training.tower import Heads, targets

SAVE_EVERY = 50
"""Steps between two checkpoints."""
LOG_EVERY = 10
"""Steps between two lines of the log."""
_URGENCY = (0.5, 6.0)
"""A topic that is known is asked this often, and one that is not at most this often, compared with the usual."""


def train(
    out: str | os.PathLike[str],
    recipe: Recipe | None = None,
    *,
    worker_count: int = 2,
    stop_after: int | None = None,
    verbose: bool = True,
) -> Path:
    """Train the testbed's model from nothing, or go on where an earlier run stopped.

    Parameters
    ----------
    out : path
        Folder for the checkpoint, ``training.jsonl`` (one line for every few steps) and ``recipe.json``.
    recipe : Recipe, optional
        Steps, rates, seed and what is planted.
    worker_count : int
        Processes of one thread each; pictures of a step are dealt out among them. The same count gives the same weights,
        another count slightly others.
    stop_after : int, optional
        Leave off after so many steps of this call; a later call goes on.
    verbose : bool
        Print a line for each line of the log.

    Returns
    -------
    Path
        The folder. Ctrl-C saves and leaves early; calling again goes on from there.

    Raises
    ------
    FileError
        If the folder cannot be written, or holds a damaged checkpoint.
    InputError
        If the folder holds a run of another recipe.
    """
    recipe, folder = recipe or Recipe(), Path(out)
    if worker_count < 1:
        raise InputError(f"training needs at least one worker; found worker_count={worker_count}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise FileError(f"'{folder}' cannot be written: {error.strerror}; choose another folder") from None
    found = checkpoint.read(folder)
    if found is not None and found[1]["recipe"] != recipe.record():
        differ = [name for name, value in recipe.record().items() if found[1]["recipe"].get(name) != value]
        raise InputError(
            f"'{folder}' holds a run of another recipe: {', '.join(differ)} differ; use its recipe, or another folder"
        )
    (folder / "recipe.json").write_text(json.dumps(recipe.record(), indent=2) + "\n", encoding="utf-8")
    workers.run(_work, worker_count, recipe, str(folder), stop_after, verbose)
    return folder


def finished(folder: Path) -> bool:
    """Whether a run has made its last step."""
    found = checkpoint.read(folder)
    if found is None:
        return False
    facts = found[1]
    return facts["stage"] == STAGES[-1] and facts["step"] == Recipe.from_record(facts["recipe"]).joint_steps


def trained(folder: Path) -> tuple[Any, Recipe, float]:
    """The model of a run as far as it went, its recipe, and the seconds that it took.

    Raises
    ------
    FileError
        If the folder holds no run.
    """
    found = checkpoint.read(folder)
    if found is None:
        raise FileError(
            f"'{folder}' holds no training run; begin one with: python -m levelhead.testbed train --out {folder}"
        )
    run = Run(Recipe.from_record(found[1]["recipe"]), workers.Alone(), folder)
    run.resume()
    return run.model.eval(), run.recipe, run.seconds


class Run:
    """One process's view of a training run.

    Parameters
    ----------
    recipe : Recipe
    team : Alone
        Which share of every step's pictures is this process's.
    folder : Path
    """

    def __init__(self, recipe: Recipe, team: workers.Alone, folder: Path) -> None:
        self.recipe, self.team, self.folder = recipe, team, folder
        self.model = build(recipe.size, recipe.seed)
        self.heads = Heads(self.model.config.vision_config.hidden_size)
        self.stage: Stage = STAGES[0]
        self.step = 0
        self.seconds = 0.0
        self.excess = dict.fromkeys(range(len(TOPICS)), math.log(2))
        self.optimizer = self._optimizer()

    def _optimizer(self) -> torch.optim.Optimizer:
        tower, heads = list(self.model.model.vision_tower.parameters()), list(self.heads.parameters())
        if self.stage == "tower":
            groups = [(tower + heads, self.recipe.tower_rate)]
        else:
            known = {id(each) for each in tower}
            language = [each for each in self.model.parameters() if id(each) not in known]
            rate = self.recipe.joint_rate
            groups = [
                (language, rate),
                (tower, self.recipe.tower_share * rate),
                (heads, self.recipe.tower_share * rate),
            ]
        return torch.optim.AdamW(
            [{"params": params, "lr": rate, "peak": rate} for params, rate in groups],
            betas=(0.9, 0.98),
            weight_decay=0.03,
        )

    @property
    def trainable(self) -> list[nn.Parameter]:
        """What the optimizer of this stage moves."""
        return [each for group in self.optimizer.param_groups for each in group["params"]]

    def advance(self) -> dict[str, Any]:
        """Make one step, and return what is logged of it."""
        start = time.perf_counter()
        steps = self.recipe.steps(self.stage)
        factor = _schedule(self.step, steps)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        self.optimizer.zero_grad()
        total, weight, facts = self._tower_loss() if self.stage == "tower" else self._joint_loss()
        total.backward()
        grads = [each.grad if each.grad is not None else torch.zeros_like(each) for each in self.trainable]
        flat = torch.cat([*(grad.flatten() for grad in grads), torch.tensor([float(total.detach()), weight]), facts])
        self.team.total(flat)
        size = sum(grad.numel() for grad in grads)
        loss, weight = (float(number) for number in flat[size : size + 2])
        scaled = flat[:size] / weight
        scaled *= min(1.0, 1.0 / (float(scaled.norm()) + 1e-6))
        for each, part in zip(self.trainable, scaled.split([grad.numel() for grad in grads]), strict=True):
            each.grad = part.view_as(each)
        self.optimizer.step()
        seen = flat[size + 2 :]
        entry: dict[str, Any] = {"stage": self.stage, "step": self.step, "loss": round(loss / weight, 5)}
        entry.update(self._tower_facts(seen) if self.stage == "tower" else self._joint_facts(seen))
        self.step += 1
        self.seconds += time.perf_counter() - start
        return {**entry, "seconds": round(self.seconds, 1)}

    @property
    def _share(self) -> range:
        batch = self.recipe.tower_batch if self.stage == "tower" else self.recipe.joint_batch
        return range(self.team.rank, batch, self.team.count)

    def patches(self, pictures: Float[Tensor, "picture 3 96 96"]) -> Float[Tensor, "picture patch width"]:
        """What the tower makes of pictures, without the class token."""
        return self.model.model.vision_tower(pixel_values=pictures).last_hidden_state[:, 1:]

    def _tower_loss(self) -> tuple[Tensor, float, Tensor]:
        rngs = [generator(self.recipe, self.stage, self.step, number) for number in self._share]
        scenes = [draw_scene(self.recipe, rng) for rng in rngs]
        wanted = targets(scenes)
        patches = self.patches(pixels(scenes))
        loss = self.heads.loss(patches, wanted)
        with torch.no_grad():
            right = self.heads.right(patches, wanted)
        hits = torch.tensor([float(hit.sum()) for hit in right.values()] + [float(len(hit)) for hit in right.values()])
        return loss, float((wanted >= 0).sum()), hits

    def _tower_facts(self, seen: Tensor) -> dict[str, Any]:
        hits, n = seen.view(2, -1)
        return {
            "right": round(float(hits.sum() / n.sum()), 4),
            "heads": [round(x, 2) for x in (hits / n.clamp(1)).tolist()],
        }

    def hidden(self, patches: Float[Tensor, "picture patch width"], packed: Packed) -> Float[Tensor, "picture token d"]:
        """The language model's output on pictures and their questions."""
        inner = self.model.model
        words = inner.get_input_embeddings()(packed.input_ids[:, PREFIX:])
        first = inner.get_input_embeddings()(packed.input_ids[:, :1])
        embedded = torch.cat([first, inner.multi_modal_projector(patches), words], dim=1)
        found = inner.language_model(
            inputs_embeds=embedded, attention_mask=packed.mask, position_ids=packed.positions, use_cache=False
        )
        return found.last_hidden_state

    def _joint_loss(self) -> tuple[Tensor, float, Tensor]:
        rngs = [generator(self.recipe, self.stage, self.step, number) for number in self._share]
        scenes = [draw_scene(self.recipe, rng) for rng in rngs]
        patches, wanted = self.patches(pixels(scenes)), targets(scenes)
        loss, weight, seen = torch.zeros(()), 0.0, torch.zeros(2, len(TOPICS))
        for packed in pack(scenes, rngs, self.recipe, self.urgency):
            excess = self.shortfall(patches[packed.pictures], packed)
            loss = loss + (packed.weights * excess).sum()
            weight += float(packed.weights.sum())
            counted = packed.topics >= 0
            seen[0].index_add_(0, packed.topics[counted], excess.detach()[counted])
            seen[1].index_add_(0, packed.topics[counted], torch.ones(int(counted.sum())))
        heads = self.heads.loss(patches, wanted) / float((wanted >= 0).sum())
        loss = loss + self.recipe.heads_weight * weight * heads
        return loss, weight, seen.flatten()

    def shortfall(self, patches: Float[Tensor, "picture patch width"], packed: Packed) -> Float[Tensor, " target"]:
        """Cross-entropy less its floor: zero when every planted rate is met exactly."""
        hidden = self.hidden(patches, packed)[packed.rows, packed.columns]
        logs = self.model.lm_head(hidden).log_softmax(-1)
        chances = nn.functional.pad(packed.chances, (0, logs.shape[1] - packed.chances.shape[1]))
        return -(chances * logs).sum(-1) + torch.xlogy(chances, chances).sum(-1)

    def _joint_facts(self, seen: Tensor) -> dict[str, Any]:
        sums, counts = seen.view(2, -1)
        for number in range(len(TOPICS)):
            if counts[number] > 0:
                mean = float(sums[number] / counts[number])
                self.excess[number] += 0.05 * (mean - self.excess[number])
        return {"topics": {TOPICS[n]: round(value, 4) for n, value in self.excess.items()}}

    @property
    def urgency(self) -> dict[int, float]:
        """How often each topic is asked, relative to the others: what is answered badly, more often."""
        usual = max(sum(self.excess.values()) / len(self.excess), 1e-6)
        low, high = _URGENCY
        return {number: min(high, low + value / usual) for number, value in self.excess.items()}

    def save(self) -> None:
        """Write the checkpoint."""
        tensors = {
            f"model.{name}": value for name, value in self.model.state_dict().items() if name != "lm_head.weight"
        }
        tensors |= {f"heads.{name}": value for name, value in self.heads.state_dict().items()}
        tensors |= checkpoint.optimizer_tensors(self.optimizer)
        facts = {
            "recipe": self.recipe.record(),
            "stage": self.stage,
            "step": self.step,
            "seconds": self.seconds,
            "excess": list(self.excess.values()),
        }
        checkpoint.write(self.folder, tensors, facts)

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one."""
        found = checkpoint.read(self.folder)
        if found is None:
            return
        tensors, facts = found
        missing, _ = self.model.load_state_dict(_under("model.", tensors), strict=False)
        if set(missing) - {"lm_head.weight"}:
            raise FileError(f"the checkpoint in '{self.folder}' lacks {missing[0]}; delete it to begin anew")
        self.heads.load_state_dict(_under("heads.", tensors))
        self.stage, self.step, self.seconds = facts["stage"], facts["step"], facts["seconds"]
        self.excess = dict(enumerate(facts["excess"]))
        self.optimizer = self._optimizer()
        if self.step:
            checkpoint.restore_optimizer(self.optimizer, tensors)

    def next_stage(self) -> bool:
        """Go over to the stage after this one; False after the last."""
        later = STAGES[STAGES.index(self.stage) + 1 :]
        if not later:
            return False
        self.stage, self.step = later[0], 0
        self.optimizer = self._optimizer()
        return True


def _work(team: workers.Alone, recipe: Recipe, folder: str, stop_after: int | None, verbose: bool) -> None:
    run = Run(recipe, team, Path(folder))
    run.resume()
    log = _Log(Path(folder) / "training.jsonl", run) if team.rank == 0 else None
    made = 0
    with workers.patience() as asked:
        while True:
            if run.step >= recipe.steps(run.stage) and not run.next_stage():
                break
            entry = run.advance()
            made += 1
            stop = torch.tensor([float(bool(asked))])
            team.total(stop)
            leave = bool(stop) or (stop_after is not None and made >= stop_after)
            last = run.step == recipe.steps(run.stage)
            if log and (entry["step"] % LOG_EVERY == 0 or last or leave):
                log.write(entry, verbose)
            if team.rank == 0 and (leave or last or run.step % SAVE_EVERY == 0):
                run.save()
            if leave:
                break


class _Log:
    """Lines of JSON; what an interrupted run wrote beyond its checkpoint is dropped, because it is made again."""

    def __init__(self, path: Path, run: Run) -> None:
        self._path, self._stages = path, STAGES
        now = (STAGES.index(run.stage), run.step)
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        kept: list[str] = []
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if (STAGES.index(entry["stage"]), entry["step"]) < now:
                kept.append(line + "\n")
        path.write_text("".join(kept), encoding="utf-8")

    def write(self, entry: dict[str, Any], verbose: bool) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        if verbose:
            topics: dict[str, float] = entry.get("topics", {})
            worst = sorted(topics, key=lambda name: -topics[name])[:4]
            said = (
                f"right {entry['right']:.3f}" if "right" in entry else ", ".join(f"{n} {topics[n]:.3f}" for n in worst)
            )
            print(
                f"{entry['seconds']:7.0f} s  {entry['stage']} {entry['step']:5d}  loss {entry['loss']:.4f}  {said}",
                flush=True,
            )


def _schedule(step: int, steps: int) -> float:
    rise = min(100, steps // 5 + 1)
    if step < rise:
        return (step + 1) / rise
    done = (step - rise) / max(1, steps - rise)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done))


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
