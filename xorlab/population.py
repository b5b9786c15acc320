"""Many starts of one net, trained at once: every weight has one more axis, the start.

The start is the last axis, so that each operation runs along it. The gradients are written out by hand, layer by
layer; the steps are PyTorch's own optimizers, which treat every number by itself and so do not notice the axis.
"""
import math
from functools import lru_cache

import numpy as np
import torch
from torch import nn

from xorlab import models

LANES = 64      # starts are padded to a multiple: vector loops then have no tail, which would round differently
SEEN = 512      # how often, at most, a training run writes down every start's loss
ACTIVATIONS = {
    "sigmoid": (torch.sigmoid_, torch.ops.aten.sigmoid_backward.grad_input),
    "tanh": (torch.tanh_, torch.ops.aten.tanh_backward.grad_input),
    "relu": (torch.relu_, lambda d, a, grad_input: torch.ops.aten.threshold_backward.grad_input(
        d, a, 0, grad_input=grad_input)),
}


class Population:
    """The nets MLP(hidden, activation, seed=s) for every s of a range of seeds, as stacked tensors.

    x : float32 (n, 2).  y : float32 (n,).  loss : "mse" or "bce".
    After `gradients()`, `theta.grad` holds each start's gradient; both are (parameters, padded starts).
    """

    def __init__(self, hidden, activation, seeds, x, y, loss="mse", device="cpu"):
        self.starts, self.loss, self.device = len(seeds), loss, device
        self.squash, self.squash_back = ACTIVATIONS[activation]
        self.theta = first_weights(hidden, activation, seeds).to(device, copy=True)
        self.theta.grad = torch.zeros_like(self.theta)
        shapes = [p.shape for p in models.MLP(hidden, activation, seed=0).parameters()]
        self.layers, self.layer_grads = (_layer_views(flat, shapes) for flat in (self.theta, self.theta.grad))
        self.points, self.targets = self._on_device(x), torch.from_numpy(y).to(device)[:, None]
        self.buffers = {}

    def _on_device(self, x):
        """Lay points (n, inputs) out as the layers want them: (inputs, n, 1)."""
        return torch.from_numpy(x).to(self.device).T[:, :, None].contiguous()

    def outputs(self, x=None):
        """Return each start's outputs (n, padded starts) and last hidden activations (units, n, padded starts).

        x : float32 (n, 2); None means the training points.
        The arrays are reused by the next call with as many points.
        """
        activations = self._forward(self.points if x is None else self._on_device(x))
        return activations[-1][0], activations[-2]

    def gradients(self, batch=None):
        """Write the gradient of each start's mean loss into `theta.grad`.

        batch : indices of the points to use; None means all.
        """
        x, y = (self.points, self.targets) if batch is None else (self.points[:, batch], self.targets[batch])
        activations = self._forward(x)
        _, deltas, products = self._buffers(x.shape[1])
        p, d = activations[-1], deltas[-1]
        torch.sub(p, y, out=d)
        if self.loss == "bce":
            slope = p * (1 - p)
            d.div_(slope.clamp_(min=1e-12))                     # PyTorch's own guard against dividing by 0
            d.mul_(1 / x.shape[1])
        else:
            d.mul_(2 / x.shape[1])
        torch.ops.aten.sigmoid_backward.grad_input(d, p, grad_input=d)
        for i in reversed(range(len(self.layers))):
            a, d, (weight, _), (weight_grad, bias_grad) = activations[i], deltas[i], self.layers[i], self.layer_grads[i]
            torch.mul(d[:, None], a[None], out=products[i])     # (out, in, n, starts)
            torch.sum(products[i], 2, out=weight_grad)
            torch.sum(d, 1, out=bias_grad)
            if i:
                back = deltas[i - 1]
                torch.mul(weight[0][:, None], d[0], out=back)
                for unit in range(1, len(d)):
                    back.addcmul_(weight[unit][:, None], d[unit])
                self.squash_back(back, a, grad_input=back)

    def losses(self):
        """Return each start's mean loss on the training points as NumPy float32 (starts,)."""
        (p, _), y = self.outputs(), self.targets
        if self.loss == "bce":
            value = -(y * p.log().clamp(min=-100) + (1 - y) * (1 - p).log().clamp(min=-100))
        else:
            value = (p - y) ** 2
        return self.host(value.mean(0))

    def host(self, values):
        """Return values whose last axis is the padded starts as NumPy, without the padding."""
        return values[..., : self.starts].cpu().numpy().copy()

    def _forward(self, x):
        """Return [x, activations of each layer ...]; each (units, n, padded starts)."""
        zs, _, _ = self._buffers(x.shape[1])
        a = x
        for i, ((weight, bias), z) in enumerate(zip(self.layers, zs, strict=True)):
            torch.addcmul(bias[:, None], weight[:, 0, None], a[0], out=z)
            for unit in range(1, len(a)):
                z.addcmul_(weight[:, unit, None], a[unit])
            if i < len(zs) - 1:
                self.squash(z)
            a = z
        torch.sigmoid_(a)
        return [x, *zs]

    def _buffers(self, n):
        """Return the arrays for a batch of n points, made once: allocating them anew costs more than filling them."""
        if n not in self.buffers:
            starts = self.theta.shape[1]
            zs = [self.theta.new_empty(len(bias), n, starts) for _, bias in self.layers]
            deltas = [torch.empty_like(z) for z in zs]
            products = [self.theta.new_empty(*weight.shape[:2], n, starts) for weight, _ in self.layers]
            self.buffers[n] = zs, deltas, products
        return self.buffers[n]


