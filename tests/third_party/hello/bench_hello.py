from bench import ModelSpec, hookimpl


@hookimpl
def bench_add_models():
    return [ModelSpec(name="hello.linear", factory=":build", frontend="torchaudio")]


def build(task):
    from torch import nn

    freq, time = task.feature_shape
    return nn.Sequential(nn.Flatten(), nn.Linear(freq * time, task.num_classes))
