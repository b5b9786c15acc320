"""Timing several ways of doing one thing, side by side in one run."""
import statistics
import time


def side_by_side(ways, rounds=5):
    """Call each way in turn, `rounds` times after one warm-up, and return {name: median seconds}.

    ways : {name: function without arguments}. Turns, because a machine's speed drifts: each way then meets
    the same weather.
    """
    took = {name: [] for name in ways}
    for round_ in range(rounds + 1):
        for name, call in ways.items():
            start = time.perf_counter()
            call()
            if round_:
                took[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in took.items()}


def plain_loop(steps):
    """Train one start as the source lesson does: PyTorch's modules, loss and optimizer, a step at a time."""
    import torch

    from xorlab import data, models

    x, y = map(torch.from_numpy, data.corners())
    net, loss = models.MLP(seed=1), torch.nn.MSELoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(net(x), y[:, None]).backward()
        optimizer.step()


def report(title, medians, unit="ms", ours=None):
    """Print a table of medians and of how many times as long as `ours` each takes."""
    from xorlab.tables import Table

    scale = {"s": 1, "ms": 1e3, "us": 1e6}[unit]
    base = medians[ours or next(iter(medians))]
    rows = tuple((name, f"{value * scale:,.3f}", f"{value / base:,.1f}") for name, value in medians.items())
    print(f"\n{title}\n{Table(('way', f'median, {unit}', 'times ours'), rows)}")
