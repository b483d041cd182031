"""Graph convolutions over the k nearest neighbours of each node."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def knn_adjacency(nodes: Tensor, neighbours: int) -> Tensor:
    """Row-normalised adjacency, with self-loops, of the k-nearest-neighbour graph.

    Args:
        nodes: ``(graphs, nodes, width)``.
        neighbours: k; limited to the number of other nodes.

    Returns:
        ``(graphs, nodes, nodes)`` in the dtype of ``nodes``: row i holds 1 / (k + 1) at i and at the k nodes nearest to
        it in Euclidean distance, 0 elsewhere. No gradient flows through the choice of neighbours.
    """
    points = nodes.detach().float()
    count = points.shape[1]
    k = min(neighbours, count - 1)
    itself = torch.eye(count, dtype=torch.bool, device=points.device)
    distance = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").masked_fill(itself, math.inf)
    nearest = distance.topk(k, dim=2, largest=False).indices  # (graphs, nodes, k)
    links = itself.to(nodes.dtype).expand_as(distance).scatter(2, nearest, 1.0)
    return links / (k + 1)


class GraphConvolution(nn.Module):
    """Average a node with its neighbours; Linear, LayerNorm, GELU, dropout; residual where the widths agree."""

    def __init__(self, width: int, out: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.linear = nn.Linear(width, out)
        self.norm = nn.LayerNorm(out)
        self.dropout = nn.Dropout(dropout)

    def forward(self, nodes: Tensor, adjacency: Tensor) -> Tensor:
        """``(graphs, nodes, width)`` and ``(graphs, nodes, nodes)`` to ``(graphs, nodes, out)``."""
        update: Tensor = self.dropout(F.gelu(self.norm(self.linear(adjacency @ nodes))))
        return nodes + update if nodes.shape == update.shape else update


class GraphNetwork(nn.Module):
    """Graph convolutions on one k-nearest-neighbour graph, built from the nodes that enter."""

    def __init__(self, width: int, widths: tuple[int, ...], neighbours: int) -> None:
        super().__init__()
        self.neighbours = neighbours
        pairs = zip((width, *widths), widths, strict=False)
        self.layers = nn.ModuleList(GraphConvolution(before, after) for before, after in pairs)

    def forward(self, nodes: Tensor) -> Tensor:
        """``(graphs, nodes, width)`` to ``(graphs, nodes, widths[-1])``."""
        adjacency = knn_adjacency(nodes, self.neighbours)
        for layer in self.layers:
            nodes = layer(nodes, adjacency)
        return nodes
