"""The contract's ops of several layers: a convolution, and what comes after it, made of other ops."""

from __future__ import annotations


def check_joined(geometry, pool_geometry) -> None:
    if pool_geometry.x_shape != geometry.y_shape:
        raise ValueError(
            f"conv2d_max_pool: the pooling must be of the convolution's output, {geometry.y_shape}, and is of "
            f"{pool_geometry.x_shape}"
        )


class JoinedOps:
    """What any ops can do, one after the other."""

    # ---------------------------------------------------------------- batch norm after a convolution

    def conv2d_batch_norm(self, x, w, b, geometry, statistics, add=None, relu=False):
        """``batch_norm(conv2d(x, w, b), *statistics)``; with relu its positive part, or that of the sum with `add`.

        statistics: the arguments of :meth:`batch_norm` after x, all of them.
        """
        between, saved = self.conv2d(x, w, b, geometry)
        options = {"add": add} if relu else {}
        y, norm_saved = (self.batch_norm_relu if relu else self.batch_norm)(between, *statistics, **options)
        return y, (saved, norm_saved, relu)

    def conv2d_batch_norm_backward(self, dy, saved, needs=(True,) * 5, add=None):
        """(dx, dw, db, dgamma, dbeta, gradient of the forward's `add`); `add` here: another gradient, added to dx."""
        saved, norm_saved, relu = saved
        gradient = self.batch_norm_relu_backward if relu else self.batch_norm_backward
        dy, dgamma, dbeta, *rest = gradient(dy, norm_saved, (any(needs[:3]), *needs[3:]))
        dx = dw = db = None
        if any(needs[:3]):
            dx, dw, db = self.conv2d_backward(dy, saved, needs[:3], add=add)
        return dx, dw, db, dgamma, dbeta, rest[0] if rest else None

    # ---------------------------------------------------------------- max pooling after a convolution

    def conv2d_max_pool(self, x, w, b, geometry, pool_geometry, relu=False):
        """``max_pool2d(conv2d(x, w, b, geometry), pool_geometry, relu)``."""
        check_joined(geometry, pool_geometry)
        between, saved = self.conv2d(x, w, b, geometry)
        y, pool_saved = self.max_pool2d(between, pool_geometry, relu)
        return y, (saved, pool_saved)

    def conv2d_max_pool_backward(self, dy, saved, needs=(True,) * 3, add=None):
        """(dx, dw, db); None where ``needs`` is False; `add`: another gradient, added to dx."""
        saved, pool_saved = saved
        return self.conv2d_backward(self.max_pool2d_backward(dy, pool_saved), saved, needs, add=add)
