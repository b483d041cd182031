import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bench.measurement.flops import count_flops, countable_kernels


def test_matrix_product_is_exact():
    a, b = torch.randn(7, 11), torch.randn(11, 13)
    flops = count_flops(lambda: a @ b)
    assert flops.total == 2 * 7 * 11 * 13
    assert flops.by_operator == {"aten.mm": flops.total}
    assert flops.uncounted == {}


@pytest.mark.parametrize(("groups", "stride"), [(1, 1), (4, 1), (1, 2)])
def test_convolution_is_exact(groups, stride):
    layer = nn.Conv2d(8, 12, (3, 5), groups=groups, stride=stride, bias=False)
    x = torch.randn(2, 8, 20, 30)
    out = layer(x)
    expected = 2 * out.numel() * (8 // groups) * 3 * 5
    assert count_flops(lambda: layer(x)).total == expected


def test_conv1d_is_exact():
    x, weight = torch.randn(3, 4, 100), torch.randn(6, 4, 9)
    assert count_flops(lambda: F.conv1d(x, weight)).total == 2 * 3 * 6 * 92 * 4 * 9


def test_attention_is_exact_on_cpu():
    query, key, value = torch.randn(2, 3, 50, 16), torch.randn(2, 3, 70, 16), torch.randn(2, 3, 70, 24)
    flops = count_flops(lambda: F.scaled_dot_product_attention(query, key, value))
    assert flops.total == 2 * 2 * 3 * 50 * 70 * (16 + 24)


def test_the_plain_counter_leaves_attention_out():
    # the control: without the plain kernels the count of a CPU run is 0
    from torch.utils.flop_counter import FlopCounterMode

    x = torch.randn(1, 2, 8, 4)
    with FlopCounterMode(display=False) as counter:
        F.scaled_dot_product_attention(x, x, x)
    assert counter.get_total_flops() == 0
    assert count_flops(lambda: F.scaled_dot_product_attention(x, x, x)).total == 2 * 2 * 8 * 8 * 4 * 2


def test_backward_counts():
    a, b = torch.randn(5, 6, requires_grad=True), torch.randn(6, 7, requires_grad=True)
    assert count_flops(lambda: (a @ b).sum().backward()).total == 3 * 2 * 5 * 6 * 7


def test_fast_path_of_the_encoder_layer_is_opened():
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True).eval()
    x = torch.randn(2, 10, 32)
    with torch.inference_mode():
        total = count_flops(lambda: layer(x)).total
    assert total == 2 * 2 * 10 * 32 * 32 * 4 + 2 * 2 * 4 * 10 * 10 * 8 * 2 + 2 * 2 * 10 * 32 * 64 * 2


def test_lstm_is_opened():
    lstm = nn.LSTM(8, 16, batch_first=True).eval()
    x = torch.randn(2, 10, 8)
    with torch.inference_mode():
        assert count_flops(lambda: lstm(x)).total == 2 * 2 * 10 * 4 * 16 * (8 + 16)


MODULES = {
    "transformer": lambda: nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.0),
    "recurrent": lambda: nn.GRU(16, 8, batch_first=True),
    "convolutions": lambda: nn.Sequential(
        nn.Conv1d(10, 6, 3, groups=2), nn.BatchNorm1d(6), nn.ConvTranspose1d(6, 4, 3)
    ),
    "bilinear": lambda: nn.Sequential(nn.Linear(16, 4), nn.GELU(), nn.LayerNorm(4), nn.Linear(4, 2, bias=False)),
}


@pytest.mark.parametrize("name", MODULES)
def test_forward_and_backward_count_as_torch_counts_them(name):
    from torch.utils.flop_counter import FlopCounterMode

    module, x = MODULES[name](), torch.randn(3, 10, 16, requires_grad=True)

    def call():
        out = module(x)
        (out[0] if isinstance(out, tuple) else out).square().sum().backward()

    with countable_kernels(), FlopCounterMode(display=False) as counter:
        call()
    theirs = {str(packet): flops for packet, flops in counter.get_flop_counts()["Global"].items() if flops}
    ours = count_flops(call)
    assert ours.by_operator == theirs
    assert ours.total == counter.get_total_flops() > 0


def test_what_has_no_formula_is_named_and_plain_mappings_are_not():
    window = torch.ones(256)

    def call():
        spectrum = torch.stft(torch.randn(2, 2000), 256, window=window, return_complex=True)
        F.layer_norm(spectrum.abs().pow(2).add(1).log(), (8,)) if spectrum.shape[-1] == 8 else spectrum.abs().cumsum(-1)

    flops = count_flops(call)
    assert flops.total == 0
    assert flops.uncounted == {"aten._fft_r2c": 1, "aten.cumsum": 1}


def test_a_custom_operator_is_named():
    with torch.library._scoped_library("bench_selftest", "DEF") as library:
        library.define("twice(Tensor x) -> Tensor")
        library.impl("twice", lambda x: x * 2, "CompositeExplicitAutograd")
        assert count_flops(lambda: torch.ops.bench_selftest.twice(torch.ones(3))).uncounted == {
            "bench_selftest.twice": 1
        }


def test_switches_are_put_back_even_after_an_error():
    before = (torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled)

    def call():
        assert not torch.backends.mkldnn.enabled
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        count_flops(call)
    assert (torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled) == before
    assert torch.backends.cuda.flash_sdp_enabled()
