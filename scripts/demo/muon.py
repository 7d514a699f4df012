"""Muon for the matrices of the blocks, AdamW for all else, as one optimiser with one state, so that a run can resume."""

import torch


def orthogonal(matrices):
    """Newton-Schulz iteration towards the nearest semi-orthogonal matrices; [n, rows, columns]."""
    x = matrices / (matrices.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.mT if tall else x


class Muon:
    """`step(scale)` applies the gradients; `scale` is the schedule's factor on both learning rates."""

    def __init__(self, model, matrix_rate, other_rate, decay=0.02, momentum=0.95):
        named = list(model.named_parameters())
        self.matrix_rate, self.decay, self.momentum = matrix_rate, decay, momentum
        matrices = [(n, p) for n, p in named if p.ndim == 2 and (".blocks." in n or ".layers." in n)]
        ids = {id(p) for _, p in matrices}
        others = [p for _, p in named if id(p) not in ids]
        self.groups = {}
        for name, p in matrices:
            self.groups.setdefault(tuple(p.shape), []).append(p)
        self.velocity = {shape: torch.zeros(len(group), *shape) for shape, group in self.groups.items()}
        self.other_rate = other_rate
        self.adam = torch.optim.AdamW([
            {"params": [p for p in others if p.ndim > 1], "weight_decay": decay},
            {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0}], lr=other_rate, betas=(0.9, 0.98), fused=True)

    @torch.no_grad()
    def step(self, scale):
        for group in self.adam.param_groups:
            group["lr"] = self.other_rate * scale
        self.adam.step()
        for shape, group in self.groups.items():
            gradient, velocity = torch.stack([p.grad for p in group]), self.velocity[shape]
            velocity.lerp_(gradient, 1 - self.momentum)
            update = gradient.lerp_(velocity, self.momentum)
            parts = 3 if shape[0] == 3 * shape[1] else 1  # q, k and v are three matrices in one
            update = orthogonal(update.reshape(len(group) * parts, shape[0] // parts, shape[1])).reshape(len(group), *shape)
            rate = self.matrix_rate * scale * max(1.0, shape[0] / parts / shape[1]) ** 0.5
            for p, u in zip(group, update):
                p.mul_(1 - self.matrix_rate * scale * self.decay).sub_(u, alpha=rate)

    def state_dict(self):
        return {"adam": self.adam.state_dict(), "velocity": self.velocity}

    def load_state_dict(self, state):
        self.adam.load_state_dict(state["adam"])
        self.velocity = state["velocity"]
