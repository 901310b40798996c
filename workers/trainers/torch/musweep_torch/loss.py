"""The loss and its gradients at the unembedding, over pieces of the tokens: the logits of all of them never exist at once.

A piece's logits are used while they are there, for the loss and for both gradients, so nothing is computed twice.
"""

import torch

# Bytes of a piece's logits in float32.
PIECE_BYTES = {"cpu": 1 << 26, "cuda": 1 << 30}


def tokens_per_piece(replicas, rows, device_type):
    return max(1, PIECE_BYTES[device_type] // (4 * replicas * rows))


class Head:
    """Cross-entropy of logits_multiplier · h·Uᵀ, of the true vocabulary alone."""

    def __init__(self, model, compiled):
        self.model = model
        self.vocabulary = model.shape.vocab_size
        self.piece = torch.compile(self._piece, fullgraph=True, dynamic=False) if compiled else self._piece

    def _logits(self, h, u, multiplier):
        """[R, n, C] and [R, V, C] to [R, n, V], −∞ for padding."""
        logits = self.model.product(h, u.transpose(1, 2)).float() * multiplier
        if u.shape[1] > self.vocabulary:
            logits[..., self.vocabulary :] = -torch.inf
        return logits

    def _nats(self, h, u, targets, multiplier):
        logits = self._logits(h, u, multiplier)
        peak = torch.logsumexp(logits, dim=-1, keepdim=True)  # [R, n, 1]
        return logits, peak, (peak - logits.gather(-1, targets[..., None])).squeeze(-1)

    def _piece(self, h, u, targets, multiplier, share):
        """Nats of each token [R, n]; of share · their sum, the gradient with respect to the logits without multiplier, and to h."""
        logits, peak, nats = self._nats(h, u, targets, multiplier)
        d = (logits - peak).exp_()
        d.scatter_add_(-1, targets[..., None], torch.full_like(peak, -1.0))
        d = d.mul_(share * multiplier).to(self.model.dtype)
        return nats, d, torch.bmm(d, u.to(self.model.dtype)).float()

    def _pieces(self, h, u, targets):
        """Of one length but for the last, and that too where it costs no more pieces: each length is compiled by itself."""
        pieces = -(-h.shape[1] // tokens_per_piece(len(u), u.shape[1], h.device.type))
        size = -(-h.shape[1] // pieces)
        return zip(h.split(size, dim=1), targets.split(size, dim=1))

    def gradients(self, h, u, targets, multiplier, share):
        """
        h [R, N, C], u [R, V, C], targets [R, N]: the sum of nats per replica, float64 [R], and the gradients of share · that sum with
        respect to h and u, float32.
        """
        total = torch.zeros(len(u), dtype=torch.float64, device=h.device)
        dh, du = [], torch.zeros(u.shape, dtype=torch.float32, device=h.device)
        for piece, wanted in self._pieces(h, u, targets):
            nats, d, piece_dh = self.piece(piece, u, wanted, multiplier, share)
            total += nats.sum(-1, dtype=torch.float64)
            dh.append(piece_dh)
            if d.dtype == du.dtype:
                du.baddbmm_(d.transpose(1, 2), piece)
            else:
                du += torch.bmm(d.transpose(1, 2), piece.to(d.dtype))
        return total, torch.cat(dh, dim=1), du

    def nats(self, h, u, targets, multiplier):
        """Nats of each token, [R, N]."""
        return torch.cat([self._nats(p, u, t, multiplier)[2] for p, t in self._pieces(h, u, targets)], dim=1)
