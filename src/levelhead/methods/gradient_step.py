"""The optimization-based direction: one gradient step towards naming an attribute, from one picture and a list of words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Literal

import torch
from torch import Tensor

from levelhead.capture import Activations
from levelhead.edits import Ablate, Add, Edit
from levelhead.errors import AdapterError, InputError
from levelhead.graph import Differentiable, Graph, graph
from levelhead.inputs import has_picture
from levelhead.methods.base import Method, check_choice, check_range, check_reference, fingerprint
from levelhead.methods.frozen import checkpointed, frozen
from levelhead.methods.one_step import EMBEDDED, OneStep, Sums, check_vectors
from levelhead.methods.patch_gradient import quick_patches
from levelhead.methods.pictured import examples
from levelhead.methods.target_words import LOSSES, Loss, Spelling, Target, spell
from levelhead.sites import Patterns, resolve
from levelhead.steer import Steer
from levelhead.tokens import Reader

_EPS = {"image": 4 / 255, "embeddings": 0.1, "residual": 0.0}


class GradientStep(Method):
    """Direction of one gradient step towards target words; the optimization-based vector of arXiv 2411.12590.

    Attested, by the abstract of v1: one step of gradient descent on the image itself, from a single image and a list of
    target attributes, whose representations are then ablated; by summaries of it: the fast gradient sign method. All else is
    a reconstruction, and an option: each parameter says which.

    Parameters
    ----------
    sites : patterns
        Where to steer; all from one backward pass. Not reported by the paper.
    on : {"image", "embeddings", "residual"}, optional
        Where the step is taken. ``image``: on the processed pixels (attested). ``embeddings``: on the projected picture as it
        enters the language model, at the image tokens of ``resid_pre.0`` (reconstruction). ``residual``: on the tensor of
        each site itself (reconstruction), the only one for text. By default, the image where there is one.
    eps : float, optional
        Size of the step. On the image in intensities, which lie in [0, 1]; default 4/255. On the embeddings in units of each
        picture's root mean square there; default 0.1. The paper's value is not reported. Without meaning for ``gradient``.
    loss : {"sum_prob", "max_logit", "cross_entropy"}
        What the step descends, at the position where the words would come: minus the logarithm of their summed
        probability, minus the largest of their logits, or their mean cross-entropy. Reconstruction. A word of several
        tokens counts with the probability of all of them; with ``against``, the loss is the difference of both lists' losses.
    direction : {"difference", "gradient"}, optional
        ``difference``: activations after the step minus before (reconstruction; default on image and embeddings).
        ``gradient``: minus the loss's gradient at each site, where no step is taken (reconstruction; default on ``residual``, where
        the difference would be the step itself). Either points towards naming the attribute.
    sign : {"toward", "away"}
        Which way the step goes; after one away from the words, the difference is turned round. Reconstruction. Without
        meaning for ``gradient``.
    step : {"sign", "unit"}
        On the embeddings: along the gradient's signs, or along the gradient; of the same root mean square. The image's step is
        along the signs (attested).
    answer : str or list of str
        A beginning of the answer that is given to the model before the words: "a", where a caption would start with
        "a man". Several are averaged. Reconstruction.
    at : str, int or callable
        Tokens read, one vector a row; ``last`` is the one whose output is to be the word. Reconstruction.
    edit : {"ablate", "add"}
        ``ablate`` removes the direction (attested for v1); ``add`` adds its negative (reconstruction).
    to : {"zero", "mean"}
        What ablation leaves along the direction: nothing, or what the given inputs have there on average.
    scale : {"activation", "none"}
        Length of what ``add`` adds: `size` times the mean norm of the given inputs' activations at the site, or the
        vector as it is. Reconstruction.
    size : float
        At strength 1, with ``scale="activation"``.
    scope : str
        Which tokens are written. "During generation" is attested; ``generated`` is one reading of it.
    batch_size : int
        Inputs a pass; memory grows with it, the result does not change.
    checkpoint : bool
        Trade time for memory: keep what stands between blocks only, and compute the rest anew on the way back.

    Attributes
    ----------
    steer_ : Steer
    vectors_ : dict of Site to Float[Tensor, "d"]
        Towards naming the attribute, averaged over inputs and beginnings; as long as they came out.
    loss_ : float
        Before the step, averaged likewise.

    Examples
    --------
    >>> from levelhead import testbed
    >>> bed = testbed.load()
    >>> method = GradientStep("resid_post.4", on="residual", answer="a", edit="add")
    >>> picture = testbed.sample(1, 11)[0].image()
    >>> method.fit(bed.graph, picture, prompt="<image> describe the picture.", words=["man", "woman"], against=["person"])
    Steer(add at resid_post.4; 1 edits, scope generated, strength 1)
    """

    def __init__(
        self,
        sites: Patterns = "resid_post.*",
        on: Literal["image", "embeddings", "residual"] | None = None,
        eps: float | None = None,
        loss: Loss = "sum_prob",
        direction: Literal["difference", "gradient"] | None = None,
        sign: Literal["toward", "away"] = "toward",
        step: Literal["sign", "unit"] = "sign",
        answer: str | Sequence[str] = "",
        at: Reader = "last",
        edit: Literal["ablate", "add"] = "ablate",
        to: Literal["zero", "mean"] = "zero",
        scale: Literal["activation", "none"] = "activation",
        size: float = 0.3,
        scope: str = "generated",
        batch_size: int = 1,
        checkpoint: bool = False,
    ) -> None:
        self.sites = sites
        self.on = on
        self.eps = eps
        self.loss: Loss = loss
        self.direction = direction
        self.sign = sign
        self.step = step
        self.answer = answer
        self.at = at
        self.edit = edit
        self.to = to
        self.scale = scale
        self.size = size
        self.scope = scope
        self.batch_size = batch_size
        self.checkpoint = checkpoint

    def fit(
        self,
        model: Any,
        image: Any = None,
        images: Sequence[Any] | None = None,
        *,
        prompt: Any,
        words: Sequence[str],
        against: Sequence[str] | None = None,
        reference: Activations | None = None,
        processor: Any = None,
        verbose: bool = True,
    ) -> Steer:
        """Take the step; the model is left as it was.

        Parameters
        ----------
        model : transformers model, TransformerBridge, nnsight model or Graph
        image : path or PIL.Image.Image, optional
        images : sequence of these, optional
            In place of `image`; averaged.
        prompt : str, chat, or list of these
            With pictures, one for all or one for each, of plain text; without, each is an input of its own. A chat may bring its
            picture itself.
        words : list of str
            The target attribute's, as in ``["man", "woman"]``; case matters.
        against : list of str, optional
            Other words, away from which the step leads: ``["person"]``, or ``["he"]`` against ``["she"]``.
        reference : Activations, optional
            With ``to="mean"``, the activations whose mean is put in place, instead of the given inputs' own: one prompt
            alone is a point, and no level.
        processor : optional
            Tokenizer or processor for a plain transformers model.
        verbose : bool
            A progress bar, when anybody watches.

        Returns
        -------
        Steer

        Raises
        ------
        InputError
            For words that the tokenizer cannot spell, grey, transparent or broken pictures, a model that sees no pictures where
            one is needed, options that do not go together, and a gradient that is zero or not finite.
        AdapterError
            When the graph cannot pass gradients.
        SiteError
            For sites that the model lacks.
        """
        on = graph(model, processor)
        if not isinstance(on, Differentiable):
            raise AdapterError(
                f"GradientStep needs gradients, and the adapter '{on.name}' has no verb 'gradients'; wrap the transformers "
                "model itself, or see levelhead.graph.Differentiable for what to add"
            )
        self._check()
        check_reference(reference, self.edit, self.to)
        items = examples(image, images, prompt)
        where, direction = self._settle(on, has_picture(items[0]))
        wanted = resolve(self.sites, on.sites())
        if (where, direction) == ("embeddings", "difference") and EMBEDDED in wanted:
            raise InputError(
                f"on='embeddings' steps at '{EMBEDDED}', where the difference would be the step; leave it out"
            )
        eps = self.eps if self.eps is not None else _EPS[where]
        away = -1.0 if self.sign == "away" else 1.0
        take = OneStep(on, wanted, self.at, where, direction == "difference", away * eps, self.step)
        sums = Sums()
        with (
            torch.inference_mode(False),
            frozen(on.model),
            checkpointed(on.model, self.checkpoint),
            quick_patches(on.model),
        ):
            for some, spellings in self._batches(on, items, words, against or (), verbose):
                encoded = on.encode(some)
                for moved in take(encoded, [Target.of(on, encoded, each, self.loss) for each in spellings]):
                    sums.add(moved)
        self.vectors_ = {site: (sums.towards[site] / sums.count).float() for site in wanted}
        self.loss_ = sums.loss / sums.count
        check_vectors(self.vectors_)
        means = {site: (sums.clean[site] / sums.count).float() for site in wanted}
        if reference is not None:
            means = {site: reference[site].double().mean(dim=0).float().cpu() for site in wanted}
        edits = {site: self._edit(v, means[site], sums.norms[site] / sums.count) for site, v in self.vectors_.items()}
        facts = {
            "words": list(words),
            "against": list(against or ()),
            "inputs": len(items),
            "settled": {"on": where, "direction": direction, "eps": eps},
            "sha256": fingerprint(list(words), means[wanted[0]]),
        }
        source = {
            "model": on.identity(),
            "basis": on.basis,
            "at": self.at if isinstance(self.at, str | int) else "callable",
        }
        self.steer_ = Steer(edits, scope=self.scope, card=self.card(source, **facts))
        return self.steer_

    def _check(self) -> None:
        who = "GradientStep"
        known: dict[str, tuple[Any, ...]] = {
            "on": (None, "image", "embeddings", "residual"),
            "loss": LOSSES,
            "direction": (None, "difference", "gradient"),
            "sign": ("toward", "away"),
            "step": ("sign", "unit"),
            "edit": ("ablate", "add"),
            "to": ("zero", "mean"),
            "scale": ("activation", "none"),
        }
        for name, values in known.items():
            check_choice(who, name, getattr(self, name), values)
        check_range(who, "size", self.size, self.size > 0, "above 0")
        check_range(who, "batch_size", self.batch_size, self.batch_size >= 1, "at least 1")
        if self.eps is not None:
            check_range(who, "eps", self.eps, 0 < self.eps < float("inf"), "above 0 and finite")
        if (self.on, self.direction) == ("residual", "difference"):
            raise InputError(
                "on='residual' steps at every site itself, and the difference there would be the step: use "
                "direction='gradient', which has the same direction"
            )
        if self.step == "unit" and self.on != "embeddings":
            raise InputError("step='unit' is for on='embeddings'; on the image the step is along the gradient's signs")

    def _settle(self, on: Graph, pictured: bool) -> tuple[str, str]:
        sees = any(site.tower != "language" for site in on.sites())
        if self.on in ("image", "embeddings") and not sees:
            raise InputError(
                f"on='{self.on}' was asked for, and {type(on.model).__name__} has no vision tower; use on='residual'"
            )
        if self.on in ("image", "embeddings") and not pictured:
            raise InputError(f"on='{self.on}' was asked for without a picture; give image=, or use on='residual'")
        where = self.on or ("image" if pictured else "residual")
        direction = self.direction or ("gradient" if where == "residual" else "difference")
        idle = [name for name, off in (("eps", self.eps is None), ("sign", self.sign == "toward")) if not off]
        if direction == "gradient" and idle:
            raise InputError(f"{idle[0]} is of a step, and direction='gradient' takes none; leave it out")
        if (where, direction) == ("residual", "difference"):
            raise InputError("direction='difference' needs a picture to step on; without one, use direction='gradient'")
        return where, direction

    def _batches(
        self, on: Graph, items: list[Any], words: Sequence[str], against: Sequence[str], verbose: bool
    ) -> Iterator[tuple[list[Any], list[Spelling]]]:
        """Inputs that go through the model together, with the words as they are spelled behind them."""
        beginnings = [self.answer] if isinstance(self.answer, str) else list(self.answer)
        if not beginnings:
            raise InputError("answer is a beginning of the answer or a list of some; found an empty list")
        known: dict[str, list[Spelling]] = {}

        def spelled(item: Any) -> list[Spelling]:
            key = str(item[1]) if isinstance(item, tuple) else str(item)
            if key not in known:
                known[key] = [spell(on, item, words, against, beginning) for beginning in beginnings]
            return known[key]

        from tqdm import tqdm

        with tqdm(total=len(items), desc="gradient", disable=None if verbose else True, leave=False) as bar:
            for first in range(0, len(items), self.batch_size):
                for spellings, some in groupby(items[first : first + self.batch_size], key=spelled):
                    alike = list(some)
                    yield alike, spellings
                    bar.update(len(alike))

    def _edit(self, vector: Tensor, mean: Tensor, norm: float) -> Edit:
        if self.edit == "ablate":
            return Ablate(vector, mean if self.to == "mean" else None)
        if self.scale == "activation":
            vector = vector / vector.norm() * (self.size * norm)
        return Add(-vector)
