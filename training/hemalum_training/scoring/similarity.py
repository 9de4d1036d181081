"""How like two images are: MAE, RMSE and SSIM on values scaled to [0, 1] (METHOD S4).  Pure.

>>> a = np.zeros((16, 16))
>>> mae(a, a + 0.5), rmse(a, a + 0.5), round(ssim(a, a), 6)
(0.5, 0.5, 1.0)
"""

from __future__ import annotations

import cv2
import numpy as np

K1, K2, SIGMA = 0.01, 0.03, 1.5     # Wang et al. 2004
LUMA = np.array([0.299, 0.587, 0.114])


def luminance(pixels: np.ndarray) -> np.ndarray:
    """uint8 H×W×3 RGB → float64 H×W in [0, 1] (ITU-R BT.601)."""
    return pixels @ LUMA / 255


def mae(first: np.ndarray, second: np.ndarray) -> float:
    """Mean absolute difference of two arrays of one shape."""
    return float(np.abs(first - second).mean())


def rmse(first: np.ndarray, second: np.ndarray) -> float:
    """Root of the mean squared difference of two arrays of one shape."""
    return float(np.sqrt(np.square(first - second).mean()))


def ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Structural similarity of two images, float H×W or H×W×C in [0, 1], sides ≥ 11; the mean over channels.

    Wang et al. 2004 (doi 10.1109/TIP.2003.819861): Gaussian window of 11×11 and σ 1.5, C1 = 0.01², C2 = 0.03²; windows
    that would reach beyond the image are left out.
    """
    def mean(x):
        return cv2.GaussianBlur(x, (11, 11), SIGMA)[5:-5, 5:-5]

    first, second = first.astype(np.float64), second.astype(np.float64)
    m1, m2 = mean(first), mean(second)
    v1, v2, v12 = mean(first * first) - m1 * m1, mean(second * second) - m2 * m2, mean(first * second) - m1 * m2
    c1, c2 = K1**2, K2**2
    return float(((2 * m1 * m2 + c1) * (2 * v12 + c2) / ((m1 * m1 + m2 * m2 + c1) * (v1 + v2 + c2))).mean())
