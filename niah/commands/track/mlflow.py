"""MLflow. MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME say where to; without an address it is the folder mlruns."""

import os
import time
from collections.abc import Mapping

from niah.commands.track.tracker import PROJECT, Results, Told, Tracker
from niah.report.number_tables import as_csv

_ID = "niah.id"
_MOST_AT_ONCE = 100
"""Settings and metrics that a server takes in one request."""
_MOST_CHARACTERS = 500


class MLflow(Tracker):
    """A continued run is found by a tag; a setting of it that has changed keeps its first value, as MLflow wants it."""

    module = "mlflow"
    package = "mlflow-skinny"

    def begin(self, told: Told) -> str:
        address = os.environ.get("MLFLOW_TRACKING_URI")
        if not address:
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
            address = f"file:{os.path.abspath('mlruns')}"
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self._client = MlflowClient(tracking_uri=address)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        known = self._client.get_experiment_by_name(name)
        experiment = known.experiment_id if known else self._client.create_experiment(name)
        found = self._client.search_runs([experiment], filter_string=f"tags.`{_ID}` = '{told.id}'", max_results=1)
        run = found[0] if found else self._client.create_run(experiment, run_name=told.name, tags={_ID: told.id})
        self._id = run.info.run_id
        self._client.update_run(self._id, status="RUNNING")
        new = [
            Param(key, str(value)[:_MOST_CHARACTERS]) for key, value in told.settings.items()
            if key not in run.data.params
        ]
        for start in range(0, len(new), _MOST_AT_ONCE):
            self._client.log_batch(self._id, params=new[start : start + _MOST_AT_ONCE])
        return f"{address}, experiment {name}, run {self._id}"

    def progress(self, step: int, numbers: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for name, value in numbers.items()]
        for start in range(0, len(metrics), _MOST_AT_ONCE):
            self._client.log_batch(self._id, metrics=metrics[start : start + _MOST_AT_ONCE])

    def results(self, results: Results) -> None:
        self.progress(results.step, results.numbers)
        for name, rows in results.tables.items():
            self._client.log_text(self._id, as_csv(rows), f"tables/{name}.csv")
        for file in results.pictures.values():
            self._client.log_artifact(self._id, str(file), "pictures")
        if results.page:
            self._client.log_artifact(self._id, str(results.page))

    def end(self, *, is_done: bool) -> None:
        self._client.set_terminated(self._id, "FINISHED" if is_done else "KILLED")
