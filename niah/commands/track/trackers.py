"""The trackers by name, and those that a command asks for."""


from niah import origin
from niah.choices import named as class_of
from niah.commands.track.tracker import Tracker
from niah.errors import NiahError

KNOWN = {
    "wandb": "wandb.Wandb", "mlflow": "mlflow.MLflow", "trackio": "trackio.Trackio",
    "tensorboard": "tensorboard.TensorBoard",
}
"""Each tracker's class, in its file beside this: imported when it is asked for."""


def named(text: str, where: str) -> list[Tracker]:
    """The trackers of ``wandb`` or ``[wandb,tensorboard]``, none of an empty text.

    Raises NiahError for one that is not known, and, in one line, for all whose package is not installed.
    """
    names = dict.fromkeys(filter(None, (name.strip(" '\"") for name in text.strip("[] ").split(","))))
    for name in names:
        if name not in KNOWN:
            raise NiahError(
                f"{where}: got {name!r}; expected some of {', '.join(KNOWN)}, as {where}=wandb or "
                f"{where}=[wandb,tensorboard]"
            )
    found: list[Tracker] = [class_of(f"niah.commands.track.{KNOWN[name]}")() for name in names]
    if missing := [one.package for one in found if origin.installed(one.module) is None]:
        raise NiahError(
            f"{where}: {' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} not installed; expected what "
            f"{where}={text} needs; pip install {' '.join(missing)} ('niah[track]' has all trackers)"
        )
    return found

