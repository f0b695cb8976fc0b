"""A run's settings from the words of a command, without running it."""

from hydra import compose, initialize_config_dir

from niah import choices, config
from niah.commands.hydra import adapted


def built(*overrides: str) -> config.Run:
    with initialize_config_dir(str(choices.conf_folder()), version_base="1.3"):
        settings = [word for word in adapted(overrides) if word != "-m"]  # the application's, not a config's
        return config.build(compose("config", overrides=settings))
