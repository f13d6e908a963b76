"""Names of version 0.1 that were renamed, so that whoever uses one is told the new one."""

from __future__ import annotations

#: old name -> new names, of which the one that is known where the old one was used is meant
RENAMED: dict[str, tuple[str, ...]] = {
    # public names
    "LearnedExplainer": ("MaskExplainer",),
    "REFERENCES": ("BASELINES",),
    "TrainedExplainer": ("FittedExplainer",),
    "action_maps": ("attribute_all",),
    # explainers and metrics
    "explainer": ("stalder",),
    "localisation": ("relevance_mass",),
    "noise_sensitivity": ("max_sensitivity",),
    "score_gap": ("gap",),
    # arguments, and what a metric asks for
    "actor_interval": ("policy_delay",),
    "behaviour": ("behavior",),
    "catch_up": ("warmup_updates",),
    "cells": ("grid",),
    "collecting": ("collect_kwargs",),
    "context": ("policy_inputs",),
    "frames": ("states",),
    "least": ("min_mass",),
    "loading": ("load_kwargs",),
    "maps": ("attributions", "attribute_batch"),
    "masking": ("explainer_kwargs",),
    "memory": ("max_batch_bytes", "lstm_states"),
    "n": ("n_states", "n_samples", "n_evaluated"),
    "n_states": ("n_evaluated",),
    "overlaid_share": ("augmented_loss_weight",),
    "choice": ("target",),
    "reference": ("baseline",),
    "references": ("baselines",),
    "searching": ("probe_kwargs",),
    "settings": ("explainer_kwargs", "generator_kwargs"),
    "training": ("fit_kwargs",),
    # flags of the command line
    "--behaviour": ("--behavior",),
    "--colour": ("--color",),
    "--reference": ("--baseline",),
}


def find_new_name(name: object, known: set[str]) -> str | None:
    """The name that an old one has now.

    :param name: as the user wrote it
    :param known: the names that would have been right
    """
    return next((new for new in RENAMED.get(str(name), ()) if new in known), None)