@lru_cache(maxsize=16)       # every optimizer of a race begins at the same starts
def first_weights(hidden, activation, seeds):
    """Return the weights of each start, padded with copies of the first: (parameters, padded starts).

    They are the numbers that MLP(hidden, activation, seed=s) draws, without making a net for each seed.
    """
    shapes = [p.shape for p in models.MLP(hidden, activation, seed=0).parameters()]
    sizes = [math.prod(shape) for shape in shapes]
    starts = torch.empty(len(seeds), sum(sizes))
    draws = list(zip(starts.split(sizes, dim=1), _bounds(shapes), strict=True))
    generator = torch.Generator()
    for row, seed in enumerate(seeds):
        generator.manual_seed(seed)
        for numbers, bound in draws:
            numbers[row].uniform_(-bound, bound, generator=generator)
    padded = torch.cat([starts, starts[:1].expand(-len(seeds) % LANES, -1)])
    return padded.T.contiguous()


def _bounds(shapes):
    """Return up to where nn.Linear draws each weight and bias, in either direction."""
    inputs = [shape[1] for shape in shapes[::2]]
    gain = nn.init.calculate_gain("leaky_relu", math.sqrt(5))
    return [bound for fan_in in inputs
            for bound in (math.sqrt(3) * (gain / math.sqrt(fan_in)), 1 / math.sqrt(fan_in))]


def _layer_views(flat, shapes):
    """Return [(weight (out, in, starts), bias (out, starts)), ...] as views of (parameters, starts)."""
    sizes = [math.prod(shape) for shape in shapes]
    views = [part.view(*shape, -1) for part, shape in zip(flat.split(sizes), shapes, strict=True)]
    return list(zip(views[::2], views[1::2], strict=True))


@torch.no_grad()
def train(population, optimizer, *, epochs, batch_size, seed, steps):
    """Train a population in place; return (epochs done, epochs seen (k,), losses seen (k, starts)).

    optimizer : an Optimizer.  seed : orders the mini-batches, the same for every start and as in training.fit.
    steps : iterates over the epochs (a progress bar). An interrupt ends the training early.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)            # more would cut the arrays where the vector loops would have tails
    try:
        return _train(population, optimizer.make([population.theta], fused=True), epochs, batch_size, seed, steps)
    finally:
        torch.set_num_threads(threads)


def _train(population, stepper, epochs, batch_size, seed, steps):
    n = population.points.shape[1]
    every = max(1, math.ceil(epochs / SEEN))
    order = torch.Generator().manual_seed(seed)
    noted, done = [], 0
    try:
        for epoch in steps:
            if epoch % every == 0:
                noted.append((epoch, population.losses()))      # both or neither, when an interrupt comes
            for batch in batches(n, batch_size, order):
                population.gradients(batch)
                stepper.step()
            done = epoch + 1
    except KeyboardInterrupt:
        pass
    noted.append((done, population.losses()))
    seen, losses = zip(*noted, strict=True)
    return done, np.array(seen), np.array(losses)


def batches(n, batch_size, order):
    """Return the index batches of one epoch in the generator's order; [None] where one batch holds all n points."""
    if batch_size is None or batch_size >= n:
        return [None]
    return torch.randperm(n, generator=order).split(batch_size)
