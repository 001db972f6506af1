"""What runs inside an nnsight trace: functions over envoys and plain data.

They follow a run through all its forward passes and end with it, so a block that calls one of them holds
nothing else. They import nnsight's iteration, torch's arithmetic, and nothing of the standard library.
"""

from __future__ import annotations

from nnsight.intervention.iterator import Iterations

from levelhead import operators
from levelhead_transformers.base import tracked


def write(root, names, places, image_ids, prompt, tally):
    """Write the language sites of every pass of a run.

    ``places`` is a list of ``(envoy, side, steps)`` in execution order; `root` is the model, whose inputs give
    each pass its absolute positions; `names` are the parameters of its ``forward``.
    """
    run = operators.new_run(image_ids, prompt)
    try:
        for _ in Iterations()[:]:
            args, kwargs = root.inputs
            call = {**dict(zip(names, args, strict=False)), **kwargs}
            now = operators.open_pass(call, run)
            for envoy, side, steps in places:
                exchange(envoy, side, steps, now, tally)
    except Exception as error:
        # The loop has no end of its own: asking for a step that the run did not make is how it learns of the end.
        if type(error).__name__ != "OutOfOrderError" or run["prompt"] is None:
            raise


def write_pictures(places, tally):
    """Write the vision tower and the projector; a run encodes its pictures once, before any token is made."""
    try:
        for envoy, side, steps in places:
            exchange(envoy, side, steps, None, tally)
    except Exception as error:
        # A run without pictures never comes by.
        if type(error).__name__ != "OutOfOrderError" or tally:
            raise


def exchange(envoy, side, steps, now, tally):
    """Replace the first tensor of a module's input or output by what the steps make of it."""
    if side == "input":
        envoy.input = operators.apply(envoy.input, steps, now, tally)
        return
    value = envoy.output
    if isinstance(value, tuple):
        envoy.output = (operators.apply(value[0], steps, now, tally), *value[1:])
    else:
        envoy.output = operators.apply(value, steps, now, tally)


def track(envoy, side):
    """The same tensor, in a form that a gradient can be asked for, put in its own stead."""
    value = envoy.input if side == "input" else envoy.output
    tensor = value[0] if isinstance(value, tuple) else value
    new = tracked(tensor)
    if new is not tensor:
        if side == "input":
            envoy.input = new
        else:
            envoy.output = (new, *value[1:]) if isinstance(value, tuple) else new
    return new


def first_tensor(envoy, side):
    """The tensor at a place of the pass under way."""
    value = envoy.input if side == "input" else envoy.output
    return value[0] if isinstance(value, tuple) else value
