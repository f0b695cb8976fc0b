"""TensorBoard: event files in the run's folder, written with its own writer; neither TensorFlow nor PyTorch is
needed."""

import os
import time
from collections.abc import Mapping
from typing import Any

from niah.commands.track.tracker import Results, Told, Tracker


class TensorBoard(Tracker):
    """Settings and tables are its texts, pictures its images; it has no place for a page, whose file a text names."""

    module = "tensorboard"
    package = "tensorboard"

    def begin(self, told: Told) -> str:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        folder = told.folder / "tensorboard"
        self._writer = EventFileWriter(str(folder))
        self._text("settings", [["setting", "value"], *([key, value] for key, value in told.settings.items())], 0)
        return f"tensorboard --logdir {os.path.relpath(folder)}"

    def progress(self, step: int, numbers: Mapping[str, float]) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        self._write(step, [Summary.Value(tag=name, simple_value=value) for name, value in numbers.items()])

    def results(self, results: Results) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        self.progress(results.step, results.numbers)
        for name, rows in results.tables.items():
            self._text(f"tables/{name}", rows, results.step)
        for name, file in results.pictures.items():
            content = file.read_bytes()
            width, height = (int.from_bytes(content[start : start + 4], "big") for start in (16, 20))
            image = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=content)
            self._write(results.step, [Summary.Value(tag=f"pictures/{name}", image=image)])
        if results.page:
            self._text("page", [["page"], [results.page.name]], results.step)

    def end(self, *, is_done: bool) -> None:
        self._writer.close()

    def _text(self, tag: str, rows: list[list[Any]], step: int) -> None:
        """A table in Markdown, as TensorBoard's texts show it."""
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
        from tensorboard.compat.proto.types_pb2 import DT_STRING

        lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
        text = "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)
        plugin = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        tensor = TensorProto(
            dtype=DT_STRING, string_val=[text.encode()],
            tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]),
        )
        self._write(step, [Summary.Value(tag=tag, metadata=plugin, tensor=tensor)])

    def _write(self, step: int, content: list[Any]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=content)))


def _cell(value: Any) -> str:
    return "" if value is None else str(value).replace("|", "\\|").replace("\n", " ")
