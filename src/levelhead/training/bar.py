"""The progress bar of training, and the place where it is asked to stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from levelhead.training.optional import base_class

TrainerCallback: Any = base_class("TrainerCallback")


class Watch(TrainerCallback):
    """A bar over all steps, silent where there is no terminal; and the question after every step whether to stop.

    Parameters
    ----------
    verbose : bool
    stop : callable, optional
        Once it says True, a checkpoint is written and training ends.
    """

    def __init__(self, verbose: bool, stop: Callable[[], bool] | None = None) -> None:
        super().__init__()
        self._verbose, self._stop = verbose, stop
        self._bar: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Open the bar."""
        from tqdm import tqdm

        hidden = None if self._verbose else True
        self._bar = tqdm(total=state.max_steps, initial=state.global_step, disable=hidden, leave=False, desc="training")

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Show the Skew that was estimated."""
        row = next((row for row in reversed(state.log_history) if "min_skew" in row), None)
        if row is not None:
            self._bar.set_postfix_str(f"Skew {row['min_skew']:+.2f} to {row['max_skew']:+.2f}")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Move the bar, and stop if that was asked for."""
        self._bar.update()
        if self._stop is not None and self._stop():
            control.should_save = control.should_training_stop = True

    def close(self) -> None:
        """Close the bar, also where training was broken off."""
        if self._bar is not None:
            self._bar.close()
