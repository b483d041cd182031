"""Ask TensorBoard's profiler plugin what it makes of a folder of traces; a script, as the plugin starts processes."""

import json
import sys
import time


def main(folder: str) -> None:
    from tensorboard.plugins.base_plugin import TBContext
    from torch_tb_profiler.plugin import TorchProfilerPlugin
    from werkzeug.test import Client
    from werkzeug.wrappers import Response

    apps = TorchProfilerPlugin(TBContext(logdir=folder)).get_plugin_apps()

    def get(route: str, **query: str):
        answer = Client(apps[route], Response).get(route, query_string=query)
        assert answer.status_code == 200, (route, answer.status_code)
        return json.loads(answer.get_data(as_text=True))

    deadline = time.monotonic() + 60
    found = get("/runs")
    while (found["loading"] or not found["runs"]) and time.monotonic() < deadline:
        time.sleep(0.2)
        found = get("/runs")
    (run,) = found["runs"]
    workers = get("/workers", run=run, view="Overview")
    views = get("/views", run=run)
    steps = {worker: len(get("/overview", run=run, worker=worker, span="1")["steps"]["rows"]) for worker in workers}
    sys.stdout.write(json.dumps({"run": run, "workers": workers, "views": views, "steps": steps}))


if __name__ == "__main__":
    main(sys.argv[1])
